"""dlrun: one command trains, compares and shows any model of a deep-learning course."""

__version__ = "0.1.0"
