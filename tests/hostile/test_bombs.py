"""Small files that unpack to much, and values that hold themselves: little memory, one error."""

import gzip
import json
import subprocess
import sys
import zipfile

import pytest
import torch
from support import ROOT

from sluice import records as sample_files
from sluice import sources
from sluice.config import load_config, load_config_files
from sluice.errors import ConfigError, DataError
from sluice.files import read_yaml
from sluice.records import iterate_lines
from sluice.router_data import read_router_data
from sluice.sources import read_source
from sluice.tensor_files import read_tensors

GIB = 2**30
# Seen: 262 MiB, of the JSON array 366 (2026-11-27), of which Python and its libraries take 70.
_MEMORY_KIB = 900 * 1024

_CONVERT = [sys.executable, str(ROOT / "workflow_scripts/convert_dataset.py"), "--dataset", "d"]
# Starts it and asks the system: of a process that the tests started themselves, the peak would be
# at least what the tests' own process held at that moment.
_MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(done.returncode)
"""


def _convert(path, folder):
    """Converts in a process of its own; returns its exit code, its words and its peak memory."""
    names = ("samples", "ledger", "rejected", "kept-on-failure")
    words = [word for name in names for word in (f"--{name}", str(folder / "out" / name))]
    words += ["--path", str(path), "--format", "prompt_completion"]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *_CONVERT, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        text=True,
    )
    said, _, peak_kib = done.stdout.rstrip("\n").rpartition("\n")
    return done.returncode, said, int(peak_kib)


def _write_bomb(path, *, head, tail=b""):
    """A gigabyte of one letter between two texts, a megabyte on disk."""
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(head)
        block = b"a" * 2**24
        for _ in range(GIB // len(block)):
            stream.write(block)
        stream.write(tail)
    assert path.stat().st_size < 10 * 2**20


@pytest.mark.parametrize(
    ("name", "head", "what"),
    [
        ("bomb.jsonl.gz", b'{"prompt": "', "line_too_long 1"),
        ("bomb.json.gz", b'[{"prompt": "', "an item is larger than 67,108,864 bytes"),
        ("bomb.csv.gz", b"prompt,completion\n", "a record is longer than 67,108,864 characters"),
        ("bomb.parquet.gz", b"PAR1", "is larger than 1,073,741,824 bytes when it is unpacked"),
    ],
)
def test_gigabyte_in_one_line_is_refused_in_little_memory(tmp_path, name, head, what):
    _write_bomb(tmp_path / name, head=head)
    code, said, peak_kib = _convert(tmp_path / name, tmp_path)
    assert code == 1
    assert what in said
    assert "Traceback" not in said
    unpacked_kib = GIB // 1024 if ".parquet" in name else 0
    assert peak_kib < _MEMORY_KIB + 2 * unpacked_kib
    assert not (tmp_path / "out/samples").exists()


def test_record_of_many_short_csv_lines_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_LINE_BYTES", 1000)
    path = tmp_path / "a.csv"
    records = ['"' + "a\n" * number + '",b\n' for number in (20, 600)]
    path.write_text("prompt,completion\n" + "".join(records))
    with pytest.raises(DataError, match="after line 22: a record is longer than 1,000 characters"):
        list(read_source(path))


def test_many_csv_records_are_no_long_one(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_LINE_BYTES", 100)
    path = tmp_path / "a.csv"
    path.write_text("prompt,completion\n" + "abc,def\n" * 500)
    assert len(list(read_source(path))) == 500


def test_json_array_larger_than_an_item_may_be_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_LINE_BYTES", 2 * 2**20)
    rows = [{"text": "x" * 2**20, "n": n} for n in range(20)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert [row.value["n"] for row in read_source(tmp_path / "a.json")] == list(range(20))


def test_cut_json_array_stops_the_run_though_its_folder_holds_enough(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' * 100)
    (tmp_path / "b.json").write_text(json.dumps([{"text": "a"}] * 1000)[:-20])
    with pytest.raises(DataError, match=r"b\.json is damaged: after item 998: "):
        list(read_source(tmp_path))


def test_line_of_samples_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_files, "_MAX_SAMPLE_BYTES", 100)
    (tmp_path / "s.jsonl").write_bytes(b"{}\n" + b" " * 200)
    with pytest.raises(DataError, match="line 2 is longer than 128 MiB"):
        list(iterate_lines(tmp_path / "s.jsonl"))


def test_compressed_tensor_file_is_refused(tmp_path):
    torch.save({"a": torch.zeros(2**20)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    # The same content, a hundredth of its size: what torch reads without a word.
    assert torch.load(tmp_path / "bomb.pt", weights_only=True)["a"].numel() == 2**20
    for read in (
        read_router_data,
        lambda path: read_tensors(path, what="a tensor", expected="one"),
    ):
        with pytest.raises(DataError, match="it is compressed"):
            read(tmp_path / "bomb.pt")


_LAUGHS = "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10) if n else 'x'}]\n" for n in range(12)
)


@pytest.mark.parametrize("text", [_LAUGHS, "a: &a {b: *a}\n", "a: &a [*a]\n"])
def test_yaml_of_endless_references_is_refused(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(DataError, match="holds more than 1,000,000 values, or one that"):
        read_yaml(tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match="holds more than 1,000,000 values, or one that"):
        load_config_files([tmp_path / "c.yaml"])


def test_configuration_that_holds_itself_is_refused():
    values = {"datasets": {}}
    values["datasets"]["a"] = values
    with pytest.raises(ConfigError, match="or one that holds itself"):
        load_config(values)


def test_error_shows_a_large_value_in_short():
    with pytest.raises(ConfigError) as caught:
        load_config({"seed": [[["x"] * 1000] * 100] * 5, "datasets": {}, "models": {}})
    assert len(str(caught.value)) < 1000
