"""A composed configuration -> the objects that it describes."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.strategies import ParallelStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from dmt.data import EditData, PictureLike, Task
from dmt.data.catalogs import FileCatalog
from dmt.editing import Comparison, Editor, Explain, FixedLambda, LambdaRule, TableEditor, TraversalModule
from dmt.editing.module import EditModule
from dmt.errors import UserError, nearest_name, require_whole_number
from dmt.inversion import Inverter
from dmt.inversion.inverter import OnProgress
from dmt.manifolds import CatalogFeatures, CatalogFit, Places, SetFit, SpaceFit, Span
from dmt.manifolds.columns import Columns, ColumnSpace
from dmt.networks import Backbone, ModuleNetwork
from dmt.networks.extractor import FeatureExtractor
from dmt.networks.module_network import CLASS
from dmt.networks.network import require_layers
from dmt.reporting.animation import require_writer
from dmt.reporting.progress import in_lines_without_terminal
from dmt.reporting.tables import text_table
from dmt.storage import processes
from dmt.storage.files import write_text
from dmt.studies.layers import LayerScores, score_table

log = logging.getLogger("dmt")

AUTO = "auto"  # in place of lambda, or of a list of layers
PAPER_LAYERS = "conv345"  # the default of conf/base.yaml
PAPER_LOW_LAYERS = ["conv1_1", "conv2_1"]  # the regularizers' default
# Of another network (ours):
COARSEST = 20  # pixels from place to place: a sixteenth of the picture's resolution, rounded
UPPER = (0.45, 0.7, 0.95)  # shares of its layers, from pixels upwards
LOW = (0.0, 0.2)
CONFIG = "config.yaml"  # in the folder of a run
SMALLEST, LARGEST = 32, 128  # pixels at which pictures are edited unless somebody says (ours: larger ones take longer)


def built(node: Any, place: str = "", **options: Any) -> Any:
    """The object that a part of the configuration describes.

    Args:
        node: the part.
        place: of a part that has lost its own: where it stands in the configuration.
        options: what is handed over beside it.

    Raises:
        UserError: a value that the object does not take; its place in the configuration is named.
    """
    try:
        return instantiate(node, _convert_="all", **options)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise UserError(_located(str(error.__cause__), str(error), place)) from error
        raise


def _located(message: str, report: str, place: str) -> str:
    """A message with the place in the configuration that Hydra reports: ``method.walk.alpha must be ...``."""
    below = report.rpartition("full_key:")[2].strip() if "full_key:" in report else ""
    return _at(".".join(part for part in (place, below) if part), message)


def _at(place: str, message: str) -> str:
    name, _, rest = message.partition(" ")
    if not place or name.startswith(place):
        return message
    return f"{place}.{message}" if name.isidentifier() and rest.startswith("must be ") else f"{place}: {message}"


def rule_of(cfg: DictConfig) -> LambdaRule:
    """How lambda is chosen."""
    return built(cfg.auto) if cfg["lambda"] == AUTO else FixedLambda(cfg["lambda"])


def images_of(cfg: DictConfig) -> list[str] | int:
    """The images asked for by name, or how many are drawn."""
    named = [str(image) for image in cfg.images] if OmegaConf.is_list(cfg.images) else [str(cfg.images)]
    return named or cfg.n_images


def task_of(cfg: DictConfig) -> Task | Explain:
    """Which way to walk, or which classifier to explain."""
    return built(cfg.task)


def editor_of(cfg: DictConfig, on_progress: OnProgress | None = None, data: "DataOf | None" = None) -> Editor:
    """The editor; what is missing of its space is fitted when it first edits.

    Args:
        cfg: the configuration.
        on_progress: told about the inversion after every iteration.
        data: makes the data; ``None``: as the configuration says.
    """
    method = method_of(cfg)
    comparison = Comparison(
        built(cfg.kernel),
        built(cfg.selection) or None,
        cfg.witness.weighting,
        None if cfg.keep is None else [str(label) for label in cfg.keep],
    )
    inverter = Inverter(
        built(cfg.regularizer),
        built(cfg.solver.inversion),
        cfg.precision,
        built(cfg.parametrization),
        on_progress if processes.is_first() else None,
        built(cfg.realise),
    )
    data = data or DataOf(cfg)  # after all that is said without a look at pictures
    features = features_of(cfg, data(None))
    if settle_low_layers(cfg, features.backbone):
        inverter = replace(inverter, regularizers=built(cfg.regularizer))
    return Editor(
        data=data,
        space=space_of(cfg, features),
        method=method,
        comparison=comparison,
        rule=rule_of(cfg),
        inverter=inverter,
        trainer=trainer_of(cfg),
        judges=built(cfg.judges),
    )


def table_editor_of(cfg: DictConfig) -> TableEditor:
    """The editor of rows of a table."""
    require_given(cfg.data)
    space = built(cfg.manifold) if cfg.manifold_path is None else ColumnSpace.load(cfg.manifold_path)
    if not isinstance(space, Columns | ColumnSpace):  # train.py's own choice, of pictures
        space = Columns()
    return TableEditor(
        table=built(cfg.data),
        constraints=built(cfg.constraints),
        kernel=built(cfg.kernel),
        solver=built(cfg.solver.traversal),
        rule=rule_of(cfg),
        plans=cfg.plans,
        space=space,
    )


def is_of_table(cfg: DictConfig) -> bool:
    """Whether rows of a table are edited; raises ``UserError`` where data and task are not both of tables."""
    ours = [
        str(cfg[part].get("_target_", "")).rpartition(".")[2] in ("Table", "TableTask") for part in ("data", "task")
    ]
    if any(ours) and not all(ours):
        raise UserError("data=table and task=table go together; write both, or neither")
    return all(ours)


def require_given(part: DictConfig) -> None:
    """Raise a ``UserError`` where something must be given and is not."""
    for key in sorted(OmegaConf.missing_keys(part)):
        raise UserError(f"{key} must be given: {key}=VALUE")


class DataOf:
    """Makes the data that a configuration describes; a ``dmt.editing.editor.DataSource``.

    Args:
        cfg: the configuration.
        catalog: the pictures; ``None``: as the configuration says.
        on_pictures: see ``dmt.data.Serving``.
    """

    def __init__(self, cfg: DictConfig, catalog: Any = None, on_pictures: Callable[[int, int], None] | None = None):
        require_given(cfg.data)
        options = OmegaConf.to_container(cfg.data, resolve=True)
        assert isinstance(options, dict)
        if catalog is not None:
            del options["catalog"]
        make = built(OmegaConf.create(options), "data", _partial_=True)
        if cfg.data.get("image_size", 0) is None:
            cfg.data.image_size = make.keywords["image_size"] = _usual_size(catalog or make.keywords["catalog"])
            _write_again(cfg)
        self._make = make if catalog is None else partial(make, catalog=catalog)
        self._serving = replace(make.keywords["serving"], seed=cfg.seed, on_pictures=on_pictures)

    def __call__(self, task: Task | None, images: Sequence[PictureLike] | int = 8) -> EditData:
        return self._make(task=task, images=images, serving=self._serving)


def _usual_size(catalog: Any) -> int:
    """The height and width in pixels that pictures of a catalog are edited at, unless somebody says."""
    side = catalog.typical_side() if isinstance(catalog, FileCatalog) else None
    size = LARGEST if side is None else max(SMALLEST, min(LARGEST, side - side % 8))
    log.info("pictures are edited at %d x %d pixels (data.image_size)", size, size)
    return size


def method_of(cfg: DictConfig) -> Callable[..., EditModule]:
    """The method, with the frames of its way if films are asked for."""
    method = built(cfg.method)
    try:
        method.func.check(**method.keywords)
    except UserError as error:
        raise UserError(_at("method", str(error))) from error
    kind, count = cfg.output.animation, cfg.output.frames
    if kind == "none":
        return method
    if kind not in ("gif", "mp4"):
        raise UserError(f"output.animation must be none, gif or mp4, got {kind}")
    if not issubclass(method.func, TraversalModule):
        raise UserError(f"output.animation={kind} needs a walk: method=dmt or method=linear")
    if OmegaConf.select(cfg, "method.walk.alpha") is not None:
        raise UserError(f"output.animation={kind} shows the way as lambda falls; leave method.walk.alpha=null")
    require_whole_number("output.frames", count, "a whole number, 0 or more", least=0)
    require_writer(kind)
    return partial(method, frames=count)


def features_of(cfg: DictConfig, data: EditData) -> CatalogFeatures:
    """The features of the data's pictures."""
    backbone = built(cfg.backbone)
    return CatalogFeatures(
        data,
        backbone,
        layers=layers_of(cfg, data, backbone),
        normalization=cfg.normalization,
        cache=cfg.cache_dir,
        trainer=trainer_of(cfg),
        keep=cfg.keep_features,
    )


