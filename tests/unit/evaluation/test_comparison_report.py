"""What a comparison says in words and numbers, and its pictures."""

import json
import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from graded_for_tests import make_graded

from sluice.errors import DataError
from sluice.evaluation.answers import write_answers
from sluice.evaluation.comparison_report import (
    comparison_json,
    comparison_summary,
    comparison_table,
)
from sluice.evaluation.comparison_run import compare_subjects
from sluice.evaluation.grades import accuracies, accuracy_table
from sluice.evaluation.pairing import compare_suites, pair_items
from sluice.evaluation.pictures import (
    plot_model_comparison,
    plot_overall_comparison,
    plot_subtype_accuracy,
    plot_type_comparison,
)
from sluice.figures import save_figure
from sluice.settings.evaluation import CompareModels

GAIN = ([False] * 30 + [True] * 10, [True] * 30 + [False] * 2 + [True] * 8)
LOSS = GAIN[::-1]
NOTHING = ([True, False] * 20, [True, False] * 19 + [False, True])


def _rows(*suites):
    """Comparisons of suites ``(name, {group: (first, second)})``."""
    pairs = []
    for name, groups in suites:
        sides = [[], []]
        for group, rights in groups.items():
            for side, each in zip(sides, rights, strict=True):
                side += make_graded(each, group=group, suite=name, start=len(side))
        pairs.append(pair_items(name, *sides))
    return compare_suites(pairs, seed=1)


def _summary(rows):
    return comparison_summary(rows, first="base", second="tuned")


def test_gain_is_said_with_numbers_interval_and_p():
    page = _summary(_rows(("s", {None: GAIN})))
    assert page.startswith("# tuned against base\n")
    assert "## s: gain\n" in page
    assert (
        "**Gain.** Of 40 items base has 25.0 % [14.2, 40.2] right and tuned 95.0 % [83.5, 98.6]:"
    ) in page
    # 2 against 30: 2 x (1 + 32 + 496) / 2^32.
    assert re.search(r"%.*: \+70\.0 \[\+5\d\.\d, \+8\d\.\d\] points, p = 2\.5e-07\.", page)
    assert "On 30 items only tuned is right, on 2 only base." in page


def test_no_difference_is_said_as_plainly_as_a_gain():
    page = _summary(_rows(("s", {None: NOTHING})))
    assert "## s: no difference shown\n" in page
    assert "**No difference shown** between base and tuned." in page
    assert "gain" not in page.split("## s")[1]


def test_loss_is_said():
    assert "## s: loss\n" in _summary(_rows(("s", {None: LOSS})))


def test_groups_are_counted_by_finding_and_tabled():
    page = _summary(_rows(("s", {"a|b": GAIN, "c": NOTHING, "d": LOSS})))
    assert "Of 3 groups: gain in 1, loss in 1, no difference shown in 1." in page
    lines = page.splitlines()
    assert any(line.startswith("| a\\|b | 40 | 25.0 [") for line in lines)
    assert lines[-1].startswith("| overall | 120 |")


def test_each_suite_has_its_own_chapter():
    page = _summary(_rows(("s", {None: GAIN}), ("t", {None: NOTHING})))
    assert page.index("## s: gain") < page.index("## t: no difference shown")


def test_several_answers_an_item_are_spoken_of_as_shares():
    first, second = [[True, False]] * 30, [[True, True]] * 28 + [[False, False]] * 2
    rows = _rows(("s", {"a": (first, second), "b": (first, second)}))
    page = _summary(rows)
    assert "On 56 items tuned is right more often, on 4 base." in page
    assert "| base more often | tuned more often |" in page
    assert "exact sign test over items on their shares" in page
    assert "McNemar" not in page
    assert "only" not in page
    test = comparison_json(rows, first="base", second="tuned")["test"]
    assert test.startswith("exact sign test over items")


def test_one_answer_an_item_is_spoken_of_as_right_or_wrong():
    rows = _rows(("s", {"a": GAIN, "b": NOTHING}))
    page = _summary(rows)
    assert "p: exact McNemar test, two-sided" in page
    assert "| only base | only tuned |" in page
    test = comparison_json(rows, first="base", second="tuned")["test"]
    assert test == "exact McNemar, two-sided, Holm-corrected"


def _write_sides(folder, suites):
    """Graded files of both sides; returns the two lists of paths."""
    sides = ([], [])
    for name, rights in suites.items():
        for side, each, label in zip(sides, rights, ("first", "second"), strict=True):
            side.append(folder / label / f"{name}.jsonl")
            write_answers(side[-1], make_graded(each, group="g", suite=name))
    return sides


FILES = {
    "summary.md",
    "comparison.json",
    "comparison.csv",
    "model_comparison.png",
    "overall_accuracy_comparison.png",
    "type_accuracy_comparison.png",
}


