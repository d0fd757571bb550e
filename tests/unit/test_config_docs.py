"""The generated reference and schema say what the settings models say."""

import pytest
from support import ROOT

from sluice.config_docs import config_reference, json_schema

HINT = "they differ from the settings models; run `make docs`"


def test_config_reference_is_up_to_date():
    assert (ROOT / "docs/config.md").read_text() == config_reference(), HINT


def test_config_schema_is_up_to_date():
    assert (ROOT / "config.schema.json").read_text() == json_schema(), HINT


@pytest.mark.parametrize(
    "row",
    [
        "| `selection_percentage` | number > 0 <= 1 | `0.05` |",
        "| `seed` | integer | `42` |",
    ],
)
def test_reference_shows_legal_values_and_default(row):
    assert row in config_reference()


def test_readers_of_a_key_are_those_of_its_own_section():
    """`precision` stands in several sections, and each is another rule's."""
    rows = [line for line in config_reference().splitlines() if line.startswith("| `precision` |")]
    readers = [row.rsplit("|", 2)[1].strip() for row in rows]
    wanted = ["train_base_model", "evaluate_base_loss", "evaluate_core", "fine_tune"]
    wanted += ["fine_tune_turn", "generate_answers", "sample_responses"]
    assert sorted(filter(None, readers)) == sorted(f"`{name}`" for name in wanted)


@pytest.mark.parametrize(
    ("key", "rules"),
    [
        ("evaluator", "`judge_responses`, `calibrate_judge`"),
        ("max_cost", "`simulate_dialogues`, `judge_responses`, `calibrate_judge` (no rerun)"),
        ("max_cost", "`sample_responses` (no rerun)"),
        ("max_cost", "`generate_answers` (no rerun)"),
        ("server_timeout_s", "`bootstrap_model`, `simulate_dialogues` (no rerun)"),
    ],
)
def test_reference_names_the_rules_that_read_a_key_and_whether_they_rerun(key, rules):
    rows = [line for line in config_reference().splitlines() if line.startswith(f"| `{key}` |")]
    assert sum(row.endswith(f"| {rules} |") for row in rows) == 1
