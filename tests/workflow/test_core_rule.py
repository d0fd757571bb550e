"""The rule of CORE: asked for by name only, and refused before any work where the bundle lacks."""

from core_bundles import write_bundle
from support import snakemake

TABLE = "results/base/base/core.csv"


def dry_run(clone, *, is_ok=True, **core):
    values = ", ".join(f"{key}: {value}" for key, value in core.items())
    words = ("--config", f"core={{{values}}}") if core else ()
    return snakemake(clone, "-n", TABLE, *words, is_ok=is_ok).stdout


def test_without_a_bundle_it_is_an_error_with_a_hint(fresh):
    text = dry_run(fresh, is_ok=False)
    assert "ConfigError: no evaluation bundle is named" in text
    assert "Traceback" not in text


def test_bundle_that_is_no_folder_is_an_error(fresh):
    text = dry_run(fresh, is_ok=False, bundle="no/where")
    assert "ConfigError: 'core.bundle' is 'no/where', which is no folder" in text


def test_missing_data_is_an_error_before_any_work_unless_it_is_allowed(fresh, tmp_path):
    bundle = write_bundle(tmp_path / "b", without=("boxes",))
    assert "missing: boxes (boxes.jsonl)" in dry_run(fresh, is_ok=False, bundle=bundle)
    assert "evaluate_core" in dry_run(fresh, bundle=bundle, allow_missing="true")
