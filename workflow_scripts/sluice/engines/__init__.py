"""Engines: what turns prompts into completions. One engine per file, one protocol for all."""
