"""The base stage: a small Qwen3 trained from scratch."""
