"""The tokenizer stage: byte-level BPE for the built-in model."""
