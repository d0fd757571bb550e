"""transformers' Trainer with our own steps, loss, evaluation and checkpoints.

The Trainer divides by accumulation, by tokens or by micro-batch, depending on version and model.
Here a step arrives whole, with its coefficients (`batching.collate`), and nothing is divided after
that: every process adds up the gradient of its share, and the mean over the processes, which all
launchers take, is undone by a factor of their number.
"""

import contextlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, TrainerControl, TrainerState

from sluice.errors import TrainingError
from sluice.logs import LINE_EVERY_S, get_logger
from sluice.settings.training import FineTune
from sluice.training.batching import TrainingSample, collate, lay_out
from sluice.training.history import History

logger = get_logger(__name__)

# Of the time between two checkpoints, at most a tenth goes into writing one.
_SAVING_SHARE = 10


class StepData(Dataset[list[dict[str, Tensor]]]):
    """Step -> the forward passes of one process."""

    def __init__(
        self,
        samples: Sequence[TrainingSample],
        plan: Sequence[Sequence[int]],
        *,
        settings: FineTune,
        mean_weight: float,
        pad_token_id: int,
        process: int = 0,
        num_processes: int = 1,
    ) -> None:
        self._samples = samples
        self._plan = plan
        self._settings = settings
        self._mean_weight = mean_weight
        self._pad_token_id = pad_token_id
        self._process = process
        self._num_processes = num_processes

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, step: int) -> list[dict[str, Tensor]]:
        """The passes of a step; their losses add up to the step's loss over all processes."""
        chosen = [self._samples[index] for index in self._plan[step]]
        is_packed = self._settings.packing
        passes = lay_out(
            [len(sample.input_ids) for sample in chosen],
            batch_size=self._settings.batch_size,
            num_processes=self._num_processes,
            row_tokens=self._settings.max_length if is_packed else None,
        )[self._process]
        return [
            collate(
                [chosen[index] for index in members],
                weight_sum=len(chosen) * self._mean_weight,
                pad_token_id=self._pad_token_id,
                is_packed=is_packed,
            )
            for members in passes
        ]


def _only(rows: list[Any]) -> Any:
    (row,) = rows
    return row


