"""Settings of the runs on real Sentinel cubes in docs/real_run.md."""
