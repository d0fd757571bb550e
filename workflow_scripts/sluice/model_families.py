"""Which family a model is of: judges tend to prefer answers of their own family."""

import json
import re
from pathlib import Path

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


def known_families(model: str) -> set[str]:
    """The families of a model; empty where none is known.

    The name tells them. Of a folder whose name tells none its config.json may: where the model came
    from (``_name_or_path``), or else its architecture (``model_type``).
    """
    found = families_of(model)
    if found:
        return found
    try:
        config = json.loads((Path(model) / "config.json").read_bytes())
    except (OSError, ValueError):
        return set()
    if not isinstance(config, dict):
        return set()
    families = (families_of(str(config.get(key))) for key in ("_name_or_path", "model_type"))
    return next(filter(None, families), set())


def shared_families(first: str, second: str) -> list[str]:
    """The families that two models have in common, sorted."""
    return sorted(known_families(first) & known_families(second))
