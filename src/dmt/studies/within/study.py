"""Few pictures of each class, and ways to learn from them -> how often what was learnt is right about all others."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from functools import cache, cached_property, partial
from itertools import product, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.nn.functional import one_hot

from dmt.data import Catalog, ClassificationTask, read_labelled, to_pixels
from dmt.editing.editor import Editor
from dmt.editing.records import Record
from dmt.errors import UserError, require_whole_number
from dmt.manifolds import CatalogFeatures, Space
from dmt.networks import Backbone, LayeredNetwork
from dmt.networks.extractor import FeatureExtractor, PooledExtractor, measure_scales
from dmt.ranges import Count, Lambda, Several
from dmt.reporting.grids import labelled_grid
from dmt.reporting.results import Report
from dmt.storage.files import found_in, read_json, write_json
from dmt.storage.tensors import cache_key, tensors_at
from dmt.studies.benchmark.statistics import RESAMPLES, resampled_means, resampling, with_interval
from dmt.studies.within.learning import Batch, Change, Mixup, Moved, Recipe, accuracy, batches
from dmt.studies.within.walking import Walked, walked
from dmt.traversal.walks import check_lambda

log = logging.getLogger(__name__)

WAYS: Mapping[str, tuple[str, Sequence[str]]] = {  # what is made beforehand, and what is done to every batch
    "none": ("", ()),
    "moved": ("", ("moved",)),
    "mixup": ("", ("mixup",)),
    "moved_mixup": ("", ("moved", "mixup")),
    "within": ("walked", ()),
    "within_moved": ("walked", ("moved",)),
    "pixels": ("mixed", ()),
    "pixels_moved": ("mixed", ("moved",)),
}
JUDGES = ("network", "probe")
SETTINGS = (  # that determine what comes out, beside the study's own
    *("data", "backbone", "layers", "layer_names", "normalization", "method", "kernel", "witness", "regularizer"),
    *("parametrization", "solver", "realise", "precision"),
)
COPIES = 3  # of each picture, changed as batches are, that the probe learns from (ours)
PROBE_STEPS = 150  # over all of them (ours: its training loss has settled)
GRID = 2  # cells along each side that features are averaged in for the probe (ours)
NEIGHBOURS_SHOWN = 3

Accuracies = dict[str, dict[str, float]]
"""Judge -> way -> percent."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What every draw takes.

    Args:
        classes: drawn anew each time.
        pictures: of each class, to learn from; all others of these classes are the test.
        draws: how many.
        neighbours: that every picture walks to.
        lam: lambda' of these walks.

    Raises:
        UserError: a number out of range.
    """

    classes: Several
    pictures: Several
    draws: Count
    neighbours: Count
    lam: Lambda

    def __post_init__(self) -> None:
        for name, least in {"classes": 2, "pictures": 2, "draws": 1}.items():
            what = f"a whole number from {least} on"
            require_whole_number(f"study.sampling.{name}", getattr(self, name), what, least)
        most = self.pictures - 1
        what = f"a whole number from 1 to {most}, fewer than study.sampling.pictures"
        require_whole_number("study.sampling.neighbours", self.neighbours, what, 1, most)
        check_lambda(self.lam)

    def task(self, catalog: Catalog, seed: int) -> ClassificationTask:
        """The classes of a draw, the pictures to learn from, and all others of these classes.

        Raises:
            UserError: there are fewer classes, or a class has no picture left for the test.
        """
        n = len(catalog.labels)
        if n < self.classes:
            raise UserError(f"study.sampling.classes is {self.classes}, and the data set has {n}; set it lower")
        rng = np.random.default_rng(seed)
        labels = [catalog.labels[i] for i in sorted(rng.permutation(n)[: self.classes])]
        members = [rng.permutation(np.flatnonzero(catalog.scores(label) > 0)) for label in labels]
        for label, own in zip(labels, members, strict=True):
            if len(own) <= self.pictures:
                raise UserError(
                    f"class {label!r} has {len(own)} pictures, and study.sampling.pictures={self.pictures} leaves none "
                    "to test with; set it lower"
                )
        cut = self.pictures
        return ClassificationTask(labels, [own[:cut] for own in members], [own[cut:] for own in members])


class Draw:
    """The pictures of a draw, on the device.

    Args:
        task: which they are.
        seed: of all that is drawn at random beside them.
        features: reads them.
        device: where they shall lie.
    """

    def __init__(self, task: ClassificationTask, seed: int, features: CatalogFeatures, device: torch.device):
        self.task, self.seed, self.features, self.device = task, seed, features, device
        self.images, self.labels = self._read(task.train)

    @cached_property
    def test(self) -> tuple[Tensor, Tensor]:
        """All others of the same classes, ``(n, 3, H, W)`` in [0, 1], and their classes ``(n,)``."""
        return self._read(self.task.validation)

    def shares(self, labels: Tensor) -> Tensor:
        """Classes ``(n,)`` as shares of each class, ``(n, classes)``."""
        return one_hot(labels, len(self.task.classes)).float()

    def batches(self, size: int, changes: Sequence[Change], added: Batch | None = None) -> Iterator[Batch]:
        """Batches without end of the pictures to learn from, and of others that are added."""
        rng = np.random.default_rng(self.seed)
        return batches((self.images, self.shares(self.labels)), added, changes, size, rng)

    def _read(self, members: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        read = read_labelled(self.features.data.catalog, members, self.features.data.image_size).to(self.device)
        return read.images.float() / 255, read.labels


@dataclass(frozen=True)
class WithinClassStudy:
    """Does a classifier gain from pictures made by walking within a class, and more than from the usual ways?

    The same draws, initial weights and number of steps serve every way (``WAYS``), so that ways are compared in pairs.
    Two classifiers are asked: a small network that learns from pixels alone, and a linear probe on the features of the
    network in which the walk takes place, which shows what that network knows beforehand. As a control, ``pixels``
    mixes the same pairs of pictures, as far as the walks went, without any manifold. What is finished is kept, and an
    interrupted study goes on where it was.

    Args:
        network: makes a classifier, given ``classes`` and ``image_size``.
        recipe: how it is trained.
        moved: shifts, turns and mirroring as they suit the pictures.
        mixup: the other rival.
        backbone: makes a network with random weights that learns the pictures of each draw before the walk, where the
            editor's has seen the test; ``None``: the editor's.
        sampling: what every draw takes.
        folder: for what is finished.
    """

    network: Callable[..., nn.Module]
    recipe: Recipe
    _: KW_ONLY
    moved: Moved
    mixup: Mixup
    backbone: Callable[[], LayeredNetwork] | None
    sampling: Sampling
    folder: str | Path

    def __call__(
        self, trainer: Callable[..., Trainer], editor: Callable[[], Editor], settings: Mapping[str, Any]
    ) -> Report:
        """Do what is not finished, and report.

        Args:
            trainer: makes a trainer, which knows the device.
            editor: makes the editor, which has the pictures, walks, and makes pictures.
            settings: the resolved configuration; results are kept under what of it determines them.

        Raises:
            UserError: there are too few classes or pictures.
        """
        edits = editor()
        assert not isinstance(edits.space, Space)
        features, device = edits.space.features, trainer().strategy.root_device
        parts = {key: settings[key] for key in SETTINGS}
        parts["study"] = {key: value for key, value in settings["study"].items() if key != "folder"}
        parts["study"]["sampling"] = {k: v for k, v in parts["study"]["sampling"].items() if k != "draws"}
        folder = Path(self.folder).expanduser() / cache_key({"settings": json.dumps(parts, sort_keys=True)})
        log.info("what is finished is kept in %s", folder)
        folder.mkdir(parents=True, exist_ok=True)
        found: list[Accuracies] = []
        sheets: dict[str, Image.Image] = {}
        for seed in range(self.sampling.draws):
            draw = Draw(self.sampling.task(features.data.catalog, seed), seed, features, device)
            extractor = cache(partial(self._extractor, draw))
            made = self._walked(draw, extractor, edits, folder / f"draw_{seed}.safetensors")
            found.append(self._accuracies(draw, extractor, made, folder / f"draw_{seed}.json"))
            sheets = sheets or {"made": self._contact_sheet(draw, made)}
        tables = {"right": accuracy_table(found), "gains": gain_table(found)}
        return Report("pictures made within a class", [], sheets, tables)

    def _extractor(self, draw: Draw) -> FeatureExtractor:
        """The network of the walk, its layers scaled on the draw's pictures alone."""
        network: Backbone = draw.features.backbone
        if self.backbone is not None:
            with _seeded(draw.seed):
                network = own = self.backbone()
                layers = [own.stem, *own.layers.values(), nn.AdaptiveAvgPool2d(GRID), nn.Flatten()]
                classifier = nn.Sequential(*layers, nn.LazyLinear(self.sampling.classes)).to(draw.device)
                classifier(draw.images[:1])  # so that the last layer has its weights
                self.recipe.fit(classifier.requires_grad_(True), draw.batches(self.recipe.batch_size, [self.moved]))
            own.eval().requires_grad_(False)
        scales = measure_scales(network, draw.images.split(64), draw.features.normalization)
        return FeatureExtractor(network, draw.features.layers, scales).to(draw.device)

    def _walked(self, draw: Draw, extractor: Callable[[], FeatureExtractor], editor: Editor, file: Path) -> Walked:
        def walk() -> dict[str, Tensor]:
            began = time.perf_counter()
            made = walked(
                draw.images,
                draw.labels,
                editor=editor,
                extractor=extractor(),
                k=self.sampling.neighbours,
                lam=self.sampling.lam,
                batch_size=draw.features.data.serving.edit_batch_size,
            )
            low, middle, high = np.quantile(made.share.numpy(), [0.1, 0.5, 0.9])
            log.info(
                "draw %d: %d pictures made in %.0f s, at %.2f, %.2f, %.2f of the way (10, 50, 90 %%)",
                draw.seed, len(made.images), time.perf_counter() - began, low, middle, high,
            )  # fmt: skip
            return vars(made)

        found = tensors_at(file, walk, f"draw {draw.seed}")
        return Walked(**{name: tensor.to(draw.device) for name, tensor in found.items()})

    def _accuracies(
        self, draw: Draw, extractor: Callable[[], FeatureExtractor], made: Walked, file: Path
    ) -> Accuracies:
        """How often each judge is right, way by way; what the file holds is not done again."""
        kept = found_in(file, lambda: read_json(file), f"accuracies of draw {draw.seed}")
        found: Accuracies = kept[0] if kept else {judge: {} for judge in JUDGES}
        if len(found["probe"]) == len(WAYS):
            return found
        known: dict[str, Change] = {"moved": self.moved, "mixup": self.mixup}
        further = {"walked": made.images, "mixed": made.mixed(draw.images)}
        pooled = PooledExtractor(extractor().backbone, extractor().layers, GRID)
        others = _vectors(pooled, draw.test[0])
        for way, (kind, names) in WAYS.items():
            if way in found["probe"]:
                continue
            changes = [known[name] for name in names]
            added = (further[kind], draw.shares(draw.labels[made.first])) if kind else None
            with _seeded(draw.seed):
                network = self.network(classes=self.sampling.classes, image_size=draw.images.shape[-1])
                self.recipe.fit(network.to(draw.device), draw.batches(self.recipe.batch_size, changes, added))
            found["network"][way] = accuracy(network, *draw.test)
            copies = next(draw.batches(COPIES * len(draw.images), changes, added))
            points = _vectors(pooled, copies[0])
            center, spread = points.mean(dim=0), points.std(dim=0).clamp_min(1e-6)
            with _seeded(draw.seed):
                linear = nn.Linear(points.shape[1], self.sampling.classes).to(draw.device)
                every = ((points - center) / spread, copies[1])
                replace(self.recipe, steps=PROBE_STEPS).fit(linear, repeat(every))
            found["probe"][way] = accuracy(linear, (others - center) / spread, draw.test[1])
            write_json(file, found)
            log.info("draw %d, %s: %s", draw.seed, way, {judge: round(found[judge][way], 1) for judge in JUDGES})
        return found

    def _contact_sheet(self, draw: Draw, made: Walked) -> Image.Image:
        """A row for a picture of each class: itself, and what was made on its way to some neighbours."""
        k, control = self.sampling.neighbours, made.mixed(draw.images)
        shown = min(k, NEIGHBOURS_SHOWN)
        rows = []
        for position in range(0, len(draw.images), self.sampling.pictures):
            tiles = [draw.images[position]]
            for row in range(position * k, position * k + shown):
                tiles += [made.images[row], control[row], draw.images[made.second[row]]]
            rows.append([to_pixels(tile.cpu()) for tile in tiles])
        columns = ["picture", *["walked", "in pixels", "neighbour"] * shown]
        return labelled_grid(rows, [str(label) for label in draw.task.classes], columns)


