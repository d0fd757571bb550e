"""What a step was given to compute with: GPUs and CPU threads."""

from typing import Annotated

from pydantic import Field

from sluice.settings.base import Settings


class ComputeShare(Settings):
    """Mixed into the arguments of a script that runs a model; the rule fills it in."""

    num_gpus: Annotated[int, Field(ge=0)] | None = None
    """GPUs that this run was given: it takes so many free ones, waits where others have them, and
    stops where the machine has fewer. 0: it sees none. Not given: it sees all, and takes none from
    others."""
    min_threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads to compute with where OMP_NUM_THREADS says fewer. A sum's last bits depend on the
    number of threads; the rules fix it, for the same bytes whatever --cores."""
