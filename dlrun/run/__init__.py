"""One run, from its config to its last picture."""
