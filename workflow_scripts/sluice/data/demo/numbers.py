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
        wrong_a, wrong_b = _other(a, rng), _other(b, rng)
        return self._arithmetic(
            "add", rng, (a, b), _add(a, b), _add(a, b, as_if=(wrong_a, wrong_b))
        )

    def _draw_subtract(self, rng: random.Random) -> Problem:
        b = rng.randint(11, 69)
        a = rng.randint(b + 11, 99)
        wrong_a = _other(a, rng)
        return self._arithmetic(
            "subtract", rng, (a, b), _subtract(a, b), _subtract(a, b, as_if=(wrong_a, b))
        )

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
        category, other = rng.sample(self._words["categories"], 2)
        alike = rng.sample(category["members"], _LIST_LENGTH)
        *words, wrong_odd = alike
        odd = rng.choice(other["members"])
        listed = [*words, odd]
        rng.shuffle(listed)
        question = Line("ask_odd", {"words": joined(listed)})
        words = [word for word in listed if word != odd]
        solution = _odd_one_out(words, odd, names=(category["name"], other["name"]))
        # Wrong: the categories change places, and a word of the majority is called the odd one.
        wrong = _odd_one_out(
            [wrong_odd, odd, words[1]], words[0], names=(other["name"], category["name"])
        )
        return Problem("odd_one_out", question, solution, wrong)


def _other(number: int, rng: random.Random) -> int:
    """A two-digit number that differs in both digits."""
    tens, ones = divmod(number, 10)
    new_tens = rng.choice([digit for digit in range(1, 10) if digit != tens])
    new_ones = rng.choice([digit for digit in range(10) if digit != ones])
    return new_tens * 10 + new_ones


def _equation(key: str, x: int, y: int, result: int) -> Line:
    return Line(key, {"x": x, "y": y, "result": result})


def _answer(result: Any) -> Line:
    return Line("answer", {"result": result})


def _add(a: int, b: int, *, as_if: tuple[int, int] | None = None) -> Solution:
    """Adds digit by digit; with ``as_if`` each result is that of two other numbers."""
    (tens, ones) = (sum(parts) for parts in zip(*(_split(n) for n in as_if or (a, b)), strict=True))
    (a_tens, a_ones), (b_tens, b_ones) = _split(a), _split(b)
    steps = (
        _equation("add_ones", a_ones, b_ones, ones),
        _equation("add_tens", a_tens, b_tens, tens),
        _equation("sum_up", tens, ones, tens + ones),
    )
    return Solution(steps, _answer(tens + ones))


def _subtract(a: int, b: int, *, as_if: tuple[int, int] | None = None) -> Solution:
    """Takes off the tens, then the ones; with ``as_if`` results are those of two other numbers."""
    c, d = as_if or (a, b)
    c = c if c > d else c + 100
    b_tens, b_ones = _split(b)
    rest = c - d // 10 * 10
    steps = (
        _equation("take_tens", a, b_tens, rest),
        _equation("take_ones", rest, b_ones, c - d),
    )
    return Solution(steps, _answer(c - d))


def _split(number: int) -> tuple[int, int]:
    return number // 10 * 10, number % 10


def _reverse(words: Sequence[Sequence[str]]) -> Solution:
    last, *before = reversed(words)
    steps = [Line("last_word", {"word": last})]
    steps += [Line("word_before", {"word": word}) for word in before]
    return Solution(tuple(steps), _answer(joined([last, *before])))


def _odd_one_out(
    words: Sequence[Sequence[str]],
    odd: Sequence[str],
    *,
    names: tuple[Sequence[str], Sequence[str]],
) -> Solution:
    members = Line("are_members", {"words": joined(words), "category": names[0]})
    exception = Line("is_odd", {"word": odd, "category": names[1]})
    return Solution((members, exception), _answer(odd))
