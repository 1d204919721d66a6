"""Many runs: a grid or a search, one process a job."""
