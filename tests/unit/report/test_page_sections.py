"""What each section of the page gathers."""

import json
import platform
from base64 import urlsafe_b64encode
from pathlib import Path

import pandas as pd
import pytest
from report_artifacts import CONFIGURATION, write_run
from support import ROOT

import write_report
from sluice.cli import run
from sluice.files import write_json
from sluice.report.page.assembling import gather_sections, render
from sluice.report.page.cost import cost_headlines, cost_section, duration, step_costs
from sluice.report.page.evaluation import evaluation_headlines, pair_up
from sluice.report.page.flywheel import changed_dialogues, flywheel_headlines, trajectories
from sluice.report.page.provenance import provenance_section
from sluice.report.page.selection import best_scores, rejected_examples
from sluice.settings.report import Artifacts, WriteReport
from sluice.step_notes import describe_process, note_step


def _sections(files, **settings):
    found = gather_sections(files, WriteReport(**settings), benchmarks=None)
    return {section.key: section for section in found}


def test_sections_without_artifacts_are_left_out(tmp_path):
    files = write_run(tmp_path)
    assert set(_sections(files)) == {
        "flywheel", "evaluation", "selection", "training", "books", "cost", "provenance",
    }  # fmt: skip
    assert set(_sections(Artifacts())) == {"provenance"}
    assert set(_sections(Artifacts(trainings=files.trainings))) == {
        "training",
        "cost",
        "provenance",
    }


def test_answers_are_paired_by_what_became_of_them(tmp_path):
    """Of four items `base` has the first right, `tuned` the first three."""
    (pair,) = _sections(write_run(tmp_path))["evaluation"].content["pairs"]
    changes = {change["kind"]: change for change in pair["changes"]}
    assert {kind: change["count"] for kind, change in changes.items()} == {
        "mended": 2, "broken": 0, "still wrong": 1,
    }  # fmt: skip
    ids = [example["before"]["id"] for example in changes["mended"]["examples"]]
    assert ids == ["item_1", "item_2"]


def test_examples_are_spread_over_all_of_their_kind():
    before = {str(number): {"id": str(number), "verdict": "wrong"} for number in range(9)}
    after = {name: {**answer, "verdict": "correct"} for name, answer in before.items()}
    (mended, *_) = pair_up(before, after, num_examples=3)
    assert [first["id"] for first, _ in mended["examples"]] == ["0", "4", "8"]


def test_headline_of_a_comparison_has_its_interval(tmp_path):
    (headline,) = evaluation_headlines(_sections(write_run(tmp_path))["evaluation"])
    assert headline.value == "+50.0 points"
    assert "+25.0 to +75.0" in headline.detail


def _evaluation_page(files):
    section = _sections(files)["evaluation"]
    page = render([section], [], title="t", template=ROOT / "resources/report/page.html.jinja")
    return " ".join(page.split())


def test_only_suites_that_were_looked_for_are_said_to_be_kept_out(tmp_path):
    files = write_run(tmp_path)
    page = _evaluation_page(files)
    assert "Whether training data shares text with quiz was not checked" in page
    assert "was dropped" not in page
    suites = {"quiz": {"samples": "held/quiz.jsonl", "grader": "exact"}}
    texts = {"evaluation_texts": ["./held/quiz.jsonl"]}
    named = json.dumps({**CONFIGURATION, "suites": suites, "data": texts})
    page = _evaluation_page(files.model_copy(update={"configuration": named}))
    assert "What shares text with quiz was dropped from the data sets" in page
    assert "not checked" not in page


def test_one_item_is_spoken_of_in_the_singular(tmp_path):
    page = _evaluation_page(write_run(tmp_path))
    assert "mended: 2 items<" in page
    assert "still wrong: 1 item<" in page


def test_comparison_of_several_answers_an_item_speaks_of_shares(tmp_path):
    files = write_run(tmp_path)
    page = _evaluation_page(files)
    assert "p is an exact McNemar test" in page
    assert "only tuned" in page
    content = json.loads(files.comparisons[0].read_text())
    content["rows"][0] |= {"answers_a": 2, "answers_b": 2}
    write_json(files.comparisons[0], content)
    page = _evaluation_page(files)
    assert "p is an exact sign test over items" in page
    assert "McNemar" not in page
    assert "tuned more often" in page
    assert "only tuned" not in page


def test_dialogues_that_changed_most_come_first(tmp_path):
    turns = write_run(tmp_path).turns
    better, worse = changed_dialogues(turns[0], turns[1], num_examples=5)
    assert [each["before"]["id"] for each in better["examples"]] == ["up"]
    assert [each["after"]["score"] for each in better["examples"]] == [4.0]
    assert [each["before"]["id"] for each in worse["examples"]] == ["down"]


def test_scores_of_turns_keep_their_intervals(tmp_path):
    section = _sections(write_run(tmp_path))["flywheel"]
    found = trajectories(section.content["last"], ["mean"])["mean"]
    assert [(each.low, each.value, each.high) for each in found] == [(3.75, 4, 4.25)] * 2
    (headline,) = flywheel_headlines(section)
    assert headline.value == "+1.00"


