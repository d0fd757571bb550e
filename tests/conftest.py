"""Every test imports the library as the scripts do: from workflow_scripts/, without an install."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow_scripts"))
