"""Settings of graders: which one, and what it looks for."""

from typing import Literal

from sluice.settings.base import Settings


class GraderSettings(Settings):
    """How a completion is compared with its sample's reference."""

    grader: Literal[
        "exact", "number", "label", "regex", "legal_judgment", "legal_verdict", "lawshift"
    ] = "exact"
    """exact: the text after the reasoning is the answer. number: the last ``#### N``, ``Answer: N``
    or boxed number. label: one of `labels`. regex: what `pattern` captures. legal_judgment:
    ``<answer> charge | months </answer>``. legal_verdict: ``V | months`` or ``NV``. lawshift:
    the same, judged by the kind of change. The first four read the reference's ``answer``, the
    legal ones its ``charge`` and ``prison_time``, lawshift its ``label`` and ``split``."""
    labels: tuple[str, ...] = ()
    """The phrases that the grader `label` knows, at least two; case and width do not matter."""
    pattern: str | None = None
    """The regular expression of the grader `regex`, with exactly one group: the answer. It sees the
    text after the reasoning in Unicode's NFKC form, lines ended by a plain newline."""