def space_of(cfg: DictConfig, features: CatalogFeatures) -> SpaceFit:
    """How the space of an edit is got."""
    empty = built(cfg.manifold)
    if isinstance(empty, Columns):
        raise UserError("manifold=columns is for rows of a table (data=table); pictures take span, local, pca or exact")
    if isinstance(empty, Span | Places):
        if cfg.manifold_path is not None:
            raise UserError("manifold=span and manifold=local are fitted anew for every edit; leave manifold_path=null")
        return SetFit(features, empty)
    return CatalogFit(features, empty, cfg.manifold_path)


def layers_of(cfg: DictConfig, data: EditData, backbone: Backbone) -> list[str]:
    """The layers of the feature vector; those that scores or the network itself choose replace the configuration's.

    Raises:
        UserError: an unknown choice, or layers that the network does not have.
    """
    is_explained = OmegaConf.select(cfg, "task.classifier") is not None  # then no classes are known yet to score by
    if cfg.layers == AUTO and is_explained:
        _settle_layers(cfg, upper_layers(FeatureExtractor(backbone, backbone.layer_names), data.image_size))
        log.info("layers=auto: %s", ", ".join(cfg.layers))
    elif cfg.layers == AUTO:
        scores: LayerScores = built(cfg.scores)
        found = scores.measure(backbone, data, trainer_of(cfg), cfg.cache_dir)
        _settle_layers(cfg, scores.choose(found))
        log.info("layers=auto: %s\n%s", ", ".join(cfg.layers), text_table(score_table(found, cfg.layers)))
    elif cfg.layers == PAPER_LAYERS and _is_without(backbone, cfg.layer_names[PAPER_LAYERS]):
        _settle_layers(cfg, upper_layers(FeatureExtractor(backbone, backbone.layer_names), data.image_size))
        log.info("layers: the network has none of %s; %s are taken", PAPER_LAYERS, ", ".join(cfg.layers))
    if isinstance(cfg.layers, str) and cfg.layers not in cfg.layer_names:
        raise UserError(
            f"layers must be {', '.join(cfg.layer_names)}, auto or a list such as [conv3_1,conv4_1], got {cfg.layers!r}"
            f"{nearest_name(cfg.layers, cfg.layer_names)}"
        )
    layers = [str(layer) for layer in (cfg.layer_names[cfg.layers] if isinstance(cfg.layers, str) else cfg.layers)]
    if isinstance(backbone, ModuleNetwork):
        try:
            require_layers(layers, backbone.layer_names)
        except UserError as error:
            raise UserError(f"{error}; its other modules become layers by backbone.layers=[NAME,...]") from error
    return layers


