"""Talking to OpenAI-compatible servers: retries, budgets, keys, and answers kept on disk."""
