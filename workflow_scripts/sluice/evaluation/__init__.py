"""Answers of a model or adapter on a suite, graded, with intervals, and two of them compared."""
