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
from dmt.reporting.wandb_run import finish_wandb, log_to_wandb

log = logging.getLogger(__name__)


def log_run(logger: Logger | None, told: Logged, config: Mapping[str, Any]) -> None:
    """Tell the logger all of a run, and end it, so that the next one of a sweep begins anew.

    All loggers are told the same numbers under the same names at the same steps: 0 is the whole run, then follows each
    lambda where there are several. Tables go to wandb alone; they lie beside the run as CSV.
    """
    if isinstance(logger, WandbLogger):
        log_to_wandb(logger, told, config)
        finish_wandb(logger)
    elif isinstance(logger, TensorBoardLogger):
        logger.log_hyperparams(dict(config), metrics=dict(told.numbers), step=0)
        for name, picture in told.pictures.items():
            logger.experiment.add_image(name, np.asarray(picture), 0, dataformats="HWC")
        for number, step in enumerate(told.steps, 1):
            logger.log_metrics(dict(step.numbers), number)
            if step.picture is not None:
                logger.experiment.add_image(step.name, np.asarray(step.picture), number, dataformats="HWC")
        logger.finalize("success")
    elif logger is not None:
        logger.log_hyperparams(dict(config))
        for number, numbers in enumerate([told.numbers, *(step.numbers for step in told.steps)]):
            logger.log_metrics(dict(numbers), number)
        logger.finalize("success")


def csv_logger(save_dir: str | Path, label: RunLabel) -> CSVLogger:
    """Numbers in ``save_dir/metrics/metrics.csv``."""
    return CSVLogger(str(save_dir), name="", version="metrics")


def tensorboard_logger(save_dir: str | Path, label: RunLabel) -> TensorBoardLogger:
    """Event files in ``save_dir/tensorboard``.

    Raises:
        UserError: the package tensorboard is missing.
    """
    if find_spec("tensorboard") is None:
        raise UserError("logger=tensorboard needs the package tensorboard: pip install 'dmt[tensorboard]'")
    return TensorBoardLogger(str(save_dir), name="", version="tensorboard", default_hp_metric=False)
