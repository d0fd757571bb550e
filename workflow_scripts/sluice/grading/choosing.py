"""Which grader a task or a suite uses."""

from sluice.errors import ConfigError
from sluice.grading.exact import grade_exact
from sluice.grading.grade import Grader
from sluice.grading.label import LabelGrader
from sluice.grading.lawshift import grade_lawshift
from sluice.grading.legal_judgment import grade_legal_judgment
from sluice.grading.legal_verdict import grade_legal_verdict
from sluice.grading.number import grade_number
from sluice.grading.regex import RegexGrader
from sluice.settings.grading import GraderSettings

_WITHOUT_CHOICES: dict[str, Grader] = {
    "exact": grade_exact,
    "number": grade_number,
    "legal_judgment": grade_legal_judgment,
    "legal_verdict": grade_legal_verdict,
    "lawshift": grade_lawshift,
}


def make_grader(settings: GraderSettings) -> Grader:
    """The grader that the settings name.

    Raises:
        ConfigError: the grader lacks its ``labels`` or ``pattern``, they are illegal, or they are
            set and another grader is chosen, which would not look at them.
    """
    for key, owner in (("labels", "label"), ("pattern", "regex")):
        if getattr(settings, key) and settings.grader != owner:
            raise ConfigError(
                f"'{key}' is set, but the grader is '{settings.grader}', which has no use for it",
                hint=f"grader: {owner}, or take '{key}' away",
            )
    if settings.grader == "label":
        return LabelGrader(settings.labels)
    if settings.grader == "regex":
        if settings.pattern is None:
            raise ConfigError(
                "the grader 'regex' has no 'pattern'", hint=r"pattern: 'Result: (\w+)'"
            )
        return RegexGrader(settings.pattern)
    return _WITHOUT_CHOICES[settings.grader]
