"""Progress of an interrupted run that was damaged since is made again, never taken for true."""

import json
import shutil
import sqlite3
from dataclasses import asdict

import numpy as np
import pytest
import torch
from damage import damaged
from tiny_models import byte_tokenizer

from sluice.base.corpus import read_corpus
from sluice.base.progress import TrainingLog, note_progress, resume
from sluice.base.tokenizing import CorpusWriter
from sluice.engines.engine import Completion
from sluice.engines.notes import Notes
from sluice.flywheel.exchange_log import ExchangeLog
from sluice.llm.cache import FILE_NAME, AnswerCache
from sluice.llm.replies import Reply
from sluice.run_records import _record_file, read_run_record
from sluice.sealed_lines import recover, seal
from sluice.training.history import History, latest_checkpoint

ENTRIES = [{"n": n, "text": "中文 \ud800 and more"} for n in range(8)]


def test_every_entry_that_is_read_is_one_that_was_written(tmp_path):
    path = tmp_path / "notes.jsonl"
    whole = b"".join(map(seal, ENTRIES))
    for what, content in damaged(whole):
        path.write_bytes(content)
        entries = recover(path)
        assert all(entry in ENTRIES for entry in entries), what
        # One flipped bit costs one line, or two where it is the end of a line.
        assert not what.startswith("flip") or len(entries) >= len(ENTRIES) - 2, what
        assert path.read_bytes() == b"".join(map(seal, entries)), what


def test_completions_whose_line_was_changed_are_generated_again(tmp_path):
    with Notes(tmp_path / "n") as notes:
        for index in range(3):
            notes.add(index, Completion(f"text {index}", 2, "stop"))
    (tmp_path / "n").write_bytes((tmp_path / "n").read_bytes().replace(b"text 1", b"test 1"))
    with Notes(tmp_path / "n") as notes:
        assert sorted(notes.completions) == [0, 2]
        notes.add(1, Completion("text 1", 2, "stop"))
    with Notes(tmp_path / "n") as notes:
        assert [notes.completions[index].text[-1] for index in range(3)] == ["0", "1", "2"]


def test_dialogue_goes_on_before_its_damaged_exchange(tmp_path):
    log = ExchangeLog(tmp_path / "log")
    for number in range(3):
        log.add("a", {"number": number})
    (tmp_path / "log").write_bytes((tmp_path / "log").read_bytes().replace(b'er": 1', b'er": 7'))
    log = ExchangeLog(tmp_path / "log")
    assert log.exchanges("a") == [{"number": 0}]
    log.add("a", {"number": 1})
    log.add("a", {"number": 2})
    assert ExchangeLog(tmp_path / "log").exchanges("a") == [{"number": n} for n in range(3)]


def test_kept_answer_that_was_changed_is_asked_for_again(tmp_path):
    cache = AnswerCache(tmp_path)
    reply = Reply("forty-two", 3, 5)
    cache.add("hash", reply)
    assert cache.get("hash") == reply
    cache.close()
    data = (tmp_path / FILE_NAME).read_bytes()
    assert data.count(b"forty-two") == 1
    (tmp_path / FILE_NAME).write_bytes(data.replace(b"forty-two", b"forty-too"))
    cache = AnswerCache(tmp_path)
    assert cache.get("hash") is None
    cache.add("hash", reply)
    assert cache.get("hash") == reply


def test_kept_answer_of_another_form_is_asked_for_again(tmp_path):
    AnswerCache(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        text = json.dumps(asdict(Reply("old", 1, 1)))
        database.execute("INSERT INTO answers VALUES (?, ?)", ("hash", text))
    assert AnswerCache(tmp_path).get("hash") is None


def _training():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, [torch.optim.AdamW(model.parameters())]


def test_training_begins_anew_where_its_note_is_damaged(tmp_path):
    model, optimizers = _training()
    note_progress(tmp_path, model, optimizers, TrainingLog(losses=[2.0, 1.0]))
    path = tmp_path / "progress.pt"
    data = path.read_bytes()
    assert resume(tmp_path, *_training()).num_steps == 2
    weights = data.index(model.weight.detach().numpy().tobytes())
    for place in (0, len(data) // 2, len(data) - 1, weights):
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(bytes(changed))
        fresh = _training()
        log = resume(tmp_path, *fresh)
        if log.num_steps:
            # Padding was hit, which nobody reads.
            assert torch.equal(fresh[0].weight, model.weight)
            assert place != weights
    path.write_bytes(data[:-100])
    assert resume(tmp_path, *_training()).num_steps == 0


@pytest.mark.parametrize("name", ["train.tokens", "train.ends", "progress.json"])
def test_corpus_is_made_from_its_beginning_where_a_file_of_it_was_changed(tmp_path, name):
    documents = [("train" if n % 3 else "heldout", f"text {n}") for n in range(30)]
    for folder in ("whole", "state"):
        (tmp_path / folder).mkdir()
    whole = CorpusWriter(tmp_path / "whole", byte_tokenizer())
    whole.write(iter(documents))
    whole.finish(tmp_path / "expected")
    part = CorpusWriter(tmp_path / "state", byte_tokenizer())
    part.write(iter(documents[:20]))
    data = bytearray((tmp_path / "state" / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "state" / name).write_bytes(bytes(data))
    resumed = CorpusWriter(tmp_path / "state", byte_tokenizer())
    assert resumed.num_documents == 0
    resumed.write(iter(documents))
    resumed.finish(tmp_path / "found")
    expected, found = (read_corpus(tmp_path / each).train for each in ("expected", "found"))
    assert np.array_equal(expected.tokens, found.tokens)
    assert np.array_equal(expected.ends, found.ends)


def test_training_goes_on_from_the_last_checkpoint_that_is_undamaged(tmp_path):
    for step in (1, 2, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(bytes([step] * 50))
        History(losses=[1.0] * step, learning_rates=[0.1] * step).save(folder)
    assert latest_checkpoint(tmp_path)[1].num_steps == 10
    (tmp_path / "checkpoint-10/model.safetensors").write_bytes(bytes([10] * 49 + [11]))
    assert latest_checkpoint(tmp_path)[1].num_steps == 2
    mark = tmp_path / "checkpoint-2/history.json"
    mark.write_bytes(mark.read_bytes()[:-30])
    assert latest_checkpoint(tmp_path)[0].name == "checkpoint-1"
    (tmp_path / "checkpoint-1/model.safetensors").unlink()
    assert latest_checkpoint(tmp_path) is None
    shutil.rmtree(tmp_path / "checkpoint-1")
    assert latest_checkpoint(tmp_path) is None


def test_damaged_record_of_snakemake_is_none(tmp_path):
    noted = {"rule": "r", "input": ["a"], "params": [], "shellcmd": None}
    path = _record_file("x", root=tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**noted, "starttime": 1.0, "endtime": 2.0}))
    assert read_run_record("x", root=tmp_path).rule == "r"
    for what, content in damaged(path.read_bytes()):
        path.write_bytes(content)
        record = read_run_record("x", root=tmp_path)
        assert record is None or what.startswith(("flip", "CRLF")), what