def test_each_score_names_the_flaw_that_it_is_worst_at():
    rows = [("a", "all", 0.8), ("a", "x", 0.9), ("a", "y", 0.6), ("b", "all", 0.9), ("b", "x", 0.9)]
    table = pd.DataFrame(rows, columns=["score", "flaw", "auroc"])
    found = best_scores(table)
    assert [(row["score"], row["worst"]["flaw"]) for row in found] == [("b", "x"), ("a", "y")]


def test_one_rejected_row_stands_for_each_reason(tmp_path):
    (found,) = rejected_examples(write_run(tmp_path).ledgers)
    assert (found["reason"], found["count"], found["detail"]) == ("bad_json", 2, "a <b>")


def test_costs_of_a_rules_jobs_are_added(tmp_path):
    head = "s\th:m:s\tmax_rss\n"
    for name, line in {
        "a.tsv": "1.5\t0:00:01\t10",
        "b/x.tsv": "2\t0\t30",
        "b/y.tsv": "3\t0\t-",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(head + line + "\n")
    (tmp_path / "write_report.tsv").write_text(head + "9\t0\t9\n")
    found = [
        (row["rule"], row["jobs"], row["seconds"], row["peak_mb"]) for row in step_costs(tmp_path)
    ]
    assert found == [("b", 2, 5.0, 30.0), ("a", 1, 1.5, 10.0)]


def test_cost_says_that_jobs_of_other_runs_are_counted(tmp_path):
    (tmp_path / "a.tsv").write_text("s\th:m:s\tmax_rss\n1.5\t0:00:01\t10\n")
    section = cost_section(tmp_path, samplings=(), evaluations=(), trainings=())
    (headline,) = cost_headlines(section)
    assert headline.detail == "1 job on record, other runs' in this folder included"
    page = render([section], [], title="t", template=ROOT / "resources/report/page.html.jinja")
    assert "also those of other runs in this folder" in page


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.234, "1.23 s"), (200, "3 min 20 s"), (7300, "2 h 1 min")]
)
def test_durations_are_said_as_people_do(seconds, text):
    assert duration(seconds) == text


def test_provenance_holds_hashes_of_files_and_folders(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    content = provenance_section(CONFIGURATION, [tmp_path / "x"]).content
    (file,) = content["files"]
    assert file["sha256"].startswith("ba7816bf8f01cfea")  # SHA-256 of abc, FIPS 180-2
    assert file["size_bytes"] == 3
    assert content["seed"] == 7


def write_note(root, path, *, code, words):
    """What Snakemake and a step note of an output."""
    command = f"python workflow_scripts/split_dataset.py {' '.join(words)} > x.log 2>&1"
    values = {"rule": "split_dataset", "input": [], "params": [f"'{code}'"], "shellcmd": command,
              "starttime": 1.0, "endtime": 2.0}  # fmt: skip
    write_json(root / ".snakemake/metadata" / urlsafe_b64encode(path.encode()).decode(), values)
    note_step("split_dataset", words, root=root)


def test_provenance_tells_commit_versions_and_code_of_the_steps(tmp_path):
    for number, name in enumerate(("a", "b")):
        write_note(tmp_path, name, code=f"{number:016}", words=["--output", name])
    artifacts = [Path("a"), Path("b"), Path("no-rule-made-it")]
    content = provenance_section({}, [], artifacts=artifacts, root=tmp_path).content
    assert content["code"] == [
        {"rule": "split_dataset", "code": f"{number:016}"} for number in (0, 1)
    ]
    (row,) = content["ran_with"]
    note = describe_process()
    assert (row["commit"], row["num_steps"]) == (note["commit"], 2)
    assert row["versions"]["numpy"] == note["packages"]["numpy"]


def test_provenance_says_where_a_step_noted_nothing_and_is_the_same_when_written_again(tmp_path):
    write_note(tmp_path, "a", code="0" * 16, words=["--output", "a"])
    write_note(tmp_path, "b", code="0" * 16, words=["--output", "b"])
    for file in (tmp_path / ".snakemake/sluice/steps").iterdir():
        file.write_text(file.read_text().replace(platform.node(), "node7"))
    write_note(tmp_path, "c", code="0" * 16, words=["--output", "c"])
    artifacts = [Path(name) for name in "abc"]
    first = provenance_section({}, [], artifacts=artifacts, root=tmp_path)
    assert [row["num_steps"] for row in first.content["ran_with"]] == [3]
    next((tmp_path / ".snakemake/sluice/steps").iterdir()).unlink()
    again = provenance_section({}, [], artifacts=artifacts, root=tmp_path)
    known, unknown = again.content["ran_with"]
    assert (known["num_steps"], unknown["num_steps"], unknown["versions"]) == (2, 1, {})
    assert again == provenance_section({}, [], artifacts=artifacts, root=tmp_path)
    page = render([again], [], title="t", template=ROOT / "resources/report/page.html.jinja")
    assert "not noted" in page
    assert "0" * 16 in page
    assert (known["commit"] or "not in git") in page


def test_a_broken_artifact_is_our_message(tmp_path, capsys):
    (tmp_path / "comparison.json").write_text("{")
    words = [
        "--comparisons",
        str(tmp_path / "comparison.json"),
        "--output",
        str(tmp_path / "r.html"),
    ]
    words += ["--evaluations", str(tmp_path / "comparison.json")]
    with pytest.raises(SystemExit) as error:
        run(write_report.Arguments, write_report.main, words)
    assert error.value.code == 1
    assert "comparison.json is not JSON" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()
