"""The bundle of the CORE metric's data, as files that a rule needs.

REQUIRED INPUTS: rules/common.smk before it.
OUTPUTS: none; defines `core_bundle_files`.
"""

from sluice.core_metric.bundle import bundle_files
from sluice.errors import SluiceError


def core_bundle_files(wildcards):
    """The bundle's files; a bundle that lacks something ends the run before any work is done."""
    try:
        return bundle_files(settings.core.bundle, allow_missing=settings.core.allow_missing)
    except SluiceError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(1)
