"""Whether a judge may prefer a model's answers because they are of its own family."""

from sluice.logs import get_logger
from sluice.model_families import known_families, shared_families

logger = get_logger(__name__)

# The built-in server's judges are rules: they prefer nobody.
_RULES = {"offline"}


def warn_of_kinship(role: str, judge: str, *, model: str) -> list[str]:
    """Warns where judge and model are of one family, or where that cannot be told.

    Args:
        role: what the judge is for, such as evaluator.
        judge: its model's name.
        model: name, hub id or folder of the model that answered.
    Returns:
        The families that both are of.
    """
    shared = shared_families(judge, model)
    unknown = [each for each in (judge, model) if not known_families(each)]
    if shared:
        logger.warning(
            "%s %s and the model %s are both of the family %s: it may prefer its own answers",
            *(role, judge, model, ", ".join(shared)),
        )
    elif unknown and known_families(judge) != _RULES:
        logger.warning(
            "family unknown: %s; whether %s %s prefers the answers of %s as those of its own "
            "family cannot be told",
            *(" and ".join(unknown), role, judge, model),
        )
    return shared
