"""Converting holds one model at a time, whatever its size."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import ROOT
from tiny_models import byte_tokenizer
from transformers import Qwen3Config, Qwen3ForCausalLM

# Runs the script in this very process and prints the most memory that it ever held, in kB.
MEASURE = """
import runpy, sys
from pathlib import Path

script = sys.argv.pop(1)
sys.argv[0] = script
sys.path.insert(0, str(Path(script).parent))
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    assert not end.code
status = Path("/proc/self/status").read_text()
print(status.split("VmHWM:")[1].split()[0])
"""


def save_random_model(folder, *, width, num_layers, vocab_size):
    """A Qwen3 of random weights in shards of 50 MB; its size in bytes."""
    config = Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=width // 4,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(folder, max_shard_size="50MB")
    byte_tokenizer().save_pretrained(folder)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def peak_bytes(model, output):
    script = ROOT / "workflow_scripts" / "convert_checkpoint.py"
    words = [sys.executable, "-c", MEASURE, script, "--model", model, "--save-path", output]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_converting_takes_at_most_1_2_times_the_models_size(tmp_path):
    small = save_random_model(tmp_path / "small", width=64, num_layers=1, vocab_size=300)
    large = save_random_model(tmp_path / "large", width=512, num_layers=8, vocab_size=40_000)
    assert large > 250e6
    more = peak_bytes(tmp_path / "large", tmp_path / "large_gated") - peak_bytes(
        tmp_path / "small", tmp_path / "small_gated"
    )
    assert more <= 1.2 * (large - small)
