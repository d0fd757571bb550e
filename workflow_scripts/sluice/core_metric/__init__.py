"""The CORE metric (DCLM, arXiv 2406.11794): bundle, prompts, batches, losses, results."""
