"""What each row format looks like, and how it becomes messages."""

import json

import pytest

from sluice.data.formats import FORMATS, Resources, RowProblem, detect_format
from sluice.errors import DataError
from sluice.grading.legal_judgment import grade_legal_judgment

ARTICLES = {"264": "第264条 盗窃", "67": "第67条 自首"}
RESOURCES = Resources(ARTICLES, "法条：\n{articles}\n事实：\n{fact}\n")

ROWS = {
    "messages": {"messages": [{"role": "user", "content": "q"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "q"}]},
    "defect": {"instruction": [{"subtype": "s"}], "input": {"task": "t"}, "output": {"reason": ""}},
    "lawshift": {"fact": "f", "relevant_articles": [67], "charge": "c", "prison_time": 3},
    "alpaca": {"instruction": "i", "input": "", "output": "o"},
    "prompt_completion": {"prompt": "p", "completion": "c"},
    "question_answer": {"question": "q", "answer": "a"},
}


def _read(name, row, resources=RESOURCES):
    return FORMATS[name][1](row, resources)


def _exchanges(name, row):
    return [(each["role"], each["content"]) for each in _read(name, row).messages]


def _problem(name, row):
    with pytest.raises(RowProblem) as caught:
        _read(name, row)
    return caught.value.reason, caught.value.detail


def test_every_format_has_an_example_here():
    assert set(ROWS) == set(FORMATS)


@pytest.mark.parametrize("name", ROWS)
def test_format_is_found_by_its_columns(name):
    assert detect_format([ROWS[name]]) == name
    assert detect_format([None, "text", 5, [], {}, ROWS[name] | {"more": 1}]) == name


def test_prompt_and_response_are_prompt_completion():
    assert detect_format([{"prompt": "p", "response": "r"}]) == "prompt_completion"


def test_messages_column_wins_over_others():
    assert detect_format([ROWS["alpaca"] | ROWS["messages"]]) == "messages"


def test_columns_of_the_right_name_and_the_wrong_type_are_no_format():
    with pytest.raises(DataError, match="their columns are: messages"):
        detect_format([{"messages": "a text"}])


def test_unknown_columns_are_named_with_the_known_formats():
    with pytest.raises(DataError, match=r"of no known format; .* columns are: body, title") as got:
        detect_format([{"title": "t"}, {"body": "b"}])
    assert "alpaca: instruction, output; prompt_completion: prompt, comp" in got.value.expected
    assert got.value.hint == "rename the columns, or name the format: datasets.<name>.format"


@pytest.mark.parametrize("rows", [[{}], ["text", 3]], ids=str)
def test_rows_without_columns_are_no_format(rows):
    with pytest.raises(DataError, match="their columns are: none"):
        detect_format(rows)


@pytest.mark.parametrize(
    ("given", "role"),
    [
        ("system", "system"),
        ("user", "user"),
        ("human", "user"),
        ("assistant", "assistant"),
        ("gpt", "assistant"),
        ("model", "assistant"),
        ("tool", "tool"),
        ("function", "tool"),
        ("observation", "tool"),
    ],
)
def test_role_names_of_either_dialogue_format_are_understood(given, role):
    assert _exchanges("messages", {"messages": [{"role": given, "content": "x"}]}) == [(role, "x")]
    turns = {"conversations": [{"from": given, "value": "x"}]}
    assert _exchanges("sharegpt", turns) == [(role, "x")]


@pytest.mark.parametrize("given", ["bot", "", None, ["user"], 3], ids=str)
def test_unknown_role_is_named(given):
    row = {"messages": [{"role": given, "content": "x"}]}
    assert _problem("messages", row) == ("unknown_role", f"role {given!r}")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"role": "user"}, ("missing_field", "no 'content'")),
        ({"content": "x"}, ("missing_field", "a message has no 'role'")),
        ({"role": "user", "content": None}, ("wrong_type", "'content' is NoneType, not text")),
        ({"role": "user", "content": [{}]}, ("wrong_type", "'content' is list, not text")),
        ("hello", ("wrong_type", "a message is str, not an object")),
        (
            {"role": "assistant", "content": "", "tool_calls": 3},
            ("wrong_type", "'tool_calls' is int, not a list"),
        ),
    ],
    ids=str,
)
def test_message_that_is_not_one_is_named(entry, problem):
    assert _problem("messages", {"messages": [entry]}) == problem


