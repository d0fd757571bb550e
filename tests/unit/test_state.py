"""Progress of another run is never used."""

import pytest

from sluice.state import clear_state, open_state


@pytest.fixture
def opened(tmp_path):
    """Opens the state of one run, with some of its circumstances changed."""
    data = tmp_path / "data.jsonl"

    def open_with(*, content="rows", script="split_dataset", **settings):
        data.write_text(content)
        return open_state(
            tmp_path / "state", script=script, settings={"a": 1, **settings}, inputs=[data]
        )

    return open_with


def test_same_run_finds_its_progress_again(opened):
    (opened() / "done").write_text("7")
    assert (opened() / "done").read_text() == "7"


@pytest.mark.parametrize(
    "change",
    [{"content": "other rows"}, {"script": "drop_overlap"}, {"a": 2}, {"b": 1}],
    ids=str,
)
def test_progress_of_other_inputs_code_or_settings_is_not_seen(opened, change):
    (opened() / "done").write_text("7")
    assert not (opened(**change) / "done").exists()


def test_order_of_settings_is_nothing(opened):
    assert opened(x=1, y=2) == opened(y=2, x=1)


def test_cleared_progress_is_gone_and_clearing_twice_is_legal(opened):
    folder = opened()
    (folder / "done").write_text("7")
    clear_state(folder)
    clear_state(folder)
    assert not folder.exists()
    assert not (opened() / "done").exists()
