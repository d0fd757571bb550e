"""One process, or several that train together."""

import importlib.util
import os
from typing import Any

from sluice.errors import ConfigError, TrainingError
from sluice.processes import check_device_count, count_launched, is_launched, start_processes
from sluice.settings.training import FineTuneSettings

_ZERO_STAGES = {"zero2": 2, "zero3": 3}


def relaunch(settings: FineTuneSettings) -> bool:
    """Starts this very command line once per process, where the launcher asks for it.

    A process that another launcher has already started (torchrun, `accelerate launch`, srun with
    its variables) goes on, if the settings say the same.

    Returns:
        Whether the work has been done by the processes that were started.
    Raises:
        ConfigError: launcher and number of processes do not fit together.
        TrainingError: this machine cannot do it, or the processes failed.
    """
    if is_launched():
        _check_launched(settings)
    check_launcher(settings)
    if settings.launcher in _ZERO_STAGES:
        _tell_deepspeed_the_device()
    if is_launched() or settings.launcher == "none":
        return False
    start_processes(settings.num_processes, what=settings.launcher)
    return True


def _check_launched(settings: FineTuneSettings) -> None:
    """Refuses another number of processes than the settings': a step would have another size."""
    num_launched = count_launched()
    if num_launched != settings.num_processes:
        raise ConfigError(
            f"{num_launched} processes were started, and 'num_processes' is "
            f"{settings.num_processes}",
            expected="the same number: a step sees batch_size x accumulation x num_processes "
            "samples",
            hint="give both the same number, with --launcher ddp (or zero2, zero3, fsdp); without "
            "another launcher these start the processes themselves",
        )


def check_launcher(settings: FineTuneSettings) -> None:
    """Refuses what would fail late, or silently become something else."""
    if (settings.launcher == "none") != (settings.num_processes == 1):
        raise ConfigError(
            f"'launcher' is {settings.launcher} with {settings.num_processes} processes",
            expected="none with one process, or another launcher with two or more",
            hint="launcher ddp gives each process a whole model, under torchrun too",
        )
    if settings.launcher == "none":
        return
    _check_devices(settings)
    if settings.launcher in _ZERO_STAGES and importlib.util.find_spec("deepspeed") is None:
        raise TrainingError(
            f"launcher {settings.launcher} needs DeepSpeed, which is not installed",
            hint="pip install deepspeed==0.19.8, or launcher ddp (each process holds the model)",
        )
    if settings.launcher in ("zero3", "fsdp") and settings.method == "qlora":
        raise ConfigError(
            f"'method' is qlora with launcher {settings.launcher}, which cannot share out 4-bit "
            "weights",
            hint="launcher ddp or zero2 with qlora, or method lora",
        )


def _check_devices(settings: FineTuneSettings) -> None:
    import torch

    if settings.launcher == "fsdp" and not torch.cuda.is_available():
        raise TrainingError(
            "launcher fsdp needs GPUs: without them it would silently train as ddp does",
            hint="launcher ddp",
        )
    check_device_count(settings.num_processes)


def _tell_deepspeed_the_device() -> None:
    """Must run before DeepSpeed is imported; processes that are started later inherit it."""
    import torch

    if not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"


def launcher_arguments(settings: FineTuneSettings) -> dict[str, Any]:
    """What transformers' TrainingArguments need to know of the launcher."""
    if settings.launcher in _ZERO_STAGES:
        return {"deepspeed": zero_config(settings)}
    if settings.launcher == "fsdp":
        return {
            "fsdp": True,
            "fsdp_config": {"version": 2, "state_dict_type": "FULL_STATE_DICT"},
        }
    return {}


def sum_in_float32(args: Any) -> None:
    """Keeps FSDP from rounding the loss and the sums of gradients to bfloat16.

    accelerate would, and a held-out loss of three digits does not tell which step is the best.

    Args:
        args: transformers' TrainingArguments, for the launcher fsdp and training in bfloat16.
    """
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    args.fsdp_plugin_args["mixed_precision_policy"] = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=torch.float32
    )


def zero_config(settings: FineTuneSettings) -> dict[str, Any]:
    """DeepSpeed's configuration; the optimiser is the Trainer's, so that all launchers agree."""
    import torch

    stage = _ZERO_STAGES[settings.launcher]
    zero: dict[str, Any] = {
        "stage": stage,
        "overlap_comm": torch.cuda.is_available(),
        "contiguous_gradients": True,
    }
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": "auto"},
        "gradient_clipping": settings.max_grad_norm,
        # A step arrives whole (see trainer.py), so that DeepSpeed divides by nothing.
        "gradient_accumulation_steps": 1,
        "train_micro_batch_size_per_gpu": 1,
    }


def is_zero3(settings: FineTuneSettings) -> bool:
    """Whether no process holds whole weights."""
    return settings.launcher == "zero3"
