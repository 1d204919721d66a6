"""Figures; matplotlib is imported on first use, and no figure knows the engine."""
