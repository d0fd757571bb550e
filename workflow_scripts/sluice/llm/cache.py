"""Answers of servers on disk, by a hash of the whole request, so that none is paid for twice."""

import sqlite3
from dataclasses import asdict
from pathlib import Path

from sluice.errors import EngineError
from sluice.llm.replies import Reply
from sluice.sealed_lines import seal, unseal

FILE_NAME = "answers.sqlite"
# Another process that adds an answer holds the file for milliseconds.
_BUSY_TIMEOUT_S = 60.0


class AnswerCache:
    """A SQLite file of answers; several runs may read and add at once.

    The rollback journal is kept, not the write-ahead log, which shared file systems cannot hold.

    Args:
        folder: the file's folder; made if it is not there.
    Raises:
        EngineError: the file is there but no database.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE_NAME
        try:
            self._database = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None
            )
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, reply BLOB NOT NULL)"
            )
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from None

    def get(self, request: str) -> Reply | None:
        """The answer to a request of this hash, or None where there is none or it is damaged."""
        try:
            row = self._database.execute(
                "SELECT reply FROM answers WHERE request = ?", (request,)
            ).fetchone()
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from None
        # A text is the form of an earlier version.
        entry = unseal(row[0]) if row and isinstance(row[0], bytes) else None
        return None if entry is None else Reply(**entry)

    def add(self, request: str, reply: Reply) -> None:
        """Keeps an answer; it is in the file when this returns."""
        try:
            self._database.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?)", (request, seal(asdict(reply)))
            )
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from None

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def _damaged(self, error: sqlite3.DatabaseError) -> EngineError:
        return EngineError(
            f"the file of kept answers cannot be used: {error}",
            where=str(self._path),
            hint="delete it: its answers are then asked, and paid, for again",
        )
