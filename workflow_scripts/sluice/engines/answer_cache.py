"""Answers of a server on disk, by a hash of the request, so that none is paid for twice."""

import json
from dataclasses import asdict
from pathlib import Path

from sluice.engines.engine import Completion


class AnswerCache:
    r"""A file of answers, one JSON object a line; several runs may add to it at once.

    A line that was cut off in the writing is forgotten.

    Args:
        folder: the file's folder; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "answers.jsonl"
        self._answers: dict[str, Completion] = {}
        if self._path.exists():
            for line in self._path.read_bytes().split(b"\n"):
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            return  # empty, or torn: then its request is sent again
        request = entry.pop("request")
        self._answers[request] = Completion(**entry)

    def get(self, request: str) -> Completion | None:
        """The answer to a request of this hash, or None."""
        return self._answers.get(request)

    def add(self, request: str, completion: Completion) -> None:
        """Keeps an answer; it is in the file when this returns."""
        line = json.dumps({"request": request, **asdict(completion)})
        # The newline in front ends a line that another run was killed in.
        with open(self._path, "ab", buffering=0) as stream:
            stream.write(f"\n{line}\n".encode())
        self._answers[request] = completion