@pytest.mark.parametrize("name", ["messages", "sharegpt"])
def test_row_without_its_list_is_named(name):
    column = "messages" if name == "messages" else "conversations"
    assert _problem(name, {}) == ("missing_field", f"no '{column}'")
    assert _problem(name, {column: "x"}) == ("wrong_type", f"'{column}' is str, not a list")


def test_canonical_fields_are_kept():
    row = ROWS["messages"] | {
        "dataset": "other",
        "id": "x_1",
        "weight": 0.5,
        "group": 7,
        "reference": {"a": 1},
        "meta": {"b": 2},
        "source": "s",
    }
    found = _read("messages", row)
    assert found.group == "7"
    assert found.reference == {"a": 1}
    assert found.own == {"id": "x_1", "weight": 0.5, "meta": {"b": 2}}
    assert set(row) - found.used == {"source"}


@pytest.mark.parametrize("meta", ["text", [1], 3, True], ids=str)
def test_meta_that_is_no_object_is_a_wrong_type(meta):
    assert _problem("messages", ROWS["messages"] | {"meta": meta})[0] == "wrong_type"


CALL = {"name": "search", "arguments": {"q": "面"}}
CALL_TEXT = '<tool_call>\n{"name": "search", "arguments": {"q": "面"}}\n</tool_call>'


@pytest.mark.parametrize("call", [CALL, {"type": "function", "function": CALL}], ids=["bare", "in"])
@pytest.mark.parametrize("content", ["", None])
def test_tool_calls_become_text(call, content):
    entry = {"role": "assistant", "content": content, "tool_calls": [call, call]}
    assert _exchanges("messages", {"messages": [entry]}) == [
        ("assistant", f"{CALL_TEXT}\n{CALL_TEXT}")
    ]


def test_text_before_tool_calls_is_kept_with_them():
    entry = {"role": "assistant", "content": "I look.", "tool_calls": [CALL]}
    assert _exchanges("messages", {"messages": [entry]}) == [("assistant", f"I look.\n{CALL_TEXT}")]


def test_no_tool_calls_are_nothing():
    for calls in (None, []):
        entry = {"role": "assistant", "content": "x", "tool_calls": calls}
        assert _exchanges("messages", {"messages": [entry]}) == [("assistant", "x")]


def test_sharegpt_function_calls_and_observations_become_messages():
    row = {
        "conversations": [
            {"from": "human", "value": "Noodles?"},
            {"from": "function_call", "value": '{"name": "search", "arguments": {"q": "面"}}'},
            {"from": "observation", "value": "[1]"},
            {"from": "gpt", "value": "One."},
        ],
        "system": "Be brief.",
        "tools": '[{"name": "search"}]',
    }
    assert _exchanges("sharegpt", row) == [
        ("system", 'Be brief.\n\n# Tools\n\n[{"name": "search"}]'),
        ("user", "Noodles?"),
        ("assistant", CALL_TEXT),
        ("tool", "[1]"),
        ("assistant", "One."),
    ]
    assert _read("sharegpt", row).used == set(row)


def _system(**columns):
    first = _exchanges("sharegpt", ROWS["sharegpt"] | columns)[0]
    return first[1] if first[0] == "system" else None


def test_sharegpt_system_message_comes_from_what_is_there():
    assert _system(system="Be brief.", tools="") == "Be brief."
    assert _system(system=None, tools='[{"name": "f"}]') == '# Tools\n\n[{"name": "f"}]'
    assert _system(system="") is None


@pytest.mark.parametrize("tools", ["[]", " [] ", [], None, ""], ids=repr)
def test_sharegpt_without_tools_has_no_tools_heading(tools):
    assert _system(tools=tools) is None
    assert _system(tools=tools, system="Be brief.") == "Be brief."


