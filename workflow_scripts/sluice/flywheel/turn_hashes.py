"""Hashes of a turn's files that are the same for the same run, however fast it was."""

import hashlib
import json
from pathlib import Path
from typing import Any

from sluice.errors import DataError
from sluice.files import hash_file, read_json

MEASURED = frozenset({"latency_s", "first_token_s", "start_s", "total_s", "wall_s"})
"""Keys of measured times, which differ from run to run."""


def without_times(value: Any) -> Any:
    """A JSON value without the keys of `MEASURED`, at any depth."""
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in MEASURED}
    if isinstance(value, list):
        return [without_times(each) for each in value]
    return value


def hash_artifact(path: Path) -> str:
    """SHA-256 of a file as hex; of JSON without its measured times, keys sorted.

    Raises:
        DataError: the file is missing, or is not JSON though its name says so, or is nested too
            deeply.
    """
    if path.suffix != ".json":
        return hash_file(path)
    values = read_json(path)
    try:
        text = json.dumps(without_times(values), sort_keys=True, ensure_ascii=False)
    except RecursionError:
        raise DataError(f"{path} is nested too deeply") from None
    # What models wrote may hold half a character, escaped in the file.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
