"""The model that both sides of a comparison run."""

import pytest
import torch
from support import ROOT
from transformers import AutoModelForCausalLM, AutoTokenizer


@pytest.fixture(scope="session")
def base_model(request):
    """The built-in model: the checkout's own where it has one, else that of the built clone."""
    folder = ROOT / "results/base/base/final_model"
    if not folder.is_dir():
        folder = request.getfixturevalue("built") / "results/base/base/final_model"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)
