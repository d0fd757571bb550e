"""The items of a JSON array, one at a time: an array may be larger than memory."""

import codecs
import json
import math
import re
from collections.abc import Iterator
from typing import IO, Any

_BLOCK_BYTES = 2**20
_SPACE = re.compile(r"[ \t\r\n]*")
_CONSTANTS = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}


def load_row(text: str) -> Any:
    """The JSON value of a text. NaN, which pandas writes where nothing is, is null.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=_CONSTANTS.__getitem__)


def iterate_items(stream: IO[bytes], *, max_bytes: int) -> Iterator[Any]:
    """Yields the items of a JSON array.

    Bytes that are no UTF-8 come as half surrogates, so that only their item is lost.

    Args:
        stream: the array, perhaps behind a byte order mark.
        max_bytes: how large an item may be.
    Raises:
        ValueError: the rest is no JSON array, or its next item is too large or nested too deeply.
    """
    text = _Text(stream, max_bytes=max_bytes)
    text.skip("[")
    if text.peek() != "]":
        yield text.read_value()
        while text.peek() == ",":
            text.skip(",")
            yield text.read_value()
    text.skip("]")
    if text.peek():
        raise ValueError("the array is followed by something else")


class _Text:
    """What has been read of a stream and not been used."""

    def __init__(self, stream: IO[bytes], *, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._json = json.JSONDecoder(parse_constant=_CONSTANTS.__getitem__)
        self._held, self._start = "", 0
        self._is_over = False

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            self._start = _end_of_space(self._held, self._start)
            if self._start < len(self._held) or self._is_over:
                return self._held[self._start : self._start + 1]
            self._read_on()

    def skip(self, mark: str) -> None:
        """Goes behind the next character, which has to be this one."""
        found = self.peek()
        if found != mark:
            raise ValueError(f"'{found or 'the end'}' stands where '{mark}' belongs")
        self._start += 1

    def read_value(self) -> Any:
        """The value that comes next."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._held, self._start)
            except RecursionError:
                raise ValueError("an item is nested too deeply") from None
            except json.JSONDecodeError as error:
                # Its own text counts columns from where reading went on, which says nothing.
                if self._is_over:
                    raise ValueError(error.msg) from None
                end = len(self._held)
            # A number before anything else may go on: 1 of 1.5, of which so far 1. is there.
            after = _end_of_space(self._held, end)
            if self._is_over or self._held[after : after + 1] in (",", "]"):
                self._start = end
                return value
            self._read_on()

    def _read_on(self) -> None:
        """Takes in as much again as there is, so that a large item is looked at a few times."""
        self._held, self._start = self._held[self._start :], 0
        if len(self._held) > self._max_bytes:
            raise ValueError(f"an item is larger than {self._max_bytes:,} bytes")
        data = self._stream.read(max(len(self._held), _BLOCK_BYTES))
        self._is_over = not data
        self._held += self._decoder.decode(data, final=self._is_over)


def _end_of_space(text: str, start: int) -> int:
    found = _SPACE.match(text, start)
    return found.end() if found else start
