"""The books of a whole run: what adds up is told, what does not is refused."""

import json

import pytest

import write_summary
from sluice.cli import run
from sluice.errors import DataError
from sluice.report.summary import check_conservation


def _entry(step, rows_in, rows_kept, dataset="a", **rejected):
    return {
        "step": step,
        "dataset": dataset,
        "rows_in": rows_in,
        "rows_kept": rows_kept,
        "rejected": rejected,
    }


def _books():
    return [
        _entry("convert_dataset", 12, 10, bad_json=2),
        _entry("drop_overlap", 10, 9, near_duplicate=1),
        _entry("split_dataset", 9, 9),
        _entry("collect_router_data", 3, 3),
        _entry("collect_router_data", 4, 4),
        _entry("select_samples", 7, 2, below_cut=5),
        _entry("merge_selected", 2, 2, dataset="all"),
    ]


def test_books_of_a_sound_run_are_in_order():
    check_conservation(_books())


@pytest.mark.parametrize(
    ("place", "entry", "message"),
    [
        (0, _entry("convert_dataset", 13, 10, bad_json=2), "convert_dataset of a: rows in are not"),
        (1, _entry("drop_overlap", 11, 10, near_duplicate=1), "but drop_overlap read 11"),
        (2, _entry("split_dataset", 8, 8), "drop_overlap kept 9 rows of a, but split_dataset"),
        (6, _entry("merge_selected", 3, 3, dataset="all"), "select_samples kept 2 rows of all"),
    ],
)
def test_lost_or_foreign_rows_are_an_error(place, entry, message):
    books = _books()
    books[place] = entry
    with pytest.raises(DataError, match=message):
        check_conservation(books)


@pytest.fixture
def summary(tmp_path):
    files = []
    for number, entry in enumerate(_books()):
        files.append(tmp_path / f"{number}.ledger.json")
        files[-1].write_text(json.dumps(entry))

    def write(*words):
        output = tmp_path / "summary.txt"
        arguments = ["--ledgers", *map(str, files), "--selected", "results/selected_data.jsonl"]
        run(
            write_summary.Arguments,
            write_summary.main,
            [*arguments, "--output", str(output), *words],
        )
        return output.read_text()

    return write


def test_summary_tells_rows_in_and_out_by_step_with_reasons(summary):
    text = summary("--files", "results/report/a.png")
    assert text.startswith("Sluice: 2 of 7 scored samples were selected.\n")
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert lines["convert_dataset"][1:] == ["12", "10", "2", "bad_json", "2"]
    assert lines["collect_router_data"][1:] == ["7", "7", "0"]
    assert "(2 of the kept are held back for testing)" in text
    assert "  results/selected_data.jsonl\n  results/report/a.png" in text
    assert "truth" not in text


def test_summary_tells_how_clean_the_selection_is_where_that_is_known(summary, tmp_path):
    shares = tmp_path / "shares.csv"
    shares.write_text(
        "score,kept,num_kept,num_clean,clean_share,low,high\n"
        "(all),1.0,1200,660,0.55,0.52,0.58\n(selected),0.05,60,60,1.0,0.94,1.0\n"
    )
    text = summary("--clean-share", str(shares))
    assert "55.0% of all scored samples   (95 % interval 52.0% to 58.0%; 1,200 samples)" in text
    assert "100.0% of the selected samples (95 % interval 94.0% to 100.0%; 60 samples)" in text
    assert "random" not in text
