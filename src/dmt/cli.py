"""Configuration -> objects -> a run; the only module below the entry points that knows Hydra."""

import logging
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import ParallelStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from dmt.data import AttributeSplits
from dmt.editing.choices import BudgetChoice, FixedBudget
from dmt.editing.editor import Editor
from dmt.editing.records import mean_record
from dmt.editing.traversal_module import TraversalModule
from dmt.errors import UserError, require_whole_number
from dmt.manifolds import Span
from dmt.manifolds.grounds import CatalogGrounds, Grounds, SetGrounds
from dmt.manifolds.preparation import Preparation, Prepared
from dmt.networks import Backbone
from dmt.networks.precision import compute_exact_float32, working_precision
from dmt.reporting.animation import require_writer
from dmt.reporting.loggers import finish, log_report
from dmt.reporting.progress import InversionBar
from dmt.reporting.results import Report, write_report
from dmt.reporting.sweep import summarize_sweep
from dmt.reporting.tables import text_table
from dmt.storage import processes
from dmt.studies.layers import LayerScores, score_table
from dmt.traversal.walks import check_budget

log = logging.getLogger("dmt")

AUTO = "auto"  # in place of a list of layers: see dmt.studies.layers.choose_layers

FULL_ERRORS = os.environ.get("HYDRA_FULL_ERROR") == "1"
ADVICE = (  # of Lightning, true of modules that are trained by gradients, as most of ours are not; and of torch
    ".*does not have many workers.*",
    ".*configure_optimizers` returned `None`.*",
    r".*module\(s\) in eval mode at the start of training.*",
    ".*LeafSpec.*is deprecated.*",
    "The AccumulateGrad node's stream does not match.*",  # of steps that are CUDA graphs, which is as it should be
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
        _say_last(f"error: {_one_line(error)}")
        sys.exit(1)
    except KeyboardInterrupt:
        _say_last("interrupted; what was finished is kept, and the same command goes on from there")
        sys.exit(130)


def train(cfg: DictConfig) -> None:
    """Fit the manifold of the data set, or find it; or do a study of networks."""
    folder = _begin(cfg)
    began = time.perf_counter()
    if cfg.study is not None:
        editor = partial(_editor, cfg, _budget(cfg), InversionBar())
        study = instantiate(cfg.study, _convert_="all")
        report = processes.from_first(lambda: study(_trainer(cfg), editor))
        if processes.is_first():
            _record(cfg, folder, report)
            _say_tables(report)
        log.info("done in %.0f s; tables and config.yaml are in %s", time.perf_counter() - began, folder)
        return
    grounds = processes.in_turn(lambda: _grounds(cfg, _preparation(cfg, _splits(cfg)(task=None))))
    if not isinstance(grounds, CatalogGrounds):
        raise UserError("manifold=span is fitted to the sets of an edit, by traverse.py; there is nothing to train")
    prepared = grounds.prepared
    logger = _logger(cfg, folder) if processes.is_first() else None
    if logger is not None:
        logger.log_hyperparams(_settings(cfg))
        logger.log_metrics(_manifold_metrics(prepared))
    finish(logger)
    log.info("done in %.0f s; edit with: python traverse.py (same options)", time.perf_counter() - began)


def traverse(cfg: DictConfig) -> Report:
    """Edit images, or make a figure of edits; fit what is missing before."""
    budget = _budget(cfg)
    folder = _begin(cfg)
    task = instantiate(cfg.task)
    bar = InversionBar()
    editor = processes.in_turn(lambda: _editor(cfg, budget, bar))
    if cfg.figure is None:
        edit = editor.edit(task, _images(cfg), cfg.n_images)
        report = Report.of_edit(edit.title, edit.images)
    else:
        report = instantiate(cfg.figure, _convert_="all")(editor, task, _images(cfg), cfg.n_images)
    bar.close()
    if processes.is_first():
        _record(cfg, folder, report)
        _say(report, folder)
    return report


class CombinedReport(Callback):
    """Ends a sweep with one grid and one table of all its runs."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        summary = summarize_sweep(folder)
        if summary is None:
            return
        log.info("\nthe whole sweep\n%s\nsweep.png and sweep.csv are in %s", summary, folder)
        logger = _logger(config, folder)
        log_report(logger, Report("sweep", [], {"sweep": summary.grid}, {"sweep_runs": summary.rows}), {})
        finish(logger)


def _budget(cfg: DictConfig) -> BudgetChoice:
    if cfg["lambda"] == "auto":
        return instantiate(cfg.auto)
    return FixedBudget(check_budget(cfg["lambda"]))


def _editor(cfg: DictConfig, budget: BudgetChoice, bar: InversionBar) -> Editor:
    splits = _splits(cfg)
    method = instantiate(cfg.method)
    return Editor(
        splits,
        _grounds(cfg, _preparation(cfg, splits(task=None))),
        method,
        instantiate(cfg.selection),
        instantiate(cfg.kernel),
        cfg.witness.weighting,
        budget,
        instantiate(cfg.regularizer, _convert_="all"),
        instantiate(cfg.solver.inversion),
        _trainer(cfg),
        instantiate(cfg.judges, _convert_="all"),
        bar if cfg.progress and processes.is_first() else None,
        _frames(cfg, method),
        cfg.precision,
        instantiate(cfg.parametrization),
        cfg.match_colors,
        None if cfg.keep is None else [str(label) for label in cfg.keep],
        _settings(cfg),
    )


def _splits(cfg: DictConfig) -> Callable[..., AttributeSplits]:
    return partial(instantiate(cfg.data, _partial_=True), seed=cfg.seed)


def _frames(cfg: DictConfig, method: Any) -> int:
    kind, count = cfg.output.animation, cfg.output.frames
    if kind == "none":
        return 0
    if kind not in ("gif", "mp4"):
        raise UserError(f"output.animation must be none, gif or mp4, got {kind}")
    if not issubclass(method.func, TraversalModule):
        raise UserError(f"output.animation={kind} needs a walk: method=dmt or method=linear")
    if OmegaConf.select(cfg, "method.walk.alpha") is not None:
        raise UserError(f"output.animation={kind} shows the way as lambda falls; leave method.walk.alpha=null")
    require_whole_number("output.frames", count, "a whole number, 0 or more", least=0)
    require_writer(kind)
    return count


def _grounds(cfg: DictConfig, preparation: Preparation) -> Grounds:
    empty = instantiate(cfg.manifold)
    if isinstance(empty, Span):
        if cfg.manifold_path is not None:
            raise UserError("manifold=span is fitted anew for every edit; leave manifold_path=null")
        return SetGrounds(preparation, empty.z_score)
    return CatalogGrounds(preparation, empty, cfg.manifold_path)


def _begin(cfg: DictConfig) -> Path:
    """Start all processes, seed, quieten, make the output folder and put the resolved configuration there."""
    if cfg.seed is not None:
        require_whole_number("seed", cfg.seed, "null or a whole number from 0 to 4294967295", 0, 2**32 - 1)
    if cfg.threads is not None:
        require_whole_number("threads", cfg.threads, "null or a whole number above 0", 1, 10**6)
    working_precision(cfg.precision, torch.device("cpu"))  # an unknown name is said before any work
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for advice in ADVICE:
        warnings.filterwarnings("ignore", message=advice)
    _start_processes(cfg)
    if cfg.seed is None:
        cfg.seed = processes.from_first(lambda: random.randrange(2**32))
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    compute_exact_float32()
    pl.seed_everything(cfg.seed, verbose=False)
    folder = Path(cfg.output_dir)
    if processes.is_first():
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    return folder


def _start_processes(cfg: DictConfig) -> None:
    """Have Lightning start this command once for each further device; only the first process writes and prints."""
    strategy = _make_trainer(cfg)().strategy
    if not isinstance(strategy, ParallelStrategy):
        return
    name = cfg.trainer.get("strategy", "auto")
    if name not in ("auto", "ddp"):
        raise UserError(f"trainer.strategy must be auto or ddp, which starts processes, got {name}")
    is_sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    assert strategy.launcher is not None
    assert strategy.cluster_environment is not None
    if is_sweep and not strategy.cluster_environment.creates_processes_externally:
        raise UserError(
            "a sweep (-m) cannot start processes for its jobs; run them one by one, or leave trainer=default"
        )
    logging.getLogger("lightning_fabric.utilities.distributed").setLevel(logging.WARNING)
    os.environ["HYDRA_FULL_ERROR"] = str(int(FULL_ERRORS))  # what the others shall see
    strategy.launcher.launch(strategy.setup_environment)
    os.environ["HYDRA_FULL_ERROR"] = "1"
    if not processes.is_first():
        logging.disable()
        warnings.simplefilter("ignore")


def _images(cfg: DictConfig) -> list[str]:
    return [str(image) for image in cfg.images] if OmegaConf.is_list(cfg.images) else [str(cfg.images)]


def _preparation(cfg: DictConfig, data: AttributeSplits) -> Preparation:
    backbone = instantiate(cfg.backbone)
    if cfg.feature_layers == AUTO:
        _choose_layers(cfg, data, backbone)
    return Preparation(
        data,
        backbone,
        list(cfg.feature_layers),
        cfg.normalization,
        cfg.cache_dir,
        _trainer(cfg),
        layer_weights=cfg.layer_weights,
        keep_features=cfg.keep_features,
    )


def _choose_layers(cfg: DictConfig, data: AttributeSplits, backbone: Backbone) -> None:
    """Put the layers that the scores speak for into the configuration, and what is kept of it."""
    scores: LayerScores = instantiate(cfg.scores, _convert_="all")
    found = scores.measure(backbone, data, _trainer(cfg), cfg.cache_dir)
    cfg.feature_layers = scores.choose(found)
    log.info("layers=auto: %s\n%s", ", ".join(cfg.feature_layers), text_table(score_table(found, cfg.feature_layers)))
    if processes.is_first():
        OmegaConf.save(cfg, Path(cfg.output_dir) / "config.yaml", resolve=True)


def _trainer(cfg: DictConfig) -> Callable[..., pl.Trainer]:
    """Makes trainers; among several processes each has one device, for no gradients are averaged."""
    build = _make_trainer(cfg)
    strategy = build().strategy
    if not isinstance(strategy, ParallelStrategy):
        return build
    device = strategy.root_device
    alone = {"strategy": "auto", "num_nodes": 1, "devices": 1 if device.type == "cpu" else [device.index]}
    quiet = {} if processes.is_first() else {"enable_progress_bar": False}
    return lambda **options: build(**{**options, **alone, **quiet})


def _make_trainer(cfg: DictConfig) -> Callable[..., pl.Trainer]:
    build = instantiate(cfg.trainer, _partial_=True)

    def trainer(**options: Any) -> pl.Trainer:
        try:
            return build(**options)
        except (MisconfigurationException, ValueError) as error:
            raise UserError(f"trainer: {error}") from error

    return trainer


def _logger(cfg: DictConfig, folder: Path) -> Logger | None:
    return instantiate(cfg.logger, save_dir=str(folder)) if cfg.logger else None


def _settings(cfg: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def _record(cfg: DictConfig, folder: Path, report: Report) -> None:
    """Write a report and log it."""
    settings = _settings(cfg)
    write_report(folder, report, settings, cfg.output.animation)
    logger = _logger(cfg, folder)
    log_report(logger, report, settings)
    finish(logger)


def _manifold_metrics(prepared: Prepared) -> dict[str, float]:
    ratios = prepared.manifold.explained_variance_ratio
    return {"components": len(ratios), "explained_variance": float(ratios.sum())}


def _say(report: Report, folder: Path) -> None:
    columns = ("witness_before", "witness_after", "delta", "shrinkage", "psnr", "ssim", "evaluations", "seconds")
    log.info("%-28s %s  converged", "image", " ".join(f"{column:>14}" for column in columns))
    for image in report.images:
        numbers = " ".join(f"{float(image.record[column]):14.4g}" for column in columns)
        log.info("%-28s %s  %s %s", Path(image.name).stem[:28], numbers, image.record["stopped"], image.edit)
    if not report.is_of_many_edits:
        means = mean_record(report.images)
        log.info("%-28s %s", "mean", " ".join(f"{means.get(column, float('inf')):14.4g}" for column in columns))
    _say_tables(report)
    shown = ", ".join(f"{name}.png" for name in report.pictures)
    log.info("pictures, %s, results.csv, results.json and config.yaml are in %s", shown, folder)


def _say_tables(report: Report) -> None:
    for name, rows in report.tables.items():
        log.info("\n%s\n%s", name, text_table(rows))


def _say_last(message: str) -> None:
    if processes.is_first():
        print(message, file=sys.stderr)


def _one_line(error: BaseException) -> str:
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, UserError | OSError):
        error = error.__cause__
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; free some space or choose another folder (output_dir=PATH, cache_dir=PATH)"
    while not str(error) and error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
