"""Texts that repeat one another: exact and near duplicates, and text of evaluation sets."""
