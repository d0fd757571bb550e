"""Graders: a completion and a reference in, a verdict with a name out. One grader per file."""
