"""Data sets: one family a file; `spec.py` says what a data set offers."""