def settle_low_layers(cfg: DictConfig, backbone: Backbone) -> bool:
    """Have regularizers hold on to a network's own low layers where it has none of VGG-19's; whether any does."""
    penalties = [
        node for node in cfg.regularizer.values() if node and list(node.get("layers") or []) == PAPER_LOW_LAYERS
    ]
    if not penalties or not _is_without(backbone, PAPER_LOW_LAYERS):
        return False
    own = layers_at(backbone.layer_names, LOW)
    for penalty in penalties:
        penalty.layers = own
    _write_again(cfg)
    log.info("regularizer: the network has no %s; %s are taken", " and ".join(PAPER_LOW_LAYERS), ", ".join(own))
    return True


def upper_layers(extractor: FeatureExtractor, size: int) -> list[str]:
    """Where a network's three upper resolutions end, down to a sixteenth of the picture's, as the paper's are VGG-19's.

    Ours: of a network that has fewer, three layers from the middle upwards.

    Args:
        extractor: of all layers.
        size: height and width of the pictures in pixels.
    """
    shapes = extractor.layout(size, size).shapes
    ends = {
        shape[1]: name for name, shape in shapes.items() if shape[1] * COARSEST >= size and not name.endswith(CLASS)
    }
    return list(ends.values())[-3:] if len(ends) >= 3 else layers_at(extractor.layers, UPPER)


