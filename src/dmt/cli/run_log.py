"""A configuration -> what its run is called, and the logger that is told of it while it works and at its end."""

import hashlib
import json
import logging
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dmt.cli import interruption
from dmt.cli.build import AUTO, built, settings_of
from dmt.reporting.live import Live
from dmt.reporting.logged import Logged
from dmt.reporting.loggers import OpenRun
from dmt.reporting.run_label import RunLabel
from dmt.storage import processes

log = logging.getLogger("dmt")

LONGEST = 120  # characters of a name; wandb takes 128
LONGEST_TAG = 64  # wandb's
PATIENCE = 2.0  # seconds that the logger of an interrupted run has to write what it knows (of the 3.5 that all has)
PACKAGES = ("dmt", "torch", "torchvision", "pytorch-lightning", "numpy", "scipy", "wandb")
# Where things lie and how they are shown; not what comes out
APART = ("output_dir", "data_dir", "weights_dir", "cache_dir", "logger", "progress", "threads", "trainer", "output")
# What a name does not repeat: told otherwise, or of no account
UNNAMED = ("task", "person", "lambda", "experiment", "data", "images", "n_images", "manifold_path", "hydra", *APART)


class RunLog:
    """What the configuration's logger is told of a run; what goes wrong there costs one line, not the run.

    The logger is asked for when the work begins: a run that ends before, since a setting or a file is wrong, leaves
    nothing there. Further processes of a run tell nobody.

    Args:
        cfg: the configuration.
        folder: where the run lies.
        label: what it is called; ``None``: as the configuration says.
    """

    def __init__(self, cfg: DictConfig, folder: Path, label: RunLabel | None = None):
        self._cfg, self._folder, self._label = cfg, folder, label
        self._is_on = bool(cfg.logger) and processes.is_first()
        self._run: OpenRun | None = None
        self.live = Live(self._log)
        """Told how far an edit is."""

    def tell(self, told: Logged, settings: Mapping[str, Any]) -> None:
        """Tell all of the run.

        Args:
            told: what is told.
            settings: the resolved configuration.
        """
        precision = sorted({str(image.record["precision"]) for image in told.images if "precision" in image.record})
        self._guarded(lambda run: run.tell(told, self._config(settings, precision)), settings)

    def end(self, failed: bool = False) -> None:
        """End it; what was interrupted has no time for uploads."""
        if self._run is not None:
            patience = None if interruption.received() is None else PATIENCE
            self._guarded(lambda run: run.end(failed, patience))
        self._is_on = False

    def _log(self, numbers: Mapping[str, float]) -> None:
        self._guarded(lambda run: run.log(numbers))

    def _guarded(self, do: Callable[[OpenRun], None], settings: Mapping[str, Any] | None = None) -> None:
        if not self._is_on:
            return
        try:
            if self._run is None:
                logger = built(self._cfg.logger, _partial_=True)(str(self._folder), self._called())
                self._run = OpenRun(logger, self._config(settings_of(self._cfg) if settings is None else settings))
            do(self._run)
        except Exception as error:  # whatever a logger raises: the results are written, and worth more than it
            self._is_on = False
            said = " ".join(str(error).split()) or type(error).__name__
            log.warning("the logger failed (%s); all results go to %s all the same", said[:200], self._folder)

    def _called(self) -> RunLabel:
        return label_of(self._cfg) if self._label is None else self._label

    def _config(self, settings: Mapping[str, Any], precision: Sequence[str] = ()) -> dict[str, Any]:
        label = self._called()
        about = {
            **{"name": label.name, "group": label.group, "job_type": label.job_type, "tags": list(label.tags)},
            "choices": _choices(),
            "fingerprint": fingerprint_of(settings),
            "precision": list(precision),
            "versions": {"python": platform.python_version(), **_versions()},
        }
        return {**settings, "about": about}


@contextmanager
def run_log(cfg: DictConfig, folder: Path) -> Iterator[RunLog]:
    """The log of a run while it works; whatever ends it early has it marked as failed."""
    running = RunLog(cfg, folder)
    try:
        yield running
    except BaseException:
        running.end(failed=True)
        raise
    running.end()


def log_sweep(config: DictConfig, folder: Path, told: Logged) -> None:
    """Tell the logger of a whole sweep, in the sweep's group."""
    overrides = list(config.hydra.overrides.task)
    varied = [one for one in overrides if not one.startswith(("experiment=", "logger", "progress"))]
    label = RunLabel(_cut(" ".join(["sweep", *varied])), "sweep", group_of(folder))
    running = RunLog(config, folder, label)
    running.tell(told, {"overrides": overrides})
    running.end()


