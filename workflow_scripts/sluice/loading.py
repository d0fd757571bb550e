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
        raise ModelError(f"{what}: {_first_words(error)}", expected=expected, hint=hint) from error


def _first_words(error: Exception) -> str:
    """The first line of an error's text, and the first item of the list that it opens.

    torch names what does not fit in indented lines under ``Error(s) in loading state_dict for``.
    """
    first, *more = (str(error).strip() or repr(error)).splitlines()
    first = first.rstrip()
    if first.endswith(":") and more and more[0][:1].isspace():
        return f"{first} {more[0].strip()}"
    return first
