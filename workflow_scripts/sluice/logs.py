"""Logging and progress: never ``print``.

One INFO line per decision, with counts in and out. Long loops show a tqdm bar on a terminal and a
line every 30 s where there is none.
"""

import logging
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

LINE_EVERY_S = 30.0
"""How often a long loop says how far it is, where no bar does."""
_TOGETHER_S = 1.0


def get_logger(name: str) -> logging.Logger:
    """The logger of a module; pass ``__name__``."""
    return logging.getLogger(name)


def set_up_logging(level: int = logging.INFO) -> None:
    """Sends our log to stderr as ``12:34:56 INFO  message``; other libraries from WARNING up."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s %(levelname)-5s %(message)s",
        datefmt="%H:%M:%S",
        force=True,
    )
    logging.getLogger("sluice").setLevel(level)
    _leave_out_noise()


def _leave_out_noise() -> None:
    """Two warnings that libraries give whatever a user does, and that ask nothing of them."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(_is_no_kernel_notice)
    # peft reads the attribute that transformers has renamed.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)


def _is_no_kernel_notice(record: logging.LogRecord) -> bool:
    """bitsandbytes looks for a faster 4-bit kernel, of a package that is not asked for here."""
    text = record.getMessage()
    is_notice = text.startswith("Failed to load CPU gemm_4bit_forward")
    return not (is_notice and "No module named 'kernels'" in text)


def progress(
    items: Iterable[T], *, total: int, what: str, logger: logging.Logger, start: int = 0
) -> Iterator[T]:
    """Yields the items and says how far it is: a bar on a terminal, a line every 30 s elsewhere.

    Items that come together, as those of a batch do, are counted when the next ones come: until
    then nobody knows how many there are, and the rate would be that of a few.

    Args:
        items: what is iterated.
        total: how many items there are in all, done ones included.
        what: what an item is, for the text ("batches", "steps").
        logger: where lines go when stderr is no terminal.
        start: how many items an earlier, interrupted run had done.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, initial=start, desc=what, file=sys.stderr)
        return
    began = last = previous = together_since = time.monotonic()
    for done, item in enumerate(items, start=start):
        now = time.monotonic()
        has_waited = now - previous >= _TOGETHER_S
        together_since = now if has_waited else together_since
        is_known = has_waited or now - together_since >= LINE_EVERY_S
        if is_known and now - last >= LINE_EVERY_S and done > start:
            last = now
            rate = (done - start) / ((previous if has_waited else now) - began)
            left_s = (total - done) / rate
            logger.info("%s %d of %d, %.3g a second, %.0f s left", what, done, total, rate, left_s)
        yield item
        previous = time.monotonic()
