"""Edits -> the experiment logger in use: Weights & Biases, TensorBoard, CSV."""

import logging
import os
from functools import partial
from pathlib import Path

import numpy as np
import wandb
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from dmt.data import to_pixels
from dmt.editing.records import mean_record
from dmt.reporting.names import short_names
from dmt.reporting.results import Report
from dmt.reporting.tables import columns_of

log = logging.getLogger(__name__)


def wandb_logger(
    save_dir: str | Path, project: str = "dmt", *, name: str | None = None, timeout: float = 20
) -> WandbLogger:
    """A wandb run that never asks and never hangs: offline unless somebody is logged in and the server answers.

    Args:
        save_dir: the run's files go to ``save_dir/wandb``.
        project: wandb's project.
        name: the run's name.
        timeout: seconds that the server has to answer before the run goes offline.
    """
    logged_in = bool(os.environ.get("WANDB_API_KEY")) or _has_stored_key()
    settings = wandb.Settings(init_timeout=timeout, silent=True, console="off", save_code=False)
    settings.mode = os.environ.get("WANDB_MODE") or ("online" if logged_in else "offline")  # type: ignore[assignment]
    start = partial(wandb.init, project=project, name=name, dir=str(save_dir), reinit="finish_previous")
    try:
        run = start(settings=settings)
    except (wandb.errors.Error, TimeoutError) as error:
        log.warning("wandb: no answer (%s), so this run is kept offline", str(error).split("\n")[0][:120])
        run = start(settings=settings, mode="offline")
    if run.offline:
        log.info("wandb: offline in %s; upload it with: wandb sync %s", run.settings.sync_dir, run.settings.sync_dir)
    return WandbLogger(experiment=run)


def log_report(logger: Logger | None, report: Report, settings: dict) -> None:
    """Log the pictures, every image beside its input, the tables, the means and the settings.

    Pictures go as uint8: wandb does not rescale floats, so that images in [0, 1] would come out black.
    """
    if logger is None:
        return
    logger.log_hyperparams(settings)
    if not report.is_of_many_edits:
        logger.log_metrics(mean_record(report.images))
    if isinstance(logger, WandbLogger):
        for name, picture in report.pictures.items():
            logger.log_image(name, [np.asarray(picture)], caption=[report.title])
        if report.images:
            pairs = [(to_pixels(image.input), to_pixels(image.result)) for image in report.images]
            captions = short_names([image.name for image in report.images])
            logger.log_image("edits", [np.concatenate(pair, axis=1) for pair in pairs], caption=captions)
        results = {"results": [image.record for image in report.images]} if report.images else {}
        for name, rows in {**results, **report.tables}.items():
            columns = columns_of(rows)
            logger.log_table(name, columns, [[row.get(column) for column in columns] for row in rows])
    elif isinstance(logger, TensorBoardLogger):
        for name, picture in report.pictures.items():
            logger.experiment.add_image(name, np.asarray(picture), dataformats="HWC")
    logger.save()


def finish(logger: Logger | None) -> None:
    """End the run, so that the next one of a sweep begins anew."""
    if logger is None:
        return
    logger.finalize("success")
    if isinstance(logger, WandbLogger):
        logger.experiment.finish()


def csv_logger(save_dir: str | Path, name: str | None = None) -> CSVLogger:
    """Metrics in ``save_dir/metrics/metrics.csv``."""
    return CSVLogger(str(save_dir), name="", version="metrics")


def tensorboard_logger(save_dir: str | Path, name: str | None = None) -> TensorBoardLogger:
    """Event files in ``save_dir/tensorboard``; needs the package tensorboard."""
    return TensorBoardLogger(str(save_dir), name="", version="tensorboard")


def _has_stored_key() -> bool:
    import netrc

    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
