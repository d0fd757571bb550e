"""Logging and progress."""

import logging
import warnings
from types import SimpleNamespace

import pytest

from sluice import logs


def test_ours_from_info_and_others_from_warning(capsys):
    logs.set_up_logging()
    logs.get_logger("sluice.x").info("ours")
    logging.getLogger("another").info("theirs")
    logging.getLogger("another").warning("their warning")
    text = capsys.readouterr().err
    assert "INFO  ours" in text
    assert "theirs" not in text
    assert "their warning" in text


def test_two_known_warnings_of_libraries_are_left_out_and_no_others(capsys):
    said = "Failed to load CPU gemm_4bit_forward from kernels-community: %s. Please"
    old = "`is_gradient_checkpointing` is deprecated and will be removed in v6."
    theirs = logging.getLogger("bitsandbytes.backends.cpu.ops")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        logs.set_up_logging()
        theirs.warning(said, "No module named 'kernels'")
        theirs.warning(said, "out of memory")
        theirs.warning("another")
        for text, kind in (
            (old, FutureWarning),
            (old, UserWarning),
            ("a is deprecated", FutureWarning),
        ):
            warnings.warn(text, kind, stacklevel=1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [said % "out of memory", "another"]
    assert [(str(each.message), each.category) for each in caught] == [
        (old, UserWarning),
        ("a is deprecated", FutureWarning),
    ]


def test_progress_yields_all_items():
    items = list(logs.progress(iter("abc"), total=3, what="x", logger=logs.get_logger("sluice")))
    assert items == ["a", "b", "c"]


@pytest.mark.parametrize(("start", "done"), [(0, [1, 2, 3]), (5, [6, 7, 8])])
def test_progress_says_how_many_are_done_the_rate_and_the_time_left(
    monkeypatch, caplog, start, done
):
    monkeypatch.setattr(logs, "LINE_EVERY_S", 0.0)
    logger = logs.get_logger("sluice")
    with caplog.at_level(logging.INFO, logger="sluice"):
        list(logs.progress(range(4), total=9, what="steps", logger=logger, start=start))
    assert [message.split(",")[0] for message in caplog.messages] == [
        f"steps {count} of 9" for count in done
    ]
    assert all("a second" in each and each.endswith("s left") for each in caplog.messages)


def test_progress_of_a_quick_loop_is_silent(caplog):
    with caplog.at_level(logging.INFO, logger="sluice"):
        list(logs.progress(range(9), total=9, what="steps", logger=logs.get_logger("sluice")))
    assert caplog.messages == []


def test_items_that_come_together_are_counted_together(monkeypatch, caplog):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def batches_of_ten():
        for number in range(40):
            clock.now += 200.0 if number % 10 == 0 else 0.001
            yield number

    with caplog.at_level(logging.INFO, logger="sluice"):
        list(logs.progress(batches_of_ten(), total=40, what="x", logger=logs.get_logger("sluice")))
    assert caplog.messages == [
        "x 10 of 40, 0.05 a second, 600 s left",
        "x 20 of 40, 0.05 a second, 400 s left",
        "x 30 of 40, 0.05 a second, 200 s left",
    ]


def test_work_on_each_item_counts_as_the_items_time(monkeypatch, caplog):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: clock.now))
    with caplog.at_level(logging.INFO, logger="sluice"):
        for _ in logs.progress(range(5), total=5, what="x", logger=logs.get_logger("sluice")):
            clock.now += 20.0
    assert caplog.messages == [
        "x 2 of 5, 0.05 a second, 60 s left",
        "x 4 of 5, 0.05 a second, 20 s left",
    ]
