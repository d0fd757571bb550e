"""One tiny checkpoint and its gated copy, which all tests of this folder share and none changes."""

import gc

import pytest
from tiny_models import write_tiny_checkpoint

from sluice.chat import load_tokenizer
from sluice.gate.conversion import convert_checkpoint
from sluice.gate.runs import load_gated_model
from sluice.hub import prepare_transformers
from sluice.settings.gate import GateShape


@pytest.fixture(scope="session", autouse=True)
def _quiet_and_quick():
    prepare_transformers()
    # Conversions collect garbage; what imports left behind need not be searched each time.
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("source") / "tiny")


@pytest.fixture(scope="session")
def gated_folder(source, tmp_path_factory):
    """Gates of a size that gives logits of about 1, so that differences would show."""
    shape = GateShape(quality_gate_init_mean=0.05, quality_gate_init_std=0.2)
    folder = tmp_path_factory.mktemp("gated") / "tiny"
    return convert_checkpoint(str(source), folder, shape=shape, seed=3)


@pytest.fixture(scope="session")
def gated(gated_folder):
    return load_gated_model(gated_folder, gate_weights=None, device="cpu")


@pytest.fixture(scope="session")
def tokenizer(gated_folder):
    return load_tokenizer(gated_folder)
