"""The tracking stage: finished results as runs of MLflow, beside the files."""
