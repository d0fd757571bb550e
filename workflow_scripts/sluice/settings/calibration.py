"""Settings of the judges' examination."""

from sluice.settings.flywheel import JudgeResponses
from sluice.settings.flywheel_turn import Calibration, KeepRule


class CalibrateJudge(KeepRule, Calibration, JudgeResponses):
    """How reliable the judges' scores are."""
