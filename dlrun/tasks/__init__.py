"""Tasks: loss, prediction, metrics and pictures of one kind of problem."""
