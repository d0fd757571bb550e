"""In which precision a model answers or is scored: one choice for every step that has it."""

from typing import Literal

Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""Of weights and activations; auto: bfloat16 on a GPU, float32 on a CPU."""
