"""The seven flaws: each turns the parts of an answer into a flawed answer."""

import random
from collections.abc import Callable
from dataclasses import dataclass

_NOISE = "#@%&*~^|<>{}[]\\$§¤¶†‡¿¬°±µßæøħŋłđŧжщыюяاعغ겨뷁☂☃♞🜁🙃🦑"
_NOISY_SHARE = 0.12
_CUT_RANGE = (0.25, 0.75)
_REPEATED_UNITS = (3, 8)
_REPETITIONS = (2, 4)


@dataclass(frozen=True)
class Material:
    """An answer in parts, and what flawed answers are made of. Explanation + conclusion = answer.

    ``another`` is the answer of another sample, ``wrong`` one of the right form with wrong content,
    ``foreign`` the same in the other language, ``other_explanation`` that of another problem.
    """

    explanation: str
    conclusion: str
    wrong: str
    foreign: str
    other_explanation: str
    another: str

    @property
    def answer(self) -> str:
        """The right answer."""
        return self.explanation + self.conclusion


def _answer_of_another(material: Material, rng: random.Random) -> str:
    return material.another


def _wrong_content(material: Material, rng: random.Random) -> str:
    return material.wrong


def _wrong_language(material: Material, rng: random.Random) -> str:
    return material.foreign


def _wrong_explanation(material: Material, rng: random.Random) -> str:
    return material.other_explanation + material.conclusion


def _cut_off(material: Material, rng: random.Random) -> str:
    """Ends inside a word or number, in the middle half of the answer."""
    answer = material.answer
    start, end = (int(len(answer) * share) for share in _CUT_RANGE)
    places = [at for at in range(start, end) if answer[at - 1].isalnum() and answer[at].isalnum()]
    return answer[: rng.choice(places or [(start + end) // 2])]


def _noisy_characters(material: Material, rng: random.Random) -> str:
    """Every eighth character or so is replaced, at least three."""
    characters = list(material.answer)
    number = max(3, round(_NOISY_SHARE * len(characters)))
    for place in rng.sample(range(len(characters)), min(number, len(characters))):
        characters[place] = rng.choice(_NOISE)
    return "".join(characters)


def _repetition(material: Material, rng: random.Random) -> str:
    """A few words (characters, in Chinese) come again and again, as of a stuck writer."""
    answer = material.answer
    is_spaced = answer.count(" ") * 5 > len(answer)
    gap = " " if is_spaced else ""
    units = answer.split(" ") if is_spaced else list(answer)
    length = min(rng.randint(*_REPEATED_UNITS), len(units))
    start = rng.randrange(len(units) - length + 1)
    stuck = units[start : start + length] * rng.randint(*_REPETITIONS)
    return gap.join([*units[: start + length], *stuck, *units[start + length :]])


FLAWS: dict[str, Callable[[Material, random.Random], str]] = {
    "answer_of_another": _answer_of_another,
    "wrong_content": _wrong_content,
    "cut_off": _cut_off,
    "noisy_characters": _noisy_characters,
    "repetition": _repetition,
    "wrong_language": _wrong_language,
    "wrong_explanation": _wrong_explanation,
}


def spoil(material: Material, flaw: str, rng: random.Random) -> str:
    """The answer with one of `FLAWS`; never the right answer."""
    spoilt = FLAWS[flaw](material, rng)
    assert spoilt != material.answer, f"'{flaw}' left an answer as it was: {spoilt!r}"
    return spoilt
