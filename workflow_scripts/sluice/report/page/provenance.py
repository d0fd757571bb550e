"""Where everything came from: configuration, versions, hashes of files."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from sluice.files import hash_file
from sluice.report.page.section import Section

_PACKAGES = (
    "snakemake",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "peft",
    "accelerate",
    "vllm",
    "openai",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
)


def provenance_section(configuration: Mapping[str, Any], files: Sequence[Path]) -> Section:
    """Configuration, versions and hashes as a section.

    Raises:
        DataError: a file is missing.
    """
    content = {
        "configuration": yaml.safe_dump(
            dict(configuration), sort_keys=False, allow_unicode=True, width=90
        ),
        "seed": configuration.get("seed"),
        "versions": installed_versions(),
        "files": [_described(path) for path in dict.fromkeys(files)],
    }
    return Section("provenance", "Provenance", content)


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide results, where they are installed here."""
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _described(path: Path) -> dict[str, Any]:
    members = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    digest = hash_file(path)
    size_bytes = sum(member.stat().st_size for member in members)
    return {"path": str(path), "size_bytes": size_bytes, "sha256": digest}
