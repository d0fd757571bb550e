"""Counts by hand, exactness, other tokenizers beside it, the table and the picture."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support import ROOT
from tiny_models import byte_tokenizer
from tokenizers import normalizers

from sluice.errors import ConfigError, ModelError
from sluice.tokenizer.evaluation import evaluate_tokenizers, name_domains
from sluice.tokenizer.loading import load_named_tokenizer
from sluice.tokenizer.pictures import plot_bytes_per_token

DOMAINS = ROOT / "resources/tokenizer/domains"


@pytest.fixture(scope="module")
def byte_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bytes")
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def lossy_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lossy")
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save_pretrained(folder)
    return folder


def _evaluate(own, others=(), *, has_to_restore=True, max_chars=10_000, splits=None, **files):
    return evaluate_tokenizers(
        load_named_tokenizer(str(own)),
        [load_named_tokenizer(str(other)) for other in others],
        domains={name: [path] for name, path in files.items()},
        splits=splits or {},
        max_chars=max_chars,
        has_to_restore=has_to_restore,
    )


def test_counts_of_a_byte_tokenizer_are_those_of_the_text(byte_folder, tmp_path):
    (tmp_path / "a.txt").write_text("aé合<|im_end|>")
    row = _evaluate(byte_folder, a=tmp_path / "a.txt").iloc[0]
    assert (row.characters, row.bytes, row.tokens) == (13, 16, 16)
    assert (row.bytes_per_token, row.single_byte_share) == (1, 1)
    assert row.tokens_per_character == pytest.approx(16 / 13)
    assert (row.unknown_rate, row.restored_share, row.documents) == (0, 1, 1)


def test_overall_sums_the_domains_and_leaves_the_training_text_out(byte_folder, tmp_path):
    for name, text in {"a": "aaaa", "b": "合", "train": "much longer"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    table = _evaluate(
        byte_folder,
        a=tmp_path / "a.txt",
        b=tmp_path / "b.txt",
        splits={"train": [tmp_path / "train.txt"], "unseen": []},
    ).set_index("domain")
    assert list(table.index) == ["a", "b", "overall", "train"]
    assert table.loc["overall", ["documents", "characters", "bytes"]].tolist() == [2, 5, 7]


def test_messages_of_a_dialogue_are_encoded_one_by_one(byte_folder, tmp_path):
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
    row = _evaluate(byte_folder, a=tmp_path / "a.jsonl").iloc[0]
    assert (row.documents, row.bytes) == (1, 4)


def test_a_changed_text_is_an_error_that_shows_the_first_difference(lossy_folder, tmp_path):
    (tmp_path / "a.txt").write_text("so far so Good")
    with pytest.raises(ModelError) as caught:
        _evaluate(lossy_folder, a=tmp_path / "a.txt")
    assert "character 10 on is 'good'" in caught.value.what
    assert caught.value.expected == "'Good'"
    assert caught.value.where == f"{tmp_path / 'a.txt'} line 1"


def test_changed_texts_of_compared_tokenizers_are_counted(byte_folder, lossy_folder, tmp_path):
    rows = [{"text": "Good"}, {"text": "good"}, {"text": "GOOD"}, {"text": "fine"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = _evaluate(byte_folder, [lossy_folder], a=tmp_path / "a.jsonl")
    shares = table[table["domain"] == "a"]["restored_share"]
    assert shares.tolist() == [1.0, 0.5]
    counted = _evaluate(lossy_folder, a=tmp_path / "a.jsonl", has_to_restore=False)
    assert counted["restored_share"].tolist() == [0.5, 0.5]


def test_max_chars_limits_each_domain(byte_folder, tmp_path):
    (tmp_path / "a.txt").write_text("x" * 100)
    assert _evaluate(byte_folder, a=tmp_path / "a.txt", max_chars=30).iloc[0].characters == 30


def test_domains_that_share_a_name_or_take_a_reserved_one_are_an_error():
    assert name_domains([Path("x/news.txt"), Path("law.jsonl.gz")]) == {
        "news": (Path("x/news.txt"),),
        "law": (Path("law.jsonl.gz"),),
    }
    for files in (["x/news.txt", "y/news.jsonl"], ["train.txt"], ["overall.txt"]):
        with pytest.raises(ConfigError, match="is taken"):
            name_domains(map(Path, files))


def test_our_domains_are_a_few_hundred_words_each_and_hold_what_they_say():
    texts = {file.stem: file.read_text(encoding="utf-8") for file in DOMAINS.glob("*.txt")}
    assert set(texts) == {
        "news", "code", "math", "science", "chinese", "korean", "emoji", "mixed",
    }  # fmt: skip
    assert all(1000 < len(text.encode()) < 4000 for text in texts.values())
    assert sum("\u4e00" <= char <= "\u9fff" for char in texts["chinese"]) > 400
    assert sum("\uac00" <= char <= "\ud7a3" for char in texts["korean"]) > 400
    assert sum(ord(char) >= 0x1F300 for char in texts["emoji"]) > 60


def test_tiktoken_that_is_not_installed_is_an_error_with_a_hint(monkeypatch):
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(ModelError, match="not installed") as caught:
        load_named_tokenizer("tiktoken:cl100k_base")
    assert "pip install tiktoken" in caught.value.hint


@pytest.fixture
def encoding_of_bytes(monkeypatch):
    """An encoding as tiktoken's plugins give them, which needs no download."""
    tiktoken = pytest.importorskip("tiktoken", reason="tiktoken is not installed")
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"th": 256, b"the": 257}
    encoding = tiktoken.Encoding(
        "of_bytes", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={"<|end|>": 300}
    )
    monkeypatch.setattr(tiktoken, "list_encoding_names", lambda: ["of_bytes"])
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: encoding)
    return encoding


def test_tiktoken_encodings_are_counted_like_others(encoding_of_bytes, tmp_path):
    (tmp_path / "a.txt").write_text("the 合<|end|>")
    row = _evaluate("tiktoken:of_bytes", a=tmp_path / "a.txt").iloc[0]
    assert (row.vocab_size, row.bytes, row.tokens, row.restored_share) == (301, 14, 12, 1)
    assert row.single_byte_share == pytest.approx(11 / 12)
    with pytest.raises(ModelError, match="no encoding") as caught:
        load_named_tokenizer("tiktoken:off_bytes")
    assert "of_bytes" in caught.value.hint


def test_picture_has_a_bar_for_each_tokenizer_and_domain(byte_folder, lossy_folder, tmp_path):
    (tmp_path / "a.txt").write_text("some text")
    table = _evaluate(byte_folder, [lossy_folder], a=tmp_path / "a.txt")
    figure = plot_bytes_per_token(table)
    assert sum(len(bars) for bars in figure.axes[0].containers) == len(table) == 4


def test_script_writes_table_and_picture_twice_with_the_same_bytes(byte_folder, tmp_path):
    outputs = []
    for run in ("one", "two"):
        words = ["--tokenizer", str(byte_folder), "--compare", str(byte_folder)]
        words += [
            "--table",
            str(tmp_path / run / "e.csv"),
            "--picture",
            str(tmp_path / run / "e.png"),
        ]
        script = ROOT / "workflow_scripts/evaluate_tokenizer.py"
        subprocess.run([sys.executable, script, *words], cwd=ROOT, check=True)
        outputs.append([(tmp_path / run / name).read_bytes() for name in ("e.csv", "e.png")])
    assert outputs[0] == outputs[1]
    table = pd.read_csv(tmp_path / "one/e.csv")
    assert len(table) == 9  # the same tokenizer named twice stands there once
    assert table["restored_share"].eq(1).all()