def accuracy_table(found: Sequence[Accuracies]) -> list[Record]:
    """A row per way: how often either judge is right, in percent.

    Args:
        found: of each draw. Intervals are bootstraps over draws.
    """
    rows: list[Record] = []
    for way in found[0][JUDGES[0]]:
        row: Record = {"way": way}
        for judge in JUDGES:
            row |= _mean(judge, _rights(found, judge, way))
        rows.append(row)
    return rows


def gain_table(found: Sequence[Accuracies]) -> list[Record]:
    """A row per way that walks and other way: by how many points the first is right more often.

    Args:
        found: of each draw. Differences are paired, intervals are bootstraps over draws.
    """
    rows: list[Record] = []
    ways = list(found[0][JUDGES[0]])
    for way, other in product((way for way in ways if WAYS[way][0] == "walked"), ways):
        if other != way:
            row: Record = {"way": way, "over": other}
            for judge in JUDGES:
                row |= _mean(judge, _rights(found, judge, way) - _rights(found, judge, other))
            rows.append(row)
    return rows


def _rights(found: Sequence[Accuracies], judge: str, way: str) -> np.ndarray:
    return np.array([one[judge][way] for one in found])


def _mean(name: str, values: np.ndarray) -> Record:
    weights = resampling(len(values), RESAMPLES)
    return with_interval(name, resampled_means(values[None], weights)[:, 0], len(values))


def _vectors(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([extractor.vectors(part) for part in images.split(64)])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's own random numbers from a seed on, and afterwards from where they were."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
