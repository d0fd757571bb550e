"""The data stage: from any source to clean, split, canonical samples."""
