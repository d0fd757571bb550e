"""Recomputes the hashes of results/provenance.json and names what no longer matches.

Example:
    python workflow_scripts/verify_provenance.py
"""

import sys
from pathlib import Path

from tyro.conf import Positional

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Check artifacts against where they came from; exits 1 where something differs."""

    provenance: Positional[Path] = Path("results/provenance.json")
    """File of write_provenance."""


def main(arguments: Arguments) -> None:
    """Compares files, code and packages with what was noted."""
    from sluice.lineage import find_mismatches, read_provenance

    provenance = read_provenance(arguments.provenance)
    lines = find_mismatches(provenance)
    found = f"{len(lines)} things differ" if lines else "all as noted"
    sys.stdout.write("\n".join([*lines, f"{len(provenance['files'])} files: {found}"]) + "\n")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    run(Arguments, main)
