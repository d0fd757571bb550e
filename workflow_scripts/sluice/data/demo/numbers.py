"""The dataset `numbers`: arithmetic in steps, and operations on lists of words."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.data.demo.problems import Line, Phrases, Problem, Solution, joined

_LIST_LENGTH = 4


class NumberWorld:
    """Draws the problems of `numbers`.

    Args:
        phrases: the content of numbers.json.
        words: the content of words.json: people, things, categories.
    """

    kinds = ("add", "subtract", "reverse", "odd_one_out")

    def __init__(self, phrases: Mapping[str, Any], words: Mapping[str, Any]) -> None:
        self.phrases = Phrases(phrases)
        self._words = words

    def draw(self, kind: str, rng: random.Random) -> Problem:
        """A problem of one of `kinds`."""
        problem: Problem = getattr(self, f"_draw_{kind}")(rng)
        return problem

    def _draw_add(self, rng: random.Random) -> Problem:
        a, b = rng.randint(11, 89), rng.randint(11, 89)
        wrong_sums = _sums(_other(a, rng), _other(b, rng))
        while any(map(int.__eq__, wrong_sums, _sums(a, b))):
            wrong_sums = _sums(_other(a, rng), _other(b, rng))
        solution = _by_digits(a, b, sign="+", results=_sums(a, b))
        wrong = _by_digits(a, b, sign="+", results=wrong_sums)
        return self._arithmetic("add", rng, (a, b), solution, wrong)

    def _draw_subtract(self, rng: random.Random) -> Problem:
        """Without borrowing: no digit of the number taken away is the greater one."""
        a_tens, b_tens = sorted(rng.sample(range(1, 10), 2), reverse=True)
        a_ones, b_ones = sorted(rng.choices(range(10), k=2), reverse=True)
        results = a_tens - b_tens, a_ones - b_ones
        wrong_results = _split(_other(results[0] * 10 + results[1], rng))
        a, b = a_tens * 10 + a_ones, b_tens * 10 + b_ones
        solution = _by_digits(a, b, sign="-", results=results)
        wrong = _by_digits(a, b, sign="-", results=wrong_results)
        return self._arithmetic("subtract", rng, (a, b), solution, wrong)

    def _arithmetic(
        self,
        kind: str,
        rng: random.Random,
        operands: tuple[int, int],
        solution: Solution,
        wrong: Solution,
    ) -> Problem:
        values = {
            "a": operands[0],
            "b": operands[1],
            "person": rng.choice(self._words["people"]),
            "things": rng.choice(self._words["things"]),
        }
        return Problem(kind, Line(f"ask_{kind}", values), solution, wrong)

    def _draw_reverse(self, rng: random.Random) -> Problem:
        members = [word for category in self._words["categories"] for word in category["members"]]
        words = rng.sample(members, _LIST_LENGTH)
        others = rng.sample([word for word in members if word not in words], _LIST_LENGTH)
        question = Line("ask_reverse", {"words": joined(words)})
        return Problem("reverse", question, _reverse(words), _reverse(others))

    def _draw_odd_one_out(self, rng: random.Random) -> Problem:
        """Three words of a category and one of another; wrong: the categories change places."""
        category, other = rng.sample(self._words["categories"], 2)
        odd = rng.choice(other["members"])
        words = [*rng.sample(category["members"], _LIST_LENGTH - 1), odd]
        rng.shuffle(words)
        names = {True: other["name"], False: category["name"]}
        listed = [(word, names[word is odd]) for word in words]
        swapped = [(word, names[word is not odd]) for word in words]
        wrong_odd = rng.choice([word for word in words if word is not odd])
        return Problem(
            "odd_one_out",
            Line("ask_odd", {"words": joined(words)}),
            _odd_one_out(listed, (odd, other["name"])),
            _odd_one_out(swapped, (wrong_odd, other["name"])),
        )


def _other(number: int, rng: random.Random) -> int:
    """A two-digit number that differs in both digits."""
    tens, ones = divmod(number, 10)
    new_tens = rng.choice([digit for digit in range(1, 10) if digit != tens])
    new_ones = rng.choice([digit for digit in range(10) if digit != ones])
    return new_tens * 10 + new_ones


def _answer(result: Any) -> Line:
    return Line("answer", {"result": result})


def _split(number: int) -> tuple[int, int]:
    """Tens digit and ones digit of a number below 100."""
    return number // 10, number % 10


def _sums(a: int, b: int) -> tuple[int, int]:
    """Sum of the tens digits, and of the ones digits."""
    (a_tens, a_ones), (b_tens, b_ones) = _split(a), _split(b)
    return a_tens + b_tens, a_ones + b_ones


def _by_digits(a: int, b: int, *, sign: str, results: tuple[int, int]) -> Solution:
    """Ones, tens, then both together. ``results`` are those written for (tens, ones)."""
    (a_tens, a_ones), (b_tens, b_ones) = _split(a), _split(b)
    tens, ones = results
    total = 10 * tens + ones
    steps = (
        Line("ones", {"x": a_ones, "y": b_ones, "sign": sign, "result": ones}),
        Line("tens", {"x": a_tens, "y": b_tens, "sign": sign, "result": tens}),
        Line("together", {"x": 10 * tens, "y": ones, "result": total}),
    )
    return Solution(steps, _answer(total))


def _reverse(words: Sequence[Sequence[str]]) -> Solution:
    backwards = joined(words[::-1])
    steps = (Line("forwards", {"words": joined(words)}), Line("backwards", {"words": backwards}))
    return Solution(steps, _answer(backwards))


def _odd_one_out(
    listed: Sequence[tuple[Sequence[str], Sequence[str]]], odd: tuple[Sequence[str], Sequence[str]]
) -> Solution:
    """Names the category of each word. Both arguments hold (word, category)."""
    labelled = [
        (f"{word[0]} ({category[0]})", f"{word[1]}（{category[1]}）") for word, category in listed
    ]
    steps = (
        Line("sorted", {"words": joined(labelled)}),
        Line("unlike", {"word": odd[0], "category": odd[1]}),
    )
    return Solution(steps, _answer(odd[0]))
