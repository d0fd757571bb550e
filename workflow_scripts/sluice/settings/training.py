"""Settings of the training stage: what is learnt, how, and on which machines."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import Seeded, Settings

Method = Literal["lora", "qlora", "full"]
Launcher = Literal["none", "ddp", "zero2", "zero3", "fsdp"]


class TrainingMethod(Settings):
    """Which weights are trained."""

    method: Method = "lora"
    """lora: low-rank updates. qlora: the same on a 4-bit base. full: all weights."""
    no_4bit: bool = False
    """Whether the base stays unquantised although the method is qlora, which is then lora."""
    r: Annotated[int, Field(ge=1)] = 64
    """Rank of the low-rank updates."""
    alpha: Annotated[int, Field(ge=1)] = 16
    """Their scale: an update counts alpha / r times."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Dropout before the low-rank updates."""
    target_modules: tuple[str, ...] = ("all-linear",)
    """Names of the linear layers that get an update, such as q_proj; all-linear: every one but the
    output layer."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the forward pass; auto: bfloat16 where the GPU has it, float32 elsewhere."""


class TrainingData(Settings):
    """What the loss is taken over."""

    max_length: Annotated[int, Field(ge=8)] = 4096
    """Most tokens of a sample."""
    on_too_long: Literal["cut", "reject"] = "cut"
    """What happens to a longer sample: its end is cut off, or the ledger names it rejected."""
    learn_from: Literal["all", "last"] = "all"
    """all: every response of a dialogue. last: its last response alone; what stands before it is
    context."""
    use_weights: bool = True
    """Whether samples count by their `weight`; where off, all count the same."""
    focus: tuple[str, ...] = ()
    """Phrases of the responses whose tokens count more; `re:` begins a regular expression."""
    context_window: Annotated[int, Field(ge=0)] = 5
    """Tokens before and after such a phrase that count more with it."""
    focus_weight: Annotated[float, Field(gt=0)] = 2.0
    """How much those tokens count; every other one counts 1."""
    packing: bool = False
    """Whether samples of a step share rows of `max_length` tokens instead of being padded. The
    result is the same but for rounding: no sample sees another."""


class TrainingBudget(Settings):
    """How long and how fast is learnt."""

    num_epochs: Annotated[float, Field(gt=0)] = 3.0
    """Times that every sample is seen."""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps, instead of epochs."""
    batch_size: Annotated[int, Field(ge=1)] = 2
    """Samples in a forward pass of one process; memory depends on it, the result does not."""
    accumulation: Annotated[int, Field(ge=1)] = 8
    """Forward passes a step; a step sees batch_size x accumulation x num_processes samples."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Peak learning rate of AdamW."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls to 0 after its rise; constant: not at all."""
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    """Steps over which the learning rate rises from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decay of the trained weights."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients longer than this are cut to it."""
    gradient_checkpointing: bool = False
    """Whether activations are computed again in the backward pass: less memory, a third slower."""


class TrainingWatch(Settings):
    """How training is watched, and what is kept of it."""

    eval_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the prompts of each group that is held out to choose the best checkpoint. 0: none,
    and the last step is kept."""
    eval_every: Annotated[int, Field(ge=1)] = 50
    """Steps between two evaluations; there is one after the last step too."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Evaluations without a better one after which training stops early."""
    log_every: Annotated[int, Field(ge=1)] = 10
    """Steps between two points in TensorBoard."""
    trackers: tuple[Literal["mlflow", "wandb"], ...] = ()
    """Where else the curve goes while it is made: mlflow (to the store of ``tracking:`` where that
    is enabled, or of MLFLOW_TRACKING_URI), wandb (WANDB_API_KEY ...). Nothing that is learnt
    depends on it, but an adapter trains anew when this changes."""
    checkpoint_every_s: Annotated[float, Field(ge=0)] = 60.0
    """Seconds between two checkpoints, from which an interrupted run goes on; more where writing
    one takes over a tenth of that."""


class TrainingMachines(Settings):
    """On how many processes a model is trained."""

    launcher: Launcher = "none"
    """none: one process. ddp: a whole model on each. zero2, zero3: DeepSpeed, which shares out
    gradients and optimiser (2) and weights too (3). fsdp: PyTorch's own way of the latter."""
    num_processes: Annotated[int, Field(ge=1)] = 1
    """Processes, one per GPU; torchrun or another launcher has to start as many."""


class FineTuneSettings(
    TrainingMethod, TrainingData, TrainingBudget, TrainingWatch, TrainingMachines
):
    """Every choice of one fine-tuning but its model, its samples and its seed."""


class FineTune(FineTuneSettings, Seeded):
    """Fine-tunes a model on weighted samples."""


class Adapter(FineTuneSettings):
    """One fine-tuning; the entries of ``adapters:`` in config.yaml."""

    model: str
    """Which entry of ``models:`` is trained."""
    samples: tuple[str, ...]
    """Canonical samples, JSONL files; all of them together are the data set."""
    seed: int | None = None
    """Seed of this adapter; the configuration's where none is given."""


class MergeAdapter(Settings):
    """How a merged model is proven to be base and adapter."""

    merge_tolerance_nats: Annotated[float, Field(gt=0)] | None = None
    """Greatest mean KL divergence between the merged model and base with adapter; where none is
    given 1e-6 in float32, 1e-2 in bfloat16 and 1e-3 in float16, which rounding causes."""


class TrainingSettings(MergeAdapter):
    """The ``training:`` section."""
