"""What the making of an output has cost on disk, so that its budget holds for all runs together."""

import hashlib
import os
from dataclasses import asdict
from pathlib import Path

from sluice.llm.spending import Spending
from sluice.sealed_lines import recover, seal

FOLDER = "spent"
# Enough of the output's name to find its file, short enough for every file system.
_SHOWN_CHARACTERS = 60


class SpendingLog:
    """A file of what was sent and billed for one output, a line (`sluice.sealed_lines`) for each.

    A line is in the file when `add` returns: a run that was killed has spent what it has spent. The
    file stays when the output is written, or deleted and made anew.

    Args:
        folder: of the kept answers (`sluice.llm.cache`); the file is in ``spent`` below it.
        output: what is made; seen from the folder, so that both may move together.
        role: whose budget it is, where an output has several.
    """

    def __init__(self, folder: Path, *, output: Path, role: str = "") -> None:
        place = f"{os.path.relpath(output, folder)}\n{role}"
        digest = hashlib.sha256(place.encode()).hexdigest()[:16]
        self._path = folder / FOLDER / f"{output.name[:_SHOWN_CHARACTERS]}.{digest}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.earlier = Spending()
        for entry in recover(self._path, fate="are not counted"):
            self.earlier.add(Spending(**entry))

    def add(self, part: Spending) -> None:
        """Adds what was sent or billed; it is in the file when this returns."""
        with open(self._path, "ab", buffering=0) as stream:
            stream.write(seal(asdict(part)))
