"""One file per run; each starts with the command that runs it."""
