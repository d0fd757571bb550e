"""The dataset `cases`: court cases judged by invented articles, answered ``charge | months``."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sluice.data.demo.problems import Line, Phrases, Problem, Solution, joined


@dataclass(frozen=True)
class _Facts:
    """What a verdict depends on."""

    charge: Sequence[str]
    base_months: int
    deed: Sequence[str]
    factors: tuple[Mapping[str, Any], ...]


class CaseWorld:
    """Draws the problems of `cases`.

    Args:
        law: the content of cases.json: charges, factors, phrases.
        people: pairs of names from words.json.
    """

    kinds = ("case",)

    def __init__(self, law: Mapping[str, Any], people: Sequence[Sequence[str]]) -> None:
        self.phrases = Phrases(law["phrases"])
        self._charges = law["charges"]
        self._factors = law["factors"]
        self._people = people

    def draw(self, kind: str, rng: random.Random) -> Problem:
        """A case; its wrong solution names another charge, another base and other factors."""
        facts, other = self._draw_facts(rng)
        question = self._ask(facts, other, rng)
        wrong = replace(other, deed=facts.deed)
        return Problem(kind, question, _judge(facts), _judge(wrong), is_thought=True)

    def with_slip(self, problem: Problem, rng: random.Random) -> Problem:
        """The same case with a total that is 1 to 5 months off."""
        total = problem.solution.conclusion.values["total"]
        assert isinstance(total, int)
        slip = rng.choice([off for off in range(-5, 6) if off and total + off > 0])
        *before, last = problem.solution.steps
        steps = (*before, replace(last, values={**last.values, "total": total + slip}))
        verdict = problem.solution.conclusion
        verdict = replace(verdict, values={**verdict.values, "total": total + slip})
        return replace(problem, solution=Solution(steps, verdict))

    def _draw_facts(self, rng: random.Random) -> tuple[_Facts, _Facts]:
        """The facts of a case, and others that differ in charge, base and factors."""
        charge, other_charge = rng.sample(self._charges, 2)
        irrelevant, *factors = rng.sample(self._factors, rng.randint(2, 3))
        deed, other_deed = rng.choice(charge["deeds"]), rng.choice(other_charge["deeds"])
        facts = _Facts(charge["name"], charge["months"], deed, tuple(factors))
        other = _Facts(other_charge["name"], other_charge["months"], other_deed, (irrelevant,))
        return facts, other

    def _ask(self, facts: _Facts, other: _Facts, rng: random.Random) -> Line:
        rules = [_rule(each.charge, str(each.base_months)) for each in (facts, other)]
        factors = [*facts.factors, *other.factors]
        rng.shuffle(rules)
        rng.shuffle(factors)
        rules += [_rule(factor["name"], f"{factor['months']:+d}") for factor in factors]
        values = {
            "rules": joined(rules),
            "person": rng.choice(self._people),
            "age": rng.randint(18, 89),
            "deed": facts.deed,
            "facts": tuple(
                gap.join(factor["fact"][index] for factor in facts.factors)
                for index, gap in enumerate((" ", ""))
            ),
        }
        return Line("ask", values)


def _rule(name: Sequence[str], months: str) -> tuple[str, str]:
    return f"{name[0]} {months}", f"{name[1]}{months}"


def _judge(facts: _Facts) -> Solution:
    months = [factor["months"] for factor in facts.factors]
    total = facts.base_months + sum(months)
    terms = str(facts.base_months) + "".join(f"{term:+d}" for term in months)
    base = {"deed": facts.deed, "charge": facts.charge, "months": facts.base_months}
    steps = (
        Line("base", base),
        *(
            Line("factor", {"name": factor["name"], "months": f"{factor['months']:+d}"})
            for factor in facts.factors
        ),
        Line("total", {"terms": terms, "total": total}),
    )
    return Solution(steps, Line("verdict", {"charge": facts.charge, "total": total}))
