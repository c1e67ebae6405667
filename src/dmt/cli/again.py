"""A run -> the command that makes it again."""

import shlex
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


def command_of(cfg: DictConfig) -> str:
    """The command line of a run, quoted for a shell; of a job of a sweep, that job alone.

    A seed that was drawn is in it. Empty outside of Hydra: then Python called, not a command line.
    """
    if not HydraConfig.initialized():
        return ""
    given = [override for override in HydraConfig.get().overrides.task if not _is_seed(override)]
    drawn = len(given) < len(HydraConfig.get().overrides.task)
    return shlex.join([*program(HydraConfig.get().job.name), *given, *([f"seed={cfg.seed}"] if drawn else [])])


def sweep_command(config: DictConfig) -> str:
    """The command line of a whole sweep."""
    return shlex.join([*program(config.hydra.job.name), "-m", *config.hydra.overrides.task])


def program(name: str) -> list[str]:
    """How the user calls a program, ``train`` or ``traverse``."""
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        return ["python", "-m", "dmt", name]
    return ["python", script.name] if script.suffix == ".py" else [f"dmt-{name}"]


def _is_seed(override: str) -> bool:
    return override.lstrip("+").partition("=")[0] == "seed"
