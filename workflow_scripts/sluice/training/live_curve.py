"""The curve of a training in MLflow while it trains.

Training never depends on the store: where it does not answer, one warning stands in the log and
the curve is missing there. The finished training is noted from its files by `track_results`.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers.integrations.integration_utils import MLflowCallback

from sluice.errors import TrackingError
from sluice.files import write_text
from sluice.logs import get_logger
from sluice.mlflow_store import open_store, require_mlflow, with_lock_timeout
from sluice.settings.tracking import TrackResults

logger = get_logger(__name__)

LIVE_TAG = "sluice.live"
_RUN_FILE = "mlflow_run_id"


class LiveCurve(MLflowCallback):
    """The Trainer's own MLflow callback; it can neither stop a training nor be doubled by a kill.

    Store and experiment come from MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME, which the
    workflow sets from `tracking:`; without them they are that section's defaults.

    Args:
        name: the adapter's.
        state: the training's state folder, which keeps the run's id.

    Raises:
        TrackingError: MLflow is not installed.
    """

    def __init__(self, *, name: str, state: Path) -> None:
        require_mlflow()
        super().__init__()  # type: ignore[no-untyped-call]
        self._name = name
        self._run_file = state / _RUN_FILE
        self._is_on = True

    def setup(self, args: Any, state: Any, model: Any) -> None:
        """Begins the run, or goes on with that of an interrupted training."""
        self._initialized = True
        if state.is_world_process_zero:
            self._guard(self._begin)
            self._guard(lambda: super(LiveCurve, self).setup(args, state, model))  # type: ignore[no-untyped-call]

    def on_log(self, *args: Any, **rest: Any) -> None:
        """Notes the figures of a step."""
        self._guard(lambda: super(LiveCurve, self).on_log(*args, **rest))  # type: ignore[no-untyped-call]

    def on_train_end(self, *args: Any, **rest: Any) -> None:
        """Ends the run."""
        self._guard(self._ml_flow.end_run)

    def _begin(self) -> None:
        defaults = TrackResults()
        uri = os.environ.get("MLFLOW_TRACKING_URI", defaults.tracking_uri)
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", defaults.experiment)
        _, experiment_id = open_store(uri, experiment)
        self._ml_flow.set_tracking_uri(with_lock_timeout(uri))
        known = self._run_file.read_text() if self._run_file.is_file() else None
        run = self._ml_flow.start_run(
            run_id=known,
            experiment_id=experiment_id,
            run_name=f"train {self._name} (live)",
            tags={LIVE_TAG: f"training/adapter/{self._name}"},
        )
        write_text(self._run_file, run.info.run_id)

    def _guard(self, work: Callable[[], object]) -> None:
        from mlflow.exceptions import MlflowException

        if not self._is_on:
            return
        try:
            work()
        except (MlflowException, TrackingError, OSError) as error:
            self._is_on = False
            reason = str(error).partition("\n")[0]
            logger.warning("the curve is not in MLflow: %s; training goes on without", reason)
