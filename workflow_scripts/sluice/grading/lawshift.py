"""The grader `lawshift`: whether a verdict is right under a statute that was, or was not, changed.

LawShift (NeurIPS 2025 Datasets and Benchmarks) asks no exact term: what counts is whether a model
follows the change. Its cases were drawn so that the original statute gives a term of 36 to 120
months to the types whose change is about the term.
"""

from typing import Literal

Label = Literal["V", "NV", "TU", "TD", "XT", "NX"]
Split = Literal["original", "poisoned"]

LABELS: tuple[Label, ...] = ("V", "NV", "TU", "TD", "XT", "NX")
SPLITS: tuple[Split, ...] = ("original", "poisoned")

_SHORT_MONTHS, _LONG_MONTHS = 36, 120
