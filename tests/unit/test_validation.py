"""What pydantic finds, said in our words."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from sluice.settings.base import Settings
from sluice.validation import describe_validation_error, nearest


class Inner(Settings):
    width: Annotated[int, Field(ge=1)] = 3
    kind: Literal["round", "square"] = "round"


class Outer(Settings):
    needed: str
    inner: Inner = Inner()
    named: dict[str, Inner] = Field(default_factory=dict)
    maybe: Inner | None = None
    sizes: tuple[int, ...] = ()


def _describe(values):
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)
    return describe_validation_error(caught.value, model=Outer, where="here.yaml")


@pytest.mark.parametrize(
    ("values", "what", "hint"),
    [
        ({"needed": "", "iner": {}}, "unknown key 'iner'", "did you mean 'inner'?"),
        (
            {"needed": "", "inner": {"widht": 1}},
            "unknown key 'inner.widht'",
            "did you mean 'width'?",
        ),
        (
            {"needed": "", "named": {"a": {"wdth": 1}}},
            "unknown key 'named.a.wdth'",
            "did you mean 'width'?",
        ),
        (
            {"needed": "", "maybe": {"kid": 1}},
            "unknown key 'maybe.kid'",
            "did you mean 'kind'?",
        ),
        ({"needed": "", "inner": {"zzz": 1}}, "unknown key 'inner.zzz'", "known here: kind, width"),
    ],
)
def test_unknown_key_is_named_with_the_nearest_known_one(values, what, hint):
    error = _describe(values)
    assert (error.what, error.hint, error.where) == (what, hint, "here.yaml")


@pytest.mark.parametrize(
    ("values", "what", "expected"),
    [
        ({"inner": {"width": 0}}, "'inner.width' is 0", "greater than or equal to 1"),
        ({"inner": {"width": "wide"}}, "'inner.width' is 'wide'", "a valid integer"),
        ({"inner": {"kind": "oval"}}, "'inner.kind' is 'oval'", "'round' or 'square'"),
        ({"inner": 3}, "'inner' is 3", "a valid dictionary"),
        ({"sizes": [1, "b"]}, "'sizes.1' is 'b'", "a valid integer"),
    ],
)
def test_wrong_value_is_shown_with_what_was_expected(values, what, expected):
    error = _describe({"needed": "", **values})
    assert error.what == what
    assert expected in (error.expected or "")


def test_missing_key_is_named():
    assert _describe({}).what == "key 'needed' is missing"


def test_all_findings_are_listed():
    text = str(_describe({"inner": {"width": 0, "colour": 1}}))
    for words in ("key 'needed' is missing", "'inner.width' is 0", "unknown key 'inner.colour'"):
        assert words in text


def test_long_value_is_cut():
    assert len(_describe({"needed": "", "inner": {"kind": "x" * 500}}).what) < 110


def test_nearest_of_nothing_is_no_hint():
    assert nearest("a", []) is None
