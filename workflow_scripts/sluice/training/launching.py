"""One process, or several that train together."""

import importlib.util
import os
import subprocess
import sys
from typing import Any

from sluice.errors import ConfigError, TrainingError
from sluice.logs import get_logger
from sluice.settings.training import FineTuneSettings

logger = get_logger(__name__)

_ZERO_STAGES = {"zero2": 2, "zero3": 3}


def relaunch(settings: FineTuneSettings) -> bool:
    """Starts this very command line once per process, where the launcher asks for it.

    A process that a launcher has already started (torchrun, `accelerate launch`, srun with its
    variables) is left as it is.

    Returns:
        Whether the work has been done by the processes that were started.
    Raises:
        ConfigError: launcher and number of processes do not fit together.
        TrainingError: this machine cannot do it, or the processes failed.
    """
    if "LOCAL_RANK" in os.environ:
        return False
    check_launcher(settings)
    if settings.launcher == "none":
        return False
    words = ["-m", "torch.distributed.run", "--standalone", "--no-python"]
    # Without the dashes torchrun would take our --r for a short form of one of its own flags.
    words += ["--nproc-per-node", str(settings.num_processes), "--", sys.executable, *sys.argv]
    logger.info("%d processes (%s)", settings.num_processes, settings.launcher)
    done = subprocess.run([sys.executable, *words], env=_environment(settings), check=False)
    if done.returncode:
        raise TrainingError(
            f"the training processes ended with status {done.returncode}; the reason stands above"
        )
    return True


def check_launcher(settings: FineTuneSettings) -> None:
    """Refuses what would fail late, or silently become something else."""
    if (settings.launcher == "none") != (settings.num_processes == 1):
        raise ConfigError(
            f"'launcher' is {settings.launcher} with {settings.num_processes} processes",
            expected="none with one process, or another launcher with two or more",
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

    num_gpus = torch.cuda.device_count()
    if settings.launcher == "fsdp" and not num_gpus:
        raise TrainingError(
            "launcher fsdp needs GPUs: without them it would silently train as ddp does",
            hint="launcher ddp",
        )
    if num_gpus and settings.num_processes > num_gpus:
        raise TrainingError(
            f"{settings.num_processes} processes for {num_gpus} GPUs", expected="one per GPU"
        )


def _environment(settings: FineTuneSettings) -> dict[str, str]:
    import torch

    environment = dict(os.environ)
    if settings.launcher in _ZERO_STAGES and not torch.cuda.is_available():
        environment["DS_ACCELERATOR"] = "cpu"
    return environment


def launcher_arguments(settings: FineTuneSettings) -> dict[str, Any]:
    """What transformers' TrainingArguments need to know of the launcher."""
    if settings.launcher in _ZERO_STAGES:
        return {"deepspeed": zero_config(settings)}
    if settings.launcher == "fsdp":
        return {
            "fsdp": "full_shard auto_wrap",
            "fsdp_config": {"use_orig_params": True, "state_dict_type": "FULL_STATE_DICT"},
        }
    return {}


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
