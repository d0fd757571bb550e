"""What is installed beside this Python."""

from importlib import metadata


def installed_version(package: str) -> str | None:
    """The version that this Python has of a package; None where it has none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
