"""The flywheel: serve, simulate, judge, keep, train, compare, turn again."""
