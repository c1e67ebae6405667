"""What the two programs do: from their arguments to an exit code."""

import errno
import logging
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import hydra
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, open_dict
from pytorch_lightning.strategies import ParallelStrategy

from dmt.cli import build, conf_folder, interruption
from dmt.cli.again import command_of
from dmt.cli.folders import OutputFolder
from dmt.cli.overrides import explain
from dmt.cli.run_log import RunLog, run_log
from dmt.cli.settings import check_settings
from dmt.cli.sweeps import CAUSED_BY_USERS, is_sweep, run_job, summarized
from dmt.data import Task
from dmt.editing import Editor, Explain
from dmt.editing.editor import Edit
from dmt.editing.records import UNJUDGED, unjudged
from dmt.errors import UserError, causes
from dmt.inversion.inverter import OnProgress
from dmt.manifolds import CatalogFit, Space
from dmt.networks.precision import compute_exact_float32
from dmt.reporting.live import Several
from dmt.reporting.logged import SUMMARY, Logged, logged_report
from dmt.reporting.page import where_to_look, write_page
from dmt.reporting.progress import InversionBar
from dmt.reporting.results import Report, write_films, write_report
from dmt.reporting.table_report import answers, table_report
from dmt.reporting.tables import text_table
from dmt.reporting.told import told
from dmt.reporting.verdict_table import notes, verdict_table
from dmt.storage import processes
from dmt.storage.limits import limit

log = logging.getLogger("dmt")

ADVICE_WHEN_FULL = "; free some space or choose another folder (output_dir=PATH, cache_dir=PATH)"
ADVICE_WHERE = "; if something was to be written there, choose another output_dir or cache_dir"
MOST_SAID = 20  # rows whose change is said in the terminal
FULL_ERRORS = os.environ.get("HYDRA_FULL_ERROR") == "1"
ADVICE = (  # of Lightning, true of modules that are trained by gradients, as most of ours are not; and of torch
    ".*does not have many workers.*",
    ".*configure_optimizers` returned `None`.*",
    r".*module\(s\) in eval mode at the start of training.*",
    ".*LeafSpec.*is deprecated.*",
    "The AccumulateGrad node's stream does not match.*",  # of steps that are CUDA graphs, which is as it should be
)


def run(program: str) -> None:
    """Run ``train`` or ``traverse`` with the arguments of the command line.

    What a user can cause ends in one line on stderr and exit code 1; ``HYDRA_FULL_ERROR=1`` shows the whole traceback.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would otherwise print
    job = Job(program, tuple(sys.argv[1:]))
    with errors_in_one_line(job.explained), summarized():
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=program)(job)()


@dataclass(frozen=True)
class Job:
    """What Hydra runs, once or for each job of a sweep, here or in a process of its launcher's.

    Args:
        program: ``train`` or ``traverse``.
        arguments: of the command line.
    """

    program: str
    arguments: tuple[str, ...]

    def __call__(self, cfg: DictConfig) -> None:
        with open_dict(cfg):
            cfg.output_dir = OutputFolder.of_job()
        if told := OutputFolder.told():
            log.warning("%s", told)
        work = partial({"train": train, "traverse": traverse}[self.program], cfg)
        if is_sweep():
            run_job(work, lambda error: self.explained(error) or _one_line(error))
        else:
            with errors_in_one_line(self.explained):
                work()

    def explained(self, error: BaseException) -> str | None:
        """What an error of Hydra's means."""
        return explain(error, self.arguments, conf_folder(), self.program)


@contextmanager
def errors_in_one_line(said_of: Callable[[BaseException], str | None] = lambda error: None) -> Iterator[None]:
    """Turn what a user can cause into one line on stderr and exit code 1.

    Args:
        said_of: what to say of an error; ``None``: what the error says itself.
    """
    try:
        yield
    except CAUSED_BY_USERS as error:
        if FULL_ERRORS or interruption.received() is not None:
            raise
        _say_last(f"error: {said_of(error) or _one_line(error)}")
        sys.exit(1)


def train(cfg: DictConfig) -> None:
    """Fit the manifold of the data set, or find it; or do a study."""
    began = time.perf_counter()
    folder = begin(cfg)
    with run_log(cfg, folder) as running:
        _train(cfg, folder, running, began)


