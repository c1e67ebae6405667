"""The jobs of a sweep: what is wrong with one does not stop the others, and is told at the end."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from dmt.cli import interruption
from dmt.cli.again import sweep_command
from dmt.cli.folders import OutputFolder
from dmt.cli.run_log import log_sweep
from dmt.errors import UserError
from dmt.reporting.logged import logged_sweep
from dmt.reporting.page import where_to_look, write_sweep_page
from dmt.reporting.sweep import note_outcome, summarize_sweep

log = logging.getLogger("dmt")
CAUSED_BY_USERS = (UserError, HydraException, OmegaConfBaseException, OSError)


def is_sweep() -> bool:
    """Whether this is a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def run_job(job: Callable[[], object], said_of: Callable[[BaseException], str]) -> None:
    """Do one job of a sweep, and note beside its results how it ended.

    Args:
        job: what is to be done.
        said_of: what an error says, in a line.
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    interruption.ignore_interrupts_of_launchers()
    try:
        job()
    except (Exception, SystemExit) as error:
        if interruption.received() is not None:
            note_outcome(folder, "interrupted")
            raise
        message = said_of(error) if isinstance(error, CAUSED_BY_USERS) else _unexpected(error)
        note_outcome(folder, message)
        log.error("job %s (%s) failed: %s", hydra.job.num, hydra.job.override_dirname, message)
        if not isinstance(error, CAUSED_BY_USERS):
            log.error("%s", "".join(traceback.format_exception(error)))
    except BaseException:
        note_outcome(folder, "interrupted")
        raise
    else:
        note_outcome(folder, "")


@contextmanager
def summarized() -> Iterator[None]:
    """End a sweep, however it ends, with one grid and one table of all its jobs.

    Raises:
        UserError: a job failed.
    """
    try:
        yield
    except BaseException as error:
        if OutputFolder.sweep is None:
            raise
        is_end = interruption.received() is not None or not isinstance(error, Exception)
        _summary(OutputFolder.sweep, is_whole=False)
        if is_end or isinstance(error, CAUSED_BY_USERS):
            raise
        raise UserError(f"the sweep ended early: {_unexpected(error)}") from error
    else:
        if OutputFolder.sweep is not None:
            _require_success(_summary(OutputFolder.sweep), Path(OutputFolder.sweep.hydra.sweep.dir))
    finally:
        OutputFolder.forget()


def _summary(config: DictConfig, is_whole: bool = True) -> dict[str, str]:
    """Write, say and log what the jobs of a sweep have left; the failed ones with what they said.

    Of a sweep that is not whole nothing is logged, which may take longer than there is time.
    """
    folder = Path(config.hydra.sweep.dir)
    summary = summarize_sweep(folder, 2 if is_whole else 1)
    if summary is None:
        return {}
    if config.output.page:
        write_sweep_page(folder, summary, sweep_command(config))
    files = "results of all runs, sweep.csv" if summary.grid is None else "results of all runs, sweep.png and sweep.csv"
    title = "the whole sweep" if is_whole else "what is done of the sweep"
    log.info("\n%s\n%s\n%s", title, summary, where_to_look(folder, files))
    if is_whole:
        log_sweep(config, folder, logged_sweep(summary))
    return dict(summary.failed)


def _require_success(failed: dict[str, str], folder: Path) -> None:
    if failed:
        named = "; ".join(f"{job}: {message}" for job, message in failed.items())
        raise UserError(f"{len(failed)} of the sweep's jobs failed, {named}; the results of the others are in {folder}")


def _unexpected(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
