"""One fine-tuning from files to files."""

import math
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from sluice.chat import load_tokenizer
from sluice.ledger import Ledger
from sluice.logs import get_logger
from sluice.memory import memory_explained
from sluice.outputs import check_replaceable
from sluice.processes import leave_processes
from sluice.seeds import derive_seed
from sluice.settings.training import FineTune
from sluice.state import clear_state, open_state
from sluice.training.adapters import BaseModel, choose_dtype, load_for_training
from sluice.training.batching import TrainingSample, count_steps, plan_steps
from sluice.training.encoding import load_training_samples
from sluice.training.eval_split import split_for_evaluation
from sluice.training.history import History, latest_checkpoint
from sluice.training.launching import is_zero3, launcher_arguments, sum_in_float32
from sluice.training.loss import attach_loss
from sluice.training.results import Outputs, Plan, mean_weight, write_results
from sluice.training.trainer import StepData, WeightedTrainer

logger = get_logger(__name__)

# numpy takes no larger seed.
_SEED_RANGE = 1 << 32
_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
# The best, the one before the last, and the last, which may not be whole yet.
_CHECKPOINTS_KEPT = 3
_NOT_IN_FINGERPRINT = {"checkpoint_every_s", "log_every", "trackers"}


def fine_tune(
    base: BaseModel,
    samples: Sequence[Path],
    settings: FineTune,
    *,
    outputs: Outputs,
    state_root: Path,
) -> None:
    """Trains, or goes on with an interrupted training, and writes the best weights.

    Raises:
        ConfigError: an output would take the place of something else.
        ModelError: the model or its tokenizer cannot be loaded or used.
        DataError: a file of samples cannot be read.
        TrainingError: nothing is left to learn from, or the machine cannot train as asked.
        DeviceError: a GPU's memory does not hold it.
    """
    is_ours = outputs.ledger.is_file()
    check_replaceable(outputs.model, is_ours=is_ours, inputs={"the model": base.path})
    check_replaceable(outputs.logs, is_ours=is_ours)
    tokenizer = load_tokenizer(base.path, revision=base.revision)
    name = outputs.model.parent.name
    state = _open_state(base, samples, settings, root=state_root)
    is_first = int(os.environ.get("RANK", "0")) == 0
    books = outputs.ledger, outputs.rejected
    if not is_first:
        # Every process reads the samples; the first one's books are the ones that stay.
        books = state / f"rank{os.environ['RANK']}.json", state / f"rank{os.environ['RANK']}.jsonl"
    with Ledger("fine_tune", name, path=books[0], rejected_path=books[1]) as ledger:
        rows = load_training_samples(tokenizer, samples, settings=settings, ledger=ledger)
        plan = make_plan(rows, settings)
    pad = pad_token_id(tokenizer)
    history = train_until_over(base, plan, settings, state=state, pad=pad, name=name)
    leave_processes()
    if is_first:
        write_results(base, tokenizer, plan, settings, history, state=state, outputs=outputs)
        clear_state(state)


def _open_state(
    base: BaseModel, samples: Sequence[Path], settings: FineTune, *, root: Path
) -> Path:
    folder = Path(base.path)
    return open_state(
        root,
        script="fine_tune",
        settings={
            **settings.model_dump(mode="json", exclude=_NOT_IN_FINGERPRINT),
            "revision": base.revision,
            "hub_id": None if folder.is_dir() else base.path,
        },
        inputs=[*samples, *([folder] if folder.is_dir() else [])],
    )


def make_plan(samples: Sequence[TrainingSample], settings: FineTune) -> Plan:
    """Held-out samples apart, and which of the others each step sees.

    Raises:
        TrainingError: the held-out part leaves nothing to learn from.
    """
    train, held_out = split_for_evaluation(
        samples, eval_fraction=settings.eval_fraction, seed=settings.seed
    )
    step_size = settings.batch_size * settings.accumulation * settings.num_processes
    num_steps = count_steps(
        len(train),
        step_size=step_size,
        num_epochs=settings.num_epochs,
        max_steps=settings.max_steps,
    )
    steps = plan_steps(len(train), step_size=step_size, num_steps=num_steps, seed=settings.seed)
    return Plan(train, held_out, steps, steps_per_epoch=math.ceil(len(train) / step_size))


def pad_token_id(tokenizer: Any) -> int:
    """What fills short rows; nothing is computed from it, so any token will do."""
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(each for each in candidates if each is not None)


