"""Which family a model is of: judges tend to prefer answers of their own family."""

import re

# Names that providers give their models, and the family each belongs to. A name of two families
# (deepseek-r1-distill-qwen-7b) belongs to both: it may prefer either.
_FAMILIES = {
    "qwen": ("qwen", "qwq"),
    "deepseek": ("deepseek",),
    "llama": ("llama",),
    "gpt": ("gpt", "chatgpt", "o1", "o3", "o4"),
    "claude": ("claude",),
    "gemini": ("gemini", "gemma"),
    "mistral": ("mistral", "mixtral", "ministral", "magistral"),
    "phi": ("phi",),
    "glm": ("glm", "chatglm"),
    "internlm": ("internlm",),
    "yi": ("yi",),
    "kimi": ("kimi", "moonshot"),
    "grok": ("grok",),
    "command": ("command", "aya"),
    "granite": ("granite",),
    "minimax": ("minimax",),
    "offline": ("offline",),
}


def families_of(name: str) -> set[str]:
    """The families that a model's name, hub id or path speaks of; empty where none is known.

    ``Qwen/Qwen2.5-3B-Instruct`` is of qwen, ``deepseek-chat`` of deepseek. Letters count up to the
    first digit, so that qwen3 is qwen, and o3 only where it stands as a word of its own.
    """
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    stems = words | {re.split(r"[^a-z]", word)[0] for word in words}
    return {family for family, marks in _FAMILIES.items() if stems & set(marks)}


def shared_families(first: str, second: str) -> list[str]:
    """The families that two models' names have in common, sorted."""
    return sorted(families_of(first) & families_of(second))
