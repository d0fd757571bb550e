"""configs/nanochat_base.yaml is a legal configuration: shards in, tokens, a 20-layer model."""

import pytest
import yaml
from support import ROOT, clone, snakemake

from sluice.base.modeling import check_shape
from sluice.config import load_config, settings_for
from sluice.settings.base_model import TrainBaseModel

CONFIG = ROOT / "configs/nanochat_base.yaml"
TARGETS = ("results/base/d20/loss_curve.png", "results/base/d20/loss.json")


@pytest.fixture(scope="module")
def with_shards(tmp_path_factory):
    """A clone with two empty shards where the configuration looks for them."""
    folder = clone(tmp_path_factory.mktemp("d20") / "sluice")
    for part in ("train", "heldout"):
        shard = folder / "data/fineweb_edu" / part / "shard_00000.parquet"
        shard.parent.mkdir(parents=True)
        shard.touch()
    return folder


def test_dry_run_plans_tokenizer_tokens_model_and_curve(with_shards):
    words = ("-n", "-p", "--configfile", "configs/nanochat_base.yaml", "--", *TARGETS)
    text = snakemake(with_shards, *words).stdout
    for rule in ("train_tokenizer", "tokenize_corpus", "train_base_model", "evaluate_base_loss"):
        assert f"rule {rule}:" in text
    assert "rule plot_base_loss_curve:" in text
    assert "rule make_demo_data:" not in text
    assert "--corpus results/base/d20/corpus" in text
    assert "--heldout-text data/fineweb_edu/heldout" in text
    assert "data/fineweb_edu/train/shard_00000.parquet" in text


def test_text_that_is_not_there_is_one_message(fresh):
    words = ("-n", "--configfile", "configs/nanochat_base.yaml", "--", *TARGETS)
    text = snakemake(fresh, *words, is_ok=False).stdout
    assert "ConfigError: 'tokenizer.text' names 'data/fineweb_edu/train'" in text
    assert "Traceback" not in text


def test_the_shape_is_a_qwen3_of_half_a_billion_parameters():
    values = yaml.safe_load((ROOT / "config.yaml").read_text())
    for key, value in yaml.safe_load(CONFIG.read_text()).items():
        values[key] = {**values.get(key, {}), **value}
    settings = settings_for("train_base_model", load_config(values, files=[CONFIG]))
    assert isinstance(settings, TrainBaseModel)
    check_shape(settings)
    attention = 4 * 1280 * settings.num_heads * settings.head_dim
    layer = attention + 3 * settings.hidden_size * settings.intermediate_size
    total = settings.num_layers * layer + 2 * 65_536 * settings.hidden_size
    assert total == pytest.approx(561e6, rel=0.01)
    tokens = settings.num_steps * settings.batch_size * settings.sequence_length
    assert tokens / total == pytest.approx(20, rel=0.02)
    assert settings.batch_size % (settings.accumulation * settings.num_processes) == 0
