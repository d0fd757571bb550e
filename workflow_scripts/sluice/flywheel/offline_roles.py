"""What the offline server says in each of its roles: a rule-based user, and judges.

Honest about what it is: no language model. The user asks the questions of its topic and checks the
answers to court cases of the built-in world; the judges know nothing but these cases and refuse to
judge anything else. One of them errs on purpose, now and then, as judges do.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.flywheel.messages import END_MARK, without_thoughts
from sluice.flywheel.offline_law import Case, Law, find_verdict

DIMENSIONS = ("accuracy", "helpfulness", "coherence")
_DIALOGUE = re.compile(r"<dialogue (?P<fence>\w+)>\n(?P<messages>.*)\n</dialogue (?P=fence)>", re.S)
_SUM = re.compile(r"(?P<terms>\d+(?:[+-]\d+)*)=(?P<total>\d+)")
_HAN = re.compile(r"[\u4e00-\u9fff]")
# One verdict in so many of the erring judge is wrong.
_ERRS_ONE_IN = 25

_CHECK = {"en": "Please check that again.\n", "zh": "请再检查一遍。\n"}
_OPEN = {"en": "Please tell me about this: {}", "zh": "请讲讲这个：{}"}
_FURTHER = {
    "en": (
        "Can you give an example?",
        "What is the strongest objection to that?",
        "Which part of that is least certain?",
        "How would you explain it to a child?",
    ),
    "zh": (
        "能举个例子吗？",
        "最有力的反对意见是什么？",
        "其中哪一点最不确定？",
        "怎么讲给孩子听？",
    ),
}


class Refusal(Exception):
    """The role cannot do what it is asked; the words are the reply's refusal."""


def play_user(messages: Sequence[Mapping[str, Any]], law: Law) -> str:
    """The user's next message: a check where an answer is wrong, else the next question.

    Args:
        messages: of the request; the last one is the JSON object that user_v1.txt describes.
        law: what tells a wrong answer.
    Raises:
        Refusal: the last message is no such object.
    """
    task = _read_json(str(messages[-1]["content"]))
    if not isinstance(task, dict) or not isinstance(task.get("dialogue"), list):
        raise Refusal("I only play the user of a dialogue.")
    language = "zh" if task.get("language") == "zh" else "en"
    said = [each["content"] for each in task["dialogue"] if each["role"] == "user"]
    questions = list(task.get("questions") or [])
    if said and (case := _wrongly_answered(task["dialogue"], law)):
        question = law_question(said[-1], case)
        check = _CHECK[case.language] + question
        if check not in said:
            return check
    for question in questions:
        if not any(question in each for each in said):
            return str(question)
    if not said:
        return _OPEN[language].format(task["topic"])
    return next((each for each in _FURTHER[language] if each not in said), END_MARK)


def law_question(text: str, case: Case) -> str:
    """The question of a case, without what stands around it."""
    return "\n".join(text[case.start :].split("\n")[:2])


def _wrongly_answered(dialogue: Sequence[Mapping[str, Any]], law: Law) -> Case | None:
    """The case of the last question, if the answer to it is wrong."""
    *_, question, answer = dialogue
    case = law.find_case(question["content"])
    if case is None or find_verdict(without_thoughts(answer["content"])) == case.verdict:
        return None
    return case


def judge_answer(
    messages: Sequence[Mapping[str, Any]], law: Law, *, seed: int | None, errs: bool
) -> str:
    """A verdict as JSON: scores from 1 to 5 and a reason.

    Args:
        messages: of the request; one holds the fenced dialogue that judge_v1.txt describes.
        law: what the right answer is worked out with.
        seed: of the request: another seed, another slip.
        errs: whether one accuracy in 25 is turned upside down.
    Raises:
        Refusal: the answer cannot be worked out, or other dimensions are asked for.
    """
    asked = "\n".join(str(each["content"]) for each in messages)
    fenced = _DIALOGUE.search(asked)
    dialogue = _read_json(fenced["messages"]) if fenced else None
    if not isinstance(dialogue, list) or not dialogue:
        raise Refusal("I only judge the last answer of a dialogue.")
    *before, answer = (each["content"] for each in dialogue)
    case = law.find_last_case([each["content"] for each in dialogue if each["role"] == "user"])
    if case is None:
        raise Refusal("I can only judge answers to the built-in world's court cases.")
    scores, reason = score_answer(answer, case)
    if errs and _digest(*before, answer, seed) % _ERRS_ONE_IN == 0:
        scores["accuracy"] = 6 - scores["accuracy"]
    return json.dumps({**scores, "reason": reason}, ensure_ascii=False)


def score_answer(answer: str, case: Case) -> tuple[dict[str, int], str]:
    """Scores of an answer to a case, and why.

    accuracy: 5 for the right verdict, 2 for the right charge alone, else 1. helpfulness: 5 for a
    verdict with reasons, 3 for one without, 1 for none. coherence: 5 less 2 for each of: a sum that
    does not add up, a term that is not the sum's total, another language than the question's.
    """
    given = find_verdict(without_thoughts(answer))
    if given == case.verdict:
        accuracy = 5
    else:
        accuracy = 2 if given and given.charge == case.verdict.charge else 1
    sums = list(_SUM.finditer(answer))
    helpfulness = (5 if sums else 3) if given else 1
    stated = int(sums[-1]["total"]) if sums else None
    faults = [
        bool(sums) and _add_up(sums[-1]["terms"]) != stated,
        given is None or (stated is not None and given.months != stated),
        bool(_HAN.search(answer)) != (case.language == "zh"),
    ]
    coherence = max(1, 5 - 2 * sum(faults))
    reason = f"worked out: {case.verdict}; given: {given or 'no verdict'}"
    scores = dict(zip(DIMENSIONS, (accuracy, helpfulness, coherence), strict=True))
    return scores, reason


def play_model(messages: Sequence[Mapping[str, Any]], law: Law) -> str:
    """A stand-in for a local model in benchmarks: always right about cases, else an echo."""
    question = str(messages[-1]["content"])
    case = law.find_case(question)
    return str(case.verdict) if case else f"You said: {question}"


def _add_up(terms: str) -> int:
    return sum(map(int, re.findall(r"[+-]?\d+", terms)))


def _digest(*parts: Any) -> int:
    return int(hashlib.sha256(repr(parts).encode()).hexdigest(), 16)


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