def label_of(cfg: DictConfig) -> RunLabel:
    """What a run is called: ``frowning λ 0.7``, and whatever else was chosen; of a sweep its folder is the group."""
    hydra = HydraConfig.get() if HydraConfig.initialized() else None
    choices = _choices()
    experiment = str(choices.get("experiment") or "")
    kind = kind_of(cfg)
    table = "" if cfg.study is not None or kind != "tables" else Path(str(cfg.data.path).rpartition(":")[2]).stem
    if cfg.study is not None or cfg.figure is not None:
        words = [experiment or kind]
    elif kind == "train":
        words = [f"{choices.get('data', 'data')} {choices.get('manifold', 'manifold')}"]
    else:
        words = [table, task_in_words(cfg.task, str(choices.get("task") or "task"))]
        words += [] if kind == "explain" else [f"λ {_strength(cfg['lambda'])}"]  # which finds its own lambda
    asked = [] if hydra is None else list(hydra.overrides.task)
    words += [one for one in asked if _is_worth_naming(one, bool(cfg.study or cfg.figure))]
    is_sweep = hydra is not None and hydra.mode == RunMode.MULTIRUN
    group = group_of(Path(hydra.sweep.dir)) if hydra is not None and is_sweep else None
    parts = () if cfg.study is not None or kind == "tables" else ("data", "backbone", "method")
    tags = [kind, experiment, table, *(str(choices.get(part) or "") for part in parts)]
    distinct = tuple(dict.fromkeys(tag[:LONGEST_TAG] for tag in tags if tag))
    return RunLabel(_cut(" ".join(word for word in words if word)), kind, group, distinct)


def kind_of(cfg: DictConfig) -> str:
    """The kind of work: the study's name, ``figure``, ``explain``, ``tables``, else the program's."""
    if cfg.study is not None:
        return str(cfg.study["_target_"]).split(".")[2]
    if cfg.figure is not None:
        return "figure"
    target = str(cfg.task.get("_target_", "")).rpartition(".")[2]
    program = HydraConfig.get().job.name if HydraConfig.initialized() else "traverse"
    if program == "train":
        return program
    return {"explain": "explain", "TableTask": "tables"}.get(target, "traverse")


def task_in_words(task: DictConfig, option: str) -> str:
    """A task in a few words.

    >>> task_in_words(OmegaConf.create({"attribute": "Frowning", "direction": "more"}), "frowning")
    'frowning'
    >>> task_in_words(OmegaConf.create({"attribute": "Wavy Hair", "direction": "less"}), "attribute")
    'less wavy hair'
    >>> task_in_words(OmegaConf.create({"source": "3", "target": "8"}), "digits")
    '3 to 8'
    """
    known = {key: task.get(key) for key in ("attribute", "person", "source", "target", "classifier", "classes")}
    parts = [str(name) for name, part in task.items() if OmegaConf.is_dict(part) and "direction" in part]
    if parts:
        words = " and ".join(parts)
    elif known["classifier"]:
        words = f"explain {Path(str(known['classifier'])).stem} {' to '.join(map(str, known['classes'] or []))}".strip()
    elif known["attribute"]:
        words = str(known["attribute"]).lower() if option == "attribute" else option
    elif known["person"]:
        words = str(known["person"])
    elif known["target"] is not None:
        words = f"{known['source']} to {known['target']}" if known["source"] is not None else f"to {known['target']}"
    else:
        words = option
    return f"less {words}" if task.get("direction") == "less" else words


def group_of(sweep: Path) -> str:
    """A sweep's name: the last two parts of its folder, which are its day and its time."""
    return "/".join(sweep.parts[-2:])


def fingerprint_of(settings: Mapping[str, Any]) -> str:
    """Sixteen characters that are the same for all runs that were told to do the same, wherever their files lie."""
    told = {key: value for key, value in settings.items() if key not in APART}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _choices() -> dict[str, str]:
    """The options that were chosen of each group, by the user or by other options."""
    if not HydraConfig.initialized():
        return {}
    found = HydraConfig.get().runtime.choices.items()
    return {str(group): str(option) for group, option in found if "hydra" not in str(group) and option is not None}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _strength(lam: Any) -> str:
    return AUTO if lam == AUTO else f"{float(lam):g}"


def _is_worth_naming(override: str, with_task: bool) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return re.split(r"[.@]", key)[0] not in (UNNAMED[3:] if with_task else UNNAMED)


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
