"""A disk that fills up or turns read-only stops the run with our message, and costs no byte."""

import random
import subprocess

import pytest
from small_run import BRIEF_CONFIG, artifacts, finish, prepare, start
from tiny_models import write_tiny_checkpoint

from sluice.engines.building import make_engine
from sluice.engines.engine import Request, Sampling, Unfinished
from sluice.records import Message
from sluice.settings.engine import EngineSettings


class SmallDisk:
    """A file system in memory, mounted on a folder."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        self._mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")

    def resize(self, num_bytes):
        self._mount("-o", f"remount,rw,size={num_bytes:.0f}")

    def make_read_only(self):
        self._mount("-o", "remount,ro")

    def unmount(self):
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    def _mount(self, *words):
        subprocess.run(["mount", *words, self.folder], check=True, capture_output=True)


@pytest.fixture
def on_small_disk(tmp_path):
    """A clone whose results are on a disk of their own."""
    folder = prepare(tmp_path / "sluice", BRIEF_CONFIG)
    disk = mount(folder / "results")
    yield folder, disk
    disk.unmount()


def mount(folder):
    try:
        return SmallDisk(folder)
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("no file system can be mounted here: that takes root")


def said(folder):
    return (folder / "run.log").read_text()


def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(on_small_disk, whole):
    folder, disk = on_small_disk
    needed = sum(file.stat().st_size for file in (whole / "results").rglob("*") if file.is_file())
    drawn = random.Random(2)
    for share in sorted(drawn.uniform(0.1, 0.9) for _ in range(3)):
        disk.resize(share * needed)
        assert start(folder).wait() != 0
        lines = said(folder)
        assert "DiskError: no room to write" in lines, lines[-3000:]
        assert "Traceback" not in lines, lines[lines.index("Traceback") - 500 :][:3000]
        (folder / "run.log").unlink()
    disk.resize(10 * needed)
    assert artifacts(finish(folder)) == artifacts(whole)


def test_a_read_only_disk_is_named_and_the_run_goes_on_once_it_is_writable(on_small_disk, whole):
    folder, disk = on_small_disk
    disk.resize(1e9)
    assert start(folder, "--until", "train_tokenizer").wait() == 0
    disk.make_read_only()
    assert start(folder).wait() != 0
    lines = said(folder)
    assert "Read-only file system" in lines
    assert "Traceback" not in lines
    disk.resize(1e9)
    made = artifacts(finish(folder, "--until", "train_base_model"))
    assert "base/base/final_model/model.safetensors" in made
    assert made.items() <= artifacts(whole).items()


@pytest.mark.parametrize(
    ("left_free", "said"), [(2**30, "has no room for"), (0, "no room to write")]
)
def test_a_disk_without_room_for_unfinished_batches_does_not_end_the_run(
    tmp_path, monkeypatch, caplog, left_free, said
):
    monkeypatch.setattr("sluice.engines.batch_notes.SAVE_EVERY_S", 0)
    monkeypatch.setattr("sluice.engines.batch_notes._PAUSE_PER_SAVE", 0)
    monkeypatch.setattr("sluice.engines.batch_notes.LEAST_FREE_BYTES", left_free)
    if not left_free:  # as if another program had taken the room in the meantime
        monkeypatch.setattr("sluice.engines.batch_notes.column_bytes", lambda cache: 0.0)
    model = write_tiny_checkpoint(tmp_path / "model")
    engine = make_engine(EngineSettings(device="cpu", batch_size=20), model=str(model))
    requests = [Request((Message(role="user", content="a word " * 40),), n) for n in range(40)]
    sampling = Sampling(temperature=1, top_p=1, max_new_tokens=200)
    expected = list(engine.generate(requests, sampling=sampling))
    disk = mount(tmp_path / "disk")
    try:
        unfinished = Unfinished(disk.folder / "unfinished", on_saved=lambda: None)
        found = list(engine.generate(requests, sampling=sampling, unfinished=unfinished))
        assert found == expected
        assert list(disk.folder.iterdir()) == []
    finally:
        disk.unmount()
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(warnings) == 1
    assert said in warnings[0]
    assert "an interrupted batch would start anew" in warnings[0]
