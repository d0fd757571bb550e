"""The gate stage: convert a checkpoint, prove it the same model, warm up its gates, run it."""
