"""Loading of checkpoints, adapters and tokenizers: whatever goes wrong is one ModelError."""

from collections.abc import Iterator
from contextlib import contextmanager

from sluice.errors import ModelError, SluiceError

NO_REMOTE_CODE = {"trust_remote_code": False}
"""Said outright: where nothing is said, transformers asks on the terminal whether code may run."""


@contextmanager
def loading(what: str, *, expected: str | None = None, hint: str | None = None) -> Iterator[None]:
    """Where a library reads a model's files; their errors are of no common kind.

    A damaged tokenizer.json alone raises Exception, KeyError, TypeError, AttributeError and
    RecursionError.

    Args:
        what: what an error says first, such as ``no model could be loaded from 'x'``.
        expected: what the error expects.
        hint: what the error advises.
    """
    try:
        yield
    except (SluiceError, MemoryError):
        raise
    except Exception as error:
        first_line = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelError(f"{what}: {first_line}", expected=expected, hint=hint) from error
