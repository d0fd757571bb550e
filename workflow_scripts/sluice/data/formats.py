"""Row formats: what each looks like, and how it becomes messages.

Each format is one function from a source row to a `Row`; it raises `RowProblem` with a named reason
where it cannot. Columns that a format does not use are kept in ``meta``.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.errors import DataError
from sluice.grading.legal_forms import clean, is_no_violation
from sluice.law_cases import CaseProblem, read_law_case

RawMessage = dict[str, str]


class RowProblem(Exception):
    """Why one row cannot be used; ``reason`` is what the ledger counts."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Row:
    """What a format found in a row."""

    messages: list[RawMessage]
    used: set[str]
    """Columns that went into the sample; the others become ``meta``."""
    group: str | None = None
    reference: dict[str, Any] | None = None
    own: dict[str, Any] = field(default_factory=dict)
    """Fields of a row that is canonical already: id, weight, meta."""


@dataclass(frozen=True)
class Resources:
    """What some formats need beside the row."""

    articles: Mapping[str, str] | None = None
    """LawShift: article number -> text."""
    legal_prompt: str = ""
    """LawShift: template with {articles} and {fact}."""


ToRow = Callable[[dict[str, Any], Resources], Row]

_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
_FINAL_NUMBER = re.compile(r"####\s*(\S+)\s*$", re.MULTILINE)


def from_messages(row: dict[str, Any], resources: Resources) -> Row:
    """Chat messages: ``{"messages": [{"role", "content"}, ...]}``; canonical samples too."""
    messages = [
        _message(entry, role_key="role", text_key="content") for entry in _list(row, "messages")
    ]
    own = {name: row[name] for name in ("id", "weight", "meta") if row.get(name) is not None}
    if "meta" in own:
        _object(own, "meta")
    used = {"messages", "dataset", "id", "weight", "group", "reference", "meta"}
    group = row.get("group")
    return Row(messages, used, None if group is None else str(group), row.get("reference"), own)


def from_sharegpt(row: dict[str, Any], resources: Resources) -> Row:
    """ShareGPT: ``conversations`` of human, gpt, system, function_call and observation.

    A function call becomes the assistant's ``<tool_call>`` text, as Qwen3 writes it. ``system`` and
    ``tools`` columns become the system message.
    """
    turns = _list(row, "conversations")
    messages = [_message(entry, role_key="from", text_key="value") for entry in turns]
    head = [_text(row, "system")] if row.get("system") else []
    tools = row.get("tools") or "[]"
    tools = tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False)
    if tools.strip() != "[]":
        head.append(f"# Tools\n\n{tools}")
    if head:
        messages.insert(0, {"role": "system", "content": "\n\n".join(head)})
    return Row(messages, {"conversations", "system", "tools"})


def from_alpaca(row: dict[str, Any], resources: Resources) -> Row:
    """Alpaca: ``instruction``, ``input`` (may be empty), ``output``; ``system``, ``history``."""
    prompt = _text(row, "instruction")
    if row.get("input"):
        prompt = f"{prompt}\n\n{_text(row, 'input')}"
    messages = _exchange(prompt, _text(row, "output"))
    messages = [message for pair in _history(row) for message in _exchange(*pair)] + messages
    if row.get("system"):
        messages.insert(0, {"role": "system", "content": _text(row, "system")})
    return Row(messages, {"instruction", "input", "output", "system", "history"})


def from_prompt_completion(row: dict[str, Any], resources: Resources) -> Row:
    """``prompt`` and ``completion`` (or ``response``)."""
    answer = "completion" if "completion" in row else "response"
    messages = _exchange(_text(row, "prompt"), _text(row, answer))
    return Row(messages, {"prompt", answer})


def from_question_answer(row: dict[str, Any], resources: Resources) -> Row:
    """``question`` and ``answer``; a final ``#### N`` is kept as ``reference.answer``."""
    answer = _text(row, "answer")
    numbers = _FINAL_NUMBER.findall(answer)
    reference = {"answer": numbers[-1].replace(",", "")} if numbers else None
    messages = _exchange(_text(row, "question"), answer)
    return Row(messages, {"question", "answer"}, reference=reference)


def from_defect(row: dict[str, Any], resources: Resources) -> Row:
    """Defect reports: ``instruction[0].subtype``, ``input`` and ``output`` objects."""
    subtype = _text(_item(_list(row, "instruction"), 0), "subtype")
    given, found = _object(row, "input"), _object(row, "output")
    prompt = "\n\n".join(_text(given, name) for name in ("task", "event", "output_format"))
    judgement = _text(found, "judgement")
    messages = _exchange(prompt, f"{judgement}\n\n{_text(found, 'reason')}")
    used = {"instruction", "input", "output"}
    return Row(messages, used, group=subtype, reference={"answer": judgement})


