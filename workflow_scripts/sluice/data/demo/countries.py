"""The dataset `countries`: facts of invented countries, told in sentences."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.data.demo.problems import Line, Phrases, Problem, Solution

_NAMED = ("capital", "currency", "river")
ATTRIBUTES = (*_NAMED, "neighbour", "founded", "export")

Country = dict[str, Any]


def invent_countries(words: Mapping[str, Any], rng: random.Random) -> list[Country]:
    """Countries with their facts; no name is given twice.

    Args:
        words: the content of countries.json: syllables, exports, years.
        rng: decides every name and fact.
    """
    number = words["num_countries"]
    names = {part: _invent_names(words, part, number, rng) for part in ("country", *_NAMED)}
    years = rng.sample(range(*words["years"]), number)
    exports = rng.sample(words["exports"], number)
    order = rng.sample(range(number), number)
    next_in_round = dict(zip(order, order[1:] + order[:1], strict=True))
    return [
        {
            "country": names["country"][index],
            **{part: names[part][index] for part in _NAMED},
            "neighbour": names["country"][next_in_round[index]],
            "founded": years[index],
            "export": exports[index],
        }
        for index in range(number)
    ]


def _invent_names(
    words: Mapping[str, Any], part: str, number: int, rng: random.Random
) -> list[tuple[str, str]]:
    pairs = [(start, end) for start in words["starts"] for end in words["ends"][part]]
    return [(start[0] + end[0], start[1] + end[1]) for start, end in rng.sample(pairs, number)]


class CountryWorld:
    """Draws the problems of `countries`.

    Args:
        words: the content of countries.json.
        people: pairs of names from words.json.
        rng: decides the facts of the world.
    """

    kinds = ("two_facts", "older", "where")

    def __init__(
        self, words: Mapping[str, Any], people: Sequence[Sequence[str]], rng: random.Random
    ) -> None:
        self.phrases = Phrases(words["phrases"])
        self.countries = invent_countries(words, rng)
        self._people = people

    def draw(self, kind: str, rng: random.Random) -> Problem:
        """A problem of one of `kinds`."""
        problem: Problem = getattr(self, f"_draw_{kind}")(rng)
        return problem

    def _circumstances(self, rng: random.Random) -> dict[str, Any]:
        return {"person": rng.choice(self._people), "n": rng.randint(2, 999)}

    def _draw_two_facts(self, rng: random.Random) -> Problem:
        country, other = rng.sample(self.countries, 2)
        pair = rng.sample(ATTRIBUTES, 2)
        values = {
            **self._circumstances(rng),
            "country": country["country"],
            "question1": Line(f"ask_{pair[0]}", {}),
            "question2": Line(f"ask_{pair[1]}", {}),
        }
        question = Line("frame", values)
        wrong = {**_differing(other, country, self.countries, pair), "country": country["country"]}
        return Problem("two_facts", question, _tell(country, pair), _tell(wrong, pair))

    def _draw_older(self, rng: random.Random) -> Problem:
        first, second, third = rng.sample(self.countries, 3)
        values = {
            **self._circumstances(rng),
            "first": first["country"],
            "second": second["country"],
        }
        wrong_first = {**first, "founded": second["founded"]}
        wrong_second = {**second, "founded": third["founded"]}
        return Problem(
            "older",
            Line("ask_older", values),
            _compare(first, second),
            _compare(wrong_first, wrong_second),
        )

    def _draw_where(self, rng: random.Random) -> Problem:
        country, other = rng.sample(self.countries, 2)
        attribute = rng.choice([name for name in ATTRIBUTES if name != "capital"])
        values = {
            **self._circumstances(rng),
            "capital": country["capital"],
            "question2": Line(f"ask_{attribute}", {}),
        }
        wrong = {**other, "capital": country["capital"]}
        return Problem(
            "where",
            Line("ask_where", values),
            _locate(country, attribute),
            _locate(wrong, attribute),
        )


def _differing(
    other: Country, country: Country, countries: Sequence[Country], pair: Sequence[str]
) -> Country:
    """Facts all wrong for the country: another's, or a third's where the two agree."""
    wrong = dict(other)
    for name in pair:
        if wrong[name] in (country[name], country["country"]):
            wrong[name] = next(
                each[name]
                for each in countries
                if each[name] not in (country[name], country["country"])
            )
    return wrong


def _tell_one(country: Country, name: str) -> Line:
    return Line(f"tell_{name}", {"country": country["country"], "value": country[name]})


def _tell(country: Country, pair: Sequence[str]) -> Solution:
    steps = tuple(_tell_one(country, name) for name in pair)
    return Solution(steps, Line("two", {"first": country[pair[0]], "second": country[pair[1]]}))


def _compare(first: Country, second: Country) -> Solution:
    early, late = sorted((first, second), key=lambda country: int(country["founded"]))
    steps = (
        _tell_one(first, "founded"),
        _tell_one(second, "founded"),
        Line("is_earlier", {"year": early["founded"], "other": late["founded"]}),
    )
    return Solution(steps, Line("one", {"first": early["country"]}))


def _locate(country: Country, attribute: str) -> Solution:
    steps = (
        Line("lies_in", {"capital": country["capital"], "country": country["country"]}),
        _tell_one(country, attribute),
    )
    values = {"first": country["country"], "second": country[attribute]}
    return Solution(steps, Line("two", values))