def layers_at(names: Sequence[str], shares: Sequence[float]) -> list[str]:
    """Layers of a network at shares of its way from pixels upwards, class tokens left out.

    >>> layers_at(["conv1", "fire2", "fire3", "fire4", "fire5", "fire6", "fire7", "fire8"], UPPER)
    ['fire4', 'fire6', 'fire8']
    """
    placed = [name for name in names if not name.endswith(CLASS)] or list(names)
    return list(dict.fromkeys(placed[round(share * (len(placed) - 1))] for share in shares))


def _is_without(backbone: Backbone, layers: Sequence[str]) -> bool:
    """Whether a network whose layers are named after its modules has none of these."""
    return isinstance(backbone, ModuleNetwork) and not set(layers) & set(backbone.layer_names)


def _settle_layers(cfg: DictConfig, layers: Sequence[str]) -> None:
    """Have the configuration and its file say which layers were chosen."""
    cfg.layers = list(layers)
    _write_again(cfg)


def _write_again(cfg: DictConfig) -> None:
    """Have the file of the configuration say what was chosen after it was written."""
    file = Path(cfg.output_dir) / CONFIG
    if processes.is_first() and file.is_file():
        write_config(cfg, file)


def write_config(cfg: DictConfig, file: Path) -> None:
    """Keep the resolved configuration, with the options that were chosen, by the user or by other options."""
    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    chosen = " ".join(f"{group}={option}" for group, option in choices.items() if "hydra" not in group)
    write_text(file, (f"# {chosen}\n" if chosen else "") + OmegaConf.to_yaml(cfg, resolve=True))


def trainer_of(cfg: DictConfig) -> Callable[..., pl.Trainer]:
    """Makes trainers; among several processes each has one device, for no gradients are averaged."""
    build = plain_trainer_of(cfg)
    strategy = build().strategy
    if not isinstance(strategy, ParallelStrategy):
        return build
    device = strategy.root_device
    alone = {"strategy": "auto", "num_nodes": 1, "devices": 1 if device.type == "cpu" else [device.index]}
    quiet = {} if processes.is_first() else {"enable_progress_bar": False}
    return lambda **options: build(**{**options, **alone, **quiet})


def plain_trainer_of(cfg: DictConfig) -> Callable[..., pl.Trainer]:
    """Makes trainers as the configuration says."""
    build = built(cfg.trainer, _partial_=True)

    def trainer(**options: Any) -> pl.Trainer:
        try:
            return in_lines_without_terminal(build(**options))
        except (MisconfigurationException, TypeError, ValueError) as error:
            raise UserError(f"trainer: {error}") from error

    return trainer


def settings_of(cfg: DictConfig) -> dict[str, Any]:
    """The resolved configuration as plain values."""
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]