def from_lawshift(row: dict[str, Any], resources: Resources) -> Row:
    """LawShift: ``fact``, ``relevant_articles``, ``charge``, ``prison_time`` (months or XT)."""
    if resources.articles is None:
        raise DataError(
            "LawShift cases need the text of the statute's articles",
            hint="name the file: datasets.<name>.articles (JSON, article number -> text)",
        )
    try:
        case = read_law_case(row, articles=resources.articles, template=resources.legal_prompt)
    except CaseProblem as problem:
        raise RowProblem(problem.reason, problem.detail) from None
    # Without a violation there is no term: the graders call one a contradiction.
    is_none = is_no_violation(clean(case.charge))
    judgment = case.charge if is_none else f"{case.charge} | {case.prison_time}"
    answer = f"<answer> {judgment} </answer>"
    used = {"fact", "relevant_articles", "charge", "prison_time"}
    return Row(_exchange(case.prompt, answer), used, reference=case.reference)


# Format -> (columns that a row must have, how it is read); the first that fits is taken.
FORMATS: dict[str, tuple[dict[str, type], ToRow]] = {
    "messages": ({"messages": list}, from_messages),
    "sharegpt": ({"conversations": list}, from_sharegpt),
    "defect": ({"instruction": list, "input": dict, "output": dict}, from_defect),
    "lawshift": ({"fact": str, "charge": str}, from_lawshift),
    "alpaca": ({"instruction": str, "output": str}, from_alpaca),
    "prompt_completion": ({"prompt": str, "completion": str}, from_prompt_completion),
    "question_answer": ({"question": str, "answer": str}, from_question_answer),
}


def detect_format(rows: Sequence[Any]) -> str:
    """The format of the first rows.

    Raises:
        DataError: no format fits any of them.
    """
    for name, (columns, _) in FORMATS.items():
        for row in rows:
            if isinstance(row, dict) and all(
                isinstance(row.get(column), kind) for column, kind in columns.items()
            ):
                return name
    if any(isinstance(row, dict) and {"prompt", "response"} <= set(row) for row in rows):
        return "prompt_completion"
    found = sorted({key for row in rows if isinstance(row, dict) for key in row})
    known = "; ".join(f"{name}: {', '.join(columns)}" for name, (columns, _) in FORMATS.items())
    raise DataError(
        f"the rows are of no known format; their columns are: {', '.join(found[:12]) or 'none'}",
        expected=known,
        hint="rename the columns, or name the format: datasets.<name>.format",
    )


def _exchange(prompt: str, answer: str) -> list[RawMessage]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def _message(entry: Any, *, role_key: str, text_key: str) -> RawMessage:
    if not isinstance(entry, dict):
        raise RowProblem("wrong_type", f"a message is {type(entry).__name__}, not an object")
    if role_key not in entry:
        raise RowProblem("missing_field", f"a message has no '{role_key}'")
    given = entry[role_key]
    role = _ROLES.get(given) if isinstance(given, str) else None
    if role is None:
        raise RowProblem("unknown_role", f"role {given!r}")
    if entry.get("tool_calls"):
        said = [_text(entry, text_key)] if entry.get(text_key) else []
        calls = [_tool_call(call) for call in _list(entry, "tool_calls")]
        return {"role": role, "content": "\n".join(said + calls)}
    text = _text(entry, text_key)
    is_call = given == "function_call"
    return {"role": role, "content": f"<tool_call>\n{text}\n</tool_call>" if is_call else text}


def _history(row: dict[str, Any]) -> list[list[str]]:
    pairs = _list(row, "history") if row.get("history") else []
    for pair in pairs:
        if not isinstance(pair, list) or [type(text) for text in pair] != [str, str]:
            raise RowProblem("wrong_type", "'history' holds no pairs of question and answer")
    return pairs


def _tool_call(call: Any) -> str:
    function = call.get("function", call) if isinstance(call, dict) else call
    return f"<tool_call>\n{json.dumps(function, ensure_ascii=False)}\n</tool_call>"


def _text(holder: dict[str, Any], name: str) -> str:
    if name not in holder:
        raise RowProblem("missing_field", f"no '{name}'")
    value = holder[name]
    if not isinstance(value, str):
        raise RowProblem("wrong_type", f"'{name}' is {type(value).__name__}, not text")
    return value


def _list(holder: dict[str, Any], name: str) -> list[Any]:
    if name not in holder:
        raise RowProblem("missing_field", f"no '{name}'")
    if not isinstance(holder[name], list):
        raise RowProblem("wrong_type", f"'{name}' is {type(holder[name]).__name__}, not a list")
    values: list[Any] = holder[name]
    return values


def _object(holder: dict[str, Any], name: str) -> dict[str, Any]:
    if name not in holder:
        raise RowProblem("missing_field", f"no '{name}'")
    return _item([holder[name]], 0)


def _item(values: list[Any], place: int) -> dict[str, Any]:
    if len(values) <= place or not isinstance(values[place], dict):
        raise RowProblem("wrong_type", "an object is missing")
    value: dict[str, Any] = values[place]
    return value
