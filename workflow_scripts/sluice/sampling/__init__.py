"""Rejection sampling: a model's own completions, graded, and the correct ones with their counts."""
