"""Progress that survives a crash: ``results/.state/<rule>/<fingerprint>/``.

Snakemake deletes the declared outputs of a failed job, so progress lives in a folder that is no
output. The fingerprint covers settings, input bytes and code: state of another run is never used.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from sluice.files import hash_file
from sluice.fingerprint import code_hash


def open_state(root: Path, *, script: str, settings: dict[str, Any], inputs: list[Path]) -> Path:
    """The folder in which this very run keeps its progress; made if it is not there.

    Args:
        root: ``results/.state/<rule>`` (and ``/<dataset>`` where there are several).
        script: the script's name, for its code hash.
        settings: everything that can change the result, as JSON values; not paths.
        inputs: files and folders whose bytes the result depends on.
    """
    digest = hashlib.sha256()
    digest.update(code_hash(script).encode())
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for path in inputs:
        digest.update(hash_file(path).encode())
    folder = Path(root) / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def clear_state(folder: Path) -> None:
    """Forgets the progress, once the result is written."""
    shutil.rmtree(folder, ignore_errors=True)