class WeightedTrainer(Trainer):
    """Trains on `StepData`; one item of it is one optimiser step.

    Args:
        model: with `loss.attach_loss`.
        args: one epoch over all steps, accumulation 1.
        steps: the training steps.
        evaluation: one "step" that holds the whole held-out set, or None.
        settings: what to watch and keep.
        history: what happened before an interruption.
        steps_per_epoch: for the epoch shown beside the curve.
    """

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        *,
        steps: StepData,
        evaluation: StepData | None,
        settings: FineTune,
        history: History,
        steps_per_epoch: int,
    ) -> None:
        super().__init__(model=model, args=args, train_dataset=steps)
        self.history = history
        self._evaluation = evaluation
        self._settings = settings
        self._steps_per_epoch = steps_per_epoch
        # It prints what the log and TensorBoard have anyway.
        self.remove_callback(PrinterCallback)
        self.saved_at = time.monotonic()
        self.saving_s = 0.0
        self.add_callback(_Watch(self, settings, has_evaluation=evaluation is not None))

    @property
    def folder(self) -> Path:
        """Where checkpoints and the best weights are."""
        return Path(str(self.args.output_dir))

    def get_train_dataloader(self) -> DataLoader[Any]:
        """One item a step; not shared out by accelerate, since each process makes its own share."""
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=_only)  # type: ignore[arg-type]

    def training_step(
        self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> Tensor:
        """Adds up the gradients of a whole optimiser step; returns this process's part, scaled."""
        model.train()
        total = torch.zeros((), device=self.args.device)
        for number, batch in enumerate(inputs, start=1):
            is_last = number == len(inputs)
            self.accelerator.gradient_state._set_sync_gradients(is_last)
            waiting = contextlib.nullcontext() if is_last else self.accelerator.no_sync(model)
            with waiting:
                loss = self._loss(model, batch) * self.accelerator.num_processes
                self.accelerator.backward(loss)
            total += loss.detach()
        self._note_loss(total)
        return total

    def _loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        with self.compute_loss_context_manager():
            loss: Tensor = model(**self._prepare_inputs(batch))["loss"]
        return loss

    def _note_loss(self, total: Tensor) -> None:
        loss = float(self.accelerator.reduce(total, "mean"))
        self.history.losses.append(loss)
        self.history.learning_rates.append(float(self._get_learning_rate()))
        if not self.history.check_finite():
            raise TrainingError(
                f"the loss of step {self.history.num_steps:,} is {loss}",
                hint="lower learning_rate, or look for samples of extreme length or weight",
            )

    @torch.no_grad()
    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The objective over the held-out samples: sum(w l) / sum(w)."""
        assert self._evaluation is not None, "nothing was held out"
        model = self.model_wrapped
        model.eval()
        total = torch.zeros((), device=self.args.device)
        for batch in self._evaluation[0]:
            total += self._loss(model, batch)
        loss = float(self.accelerator.reduce(total, "sum"))
        self.history.eval_steps.append(self.state.global_step)
        self.history.eval_losses.append(loss)
        if self.history.best_step() == self.state.global_step:
            self._save_best()
        metrics = {"eval_loss": loss}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Notes figures; the epoch is the data's, not that of the single pass over all steps."""
        self.state.epoch = self.state.global_step / self._steps_per_epoch
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted."""
        return 0

    def _save_best(self) -> None:
        target = self.folder / f"best-{self.state.global_step}"
        partial = self.folder / f".partial-{target.name}"
        self.save_model(str(partial), _internal_call=True)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        began = time.monotonic()
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            self.history.save(self.folder / f"checkpoint-{self.state.global_step}")
            # Only now does no checkpoint that may be gone on from name an older one as the best.
            for path in self.folder.glob("best-*"):
                if path.name != f"best-{self.history.best_step()}":
                    shutil.rmtree(path)
        self.saved_at = time.monotonic()
        self.saving_s = self.saved_at - began


class _Watch(TrainerCallback):
    """Decides when to evaluate, to save and to stop, and says how far it is."""

    def __init__(
        self, trainer: WeightedTrainer, settings: FineTune, *, has_evaluation: bool
    ) -> None:
        self._trainer = trainer
        self._settings = settings
        self._has_evaluation = has_evaluation
        self._began = self._said = time.monotonic()
        self._first_step = trainer.history.num_steps

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        is_last = state.global_step >= state.max_steps
        is_due = is_last or state.global_step % self._settings.eval_every == 0
        control.should_evaluate = self._has_evaluation and is_due
        control.should_save = is_last or control.should_evaluate or self._is_time_to_save()
        self._say(state)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        history = self._trainer.history
        logger.info(
            "step %d: eval loss %.4f, best %.4f at step %d",
            *(state.global_step, history.eval_losses[-1]),
            *(min(history.eval_losses), history.best_step()),
        )
        if history.is_over(num_steps=state.max_steps, patience=self._settings.patience):
            control.should_training_stop = True

    def _is_time_to_save(self) -> bool:
        """By the first process's clock, since all must save together."""
        pause = max(self._settings.checkpoint_every_s, _SAVING_SHARE * self._trainer.saving_s)
        is_time = torch.tensor(time.monotonic() - self._trainer.saved_at >= pause)
        if torch.distributed.is_initialized():
            is_time = is_time.to(self._trainer.args.device, torch.uint8)
            torch.distributed.broadcast(is_time, src=0)
        return bool(is_time)

    def _say(self, state: TrainerState) -> None:
        now = time.monotonic()
        if now - self._said < LINE_EVERY_S or not state.is_world_process_zero:
            return
        self._said = now
        rate = (state.global_step - self._first_step) / (now - self._began)
        left_s = (state.max_steps - state.global_step) / rate
        logger.info(
            "step %d of %d, loss %.4f, %.3g steps a second, %.0f s left",
            *(state.global_step, state.max_steps, self._trainer.history.losses[-1], rate, left_s),
        )