def _train(cfg: DictConfig, folder: Path, running: RunLog, began: float) -> None:
    if cfg.study is not None:
        _do_study(cfg, folder, running)
        log.info("done in %.0f s", time.perf_counter() - began)
        return
    if build.is_of_table(cfg):
        file = folder / "columns.safetensors"
        build.table_editor_of(cfg).fitted_space().save(file)
        log.info("edit with it: python traverse.py manifold_path=%s (same options)", file)
        return
    data = build.DataOf(cfg, on_pictures=running.live.pictures)
    fit = processes.in_turn(lambda: build.space_of(cfg, build.features_of(cfg, data(None))))
    if not isinstance(fit, CatalogFit):
        raise UserError(
            "manifold=span and manifold=local are fitted to the sets of an edit, by traverse.py; "
            "there is nothing to train"
        )
    space = fit.space
    running.tell(Logged("manifold", _manifold_numbers(space)), build.settings_of(cfg))
    log.info(
        "done in %.0f s; edit on it with: python traverse.py manifold=pca (same options)", time.perf_counter() - began
    )


def traverse(cfg: DictConfig) -> Report:
    """Edit images, make a figure of edits, or do a study of them; fit what is missing before."""
    folder = begin(cfg)
    with run_log(cfg, folder) as running:
        return _traverse(cfg, folder, running)


def _traverse(cfg: DictConfig, folder: Path, running: RunLog) -> Report:
    if cfg.study is not None:
        return _do_study(cfg, folder, running)
    if build.is_of_table(cfg):
        return _edit_rows(cfg, folder, running)
    task = build.task_of(cfg)
    bar = InversionBar()
    editor = processes.in_turn(lambda: _editor(cfg, bar, running))
    if cfg.figure is None:
        edit = _edited(cfg, folder, editor, task)
        report = Report.of_edit(edit.title, edit.images)
    else:
        report = build.built(cfg.figure)(editor, task, build.images_of(cfg))
    bar.close()
    if processes.is_first():
        _record(cfg, folder, report, running)
        _say(report, folder)
        if failed := unjudged(report.images):
            raise UserError(f"judges failed, {'; '.join(failed)}; the pictures and all else are written: {folder}")
    return report


def _editor(cfg: DictConfig, bar: InversionBar, running: RunLog) -> Editor:
    """The editor that shows how far it is, if the configuration says so, and tells the logger."""
    listeners: list[OnProgress] = [bar, running.live] if cfg.progress else [running.live]
    return build.editor_of(cfg, Several(listeners), build.DataOf(cfg, on_pictures=running.live.pictures))


def _edited(cfg: DictConfig, folder: Path, editor: Editor, task: Task | Explain) -> Edit:
    """An edit whose pictures lie in the folder before any judge looks at them."""

    def keep(edit: Edit) -> None:
        waiting = [image.with_columns(**{UNJUDGED: "not yet"}) for image in edit.images]
        write_report(folder, Report.of_edit(edit.title, waiting), build.settings_of(cfg), cfg.output.mark)

    images = build.images_of(cfg)
    if isinstance(task, Explain):
        return task(editor, images, finished=keep)
    return editor.edit(task, images, finished=keep if editor.judges else None)


def _edit_rows(cfg: DictConfig, folder: Path, running: RunLog) -> Report:
    """Edit rows of a table."""
    build.require_given(cfg.task)
    edit = build.table_editor_of(cfg).edit(build.built(cfg.task), build.images_of(cfg))
    write_report(folder, Report(edit.title, [], {}, answers(edit)), build.settings_of(cfg))  # a plot may fail
    report = table_report(edit)
    _record(cfg, folder, report, running)
    for record in edit.records[:MOST_SAID]:
        log.info("\nrow %s%s: %s", record["row"], f", plan {record['plan']}" if cfg.plans > 1 else "", record["words"])
    log.info("\n%s", edit.summary)
    _say_where(folder, "rows.png, rows.csv, results.csv, results.json and config.yaml")
    return report


def begin(cfg: DictConfig) -> Path:
    """Check all settings, start all processes, seed, quieten, and write the resolved configuration."""
    check_settings(cfg, HydraConfig.get().overrides.task if HydraConfig.initialized() else None)
    build.rule_of(cfg)
    limit(build.built(cfg.limits))
    quieten()
    told.begin()
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
        build.write_config(cfg, folder / build.CONFIG)
    return folder