def test_run_writes_all_files_and_again_the_same_bytes(tmp_path):
    graded = _write_sides(tmp_path, {"s": GAIN, "t": NOTHING})
    for name in ("one", "two"):
        compare_subjects(
            ("base", "tuned"),
            ["s", "t"],
            graded=graded,
            settings=CompareModels(),
            folder=tmp_path / name,
        )
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert set(one) == FILES
    assert one == two
    found = json.loads(one["comparison.json"])
    assert (found["a"], found["b"]) == ("base", "tuned")
    assert [(row["suite"], row["finding"]) for row in found["rows"]] == [
        ("s", "gain"),
        ("t", "no difference shown"),
    ]
    table = pd.read_csv(tmp_path / "one" / "comparison.csv")
    assert list(table["only_b"]) == [30, 1]
    assert list(table["difference"]) == [pytest.approx(0.7), 0.0]
    # 2 against 30: 2 x (1 + 32 + 496) / 2^32; tiny, yet not 0.
    assert table["p"][0] == pytest.approx(1058 / 2**32, rel=1e-5)
    assert table["p_holm"][0] == pytest.approx(2 * 1058 / 2**32, rel=1e-5)


def test_other_seed_moves_the_interval_and_nothing_else(tmp_path):
    rows = [
        _rows(("s", {None: GAIN}))[0],
        compare_suites(
            [pair_items("s", make_graded(GAIN[0], suite="s"), make_graded(GAIN[1], suite="s"))],
            seed=2,
        )[0],
    ]
    tables = [comparison_table([row]).iloc[0] for row in rows]
    changed = {name for name in tables[0].index if tables[0][name] != tables[1][name]}
    assert changed <= {"difference_low", "difference_high"}


def test_other_numbers_of_answers_on_both_sides_are_warned_of(tmp_path, caplog):
    several = [[right, right] for right in GAIN[1]]
    graded = _write_sides(tmp_path, {"s": (GAIN[0], several), "t": NOTHING})
    compare_subjects(
        ("base", "tuned"), ["s", "t"], graded=graded, settings=CompareModels(), folder=tmp_path
    )
    words = "base has 1 answer to each item and tuned 2 answers, so the two answered with different"
    (warning,) = [each for each in caplog.messages if "answered with different" in each]
    assert warning.startswith(f"s: {words}")
    page = (tmp_path / "summary.md").read_text()
    assert page.count(f"**Note:** {words} settings") == 1
    assert page.index("## s:") < page.index("**Note:**") < page.index("## t:")


def test_no_suite_or_a_missing_file_is_an_error(tmp_path):
    kwargs = {"settings": CompareModels(), "folder": tmp_path}
    with pytest.raises(DataError, match="no suite to compare on"):
        compare_subjects(("a", "b"), [], graded=([], []), **kwargs)
    with pytest.raises(DataError, match="there are 2 suites, but 1 and 2 files"):
        compare_subjects(
            ("a", "b"), ["s", "t"], graded=([tmp_path / "x"], [tmp_path / "x"] * 2), **kwargs
        )
    with pytest.raises(DataError, match="x does not exist"):
        compare_subjects(("a", "b"), ["s"], graded=([tmp_path / "x"], [tmp_path / "x"]), **kwargs)


def _bars(figure):
    (axis,) = figure.axes
    return axis, [
        bar.get_width() for bars in axis.containers for bar in getattr(bars, "patches", [])
    ]


def _texts(axis):
    return [text.get_text() for text in axis.texts]


def _ticks(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def test_subtype_picture_has_a_bar_a_group_best_first_with_counts():
    graded = make_graded([True, False], group="weak") + make_graded([True] * 3, group="b", start=2)
    table = accuracy_table(accuracies(graded, seed=1))
    axis, widths = _bars(plot_subtype_accuracy(table, title="m on s"))
    assert _ticks(axis) == ["b", "weak", "overall"]
    assert widths == [100, 50, 80]
    assert _texts(axis) == ["3 / 3", "1 / 2", "4 / 5"]
    plt.close("all")


def test_subtype_picture_of_a_suite_without_groups_shows_the_whole():
    table = accuracy_table(accuracies(make_graded([True, False]), seed=1))
    axis, widths = _bars(plot_subtype_accuracy(table, title="m on s"))
    assert (_ticks(axis), widths) == (["overall"], [50])
    plt.close("all")


TWO = comparison_table(_rows(("s", {"x": GAIN, "y": NOTHING}), ("t", {None: LOSS})))


def test_overall_picture_has_two_bars_a_suite():
    axis, widths = _bars(plot_overall_comparison(TWO, first="base", second="tuned"))
    assert _ticks(axis) == ["s", "t"]
    assert widths == pytest.approx([37.5, 95, 72.5, 25])
    assert _texts(axis) == ["n = 80", "n = 40"]
    plt.close("all")


def test_type_picture_has_two_bars_a_group_and_suites_without_groups_as_a_whole():
    axis, widths = _bars(plot_type_comparison(TWO, first="base", second="tuned"))
    assert _ticks(axis) == ["s: x", "s: y", "t"]
    assert widths == pytest.approx([25, 50, 95, 95, 50, 25])
    plt.close("all")


def test_difference_picture_has_a_dot_a_row_coloured_by_finding():
    (axis,) = plot_model_comparison(TWO, first="base", second="tuned").axes
    assert _ticks(axis) == ["s", "s: x", "s: y", "t"]
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert names == ["gain (2)", "loss (1)", "no difference shown (1)"]
    plt.close("all")


def test_chinese_and_dollar_signs_in_groups_are_drawn(tmp_path):
    graded = make_graded([True], group="疑似误报 $x$ 5 %")
    table = accuracy_table(accuracies(graded, seed=1))
    paths = [tmp_path / name for name in ("a.png", "b.png")]
    for path in paths:
        save_figure(plot_subtype_accuracy(table, title="m on s"), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
