"""What ``import dmt`` offers that the configuration decides: default editors, tasks by name, spaces fitted and read."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dmt.cli import build, conf_folder
from dmt.cli.arguments import as_hydra_takes_them, require_names
from dmt.cli.overrides import explain
from dmt.cli.programs import quieten
from dmt.cli.settings import check_settings
from dmt.data import Catalog, Task
from dmt.editing import Editor, Explain, TableEditor
from dmt.errors import UserError
from dmt.manifolds import CatalogFit, Space
from dmt.manifolds.space import read_space
from dmt.networks import Backbone
from dmt.networks.precision import compute_exact_float32
from dmt.reporting.progress import InversionBar, Step, Steps
from dmt.storage.limits import limit

OnStep = Callable[[Step], None]
"""Told how far an edit is."""

BACKBONE = "backbone"  # what a saved space calls the option of conf/backbone, and what else was said of it
DEFAULTS = {"digits": ["experiment=digits"]}  # what goes with a data set


def composed(*overrides: str, command: Sequence[str] | None = None) -> DictConfig:
    """The configuration with some overrides, checked, whatever Hydra application this runs in.

    Args:
        overrides: as on the command line.
        command: those that may name code that is called; ``None``: all.

    Raises:
        UserError: there is no such option or setting, or a value that it does not take.
    """
    require_names(overrides)
    outside = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            cfg = compose("traverse", ["output_dir=outputs", *as_hydra_takes_them(overrides)])
            check_settings(cfg, overrides if command is None else command)
            return cfg
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, overrides, conf_folder(), "traverse") or str(error)) from error
    finally:
        GlobalHydra.instance().clear()
        if outside is not None:
            GlobalHydra.instance().initialize(outside)


@overload
def default_editor(data: Literal["table"], *overrides: str) -> TableEditor: ...  # type: ignore[overload-overlap]


@overload
def default_editor(data: str = ..., *overrides: str, on_progress: OnStep | None = ...) -> Editor: ...


def default_editor(data: str = "lfw", *overrides: str, on_progress: OnStep | None = None) -> Editor | TableEditor:
    """The editor that the command line would use; see ``dmt.Editor.default``."""
    quiet = [] if on_progress is None else ["trainer.enable_progress_bar=false"]
    cfg = composed(*DEFAULTS.get(data, [f"data={data}"]), *quiet, *overrides)
    limit(build.built(cfg.limits))
    if build.is_of_table(cfg):
        return build.table_editor_of(cfg)
    _require_network(cfg)
    _prepare()
    if on_progress is None:
        return build.editor_of(cfg, InversionBar() if cfg.progress else None)
    steps = Steps(on_progress)
    return build.editor_of(cfg, steps, build.DataOf(cfg, on_pictures=steps.pictures))


def require_settings(data: str, *overrides: str) -> None:
    """Check what ``default_editor`` would be told; nothing is read or built.

    Raises:
        UserError: as ``composed``, or the network leaves something open.
    """
    _require_network(composed(f"data={data}", *overrides))


def task(name: str, **options: Any) -> Task:
    """A task by the name of its option of ``conf/task``.

    >>> task("frowning").title
    'more Frowning'
    >>> task("attribute", attribute="Wavy Hair", direction="less").title
    'less Wavy Hair'

    Args:
        name: ``frowning``, ``senior``, ``attribute``, ``person``, ...
        options: what the option leaves open or is to be otherwise.

    Raises:
        UserError: there is no such task, or something that it does not take.
    """
    cfg = composed(f"task={name}")
    for key, value in options.items():
        OmegaConf.update(cfg, f"task.{key}", value, force_add=True)
    check_settings(cfg)
    found = build.task_of(cfg)
    if isinstance(found, Explain):
        raise UserError("task=explain is made by dmt.explain(classifier, ...) in Python: help(dmt.explain)")
    return found


def fit(
    data: Catalog | str,
    *overrides: str,
    backbone: str = "vgg19_hybrid",
    n_components: int | float | None = None,
    layers: list[str] | None = None,
    image_size: int | None = None,
    cache: str | Path | None = None,
) -> Space:
    """Fit the manifold of a data set, or find it where it was fitted before.

    Args:
        data: a catalog, such as ``dmt.Folder("photos")``, or the name of a data set, such as ``lfw``.
        overrides: as on the command line.
        backbone: the network, an option of ``conf/backbone``.
        n_components: how many components are kept, or a share of the variance; ``None``: 512, or half as many as
            there are pictures where that is less.
        layers: of the network; ``None``: conv3_1, conv4_1 and conv5_1 (the paper), or what stands there in a network
            that has no such layers.
        image_size: height and width of the pictures in pixels; ``None``: as the data set's configuration says.
        cache: where features and manifolds are kept; ``None``: ``DMT_CACHE`` or ``~/.cache/dmt``.

    Raises:
        UserError: whatever cannot be done, in one line.
    """
    named = DEFAULTS.get(data, [f"data={data}"]) if isinstance(data, str) else ["data=folder", "data.catalog.root=."]
    cfg = composed(*named, "manifold=pca", f"backbone={backbone}", *overrides)
    _require_network(cfg)
    if layers is not None:
        cfg.layers = layers
    if image_size is not None:
        cfg.data.image_size = image_size
    if cache is not None:
        cfg.cache_dir = str(cache)
    _prepare()
    source = build.DataOf(cfg, None if isinstance(data, str) else data)
    everything = source(None)
    n_pictures = len(everything.catalog.names)
    cfg.manifold.n_components = min(512, max(1, n_pictures // 2)) if n_components is None else n_components
    found = build.space_of(cfg, build.features_of(cfg, everything))
    assert isinstance(found, CatalogFit)
    space = found.space
    chosen = [backbone, *(word for word in overrides if word.startswith("backbone."))]
    return replace(space, fitted_with={**space.fitted_with, BACKBONE: shlex.join(chosen)})


def load_space(path: str | Path, backbone: Backbone | str | None = None) -> Space:
    """Read a space that ``Space.save`` wrote.

    Args:
        path: the file.
        backbone: the network it was fitted with, or an option of ``conf/backbone``; ``None``: as the file says.

    Raises:
        UserError: the file is missing or damaged, or the network is another one.
    """
    file = Path(path).expanduser()
    return read_space(file, partial(_network, command=() if backbone is None else None), backbone)


def _network(chosen: str, command: Sequence[str] | None = None) -> Backbone:
    """The network of an option of ``conf/backbone``, with what else was said of it: ``timm backbone.name=resnet18``."""
    cfg = composed(*shlex.split(f"backbone={chosen}"), command=command)
    _require_network(cfg)
    return build.built(cfg.backbone)


def _require_network(cfg: DictConfig) -> None:
    for key in sorted(OmegaConf.missing_keys(cfg.backbone)):
        raise UserError(f"{key} must be given: {key}=VALUE")


def _prepare() -> None:
    quieten()
    compute_exact_float32()
