"""Ways to damage a file, and values that do not belong where they stand; the same on every run."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from sluice.errors import SluiceError

_NUM_CUTS = 25
_NUM_FLIPS = 60

DEEP = b"[" * 100_000
ODD_CONTENTS = {
    "nothing": b"",
    "white space": b" \n\r\n\t\n",
    "zeros": bytes(1000),
    "NUL": b"\0",
    "only a byte order mark": b"\xef\xbb\xbf",
    "UTF-16": '{"a": 1}\n'.encode("utf-16"),
    "no UTF-8": b'{"a": "\xff\xfe"}\n',
    "deep lists": DEEP,
    "deep lists, closed": DEEP + b"]" * len(DEEP),
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep value": b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "rather deep value": b'{"text": ' + b"[" * 900 + b"]" * 900 + b"}\n",
    "a huge integer": b'{"a": ' + b"9" * 5000 + b"}\n",
    "a bare huge integer": b"9" * 5000,
    "infinity": b'{"a": Infinity, "b": -Infinity, "c": NaN}\n',
    "1e999": b'{"a": 1e999}\n',
    "half a surrogate pair": b'{"text": "\\ud800", "id": "\\udfff", "topic": "\\ud800"}\n',
    "U+2028": '{"text": "a\u2028b"}\n'.encode(),
    "lone carriage returns": b'{"text": "a"}\r{"text": "b"}\r',
    "a number": b"1\n",
    "null": b"null\n",
    "a text": b'"text"\n',
    "a list": b"[]\n",
    "an object": b"{}\n",
    "a list of numbers": b"[1, 2]\n",
    "a YAML reference to itself": b"a: &a [*a]\n",
    "a YAML object": b"!!python/object/apply:os.system ['touch pwned']\n",
}

ODD_VALUES = (
    None,
    True,
    -1,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\ud800",
    "a\0b\u2028c\nd",
    "../../etc/passwd",
    [],
    [[[]]],
    {},
    {"a": {"b": [None]}},
)
"""What may stand at any place of a JSON document."""


def damaged(data: bytes, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """A file cut off at many places, with flipped bits, and replaced by something else."""
    rng = random.Random(seed)
    cuts = {len(data) * part // _NUM_CUTS for part in range(_NUM_CUTS)}
    for cut in sorted(cuts | {1, 2, 3, 4, 8, len(data) - 1, len(data) - 2} & {*range(len(data))}):
        yield f"cut at {cut}", data[:cut]
    for number in range(_NUM_FLIPS):
        changed = bytearray(data)
        # Formats keep what matters most at their ends.
        span = len(data) if number % 3 else min(len(data), 200)
        place = rng.randrange(span)
        place = len(data) - 1 - place if number % 6 == 3 else place
        changed[place] ^= 1 << rng.randrange(8)
        yield f"flip {number} at {place}", bytes(changed)
    yield "random bytes", rng.randbytes(1000)
    yield "random bytes behind", data + rng.randbytes(100)
    yield "twice", data + data
    yield "byte order mark", b"\xef\xbb\xbf" + data
    yield "CRLF", data.replace(b"\n", b"\r\n")
    yield from ODD_CONTENTS.items()


def with_odd_values(document: Any, values: tuple[Any, ...] = ODD_VALUES) -> Iterator[Any]:
    """The document with each of its places, in turn, holding each odd value, and without it."""
    for path in _places(document):
        for value in values:
            yield _replaced(
                document, path, lambda holder, key, value=value: _put(holder, key, value)
            )
        if path:
            yield _replaced(document, path, lambda holder, key: holder.pop(key))


def _put(holder: Any, key: Any, value: Any) -> None:
    holder[key] = value


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _places(each, (*path, key))
    if isinstance(value, list):
        # Items behind the second are like it.
        for place, each in enumerate(value[:2]):
            yield from _places(each, (*path, place))


def _replaced(document: Any, path: tuple[Any, ...], change: Callable[[Any, Any], Any]) -> Any:
    whole = [copy.deepcopy(document)]
    holder: Any = whole
    keys = (0, *path)
    for key in keys[:-1]:
        holder = holder[key]
    change(holder, keys[-1])
    return whole[0]


def to_json(value: Any) -> bytes:
    """JSON in ASCII, so that half a surrogate pair can stand in it."""
    return json.dumps(value).encode()


def is_refused(read: Callable[[], Any]) -> bool:
    """Whether a reader refuses what it is given; whatever else it raises goes through."""
    try:
        read()
    except SluiceError:
        return True
    return False
