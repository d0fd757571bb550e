"""The dataset `cases`: court cases judged by invented articles, answered ``charge | months``."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sluice.data.demo.problems import Line, Phrases, Problem, Solution, joined

_MARKS_PER_MONTH = 10


@dataclass(frozen=True)
class _Facts:
    """What a verdict depends on. ``slip`` is added to the total: an error in the sum."""

    charge: Mapping[str, Any]
    deed: Sequence[str]
    loss_marks: int
    factors: tuple[Mapping[str, Any], ...]
    slip: int = 0


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
        """A case; its wrong solution names another charge, other factors and another loss."""
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
        """The facts of a case, and others that differ from them in every respect."""
        charge, other_charge = rng.sample(self._charges, 2)
        loss, other_loss = (_MARKS_PER_MONTH * n for n in rng.sample(range(1, 10), 2))
        factors = rng.sample(self._factors, rng.randint(2, 4))
        number = rng.randint(1, 2)
        facts = _Facts(charge, rng.choice(charge["deeds"]), loss, tuple(factors[number:]))
        other = _Facts(other_charge, other_charge["deeds"][0], other_loss, tuple(factors[:number]))
        return facts, other

    def _ask(self, facts: _Facts, other: _Facts, rng: random.Random) -> Line:
        charges = [facts.charge, other.charge]
        factors = [*facts.factors, *other.factors]
        rng.shuffle(charges)
        rng.shuffle(factors)
        rules = [_rule(charge["name"], str(charge["months"])) for charge in charges]
        rules += [_rule(factor["name"], f"{factor['months']:+d}") for factor in factors]
        facts_told = tuple(
            gap.join(factor["fact"][index] for factor in facts.factors)
            for index, gap in enumerate((" ", ""))
        )
        values = {
            "rules": joined(rules),
            "person": rng.choice(self._people),
            "age": rng.randint(18, 89),
            "deed": facts.deed,
            "loss": facts.loss_marks,
            "facts": facts_told,
        }
        return Line("ask", values)


def _rule(name: Sequence[str], months: str) -> tuple[str, str]:
    return f"{name[0]} {months}", f"{name[1]}{months}"


def _judge(facts: _Facts) -> Solution:
    of_loss = facts.loss_marks // _MARKS_PER_MONTH
    terms = [of_loss, *(factor["months"] for factor in facts.factors)]
    total = facts.charge["months"] + sum(terms)
    base = {
        "deed": facts.deed,
        "charge": facts.charge["name"],
        "months": facts.charge["months"],
    }
    summed = str(facts.charge["months"]) + "".join(f"{term:+d}" for term in terms)
    steps = (
        Line("base", base),
        Line("loss", {"loss": facts.loss_marks, "months": f"{of_loss:+d}"}),
        *(
            Line("factor", {"name": factor["name"], "months": f"{factor['months']:+d}"})
            for factor in facts.factors
        ),
        Line("total", {"terms": summed, "total": total}),
    )
    return Solution(steps, Line("verdict", {"charge": facts.charge["name"], "total": total}))
