"""Bits per byte of a model on any text, and what it writes by itself."""