def train_until_over(
    base: BaseModel, plan: Plan, settings: FineTune, *, state: Path, pad: int, name: str = "model"
) -> History:
    """Trains from the last whole checkpoint on; afterwards the state holds the final one."""
    found = latest_checkpoint(state)
    if found and found[1].is_over(num_steps=len(plan.steps), patience=settings.patience):
        return found[1]
    history = found[1] if found else History()
    with _memory_explained(plan, settings):
        trainer = make_trainer(
            base, plan, settings, state=state, pad=pad, history=history, name=name
        )
        if found:
            logger.info("going on after step %d of an interrupted run", history.num_steps)
        trainer.train(resume_from_checkpoint=str(found[0]) if found else None)
    return trainer.history


def _memory_explained(plan: Plan, settings: FineTune) -> AbstractContextManager[None]:
    """What a pass holds, and how it holds less.

    Passes are not halved here: processes that train together would wait for one another.
    """
    longest = max(len(sample.input_ids) for sample in (*plan.train, *plan.held_out))
    num_tokens = settings.max_length if settings.packing else longest
    num_rows, accumulation = settings.batch_size, settings.accumulation
    smaller = f"batch_size 1 with accumulation {num_rows * accumulation} takes the same steps; "
    return memory_explained(
        f"a model in training and passes of batch_size {num_rows} x up to {num_tokens:,} tokens",
        hint=(smaller if num_rows > 1 else "")
        + "gradient_checkpointing, a smaller max_length and method qlora need less, too",
    )


def make_trainer(
    base: BaseModel,
    plan: Plan,
    settings: FineTune,
    *,
    state: Path,
    pad: int,
    history: History,
    name: str = "model",
) -> WeightedTrainer:
    """The model with its loss, and the steps it is going to see; its name stands in MLflow."""
    # Before the model is loaded: with DeepSpeed ZeRO-3 these decide how it is.
    args = training_arguments(settings, num_steps=len(plan.steps), state=state)
    torch.manual_seed(args.seed)
    model = load_for_training(base, settings, device=args.device)
    core = model.get_base_model() if hasattr(model, "get_base_model") else model
    attach_loss(core, is_checked=not is_zero3(settings))
    trainer = WeightedTrainer(
        model,
        args,
        steps=_step_data(plan.train, plan.steps, settings, args, pad=pad),
        evaluation=_evaluation_data(plan.held_out, settings, args, pad=pad),
        settings=settings,
        history=history,
        steps_per_epoch=plan.steps_per_epoch,
    )
    if "mlflow" in settings.trackers:
        from sluice.training.live_curve import LiveCurve

        trainer.add_callback(LiveCurve(name=name, state=state))
    # Processes see different samples, so each has its own dropout; a checkpoint restores all this.
    torch.manual_seed(derive_seed(settings.seed, "dropout", args.process_index))
    return trainer


def _step_data(
    samples: list[TrainingSample],
    plan: list[list[int]],
    settings: FineTune,
    args: TrainingArguments,
    *,
    pad: int,
) -> StepData:
    return StepData(
        samples,
        plan,
        settings=settings,
        mean_weight=mean_weight(samples),
        pad_token_id=pad,
        process=args.process_index,
        num_processes=args.world_size,
    )


def _evaluation_data(
    samples: list[TrainingSample], settings: FineTune, args: TrainingArguments, *, pad: int
) -> StepData | None:
    if not samples:
        return None
    return _step_data(samples, [list(range(len(samples)))], settings, args, pad=pad)


def training_arguments(settings: FineTune, *, num_steps: int, state: Path) -> TrainingArguments:
    """transformers' own settings; all that Sluice decides itself is off."""
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(state / "logs")
    has_gpu = torch.cuda.is_available()
    is_bf16 = choose_dtype(settings) == torch.bfloat16
    args = TrainingArguments(
        output_dir=str(state),
        max_steps=num_steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=_SCHEDULES[settings.schedule],
        warmup_steps=_shorten_warmup(settings.warmup_steps, num_steps=num_steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        activation_checkpointing=settings.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        bf16=is_bf16,
        use_cpu=not has_gpu,
        dataloader_pin_memory=has_gpu,
        seed=derive_seed(settings.seed, "fine_tune") % _SEED_RANGE,
        eval_strategy="no",
        save_strategy="no",
        save_total_limit=_CHECKPOINTS_KEPT,
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        # MLflow has a callback of its own: its store may fail, a training may not.
        report_to=["tensorboard", *(each for each in settings.trackers if each != "mlflow")],
        disable_tqdm=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        **launcher_arguments(settings),
    )
    if settings.launcher == "fsdp" and is_bf16:
        sum_in_float32(args)
    return args


def _shorten_warmup(warmup_steps: int, *, num_steps: int) -> int:
    """At most half of the steps: a rate that never gets up teaches nothing."""
    if warmup_steps <= num_steps // 2:
        return warmup_steps
    logger.warning(
        "warmup of %d steps is cut to %d, half of the %d steps there are",
        *(warmup_steps, num_steps // 2, num_steps),
    )
    return num_steps // 2
