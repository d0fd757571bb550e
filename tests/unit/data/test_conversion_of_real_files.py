"""Real data sets become samples, row by row."""

import json

import pytest
from sources_for_tests import convert, exchanges

from sluice.errors import DataError


def _json_rows(path):
    data = path.read_bytes()
    return json.loads(data) if path.suffix == ".json" else list(map(json.loads, data.splitlines()))


@pytest.mark.parametrize(
    ("file", "num_rows"),
    [
        ("instruct/alpaca_en_demo.json", 999),
        ("instruct/glaive_toolcall_en_demo.json", 300),
        ("gsm8k/train.jsonl", 7473),
        ("gsm8k/test.jsonl", 1319),
    ],
)
def test_real_files_convert_without_a_rejected_row(shared_data, tmp_path, file, num_rows):
    rows = _json_rows(shared_data / file)
    assert len(rows) == num_rows
    done = convert(tmp_path, shared_data / file)
    assert done.ledger["rejected"] == {}
    assert [sample.id for sample in done.samples] == [f"d_{n}" for n in range(num_rows)]
    assert not any(sample.meta for sample in done.samples)


def test_real_word_problems_keep_texts_and_answers(shared_data, tmp_path):
    rows = _json_rows(shared_data / "gsm8k" / "test.jsonl")
    for row, sample in zip(
        rows, convert(tmp_path, shared_data / "gsm8k" / "test.jsonl").samples, strict=True
    ):
        assert exchanges(sample) == [("user", row["question"]), ("assistant", row["answer"])]
        answer = row["answer"].rsplit("####", 1)[1].strip().replace(",", "")
        assert sample.reference == {"answer": answer}
        assert float(answer) == int(float(answer))


def test_real_tool_dialogues_keep_every_turn(shared_data, tmp_path):
    rows = _json_rows(shared_data / "instruct" / "glaive_toolcall_en_demo.json")
    path = shared_data / "instruct" / "glaive_toolcall_en_demo.json"
    for row, sample in zip(rows, convert(tmp_path, path).samples, strict=True):
        has_tools = bool(json.loads(row["tools"]))
        turns = sample.messages[1:] if has_tools else sample.messages
        assert (sample.messages[0].role == "system") == has_tools
        assert not has_tools or sample.messages[0].content.endswith(row["tools"])
        assert len(turns) == len(row["conversations"])
        for turn, message in zip(row["conversations"], turns, strict=True):
            is_call = turn["from"] == "function_call"
            wanted = f"<tool_call>\n{turn['value']}\n</tool_call>" if is_call else turn["value"]
            assert message.content == wanted


@pytest.mark.parametrize("file", ["dialogue/mt_bench_questions.jsonl", "lawshift/labels.csv"])
def test_real_files_that_are_no_training_rows_are_refused(shared_data, tmp_path, file):
    with pytest.raises(DataError, match="the rows are of no known format"):
        convert(tmp_path, shared_data / file)
