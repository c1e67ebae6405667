"""A run, told -> Weights & Biases, online or in a folder that is uploaded later."""

import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import wandb
from PIL import Image
from pytorch_lightning.loggers import WandbLogger

from dmt.data import to_pixels
from dmt.editing.records import EditedImage
from dmt.reporting.live import ITERATION, LIVE
from dmt.reporting.logged import BY_LAMBDA, LAMBDA, RESULTS, Logged, captions_of, differences
from dmt.reporting.run_label import RunLabel
from dmt.reporting.tables import columns_of

log = logging.getLogger(__name__)

PROJECT = "dmt"
HOST = "https://api.wandb.ai"
MOST_SHOWN = 256  # images that the table shows; of more it has the numbers (ours: a second and 10 MB)
PICTURES = ("input", "result", "difference")


def wandb_logger(
    save_dir: str | Path,
    label: RunLabel,
    project: str | None = None,
    *,
    name: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    timeout: float = 20,
    upload_timeout: float = 300,
) -> WandbLogger:
    """A wandb run that never asks and never hangs: offline unless somebody is logged in and the server answers.

    What is given here comes first, then wandb's own variables (``WANDB_NAME``, ...), then the label.

    Args:
        save_dir: the run's files go to ``save_dir/wandb``.
        label: what the run is called.
        project: wandb's project; ``None``: ``dmt``.
        name: the run's name.
        group: the group it belongs to.
        tags: besides those of the label.
        timeout: seconds that the server has to answer before the run goes offline.
        upload_timeout: seconds that the upload may take at the end; what is missing then can be uploaded later.
    """
    told = os.environ.get
    settings = wandb.Settings(init_timeout=timeout, silent=True, console="off", save_code=False)
    if "finish_timeout" in wandb.Settings.model_fields:  # wandb of 2026
        settings.finish_timeout, settings.finish_timeout_raises = upload_timeout, True
    settings.mode = told("WANDB_MODE") or ("online" if _is_logged_in() else "offline")  # type: ignore[assignment]
    start = partial(
        wandb.init,
        project=project or told("WANDB_PROJECT") or PROJECT,
        name=name or told("WANDB_NAME") or label.name,
        group=group or told("WANDB_RUN_GROUP") or label.group,
        job_type=told("WANDB_JOB_TYPE") or label.job_type,
        tags=list(dict.fromkeys([*label.tags, *tags, *filter(None, (told("WANDB_TAGS") or "").split(","))])),
        dir=str(save_dir),
        reinit="finish_previous",
    )
    try:
        run = start(settings=settings)
    except (wandb.errors.Error, TimeoutError) as error:
        log.warning("wandb: no answer (%s), so this run is kept offline", str(error).split("\n")[0][:120])
        run = start(settings=settings, mode="offline")
    return WandbLogger(experiment=run)


def begin_wandb(logger: WandbLogger, config: Mapping[str, Any]) -> None:
    """Say what the run does; what it tells on the way is drawn over the iterations that it has made."""
    logger.experiment.config.update(dict(config), allow_val_change=True)
    logger.experiment.define_metric(f"{LIVE}/*", step_metric=ITERATION)


def log_to_wandb(logger: WandbLogger, told: Logged, config: Mapping[str, Any]) -> None:
    """Log all that is told: what is of the whole run at one step, each lambda at a step of its own.

    Pictures go as uint8: wandb does not rescale floats, so that images in [0, 1] would come out black.
    """
    run = logger.experiment
    run.config.update(dict(config), allow_val_change=True)
    pictures = {name: _picture(picture, told.title) for name, picture in told.pictures.items()}
    tables = {name: _table(rows) for name, rows in told.tables.items()}
    if told.images:
        tables[RESULTS] = _table_of_images(told.images)
    run.log({**told.numbers, **pictures, **tables})
    if told.steps:
        run.define_metric(f"{BY_LAMBDA}/*", step_metric=LAMBDA)
    for step in told.steps:
        shown = {} if step.picture is None else {step.name: _picture(step.picture, step.caption)}
        run.log({**step.numbers, **shown})
    if run.offline:
        log.info("wandb: kept offline; upload it with: wandb sync %s", _place(run))


def finish_wandb(logger: WandbLogger, exit_code: int = 0, patience: float | None = None) -> None:
    """End the run; what the server did not take in time is kept.

    Args:
        logger: of the run.
        exit_code: 0: it went well.
        patience: seconds after which it is left as it is; ``None``: the logger's own.
    """
    run = logger.experiment

    def finish() -> None:
        try:
            run.finish(exit_code=exit_code)
        except TimeoutError:
            log.warning("wandb: the upload took too long; upload the rest with: wandb sync %s", _place(run))

    if patience is None:
        finish()
    else:
        ending = Thread(target=finish, daemon=True)
        ending.start()
        ending.join(patience)


def _place(run: Any) -> str:
    return shlex.quote(str(Path(run.settings.sync_dir)))


def _picture(picture: Image.Image | np.ndarray, caption: str | None = None) -> wandb.Image:
    return wandb.Image(np.asarray(picture, dtype=np.uint8), caption=caption)


def _table_of_images(images: Sequence[EditedImage]) -> wandb.Table:
    """A row an image: the input, the result and their difference, then all that is known of it."""
    rows = []
    for number, (image, caption) in enumerate(zip(images, captions_of(images), strict=True)):
        shown: list[Any] = [None] * len(PICTURES)
        if number < MOST_SHOWN:
            parts = to_pixels(image.input), to_pixels(image.result), differences(image)
            shown = [_picture(part, caption) for part in parts]
        rows.append({"image": image.name, **dict(zip(PICTURES, shown, strict=True)), **image.record})
    return _table(rows)


def _table(rows: Sequence[Mapping[str, Any]]) -> wandb.Table:
    """Rows as a table whose columns are of one kind each: pictures, yes and no, numbers, or else words."""
    columns: list[Any] = columns_of(rows)
    cells = [_of_one_kind([row.get(column) for row in rows]) for column in columns]
    return wandb.Table(columns=columns, data=[list(row) for row in zip(*cells, strict=True)])


def _of_one_kind(values: Sequence[Any]) -> list[Any]:
    known = [value for value in values if value is not None and value != ""]
    if all(isinstance(value, wandb.Image | bool) for value in known):
        return [None if value == "" else value for value in values]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return [float(value) if value is not None and value != "" else None for value in values]
    return [None if value is None else str(value) for value in values]


def _is_logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc

    host = urlsplit(os.environ.get("WANDB_BASE_URL") or HOST).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
