"""The forms in which texts are compared: normalised, compact, and as numbers with n-gram hashes.

Characters, not words, are counted, so that scripts without spaces work as English does. A wide
character (Chinese, Japanese, Korean) carries about three letters' worth of text and stands for
`WIDE_WEIGHT` of them: an n-gram of 30 is 30 letters or 10 Chinese characters.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDE_WEIGHT = 3

# Ranges of ideographs, kana, hangul and their relatives, [first, last] code points.
_WIDE_RANGES = (
    (0x1100, 0x115F),
    (0x2E80, 0xA4CF),
    (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_NOT_WORD = re.compile(r"[\W_]+")
_FACT = re.compile(r"\d+|[+<>=×÷]|[-−*/^%](?=\s*\d)")
_BASE = np.uint64(0x9E3779B97F4A7C15)

UInts = NDArray[np.uint64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def normalise(text: str) -> str:
    """The text without differences of form: Unicode NFKC, case folded, white space to one blank."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def compact(normalised: str) -> str:
    """Letters and digits only; a text that has none keeps all but its white space."""
    return _NOT_WORD.sub("", normalised) or normalised.replace(" ", "")


def facts(normalised: str) -> str:
    """The numbers and signs of a text in their order: ``2 + 3 = 5`` -> ``2 + 3 = 5``.

    Two texts whose numbers or signs differ say different things, however alike they look.
    """
    return " ".join(_FACT.findall(normalised))


def numbers(text_facts: str) -> str:
    """The numbers alone of what `facts` gives."""
    return " ".join(fact for fact in text_facts.split() if fact.isdecimal())


@dataclass(frozen=True)
class Codes:
    """Texts as one array of code points, each wide character repeated `WIDE_WEIGHT` times.

    Text i is ``values[starts[i]:starts[i + 1]]``.
    """

    values: UInts
    starts: Ints


def character_places(text: str) -> Ints:
    """For each place of a text's code points, the index of its character."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return np.repeat(np.arange(len(points)), _weights(points))


def _weights(points: NDArray[np.unsignedinteger[Any]]) -> Ints:
    is_wide = np.zeros(len(points), dtype=bool)
    for first, last in _WIDE_RANGES:
        is_wide |= (points >= first) & (points <= last)
    return np.where(is_wide, WIDE_WEIGHT, 1)


def encode(texts: Sequence[str]) -> Codes:
    """Texts -> code points. Lone surrogates, which JSON can hold, survive."""
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    points = np.frombuffer(joined, dtype="<u4").astype(np.uint64)
    weights = _weights(points)
    weighted_ends = np.concatenate([[0], np.cumsum(weights)])
    ends = np.concatenate([[0], np.cumsum([len(text) for text in texts], dtype=np.int64)])
    return Codes(np.repeat(points, weights), weighted_ends[ends].astype(np.int64))


def window_hashes(values: UInts, *, length: int) -> UInts:
    """Hash of every run of ``length`` values: entry i is that of ``values[i:i + length]``.

    A polynomial in `_BASE` modulo 2**64, put together from runs of powers of two, then mixed: log
    passes over the array in place of ``length``. Shorter arrays have no run.
    """
    if len(values) < length:
        return np.zeros(0, dtype=np.uint64)
    power, run, run_length = _BASE, mix(values), 1
    result, done = np.zeros(len(values) - length + 1, dtype=np.uint64), 0
    while True:
        if length & run_length:
            result = result * power + run[done : done + len(result)]
            done += run_length
        if done == length:
            return mix(result)
        run = run[:-run_length] * power + run[run_length:]
        run_length, power = run_length * 2, _square(power)


def _square(value: np.uint64) -> np.uint64:
    return np.uint64(int(value) * int(value) % (1 << 64))


def mix(values: UInts) -> UInts:
    """Spreads every input bit over all output bits (the finaliser of splitmix64)."""
    mixed = values + _BASE
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@dataclass(frozen=True)
class Grams:
    """The n-grams of several texts: hash, owning text and place, in order of the place."""

    hashes: UInts
    owners: Ints
    places: Ints


def grams(codes: Codes, *, length: int) -> Grams:
    """Every n-gram that lies inside one text; a text shorter than ``length`` has none."""
    hashes = window_hashes(codes.values, length=length)
    sizes = np.diff(codes.starts)
    owners = np.repeat(np.arange(len(sizes)), sizes)[: len(hashes)]
    places = np.arange(len(hashes))
    is_inside = places + length <= codes.starts[owners + 1]
    return Grams(hashes[is_inside], owners[is_inside], places[is_inside])
