"""The report stage: pictures and the closing summary."""