def test_sharegpt_tools_that_are_objects_are_written_as_json():
    assert _system(tools=[{"name": "面", "strict": True}]) == (
        '# Tools\n\n[{"name": "面", "strict": true}]'
    )


def test_sharegpt_system_that_is_no_text_is_a_wrong_type():
    row = ROWS["sharegpt"] | {"system": ["x"]}
    assert _problem("sharegpt", row) == ("wrong_type", "'system' is list, not text")


def test_alpaca_input_follows_the_instruction():
    row = {"instruction": "Add.", "input": "1, 2", "output": "3"}
    assert _exchanges("alpaca", row) == [("user", "Add.\n\n1, 2"), ("assistant", "3")]


@pytest.mark.parametrize("rest", [{}, {"input": ""}, {"input": None}], ids=str)
def test_alpaca_without_input_is_the_instruction_alone(rest):
    row = {"instruction": "Say hi.", "output": "hi"} | rest
    assert _exchanges("alpaca", row) == [("user", "Say hi."), ("assistant", "hi")]


def test_alpaca_history_and_system_come_first():
    row = {
        "instruction": "q3",
        "output": "a3",
        "system": "s",
        "history": [["q1", "a1"], ["q2", "a2"]],
    }
    assert _exchanges("alpaca", row) == [
        ("system", "s"),
        ("user", "q1"),
        ("assistant", "a1"),
        ("user", "q2"),
        ("assistant", "a2"),
        ("user", "q3"),
        ("assistant", "a3"),
    ]
    assert _read("alpaca", row).used >= set(row)


@pytest.mark.parametrize(
    "history", [5, "ab", ["ab"], [["q"]], [["q", None]], [["q", "a", "x"]], {"q": "a"}], ids=repr
)
def test_alpaca_history_that_is_no_pairs_is_a_wrong_type(history):
    assert _problem("alpaca", ROWS["alpaca"] | {"history": history})[0] == "wrong_type"


@pytest.mark.parametrize("history", [None, []], ids=repr)
def test_alpaca_history_may_be_empty(history):
    assert len(_exchanges("alpaca", ROWS["alpaca"] | {"history": history})) == 2


@pytest.mark.parametrize("answer", ["completion", "response"])
def test_prompt_completion_is_one_exchange(answer):
    row = {"prompt": "p", answer: "c", "topic": "t"}
    assert _exchanges("prompt_completion", row) == [("user", "p"), ("assistant", "c")]
    assert set(row) - _read("prompt_completion", row).used == {"topic"}


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("2 + 2 = 4\n#### 4", {"answer": "4"}),
        ("#### 1,234,567 ", {"answer": "1234567"}),
        ("#### 3\nNo:\n#### -2.5", {"answer": "-2.5"}),
        ("####7\n\n", {"answer": "7"}),
        ("It is 4.", None),
        ("#### of course", None),
    ],
)
def test_final_number_of_an_answer_is_its_reference(answer, reference):
    row = {"question": "q", "answer": answer}
    assert _read("question_answer", row).reference == reference
    assert _exchanges("question_answer", row) == [("user", "q"), ("assistant", answer)]


DEFECT = {
    "instruction": [{"subtype": "泄漏", "level": 2}],
    "input": {"task": "Judge.", "event": "Oil\non the floor", "output_format": "yes or no"},
    "output": {"judgement": "yes", "reason": "Oil leaks."},
    "file": "a",
}


