"""What the tests of vLLM's engine and server share."""

import pytest
from tiny_models import write_tiny_checkpoint


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A tiny model: vLLM's CPU kernels know head sizes from 32 on, and compute in bf16."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return write_tiny_checkpoint(folder, seed=3, head_dim=32, dtype="bfloat16")
