"""How every script starts and ends: threads, flags from the settings model, errors for people.

The flags come from one pydantic model: its fields, defaults and descriptions. ``--save-path`` and
``--save_path`` are the same flag. A command line that does not parse exits 2, as usual.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import tyro

from sluice.disk_errors import explain_disk_error
from sluice.errors import SluiceError
from sluice.logs import get_logger, set_up_logging
from sluice.settings.base import Settings
from sluice.settings.device import ComputeShare
from sluice.step_notes import note_step

A = TypeVar("A", bound=Settings)

_INTERRUPTED = 130


def run(arguments: type[A], main: Callable[[A], None], argv: Sequence[str] | None = None) -> None:
    """Parses the command line, calls ``main``, and exits: 0, or 1 with the reason.

    ``--debug`` shows the traceback of an error that is otherwise one message.

    Args:
        arguments: the script's settings and paths; its docstring is the head of ``--help``.
        main: the work.
        argv: the command line without the program's name; the process's own where None.
    """
    _be_a_good_neighbour()
    given = sys.argv[1:] if argv is None else argv
    words = [word for word in given if word != "--debug"]
    is_debug = "--debug" in given
    set_up_logging()
    try:
        parsed = tyro.cli(arguments, args=words)
        if isinstance(parsed, ComputeShare):
            _use_at_least(parsed.min_threads)
        main(parsed)
        if argv is None:
            note_step(Path(sys.argv[0]).stem, words)
    except KeyboardInterrupt:
        get_logger(__name__).warning("sluice: interrupted; nothing half-written was left behind")
        sys.exit(_INTERRUPTED)
    except Exception as error:
        said = error if isinstance(error, SluiceError) else explain_disk_error(error)
        if is_debug or said is None:
            raise
        sys.stderr.write(f"{type(said).__name__}: {said}\n")
        sys.exit(1)


def _be_a_good_neighbour() -> None:
    """Idle threads sleep: on a loaded machine spinning ones made training four times slower.

    The number of threads is the rule's: Snakemake exports OMP_NUM_THREADS from ``threads:``. Must
    run before torch is imported, which reads these once.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _use_at_least(num_threads: int) -> None:
    """Raises OMP_NUM_THREADS to this, where it is set: Snakemake lowers it to --cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) < num_threads:
        os.environ["OMP_NUM_THREADS"] = str(num_threads)
