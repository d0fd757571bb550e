"""How many of a machine's GPUs a step was given."""

from typing import Annotated

from pydantic import Field

from sluice.settings.base import Settings


class GpuShare(Settings):
    """Mixed into the arguments of a script that uses GPUs; the rule gives it its resource gpu."""

    num_gpus: Annotated[int, Field(ge=0)] | None = None
    """GPUs that this run was given: it takes so many free ones, waits where others have them, and
    stops where the machine has fewer. 0: it sees none. Not given: it sees all, and takes none from
    others."""
