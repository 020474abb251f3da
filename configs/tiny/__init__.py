"""Settings that train in seconds, for tests and first tries."""
