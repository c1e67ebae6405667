"""Where a run or a sweep writes: a folder that nobody else writes into, and that holds no other results."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

RESULTS = ("results.json", "sweep.csv", "columns.safetensors")  # what makes a folder that of a finished run
LOCK = ".in_use"
OF_HYDRA = "hydra:runtime.output_dir"  # output_dir, unless somebody says


@dataclass(frozen=True)
class Claim:
    """A folder that is this run's alone.

    Args:
        folder: it exists.
        wanted: the folder that was asked for.
        lock: held as long as the run lasts; ``None``: the folder was made for it.
    """

    folder: Path
    wanted: Path
    lock: FileLock | None = None

    def release(self) -> None:
        """Let others write there."""
        if self.lock is not None:
            with contextlib.suppress(OSError):
                Path(self.lock.lock_file).unlink()
            self.lock.release()


def made_anew(wanted: Path) -> Claim:
    """A folder that did not exist: the one that is wanted, or with ``-2``, ``-3``, ... behind its name.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "run"
    >>> [made_anew(place).folder.name for _ in range(3)]
    ['run', 'run-2', 'run-3']

    Raises:
        OSError: it cannot be made.
    """
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for folder in _numbered(wanted):
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return Claim(folder, wanted)
    raise AssertionError("numbers do not end")


def claimed(wanted: Path) -> Claim:
    """The folder that is wanted, unless another run writes there or has left results: then the next free number.

    What an interrupted run has left is written over.

    Raises:
        OSError: it cannot be made.
    """
    for folder in _numbered(wanted):
        if folder.exists() and holds_results(folder):
            continue
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        if not holds_results(folder):  # of a run that ended just now
            return Claim(folder, wanted, lock)
        Claim(folder, wanted, lock).release()
    raise AssertionError("numbers do not end")


def holds_results(folder: Path) -> bool:
    """Whether a run, or a job of a sweep, has finished there."""
    return any((folder / name).exists() for name in RESULTS) or any(folder.glob(f"*/{RESULTS[0]}"))


class OutputFolder(Callback):
    """Gives each run and each sweep a folder of its own before Hydra makes it; a sweep's jobs have theirs below it."""

    claim: ClassVar[Claim | None] = None
    sweep: ClassVar[DictConfig | None] = None
    """The configuration of the sweep that has begun."""
    has_told: ClassVar[bool] = False

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _claim(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _claim(config, "sweep")
        OutputFolder.sweep = config

    @classmethod
    def of_job(cls) -> str:
        """Where the job that Hydra runs writes: Hydra's folder.

        A configuration of one's own, as that of an old run, knows nothing of this callback; its folder is claimed here.
        """
        folder = str(HydraConfig.get().runtime.output_dir)
        if cls.claim is None and HydraConfig.get().mode == RunMode.RUN and _is_first():
            cls.claim = claimed(Path(folder))
            return str(cls.claim.folder)
        return folder

    @classmethod
    def forget(cls) -> None:
        """End what was begun."""
        if cls.claim is not None:
            cls.claim.release()
        cls.claim, cls.sweep, cls.has_told = None, None, False

    @classmethod
    def told(cls) -> str | None:
        """What to say, once, where the folder is not the one that was asked for."""
        claim = cls.claim
        if cls.has_told or claim is None or claim.lock is None or claim.folder == claim.wanted:
            return None
        cls.has_told = True
        return f"{claim.wanted} holds or awaits the results of another run; those of this one go to {claim.folder}"


def _claim(config: DictConfig, part: str) -> None:
    """Have Hydra write to a folder of this run's own; ``part`` is ``run`` or ``sweep``.

    Raises:
        SystemExit: it cannot be made; a line has said so.
    """
    if not _is_first():
        return  # that one has a folder for all
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    is_said = OF_HYDRA not in str(plain["output_dir"])
    HydraConfig.instance().set_config(config)  # so that ${hydra:job.name} is known
    setting = f"hydra.{part}.dir"
    wanted = Path(str(config.output_dir if is_said else config.hydra[part].dir))
    is_said = is_said or any(override.startswith(f"{setting}=") for override in config.hydra.overrides.hydra)
    try:
        claim = OutputFolder.claim = claimed(wanted) if is_said else made_anew(wanted)
    except OSError as error:  # of which Hydra would make a warning, and write elsewhere
        place = error.filename or wanted
        print(
            f"error: {place}: {error.strerror or error}; results would go there: name a folder that can be "
            "written with output_dir=PATH",
            file=sys.stderr,
        )
        raise SystemExit(1) from error
    quoted = str(claim.folder).replace("\\", "\\\\").replace("'", "\\'")
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra[part].dir = str(claim.folder)
        config.hydra.overrides.hydra.append(f"{setting}='{quoted}'")  # jobs of a sweep are composed from these


def _is_first() -> bool:
    """Whether this is the first of several processes, which are not there yet when Hydra starts."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) in ("", "0")


def _numbered(wanted: Path) -> Iterator[Path]:
    yield wanted
    wanted = wanted if wanted.name not in ("", "..") else wanted.absolute()
    for number in count(2):
        yield wanted.with_name(f"{wanted.name}-{number}")
