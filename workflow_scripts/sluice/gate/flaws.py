"""Flawed copies of an answer, made on the fly, from which gates learn what not to learn from.

Each flaw is a pure function ``(answer, donor, rng) -> flawed answer``; ``donor`` is the
answer of another sample. They work on characters, so that Chinese is handled as English is.
"""

import random
import re
from collections.abc import Callable

from sluice.records import Message, Sample

MakeFlaw = Callable[[str, str, random.Random], str]

_WORD = re.compile(r"[A-Za-z]+|\d+|\s+|.", re.DOTALL)
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789#%&*+=?@^~的一是不了在人有我他"


def swapped_answer(answer: str, donor: str, rng: random.Random) -> str:
    """Another sample's answer."""
    return donor


def cut_off(answer: str, donor: str, rng: random.Random) -> str:
    """The first fifth to four fifths of the answer."""
    return answer[: max(1, int(len(answer) * rng.uniform(0.2, 0.8)))]


def noisy_characters(answer: str, donor: str, rng: random.Random) -> str:
    """A tenth to a third of the characters replaced."""
    share = rng.uniform(0.1, 0.33)
    return "".join(rng.choice(_LETTERS) if rng.random() < share else char for char in answer)


def repetition(answer: str, donor: str, rng: random.Random) -> str:
    """A part of the answer said two to four more times."""
    start = rng.randrange(max(1, len(answer) // 2))
    end = min(len(answer), start + max(4, len(answer) // rng.randint(2, 4)))
    return answer[:end] + answer[start:end] * rng.randint(2, 4) + answer[end:]


def shuffled_words(answer: str, donor: str, rng: random.Random) -> str:
    """The answer's words, or Chinese characters, in another order."""
    words = _WORD.findall(answer)
    rng.shuffle(words)
    return "".join(words)


def changed_digits(answer: str, donor: str, rng: random.Random) -> str:
    """Half of the digits changed, at least one; an answer without digits stays as it is."""
    places = [index for index, char in enumerate(answer) if char.isdecimal()]
    changed = list(answer)
    for place in rng.sample(places, (len(places) + 1) // 2):
        changed[place] = rng.choice([digit for digit in "0123456789" if digit != answer[place]])
    return "".join(changed)


def mixed_answers(answer: str, donor: str, rng: random.Random) -> str:
    """The beginning of the answer, and the end of another sample's."""
    return answer[: len(answer) // 2] + donor[len(donor) // 2 :]


FLAWS: dict[str, MakeFlaw] = {
    flaw.__name__: flaw
    for flaw in (
        swapped_answer,
        cut_off,
        noisy_characters,
        repetition,
        shuffled_words,
        changed_digits,
        mixed_answers,
    )
}


def flawed_copy(sample: Sample, *, donor: Sample, flaws: tuple[str, ...], seed: int) -> Sample:
    """The sample with a flaw in its last answer that is not empty.

    The kind is drawn from ``flaws``; one that changes nothing (digits where there are none) gives
    way to the next. Where no kind changes anything the copy is cut to its first character, and an
    answer of one character said twice: the copy is never the sample itself.

    Args:
        sample: must hold an assistant's message with text; the last such message gets the flaw.
        donor: where another answer is taken from; must hold one too.
        flaws: names from `FLAWS`.
        seed: decides the kind and all of its details.
    """
    rng = random.Random(seed)
    place = _last_answer(sample)
    answer = sample.messages[place].content
    other = donor.messages[_last_answer(donor)].content
    for name in rng.sample(flaws, len(flaws)):
        flawed = FLAWS[name](answer, other, rng)
        if flawed.strip() and flawed != answer:
            break
    else:
        flawed = answer[:1] if len(answer) > 1 else answer * 2
    messages = list(sample.messages)
    messages[place] = Message(role="assistant", content=flawed)
    return sample.model_copy(update={"messages": tuple(messages)})


def _last_answer(sample: Sample) -> int:
    return max(
        place
        for place, message in enumerate(sample.messages)
        if message.role == "assistant" and message.content
    )
