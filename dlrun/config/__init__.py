"""The config of a run: composed, checked, and the names that it may use."""
