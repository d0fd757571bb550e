r"""What all graders share: one form of text, the reasoning apart, and from findings to a verdict.

A completion is judged in four steps. `normalise` gives every character one form. `split_reasoning`
takes away what stands in ``<think>`` blocks. The grader's own ``find`` says which answers the rest
holds, in a normal form that equal answers share. `judge` turns that into a verdict:

1. ``cut_off``: the completion hit the token limit while it was still reasoning, or its last answer
   could have gone on (``#### 12`` may be the beginning of ``#### 1234``), or it holds none.
2. ``conflicting_answers``: two that differ.
3. ``malformed``: something stands in an answer's place that is none.
4. ``correct`` or ``wrong``: one answer, however often it is said.
5. ``only_in_reasoning``: none, but the reasoning holds one.
6. ``no_answer``.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.errors import GradingError
from sluice.grading.grade import Grade

_LINE_END = re.compile("\r\n|[\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_THINK_TAG = re.compile(r"<(/?)think>", re.IGNORECASE)
_PLAIN_FORMS = ("<wide>", "<narrow>", "<font>")


@dataclass(frozen=True)
class Finding:
    """What a grader's ``find`` sees in a text."""

    answers: frozenset[str] = frozenset()
    """Answers in the grader's normal form; answers that agree are one."""
    is_malformed: bool = False
    """Whether something stands in an answer's place that is none."""
    is_open: bool = False
    """Whether the last answer could go on if the text did."""


Find = Callable[[str], Finding]


def judge(
    completion: str,
    *,
    right: str,
    find: Find,
    is_cut_off: bool,
    find_in_reasoning: Find | None = None,
) -> Grade:
    """The verdict on a completion, by the steps at the head of this module.

    Args:
        completion: what the model wrote.
        right: the right answer in the grader's normal form.
        find: which answers a normalised text holds.
        is_cut_off: whether the completion ended at the token limit.
        find_in_reasoning: ``find`` for the reasoning, where that differs.
    """
    parts = split_reasoning(normalise(completion))
    found = find(parts.outside)
    if is_cut_off and (found.is_open or parts.is_open):
        return Grade("cut_off")
    if len(found.answers) > 1:
        return Grade("conflicting_answers")
    if found.is_malformed:
        return Grade("malformed")
    for answer in found.answers:
        return Grade("correct" if answer == right else "wrong", answer)
    if is_cut_off:
        return Grade("cut_off")
    is_thought = (find_in_reasoning or find)(parts.reasoning).answers
    return Grade("only_in_reasoning" if is_thought else "no_answer")


def normalise(text: str) -> str:
    r"""One form for what looks alike.

    Unicode's NFKC (full-width letters, digits and signs become plain ones), U+2212 becomes the
    plain minus, every line end (U+2028 too) ``\n``; invisible format characters (zero-width spaces,
    byte-order marks, soft hyphens, directions) are gone; a lone surrogate becomes U+FFFD.

    We differ from NFKC where it would make another number: ``10²`` stays, and does not become 102;
    so do ``3½`` and ``①``.
    """
    if not text.isascii():
        text = text.translate({ord(char): _replacement(char) for char in set(text)})
        kept = "".join(sorted(char for char in set(text) if _is_other_number(char)))
        parts = re.split(f"([{kept}])", text) if kept else [text]
        text = "".join(
            part if part in kept else unicodedata.normalize("NFKC", part) for part in parts if part
        )
    return _LINE_END.sub("\n", text)


def _replacement(char: str) -> str | None:
    if char == "\N{MINUS SIGN}":
        return "-"
    category = unicodedata.category(char)
    if category == "Cs":
        return "\N{REPLACEMENT CHARACTER}"
    return None if category == "Cf" else char


def _is_other_number(char: str) -> bool:
    """Whether NFKC would make plain digits of something that is no plain digit."""
    form = unicodedata.decomposition(char)
    if not form or form.startswith(_PLAIN_FORMS):
        return False
    return any(each in "0123456789" for each in unicodedata.normalize("NFKC", char))


@dataclass(frozen=True)
class Parts:
    """A text cut up at its ``<think>`` tags; what stood apart is on lines of its own."""

    outside: str
    reasoning: str
    is_open: bool
    """Whether the last block is never closed."""


def split_reasoning(text: str) -> Parts:
    """Parts what stands inside ``<think>`` blocks from what stands outside of them.

    A block that is never closed reaches to the end. A ``</think>`` that closes nothing ends a
    reasoning that began in the prompt, or is the second end of nested blocks: all before it is
    reasoning.
    """
    outside: list[str] = []
    inside: list[str] = []
    start, is_thinking = 0, False
    for tag in _THINK_TAG.finditer(text):
        is_end = bool(tag[1])
        piece = text[start : tag.start()]
        if is_end and not is_thinking:
            inside += [*outside, piece]
            outside = []
        else:
            (inside if is_thinking else outside).append(piece)
        is_thinking = not is_end
        start = tag.end()
    (inside if is_thinking else outside).append(text[start:])
    return Parts("\n".join(outside), "\n".join(inside), is_open=is_thinking)


def collapse(text: str) -> str:
    """Every run of white space as one blank, none at the ends."""
    return " ".join(text.split())


def read_reference(reference: Mapping[str, Any], key: str, *, grader: str, expected: str) -> Any:
    """The value of a key that the grader compares with.

    Raises:
        GradingError: the key is missing or null.
    """
    value = reference.get(key)
    if value is None:
        known = ", ".join(f"'{name}'" for name in reference) or "none"
        raise GradingError(
            f"the reference has no '{key}', which the grader '{grader}' compares with",
            expected=expected,
            hint=f"the keys of this reference are: {known}; rename one, or choose another grader",
        )
    return value


def refuse_reference(key: str, value: Any, *, grader: str, expected: str) -> GradingError:
    """The error for a value that the grader cannot compare with."""
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return GradingError(
        f"the reference's '{key}' is {shown}, no legal value for the grader '{grader}'",
        expected=expected,
        hint=f"correct '{key}' in the sample's reference, or choose another grader",
    )


def read_text_answer(reference: Mapping[str, Any], *, grader: str) -> str:
    """``reference["answer"]``: a text that is not blank, or a whole number; normalised, collapsed.

    Raises:
        GradingError: it is missing or something else.
    """
    expected = "'answer': a text that is not blank, or a whole number"
    value = read_reference(reference, "answer", grader=grader, expected=expected)
    is_legal = isinstance(value, str | int) and not isinstance(value, bool)
    answer = collapse(normalise(str(value))) if is_legal else ""
    if not answer:
        raise refuse_reference("answer", value, grader=grader, expected=expected)
    return answer
