"""What a step may write over, said before its work: what it wrote earlier, and nothing else."""

from collections.abc import Mapping
from pathlib import Path

from sluice.errors import ConfigError


def check_replaceable(
    output: Path, *, is_ours: bool, inputs: Mapping[str, str | Path] | None = None
) -> None:
    """Raises ConfigError where a folder must not be replaced, for it would take a user's files.

    Args:
        output: the folder that a step makes.
        is_ours: whether what lies there is known to be an earlier output of the same step.
        inputs: folders that the step reads, by what they are; hub ids are passed over.
    """
    place = output.resolve()
    for what, name in (inputs or {}).items():
        folder = Path(name).resolve()
        if folder.is_dir() and (_holds(place, folder) or _holds(folder, place)):
            raise ConfigError(
                f"the output {output} is, holds or lies inside the folder of {what}, {name}",
                expected="a folder apart from all that is read",
                hint=f"the output takes the place of what is there: {what} would be lost or "
                "changed; give another --output",
            )
    if _holds(place, Path.cwd()):
        raise ConfigError(
            f"the output {output} is or holds the current folder, which would be replaced",
            expected="a folder to make, such as ./merged",
        )
    if place.exists() and not is_ours and not (place.is_dir() and not any(place.iterdir())):
        raise ConfigError(
            f"{output} exists and is no earlier output of this step: it would be replaced",
            expected="a folder that is not there yet, is empty, or was written by this step",
            hint="give another --output, or move away what is there",
        )


def _holds(outer: Path, inner: Path) -> bool:
    """Whether one resolved path is the other or lies inside it."""
    return inner.is_relative_to(outer)
