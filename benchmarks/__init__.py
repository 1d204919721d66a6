"""Timings of dlrun beside what one would write by hand: `python -m benchmarks`."""
