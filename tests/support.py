"""Where the checkout is, how to clone it, how to run snakemake in a clone, and a pickle attack."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
"""The checkout under test."""

_TOOLS = Path(sys.executable).parent


class MakesFile:
    """An object whose pickle makes a file when it is read: what an attack would look like."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def clone(target: Path) -> Path:
    """Copies what git tracks or would track, and nothing else: no results, no caches."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    for name in filter(None, listing.decode().split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
    return target


def snakemake(folder: Path, *words: str, is_ok: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs snakemake in a clone as a user does; stdout and stderr come back together."""
    environment = {**os.environ, "PATH": f"{_TOOLS}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["snakemake", *words],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode == 0) == is_ok, done.stdout[-6000:]
    return done
