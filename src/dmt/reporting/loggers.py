"""What is told of a run -> the experiment logger in use: Weights & Biases, TensorBoard, CSV."""

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from dmt.errors import UserError
from dmt.reporting.logged import Logged
from dmt.reporting.run_label import RunLabel
from dmt.reporting.wandb_run import begin_wandb, finish_wandb, log_to_wandb

log = logging.getLogger(__name__)


class OpenRun:
    """A run that a logger is told of from its beginning to its end.

    All loggers are told the same numbers under the same names at the same steps: a row of what is told on the way
    (``dmt.reporting.live``) each, then the whole run, then each lambda where there are several. Tables go to wandb
    alone; they lie beside the run as CSV.

    Args:
        logger: ``None``: nobody is told.
        config: the run's settings.
    """

    def __init__(self, logger: Logger | None, config: Mapping[str, Any]):
        self._logger, self._n_steps = logger, 0
        if isinstance(logger, WandbLogger):
            begin_wandb(logger, config)
        elif logger is not None:
            logger.log_hyperparams(dict(config))
            logger.save()

    def log(self, numbers: Mapping[str, float]) -> None:
        """Tell numbers on the way, as a step of their own."""
        if isinstance(self._logger, WandbLogger):
            self._logger.experiment.log(dict(numbers))
        elif self._logger is not None:
            self._logger.log_metrics(dict(numbers), self._n_steps)
            self._n_steps += 1

    def tell(self, told: Logged, config: Mapping[str, Any]) -> None:
        """Tell all of the run.

        Args:
            told: numbers, pictures, tables.
            config: the settings again, with what was chosen on the way.
        """
        logger = self._logger
        if isinstance(logger, WandbLogger):
            log_to_wandb(logger, told, config)
        elif isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(dict(config), metrics=dict(told.numbers), step=self._n_steps)
            for name, picture in told.pictures.items():
                logger.experiment.add_image(name, np.asarray(picture), self._n_steps, dataformats="HWC")
            for number, step in enumerate(told.steps, self._n_steps + 1):
                logger.log_metrics(dict(step.numbers), number)
                if step.picture is not None:
                    logger.experiment.add_image(step.name, np.asarray(step.picture), number, dataformats="HWC")
        elif logger is not None:
            logger.log_hyperparams(dict(config))
            rows = [told.numbers, *(step.numbers for step in told.steps)]
            for number, numbers in enumerate(rows, self._n_steps):
                logger.log_metrics(dict(numbers), number)

    def end(self, failed: bool = False, patience: float | None = None) -> None:
        """End it, so that the next one of a sweep begins anew.

        Args:
            failed: or was interrupted; wandb then says that it has failed.
            patience: seconds that this may take; ``None``: as many as it takes.
        """
        if isinstance(self._logger, WandbLogger):
            finish_wandb(self._logger, int(failed), patience)
        elif self._logger is not None:
            self._logger.finalize("failed" if failed else "success")


def csv_logger(save_dir: str | Path, label: RunLabel) -> CSVLogger:
    """Numbers in ``save_dir/metrics/metrics.csv``."""
    return CSVLogger(str(save_dir), name="", version="metrics", flush_logs_every_n_steps=1)


def tensorboard_logger(save_dir: str | Path, label: RunLabel) -> TensorBoardLogger:
    """Event files in ``save_dir/tensorboard``.

    Raises:
        UserError: the package tensorboard is missing.
    """
    if find_spec("tensorboard") is None:
        raise UserError("logger=tensorboard needs the package tensorboard: pip install 'dmt[tensorboard]'")
    return TensorBoardLogger(str(save_dir), name="", version="tensorboard", default_hp_metric=False)
