"""Where an artifact comes from is found in Snakemake's notes, and checked against the files."""

import json
from base64 import urlsafe_b64encode

import pytest

from sluice.errors import DataError
from sluice.files import hash_file
from sluice.fingerprint import code_hash
from sluice.lineage import describe_run, find_mismatches, read_provenance, trace_origins
from sluice.run_records import read_run_record
from sluice.step_notes import describe_process, note_step

CODE = code_hash("split_dataset")


def note(root, path, *, rule="split_dataset", inputs=(), code=CODE, **more):
    """What Snakemake writes beside an output."""
    values = {
        "rule": rule,
        "input": list(inputs),
        "log": [],
        "shellcmd": f"python workflow_scripts/{rule}.py --output {path} > logs/{rule}.log 2>&1",
        "params": ["'--seed 7'", f"'{code}'"],
        "starttime": 1000.0,
        "endtime": 1002.5,
        "software_stack_hash": "d41d8cd98f00b204e9800998ecf8427e",
    }
    values |= more
    name = urlsafe_b64encode(path.encode()).decode()
    parts = [name[at : at + 254] for at in range(0, len(name), 254)]
    file = root.joinpath(".snakemake/metadata", *(f"@{part}" for part in parts[:-1]), parts[-1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))


@pytest.fixture
def run_folder(tmp_path):
    """source.txt -> middle/ -> final.txt"""
    (tmp_path / "source.txt").write_text("s")
    (tmp_path / "middle").mkdir()
    (tmp_path / "middle" / "a").write_text("m")
    (tmp_path / "final.txt").write_text("f")
    note(tmp_path, "middle", inputs=["source.txt"])
    note(tmp_path, "final.txt", inputs=["middle", "source.txt"])
    note_step("split_dataset", ["--output", "final.txt"], root=tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 7\n")
    return tmp_path


def test_a_configuration_that_is_not_there_is_named(run_folder):
    with pytest.raises(DataError, match=r"nope\.yaml does not exist"):
        describe_run(
            ["final.txt"], config_files=[run_folder / "nope.yaml"], seed=7, root=run_folder
        )


@pytest.fixture
def described(run_folder):
    return describe_run(
        ["final.txt"],
        config_files=[run_folder / "config.yaml"],
        seed=7,
        root=run_folder,
    )


def test_every_file_on_the_way_is_found_once_with_its_hash(run_folder):
    origins = trace_origins(["final.txt"], root=run_folder)
    assert list(origins) == ["final.txt", "middle", "source.txt"]
    for path, origin in origins.items():
        assert origin.sha256 == hash_file(run_folder / path)
    assert origins["source.txt"].made_by is None
    assert origins["final.txt"].made_by == "split_dataset"
    assert (origins["final.txt"].seconds, origins["final.txt"].code) == (2.5, CODE)
    assert origins["final.txt"].ended == "1970-01-01T00:16:42+00:00"


def test_a_missing_target_is_an_error_and_a_missing_source_is_noted_as_gone(run_folder):
    with pytest.raises(DataError, match=r"1 of 2 artifacts .*other\.txt"):
        trace_origins(["final.txt", "other.txt"], root=run_folder)
    (run_folder / "source.txt").unlink()
    assert trace_origins(["final.txt"], root=run_folder)["source.txt"].sha256 is None


def test_names_longer_than_a_folder_can_hold_are_found(tmp_path):
    path = "results/" + "/".join(["long" * 30] * 4)
    note(tmp_path, path, rule="a_rule")
    assert read_run_record(path, root=tmp_path).rule == "a_rule"


def test_what_is_as_noted_has_no_mismatch(run_folder, described):
    assert find_mismatches(described, root=run_folder) == []
    assert described["files"]["middle"]["ran_with"] is None
    assert described["ran_with"] == {
        described["files"]["final.txt"]["ran_with"]: describe_process(),
    }
    assert described["config"] == {str(run_folder / "config.yaml"): "seed: 7\n"}


def test_each_kind_of_change_is_named(run_folder, described):
    (run_folder / "source.txt").unlink()
    (run_folder / "middle" / "a").write_text("changed")
    described["files"]["final.txt"]["code"] = "0" * 16
    (ran_with,) = described["ran_with"].values()
    ran_with["packages"] = {"pytest": "0.1", "no-such-package": "1.0"}
    assert find_mismatches(described, root=run_folder) == [
        "middle: its content changed",
        "source.txt: is gone",
        "rule split_dataset: its code changed",
        "package no-such-package: not installed, was 1.0",
        f"package pytest: {pytest.__version__}, was 0.1",
    ]


def test_packages_of_a_step_with_an_environment_of_its_own_are_not_compared(run_folder):
    """They may rightly differ from those of the Python that verifies."""
    note(run_folder, "final.txt", inputs=["middle"], software_stack_hash="of conda")
    config_files = [run_folder / "config.yaml"]
    described = describe_run(["final.txt"], config_files=config_files, seed=7, root=run_folder)
    (ran_with,) = described["ran_with"].values()
    ran_with["packages"] = {"pytest": "0.1"}
    assert find_mismatches(described, root=run_folder) == []


def test_a_script_that_is_gone_is_named(run_folder, described):
    described["files"]["middle"]["command"] = "python workflow_scripts/no_such_script.py"
    assert find_mismatches(described, root=run_folder) == [
        "rule split_dataset: its script no_such_script.py is gone"
    ]


@pytest.mark.parametrize("content", ["[]", '{"format_version": 1}', "{"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(DataError):
        read_provenance(tmp_path / "p.json")
