"""What every rule file uses: the checked configuration, and the two params of a rule.

REQUIRED INPUTS: config.yaml (and any --configfile).
OUTPUTS: none; defines `settings`, `DATASETS`, `flags` and `code`.
"""

import os
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow_scripts"))

# `.venv/bin/snakemake` without activation must run the same Python's scripts.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

from sluice.config import flags_for, load_config
from sluice.errors import ConfigError
from sluice.fingerprint import code_hash as code


def checked_config():
    """The configuration as frozen settings; a wrong one ends the run with one message."""
    # Snakemake lists the files of --configfile first, then the one that the Snakefile names.
    files = [*workflow.configfiles[-1:], *workflow.configfiles[:-1]]
    try:
        return load_config(config, files=[Path(file) for file in files])
    except ConfigError as error:
        sys.stderr.write(f"ConfigError: {error}\n")
        sys.exit(1)


settings = checked_config()
DATASETS = sorted(settings.datasets)


wildcard_constraints:
    dataset="|".join(map(re.escape, DATASETS)),
    model="|".join(map(re.escape, settings.models)),


def flags(rule):
    """The flags of a rule's settings that differ from the defaults, quoted for the shell.

    A function, since a plain string param that holds braces would be read as a wildcard.
    """
    text = shlex.join(flags_for(rule, settings))
    return lambda wildcards: text
