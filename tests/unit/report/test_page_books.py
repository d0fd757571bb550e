"""The row ledger over the whole graph: what adds up is shown, what does not is refused."""

import json

import pytest
from report_artifacts import CONFIGURATION, books, entry, write_run

from sluice.errors import DataError
from sluice.report.page.books import books_section, gather_books, gather_links

SAMPLES = {"tuned": CONFIGURATION["adapters"]["tuned"]["samples"]}


def _links(changes=None, *, train_rows=7):
    found = gather_books({**books(), **(changes or {})}.values())
    links = gather_links(found, train_rows={"cats": train_rows}, adapter_samples=SAMPLES)
    return {(link.giver, link.taker): link for link in links}


def test_adapter_that_names_no_samples_has_no_handover(tmp_path):
    write_run(tmp_path)
    ledgers = sorted(tmp_path.rglob("*.ledger.json"))
    section = books_section(ledgers, [], configuration={"adapters": {"tuned": {}}})
    assert "fine_tune" not in {link.taker for link in section.content["links"]}


def test_shards_of_a_dataset_are_one_book():
    (book,) = [each for each in gather_books(books().values()) if "router" in each.step]
    assert (book.rows_in, book.rows_kept) == (7, 7)


def test_every_handover_of_a_sound_run_adds_up():
    links = _links()
    assert set(links) == {
        ("convert_dataset", "drop_overlap"),
        ("drop_overlap", "split_dataset"),
        ("split_dataset", "collect_router_data"),
        ("collect_router_data", "select_samples"),
        ("select_samples", "merge_selected"),
        ("sample_responses", "fine_tune"),
    }
    assert all(link.is_balanced for link in links.values())


LOST = {
    "data/clean": (
        entry("drop_overlap", 11, 9, near_duplicate=2),
        ("convert_dataset", "drop_overlap"),
    ),
    "router/shard1": (
        entry("collect_router_data", 5, 4, too_long=1),
        ("split_dataset", "collect_router_data"),
    ),
    "selected_data": (
        entry("merge_selected", 3, 3, dataset="all"),
        ("select_samples", "merge_selected"),
    ),
    "adapters/tuned": (
        entry("fine_tune", 9, 9, dataset="tuned"),
        ("sample_responses", "fine_tune"),
    ),
}


@pytest.mark.parametrize(
    ("name", "content", "link"), [(name, *each) for name, each in LOST.items()]
)
def test_rows_that_appear_or_vanish_between_steps_are_seen(name, content, link):
    links = _links({name: content})
    assert not links[link].is_balanced
    assert [key for key, each in links.items() if not each.is_balanced] == [link]


def test_kept_exchanges_of_all_turns_are_what_their_trainings_read():
    turns = {
        "turn_1/sft": entry("prepare_sft_data", 9, 5, dataset="turn_1", low_score=4),
        "turn_2/sft": entry("prepare_sft_data", 9, 6, dataset="turn_2", low_score=3),
        "turn_1/adapter": entry("fine_tune", 5, 5, dataset="adapter"),
        "turn_2/adapter": entry("fine_tune", 6, 6, dataset="adapter"),
    }
    link = _links(turns)["prepare_sft_data", "fine_tune"]
    assert (link.rows_given, link.rows_taken) == (11, 11)


def test_a_page_with_lost_rows_is_refused(tmp_path):
    files = write_run(tmp_path)
    (ledger,) = [path for path in files.ledgers if path.name == "clean.ledger.json"]
    content = json.loads(ledger.read_text())
    ledger.write_text(json.dumps({**content, "rows_in": 11}))
    with pytest.raises(DataError, match="drop_overlap of cats: 11 rows in are not 9 kept and 1"):
        books_section(files.ledgers, files.splits, configuration=CONFIGURATION)


def test_files_of_two_runs_are_refused(tmp_path):
    files = write_run(tmp_path)
    files.splits[0].write_text('{"train": 8}')
    with pytest.raises(DataError, match="split_dataset gave 8 rows of cats, but collect_router"):
        books_section(files.ledgers, files.splits, configuration=CONFIGURATION)
