"""The built-in run from raw data to selected_data.jsonl, and what reruns when something changes."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from support import snakemake

from sluice.lineage import find_mismatches
from sluice.staleness import parse_dry_run

ALL = ("results/selected_data.jsonl", "results/report/summary.txt")


def planned(folder, *words):
    """The rules that a dry-run would execute, with their counts."""
    text = snakemake(folder, "-n", *ALL, *words).stdout
    rules = re.findall(r"^(?:local)?rule (\w+):$", text, re.MULTILINE)
    return {rule: rules.count(rule) for rule in rules}


def test_selected_data_holds_the_best_twentieth_of_each_dataset(built):
    rows = [json.loads(line) for line in (built / "results/selected_data.jsonl").open("rb")]
    assert {row["dataset"] for row in rows} == {"numbers", "countries", "cases"}
    for row in rows:
        assert row["messages"][-1]["role"] == "assistant"
        assert row["rank"] >= 1
        assert row["scores"]
    assert len({row["id"] for row in rows}) == len(rows)


def test_rows_are_conserved_in_every_ledger(built):
    ledgers = sorted((built / "results").rglob("*ledger.json"))
    assert len(ledgers) >= 12
    for file in ledgers:
        entry = json.loads(file.read_text())
        assert entry["rows_in"] == entry["rows_kept"] + sum(entry["rejected"].values()), file


def test_second_run_has_nothing_to_do(built):
    assert planned(built) == {}


def test_a_touched_script_reruns_nothing(built):
    (built / "workflow_scripts/score_samples.py").touch()
    assert planned(built) == {}


SETTINGS = {
    "selection_percentage": ("selection={selection_percentage: 0.1}", {"select_samples"}),
    "warm_up_steps": ("gate={warm_up_steps: 3}", {"warm_up_gate", "collect_router_data"}),
    "test_ratio": ("data={test_ratio: 0.1}", {"split_dataset", "collect_router_data"}),
}


@pytest.mark.parametrize(("override", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_a_setting_reruns_its_rule_and_nothing_upstream(built, override, expected):
    rules = planned(built, "--config", override)
    assert expected <= set(rules)
    assert "train_base_model" not in rules
    assert "convert_dataset" not in rules


def test_selection_percentage_costs_no_model_pass(built):
    rules = planned(built, "--config", "selection={selection_percentage: 0.1}")
    assert not {"collect_router_data", "score_samples", "warm_up_gate"} & set(rules)


@pytest.fixture
def edited(built):
    """Edits a file of the built clone for one test: edited(name, old, new)."""
    originals = {}

    def edit(name, old, new):
        file = built / name
        originals.setdefault(file, file.read_text())
        assert old in originals[file]
        file.write_text(originals[file].replace(old, new))

    yield edit
    for file, text in originals.items():
        file.write_text(text)


def test_a_comment_in_a_module_reruns_nothing(built, edited):
    edited("workflow_scripts/sluice/ledger.py", "import json", "# A remark.\nimport json")
    assert planned(built) == {}


def test_a_code_line_in_a_module_reruns_the_rules_that_import_it(built, edited):
    edited("workflow_scripts/sluice/router_data.py", "import torch", "import torch\n\nSPARE = 1\n")
    rules = planned(built)
    assert {"collect_router_data", "score_samples"} <= set(rules)
    assert not {"convert_dataset", "train_base_model"} & set(rules)


@pytest.fixture(scope="module")
def report(built):
    """The file that Snakemake makes of the run."""
    snakemake(built, "--report", "report.html")
    return built / "report.html"


def test_report_is_one_file(report):
    assert report.stat().st_size > 100_000


def test_captions_of_the_report_explain_its_pictures(report):
    text = report.read_text()
    for phrase in ("The density of each score", "exact McNemar test", "The whole run as one page"):
        assert phrase in text


def test_the_page_tells_of_everything_that_the_configuration_asks_for(built):
    text = (built / "results/report/report.html").read_text()
    for section in ("evaluation", "selection", "training", "books", "cost", "provenance"):
        assert f'<section id="{section}">' in text
    assert '<section id="flywheel">' not in text
    assert "hand-overs add up" in text
    assert "rft minus base" in text


def test_provenance_tells_what_every_step_ran_with_and_so_does_the_page(built):
    provenance = json.loads((built / "results/provenance.json").read_text())
    made = {path: file for path, file in provenance["files"].items() if file["made_by"]}
    assert "results/selected_data.jsonl" in made
    assert not [path for path, file in made.items() if file["ran_with"] is None]
    assert find_mismatches(provenance, root=built) == []
    page = (built / "results/report/report.html").read_text()
    codes = {file["code"] for file in made.values() if file["made_by"] == "select_samples"}
    (section,) = re.findall(r'<section id="provenance">.*?</section>', page, re.DOTALL)
    assert all(code in section for code in codes)
    assert "not noted" not in section


def test_turns_and_core_results_that_are_there_are_in_the_provenance(built):
    """They are no inputs: nothing but the provenance itself would run."""
    files = [built / "results/flywheel/turn_1/summary.json", built / "results/base/base/core.csv"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    try:
        text = snakemake(built, "-n", "--printshellcmds", "results/provenance.json").stdout
    finally:
        for file in files:
            file.unlink()
        shutil.rmtree(built / "results/flywheel")
    assert [job.rule for job in parse_dry_run(text)] == ["write_provenance"]
    for file in files:
        assert str(file.relative_to(built)) in text


def test_own_right_answers_raise_accuracy_by_thirty_points(built):
    comparison = json.loads((built / "results/comparison/base_vs_rft/comparison.json").read_text())
    (overall,) = [row for row in comparison["rows"] if row["group"] == "overall"]
    assert overall["n"] == 300
    assert overall["difference"] >= 0.30
    assert overall["p"] < 0.001
    assert overall["finding"] == "gain"


def test_tracking_is_asked_for_by_the_configuration_alone(built):
    words = ("-n", "--config", "tracking={enabled: true}")
    assert "rule track_results:" in snakemake(built, *words).stdout
    assert "rule track_results:" not in snakemake(built, "-n").stdout


def test_a_broken_input_file_is_our_message_and_loses_nothing(built, tmp_path):
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(b'{"instruction": "a", "output"\n' * 20)
    mine = tmp_path / "mine.yaml"
    mine.write_text(json.dumps({"datasets": {"broken": {"path": str(broken), "format": "alpaca"}}}))
    text = snakemake(
        built,
        "--cores",
        "1",
        "results/data/broken/samples.jsonl",
        "--configfile",
        str(mine),
        is_ok=False,
    ).stdout
    assert "DataError" in text
    assert "bad_json" in text
    assert "Traceback" not in text


def test_scripts_run_by_hand_from_the_shown_command(built):
    done = subprocess.run(
        [sys.executable, "workflow_scripts/select_samples.py", "--help"],
        cwd=built,
        text=True,
        capture_output=True,
        check=True,
    )
    assert "--selection-percentage" in done.stdout
