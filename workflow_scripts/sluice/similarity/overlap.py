"""Text that training samples share with evaluation questions.

A sample is dropped where (1) its prompt is a question, (2) its prompt is a near duplicate of one,
with the same numbers, or (3) one of its texts shares with a question a run of characters that is
long enough after boilerplate has been taken away, or the whole of a question.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sluice.similarity.boilerplate import Boilerplate
from sluice.similarity.duplicates import (
    MIN_EDITED_SIMILARITY,
    Comparison,
    Sketches,
    Texts,
    sketch,
)
from sluice.similarity.evaluation_texts import Question
from sluice.similarity.minhash import band_keys
from sluice.similarity.text_forms import (
    Bools,
    Codes,
    Ints,
    UInts,
    character_places,
    encode,
    grams,
)

_FILTER_BITS = 24
_PAIRS_AT_ONCE = 100_000
# Three standard deviations of a similarity of 0.5 as estimated from 128 MinHashes.
_ESTIMATE_SLACK = 0.13


@dataclass(frozen=True)
class Match:
    """What a sample shares with an evaluation question."""

    span: str
    where: str
    kind: str

    @property
    def detail(self) -> str:
        """For the rejected file."""
        return f"{self.kind} of {self.where}: {self.span}"


class QuestionIndex:
    """Finds runs of characters of evaluation questions.

    Args:
        questions: what is searched for.
        length: characters in a run, a wide one counting as three.
    """

    def __init__(self, questions: Sequence[Question], *, length: int) -> None:
        self.questions = questions
        self._length = length
        self._codes = encode([question.text for question in questions])
        found = grams(self._codes, length=length)
        order = np.argsort(found.hashes, kind="stable")
        self._hashes, self._places = found.hashes[order], found.places[order]
        self._owners = found.owners[order]
        self._is_known = np.zeros(1 << _FILTER_BITS, dtype=bool)
        self._is_known[_slots(self._hashes)] = True
        self._by_text: dict[str, int] = {}
        for index, question in enumerate(questions):
            self._by_text.setdefault(question.text, index)

    def touches(self, samples: Sequence[Texts]) -> Bools:
        """Which samples share at least one run with some question, boilerplate or not."""
        codes = encode([part for texts in samples for part in texts.parts])
        found = grams(codes, length=self._length)
        is_known = self._is_known[_slots(found.hashes)]
        hashes, owners = found.hashes[is_known], found.owners[is_known]
        is_shared = np.searchsorted(self._hashes, hashes, side="right") > np.searchsorted(
            self._hashes, hashes
        )
        touched = np.array([texts.prompt in self._by_text for texts in samples], dtype=bool)
        touched[owners[is_shared] // 2] = True
        return touched

    def match(self, texts: Texts, *, boilerplate: Boilerplate) -> Match | None:
        """The strongest match of a sample that `touches` found, if it is strong enough."""
        same = self._by_text.get(texts.prompt)
        if same is not None and self.questions[same].facts == texts.prompt_facts:
            return Match(texts.prompt, self.questions[same].where, "the whole question")
        spans = [span for part in texts.parts for span in self._spans(part, boilerplate)]
        strong = [span for span in spans if span.is_strong(self._length)]
        if not strong:
            return None
        best = max(strong, key=lambda span: (span.num_own, -span.question))
        return Match(best.text, self.questions[best.question].where, "a part")

    def _spans(self, text: str, boilerplate: Boilerplate) -> Iterator["_Span"]:
        """The longest common runs of a text and the questions, each once."""
        codes = encode([text])
        own_before = np.concatenate([[0], np.cumsum(~boilerplate.covers(codes))])
        found = grams(codes, length=self._length)
        has_own = own_before[found.places + self._length] > own_before[found.places]
        is_candidate = has_own & self._is_known[_slots(found.hashes)]
        hashes, places = found.hashes[is_candidate], found.places[is_candidate]
        firsts = np.searchsorted(self._hashes, hashes)
        lasts = np.searchsorted(self._hashes, hashes, side="right")
        reached: dict[int, int] = {}
        for gram in np.flatnonzero(lasts > firsts):
            place = int(places[gram])
            for entry in range(firsts[gram], lasts[gram]):
                start = int(self._places[entry])
                if reached.get(start - place, 0) > place:
                    continue
                question = int(self._owners[entry])
                first, last, is_whole = self._extend(codes, place, start, question)
                reached[start - place] = last
                characters = character_places(text)[[first, last - 1]]
                yield _Span(
                    question=question,
                    num_own=int(own_before[last] - own_before[first]),
                    is_whole=is_whole,
                    text=text[characters[0] : characters[1] + 1],
                )

    def _extend(self, codes: Codes, place: int, start: int, question: int) -> tuple[int, int, bool]:
        """The longest equal run through ``place``, [first, last), and whether it is a question."""
        low, high = (int(each) for each in self._codes.starts[question : question + 2])
        left = min(place, start - low)
        right = min(len(codes.values) - place, high - start)
        mine = codes.values[place - left : place + right]
        is_other = mine != self._codes.values[start - left : start + right]
        before, after = np.flatnonzero(is_other[:left]), np.flatnonzero(is_other[left:])
        first = place - left + (int(before[-1]) + 1 if len(before) else 0)
        last = place + (int(after[0]) if len(after) else right)
        return first, last, last - first == high - low


@dataclass(frozen=True)
class _Span:
    question: int
    num_own: int
    is_whole: bool
    text: str

    def is_strong(self, length: int) -> bool:
        return self.num_own >= length or (self.is_whole and self.num_own > 0)


def _slots(hashes: UInts) -> Ints:
    return (hashes >> np.uint64(64 - _FILTER_BITS)).astype(np.int64)


def find_similar_prompts(
    sketches: Sketches,
    *,
    questions: Sequence[Question],
    compare: Comparison,
    threshold: float,
    ngram: int,
) -> dict[int, Match]:
    """Samples whose prompt is a near duplicate of a question, by index: lightly edited copies."""
    asked = [Texts(each.text, "", each.facts, "", 0) for each in questions]
    if not asked:
        return {}
    theirs = sketch(asked, ngram=ngram, num_permutations=sketches.prompts.shape[1])
    pairs: set[tuple[int, int]] = set()
    for mine, other in zip(
        band_keys(sketches.prompts, salts=sketches.prompt_numbers, threshold=MIN_EDITED_SIMILARITY),
        band_keys(theirs.prompts, salts=theirs.prompt_numbers, threshold=MIN_EDITED_SIMILARITY),
        strict=True,
    ):
        pairs.update(_promising(_equal_pairs(mine, other), sketches, theirs))
    matches: dict[int, Match] = {}
    for index, number in sorted(pairs):
        if index in matches:
            continue
        question = questions[number]
        similarity = compare.question(index, asked[number], threshold=threshold)
        if similarity:
            kind = f"an edited copy ({similarity:.2f} similar)"
            matches[index] = Match(question.text, question.where, kind)
    return matches


def _promising(pairs: Ints, mine: Sketches, other: Sketches) -> list[tuple[int, int]]:
    """Those of many proposed pairs whose MinHashes agree nearly often enough."""
    kept: list[tuple[int, int]] = []
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        block = pairs[start : start + _PAIRS_AT_ONCE]
        agreed = (mine.prompts[block[:, 0]] == other.prompts[block[:, 1]]).mean(axis=1)
        close = block[agreed >= MIN_EDITED_SIMILARITY - _ESTIMATE_SLACK]
        kept.extend((int(index), int(number)) for index, number in close)
    return kept


def _equal_pairs(mine: UInts, other: UInts) -> Ints:
    """Every (place in mine, place in other) with equal keys, as (number of pairs, 2)."""
    order = np.argsort(other, kind="stable")
    first = np.searchsorted(other[order], mine)
    counts = np.searchsorted(other[order], mine, side="right") - first
    places = np.repeat(np.arange(len(mine)), counts)
    ends = np.cumsum(counts)
    offsets = np.arange(counts.sum()) - np.repeat(ends - counts, counts)
    return np.stack([places, order[np.repeat(first, counts) + offsets]], axis=1)
