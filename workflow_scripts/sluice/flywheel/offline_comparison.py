"""How the offline judges compare two answers: by the scores that they would give each."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.flywheel.offline_law import Law
from sluice.flywheel.offline_roles import Refusal, score_answer

_ANSWERS = re.compile(r"<answers (?P<fence>\w+)>\n(?P<material>.*)\n</answers (?P=fence)>", re.S)
# So many comparisons of the erring judge go to whatever stands first.
_ERRS_ONE_IN = 10


def asks_for_comparison(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a request asks which of two answers is better, not for scores of one."""
    return bool(_ANSWERS.search(str(messages[-1]["content"])))


def compare_answers(
    messages: Sequence[Mapping[str, Any]], law: Law, *, seed: int | None, errs: bool
) -> str:
    """The winner as JSON: the answer with the higher sum of scores, or a tie.

    Args:
        messages: of the request; the last one holds the fenced material of compare_v1.txt.
        law: what the right answer is worked out with.
        seed: of the request.
        errs: whether one comparison in ten goes to the answer that stands first.
    Raises:
        Refusal: the question cannot be worked out.
    """
    found = _ANSWERS.search(str(messages[-1]["content"]))
    try:
        material: Any = json.loads(found["material"]) if found else None
        question = str(material["dialogue"][-1]["content"])
        answers = str(material["first"]), str(material["second"])
    except (ValueError, KeyError, TypeError, IndexError):
        raise Refusal("I only compare two answers to one message.") from None
    case = law.find_case(question)
    if case is None:
        raise Refusal("I can only judge answers to the built-in world's court cases.")
    first, second = (sum(score_answer(answer, case)[0].values()) for answer in answers)
    winner = "tie" if first == second else "first" if first > second else "second"
    drawn = hashlib.sha256(repr((question, answers, seed)).encode()).hexdigest()
    if errs and int(drawn, 16) % _ERRS_ONE_IN == 0:
        winner = "first"
    reason = f"worked out: {case.verdict}; scores {first} and {second}"
    return json.dumps({"winner": winner, "reason": reason}, ensure_ascii=False)