def test_defect_report_becomes_one_exchange_of_its_subtype():
    assert _exchanges("defect", DEFECT) == [
        ("user", "Judge.\n\nOil\non the floor\n\nyes or no"),
        ("assistant", "yes\n\nOil leaks."),
    ]
    found = _read("defect", DEFECT)
    assert found.group == "泄漏"
    assert found.reference == {"answer": "yes"}
    assert set(DEFECT) - found.used == {"file"}


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("instruction", [], ("wrong_type", "an object is missing")),
        ("instruction", ["x"], ("wrong_type", "an object is missing")),
        ("instruction", "x", ("wrong_type", "'instruction' is str, not a list")),
        ("instruction", [{}], ("missing_field", "no 'subtype'")),
        ("input", "x", ("wrong_type", "an object is missing")),
        ("input", {"task": "t", "event": "e"}, ("missing_field", "no 'output_format'")),
        ("output", {"judgement": True}, ("wrong_type", "'judgement' is bool, not text")),
        ("output", {"judgement": "yes"}, ("missing_field", "no 'reason'")),
    ],
    ids=str,
)
def test_defect_report_that_lacks_something_is_named(column, value, problem):
    assert _problem("defect", DEFECT | {column: value}) == problem


@pytest.mark.parametrize("column", ["instruction", "input", "output"])
def test_defect_report_without_a_column_is_named(column):
    row = {name: value for name, value in DEFECT.items() if name != column}
    assert _problem("defect", row) == ("missing_field", f"no '{column}'")


CASE = {
    "fact": "张某盗窃{articles}后自首",
    "relevant_articles": [264, "67"],
    "charge": "盗窃罪",
    "prison_time": 18,
    "court": "北京",
}


def test_lawshift_case_becomes_prompt_and_judgement():
    found = _read("lawshift", CASE)
    assert _exchanges("lawshift", CASE) == [
        ("user", "法条：\n第264条 盗窃\n第67条 自首\n事实：\n张某盗窃{articles}后自首\n"),
        ("assistant", "<answer> 盗窃罪 | 18 </answer>"),
    ]
    assert found.reference == {
        "charge": "盗窃罪",
        "prison_time": 18,
        "relevant_articles": ["264", "67"],
    }
    assert set(CASE) - found.used == {"court"}


@pytest.mark.parametrize("charge", ["NV", "不违规"])
def test_lawshift_case_without_a_violation_has_no_term(charge):
    case = CASE | {"charge": charge, "prison_time": 0}
    _, (_, answer) = _exchanges("lawshift", case)
    assert answer == f"<answer> {charge} </answer>"
    assert grade_legal_judgment(answer, _read("lawshift", case).reference).is_correct


def test_lawshift_death_or_life_is_xt():
    found = _read("lawshift", CASE | {"prison_time": "XT"})
    assert found.messages[-1]["content"] == "<answer> 盗窃罪 | XT </answer>"
    assert found.reference["prison_time"] == "XT"


@pytest.mark.parametrize("months", ["12", None, 1.5, True], ids=repr)
def test_lawshift_prison_time_of_another_type_is_named(months):
    assert _problem("lawshift", CASE | {"prison_time": months}) == (
        "wrong_type",
        f"'prison_time' is {months!r}, neither months nor XT",
    )


def test_lawshift_article_that_is_not_in_the_file_is_named():
    assert _problem("lawshift", CASE | {"relevant_articles": [67, 999]}) == (
        "unknown_article",
        "article 999 is not in the articles file",
    )


def test_lawshift_without_articles_file_is_an_error():
    with pytest.raises(DataError, match="need the text of the statute's articles") as caught:
        _read("lawshift", CASE, Resources())
    assert caught.value.hint.startswith("name the file: datasets.<name>.articles")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("alpaca", "instruction"),
        ("alpaca", "output"),
        ("prompt_completion", "prompt"),
        ("prompt_completion", "completion"),
        ("question_answer", "question"),
        ("question_answer", "answer"),
        ("lawshift", "fact"),
        ("lawshift", "charge"),
        ("lawshift", "relevant_articles"),
    ],
)
def test_missing_or_wrong_column_is_named(name, column):
    row = json.loads(json.dumps(ROWS[name]))
    assert _problem(name, row | {column: 5})[0] == "wrong_type"
    del row[column]
    # A row without a completion is looked at for its response.
    named = "response" if column == "completion" else column
    assert _problem(name, row) == ("missing_field", f"no '{named}'")
