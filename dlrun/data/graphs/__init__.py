"""Graphs: one with many nodes, or many."""
