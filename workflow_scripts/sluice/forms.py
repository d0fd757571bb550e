"""Artifacts are read back by their form: what does not fit is one error, with file and key.

A form declares only what readers use. Other keys may stand beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, cast

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from sluice.errors import DataError
from sluice.files import read_json

T = TypeVar("T")

LARGEST = 1e100
"""No number of an artifact is larger. float32 ends at 3.4e38, and sums of such stay finite."""


def _check_characters(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("half_character", "Input holds half a character") from None
    return text


Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
"""A finite number; whole ones too."""
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Name = Annotated[str, AfterValidator(_check_characters)]
"""A text that UTF-8 can hold. What models wrote is `str`: JSON can hold half a character."""


@dataclass(frozen=True)
class Form(Generic[T]):
    """What a file of one kind holds."""

    kind: type[T]
    """Types of the keys that are read: a TypedDict."""
    what: str
    """What such a file is, for messages."""
    made_by: str | None
    """The step that writes it; None where it comes from no step."""
    find_fault: Callable[[T], str | None] = lambda values: None
    """What is wrong with values whose types are right: two lists that differ in length."""

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self.kind)

    def fits(self, values: Any) -> bool:
        """Whether a value is of this form."""
        try:
            self.check(values, where="")
        except DataError:
            return False
        return True

    def check(self, values: Any, *, where: str) -> T:
        """The value itself, with all its keys, once it is known to be of this form.

        Args:
            values: from JSON.
            where: how an error calls it: the file's path, perhaps with a line's number.
        Raises:
            DataError: it is of another form.
        """
        try:
            self._adapter.validate_python(values, strict=True)
        except ValidationError as error:
            raise self.misfit(first_fault(error), where=where) from None
        fault = self.find_fault(cast(T, values))
        if fault:
            raise self.misfit(fault, where=where)
        return cast(T, values)

    def misfit(self, fault: str, *, where: str) -> DataError:
        """The error that says so."""
        again = f"it is damaged or of another version: make it again with {self.made_by}"
        return DataError(
            f"{where} is no {self.what}: {fault}", hint=again if self.made_by else None
        )


def first_fault(error: ValidationError) -> str:
    """Which key is wrong, and how: ``rows.0.n: Field required``."""
    first = error.errors(include_url=False)[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))


def read_artifact(path: Path, form: Form[T]) -> T:
    """Reads a JSON file of a form.

    Raises:
        DataError: the file is missing, or holds something else.
    """
    return form.check(read_json(path), where=str(path))
