"""Configuration -> objects -> a run; the only module below the entry points that knows Hydra."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from dmt.data import AttributeSplits
from dmt.errors import UserError, require_whole_number
from dmt.modules import EditedBatch, TraversalModule
from dmt.preparation import Preparation, Prepared
from dmt.reporting.loggers import finish, log_images
from dmt.reporting.progress import InversionBar
from dmt.reporting.results import EditedImage, edited_images, mean_record, write_results
from dmt.traversal import check_budget

log = logging.getLogger("dmt")

FULL_ERRORS = os.environ.get("HYDRA_FULL_ERROR") == "1"
LIGHTNING_ADVICE = (  # true of modules that are trained by gradients, as ours are not
    ".*does not have many workers.*",
    ".*configure_optimizers` returned `None`.*",
    r".*module\(s\) in eval mode at the start of training.*",
    ".*LeafSpec.*is deprecated.*",
)


def guarded(main: Callable[[], Any]) -> None:
    """Run a Hydra entry point; what a user can cause ends in one line on stderr and exit code 1.

    ``HYDRA_FULL_ERROR=1`` shows the whole traceback instead.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would otherwise print
    with errors_in_one_line():
        main()


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turn what a user can cause into one line on stderr and exit code 1."""
    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException, OSError) as error:
        if FULL_ERRORS:
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept, and the same command goes on from there", file=sys.stderr)
        sys.exit(130)


def train(cfg: DictConfig) -> None:
    """Fit the manifold of the data set, or find it."""
    folder = _begin(cfg)
    began = time.perf_counter()
    data = _data(cfg, task=None)
    prepared = _preparation(cfg, data).manifold(instantiate(cfg.manifold), cfg.manifold_path)
    logger = _logger(cfg, folder)
    if logger is not None:
        logger.log_hyperparams(_settings(cfg))
        logger.log_metrics(_manifold_metrics(prepared))
    finish(logger)
    log.info("done in %.0f s; edit with: python traverse.py (same options)", time.perf_counter() - began)


def traverse(cfg: DictConfig) -> list[EditedImage]:
    """Edit images; fit what is missing before."""
    budget = check_budget(cfg["lambda"])
    folder = _begin(cfg)
    task = instantiate(cfg.task)
    data = _data(cfg, task)
    preparation = _preparation(cfg, data)
    prepared = preparation.manifold(instantiate(cfg.manifold), cfg.manifold_path)
    codes = preparation.codes(prepared)
    source, target = _present(codes[data.source]), _present(codes[data.target])
    title = f"{task.title}\nlambda' {budget:g}"
    log.info("sets: %d source and %d target images; editing %d", len(source), len(target), len(data.inputs))

    bar = InversionBar(len(data.inputs))
    module = TraversalModule(
        prepared.extractor,
        prepared.manifold,
        source,
        target,
        kernel=instantiate(cfg.kernel),
        budget=budget,
        regularizers=instantiate(cfg.regularizer, _convert_="all"),
        z_solver=instantiate(cfg.solver.traversal),
        pixel_solver=instantiate(cfg.solver.inversion),
        target_features=cfg.target_features,
        weighting=cfg.witness.weighting,
        on_progress=bar if cfg.progress else None,
    )
    trainer = _trainer(cfg)(inference_mode=False, enable_progress_bar=False)
    batches = cast(list[EditedBatch], trainer.predict(module, data.predict_dataloader()))
    bar.close()
    images = edited_images(batches)
    settings = _settings(cfg)
    write_results(folder, images, title, settings)
    logger = _logger(cfg, folder)
    log_images(logger, images, title, settings)
    finish(logger)
    _say(images, folder)
    return images


def _begin(cfg: DictConfig) -> Path:
    """Seed, quieten what talks too much, make the output folder and put the resolved configuration there."""
    if cfg.seed is not None:
        require_whole_number("seed", cfg.seed, "null or a whole number from 0 to 4294967295", 0, 2**32 - 1)
    if cfg.threads is not None:
        require_whole_number("threads", cfg.threads, "null or a whole number above 0", 1, 10**6)
        torch.set_num_threads(cfg.threads)
    pl.seed_everything(cfg.seed, verbose=False)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for advice in LIGHTNING_ADVICE:
        warnings.filterwarnings("ignore", message=advice)
    folder = Path(cfg.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    return folder


def _data(cfg: DictConfig, task: Any) -> AttributeSplits:
    build = instantiate(cfg.data, _partial_=True)
    images = list(cfg.images) if OmegaConf.is_list(cfg.images) else [str(cfg.images)]
    return build(task=task, images=images, n_images=cfg.n_images, seed=cfg.seed)


def _preparation(cfg: DictConfig, data: AttributeSplits) -> Preparation:
    backbone_needs_trainer = "trainer" in cfg.backbone
    backbone = instantiate(cfg.backbone, **({"trainer": _trainer(cfg)} if backbone_needs_trainer else {}))
    return Preparation(
        data,
        backbone,
        list(cfg.layers),
        cfg.normalization,
        cfg.cache_dir,
        _trainer(cfg),
        keep_features=cfg.keep_features,
    )


def _trainer(cfg: DictConfig) -> Callable[..., pl.Trainer]:
    build = instantiate(cfg.trainer, _partial_=True)

    def trainer(**options: Any) -> pl.Trainer:
        try:
            return build(**options)
        except (MisconfigurationException, ValueError) as error:
            raise UserError(f"trainer: {error}") from error

    return trainer


def _logger(cfg: DictConfig, folder: Path) -> Logger | None:
    return instantiate(cfg.logger, save_dir=str(folder)) if cfg.logger else None


def _present(codes: torch.Tensor) -> torch.Tensor:
    return codes[~codes.isnan().any(dim=1)]


def _settings(cfg: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def _manifold_metrics(prepared: Prepared) -> dict[str, float]:
    ratios = prepared.manifold.explained_variance_ratio
    return {"components": len(ratios), "explained_variance": float(ratios.sum())}


def _say(images: list[EditedImage], folder: Path) -> None:
    columns = ("witness_before", "witness_after", "delta", "shrinkage", "psnr", "ssim", "evaluations", "seconds")
    log.info("%-28s %s  converged", "image", " ".join(f"{column:>14}" for column in columns))
    for image in images:
        numbers = " ".join(f"{float(image.record[column]):14.4g}" for column in columns)
        log.info("%-28s %s  %s", Path(image.name).stem[:28], numbers, image.record["stopped"])
    means = mean_record(images)
    log.info("%-28s %s", "mean", " ".join(f"{means.get(column, float('inf')):14.4g}" for column in columns))
    log.info("pictures, grid.png, results.csv, results.json and config.yaml are in %s", folder)


def _one_line(error: BaseException) -> str:
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, UserError | OSError):
        error = error.__cause__
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; free some space or choose another folder (output_dir=PATH, cache_dir=PATH)"
    while not str(error) and error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
