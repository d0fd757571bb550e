"""What a user can cause, said so that the user can mend it.

``assert`` stays for our own invariants. A script prints one of these without a traceback and
exits 1; ``--debug`` shows the traceback.
"""


class SluiceError(Exception):
    """A problem with the user's input, settings or machine.

    The text reads ``what``, then ``in where``, ``Expected:`` and ``Hint:``, each on a line of its
    own and only where given.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.hint = hint
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  in {self.where}")
        if self.expected:
            lines.append(f"  Expected: {self.expected}")
        if self.hint:
            lines.append(f"  Hint: {self.hint}")
        return "\n".join(lines)


class ConfigError(SluiceError):
    """A setting is unknown, of the wrong type, out of range, or names what does not exist."""


class DataError(SluiceError):
    """A data file cannot be read, or too much of it cannot be used."""


class ModelError(SluiceError):
    """A checkpoint or tokenizer is missing, of an unsupported family, or not what it claims."""


class ScoringError(SluiceError):
    """A score is undefined for the samples at hand."""


class SelectionError(SluiceError):
    """The scores cannot be ranked, or the request cannot be met."""


class GradingError(SluiceError):
    """A reference that a grader cannot compare with."""


class EngineError(SluiceError):
    """An engine, its device or its server cannot generate."""


class DeviceError(EngineError):
    """A GPU that was asked for is not there, or its memory does not hold what it must."""


class TrainingError(SluiceError):
    """There is nothing to learn from, or the machine cannot train as asked."""


class FlywheelError(SluiceError):
    """A turn of the flywheel must not go on."""


class DiskError(SluiceError):
    """The disk is full, mounted read-only, or not this user's to write to."""


class TrackingError(SluiceError):
    """A run cannot be noted: no MLflow, no store, or no answer."""


def shorten_ids(ids: list[str], *, limit: int = 3) -> str:
    """The first few ids for an error message: ``a12, b07, c33 and 34 more``."""
    shown = ", ".join(ids[:limit])
    rest = len(ids) - limit
    return f"{shown} and {rest:,} more" if rest > 0 else shown