def quieten() -> None:
    """Leave out advice of Lightning and torch that is not true of what we do."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for advice in ADVICE:
        warnings.filterwarnings("ignore", message=advice)


def _do_study(cfg: DictConfig, folder: Path, running: RunLog) -> Report:
    settings = build.settings_of(cfg)

    def editor() -> Editor:
        made = _editor(cfg, InversionBar(), running)
        settings.update(build.settings_of(cfg))  # with the layers that layers=auto has chosen
        return made

    study: Callable[..., Report] = build.built(cfg.study)
    report = processes.from_first(lambda: study(build.trainer_of(cfg), editor, settings))
    if processes.is_first():
        _record(cfg, folder, report, running)
        _say_tables(report)
        _say_where(folder, "tables and config.yaml")
    return report


def _start_processes(cfg: DictConfig) -> None:
    """Have Lightning start this command once for each further device; only the first process writes and prints."""
    strategy = build.plain_trainer_of(cfg)().strategy
    if not isinstance(strategy, ParallelStrategy):
        return
    name = cfg.trainer.get("strategy", "auto")
    if name not in ("auto", "ddp"):
        raise UserError(f"trainer.strategy must be auto or ddp, which starts processes, got {name}")
    assert strategy.launcher is not None
    assert strategy.cluster_environment is not None
    if is_sweep() and not strategy.cluster_environment.creates_processes_externally:
        raise UserError(
            "a sweep (-m) cannot start processes for its jobs; run them one by one, or leave trainer.devices=1"
        )
    logging.getLogger("lightning_fabric.utilities.distributed").setLevel(logging.WARNING)
    if not strategy.cluster_environment.creates_processes_externally:
        os.environ[interruption.STARTER] = str(os.getpid())
    os.environ["HYDRA_FULL_ERROR"] = str(int(FULL_ERRORS))  # what the others shall see
    strategy.launcher.launch(strategy.setup_environment)
    os.environ.pop(interruption.STARTER, None)
    os.environ["HYDRA_FULL_ERROR"] = "1"
    if not processes.is_first():
        logging.disable()
        warnings.simplefilter("ignore")


def _record(cfg: DictConfig, folder: Path, report: Report, running: RunLog) -> None:
    """Write a report, then log it; nothing that fails then takes away what is written.

    Raises:
        UserError: films failed.
    """
    settings = build.settings_of(cfg)
    saved = write_report(folder, report, settings, cfg.output.mark)
    failed = []
    if cfg.output.page:
        log.info("writing the page")
        write_page(folder, report, saved, command_of(cfg), told.of_results, told.of_run)
    if cfg.output.animation != "none":
        failed += _failure("films", partial(write_films, folder, report, saved, cfg.output.animation))
    running.tell(logged_report(report), settings)
    if failed:
        _say(report, folder)
        raise UserError(f"{'; '.join(failed)}; the pictures and tables are written: {folder}")


def _failure(what: str, work: Callable[[], None]) -> list[str]:
    """What a part that other programs do said when it failed; empty if it did not."""
    try:
        work()
    except Exception as error:
        if FULL_ERRORS:
            raise
        return [f"{what} failed ({_one_line(error) or type(error).__name__})"]
    return []


def _manifold_numbers(space: Space) -> dict[str, float]:
    ratios = space.manifold.explained_variance_ratio
    return {f"{SUMMARY}/components": float(len(ratios)), f"{SUMMARY}/explained_variance": float(ratios.sum())}


def _say(report: Report, folder: Path) -> None:
    if report.images:
        log.info("\n%s", verdict_table(report.images))
        for line in notes(report.images):
            log.info("%s", line)
    _say_tables(report)
    shown = ", ".join(f"{name}.png" for name in report.pictures)
    _say_where(folder, f"pictures, {shown}, results.csv, results.json and config.yaml")


def _say_where(folder: Path, files: str) -> None:
    """The last line of a run: what to open, and what else there is."""
    log.info("%s", where_to_look(folder, files))


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
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"{place}{error.strerror}{ADVICE_WHEN_FULL}"
        is_no_place = error.errno in (errno.ENOTDIR, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)
        return f"{place}{error.strerror}" + (ADVICE_WHERE if is_no_place else "")
    said = next((str(each) for each in causes(error) if str(each)), "")
    return " ".join(said.split())
