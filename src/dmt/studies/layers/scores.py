"""A network, pictures and a task -> a score for each layer, and the layers that an edit should read."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch import Tensor

from dmt.data import EditData, Sets, Task
from dmt.errors import UserError, is_number, require_list, require_whole_number
from dmt.networks import Backbone, network_fingerprint
from dmt.networks.extractor import FeatureExtractor, PooledExtractor
from dmt.networks.network import require_layers
from dmt.ranges import Cells, Count, Several, ShareBelowOne
from dmt.storage.tensors import cache_key, tensors_at
from dmt.studies.layers.measures import folds_by_group, log_evidence, neighbour_accuracies, probe_aucs
from dmt.studies.layers.pictures import ViewedPictures, require_people, task_sets, view_pictures

log = logging.getLogger(__name__)

DEPTHS = 3  # layers that are picked, as many as the paper's
POOLED = "pool"  # how the names of layers begin that hold what the one below does, at fewer places


@dataclass(frozen=True)
class LayerScore:
    """How much of a task's class one layer carries, and what it costs.

    Args:
        layer: its name.
        shape: of its activation, channels, height and width.
        auc: of a linear probe on people held out, the mean over folds; .5 is chance.
        auc_error: its standard error, from the spread over the folds.
        knn: balanced accuracy of the nearest pictures of other people.
        logme: log evidence of a linear model, per picture.
    """

    layer: str
    shape: tuple[int, int, int]
    auc: float
    auc_error: float
    knn: float
    logme: float

    @property
    def size(self) -> int:
        """Numbers per picture."""
        channels, height, width = self.shape
        return channels * height * width


@dataclass(frozen=True)
class LayerScores:
    """Scores the layers of a network by a task, once: they are kept and found again.

    Args:
        task: whose source and target are told apart.
        layers: which ones; ``None``: all that can be read.
        set_size: pictures per side, the most confidently labelled.
        grid: see ``PooledExtractor``.
        folds: parts that the people are divided into; each is held out once.
        neighbours: of the vote.
        margin: see ``choose_layers``.

    Raises:
        UserError: a number out of range.
    """

    task: Task
    layers: Sequence[str] | None = None
    set_size: Several = 1000
    grid: Cells = 4
    folds: Several = 5
    neighbours: Count = 10
    margin: ShareBelowOne = 0.02

    def __post_init__(self) -> None:
        for name, least in (("set_size", 2), ("grid", 1), ("folds", 2), ("neighbours", 1)):
            what = f"a whole number, {least} or more"
            require_whole_number(f"scores.{name}", getattr(self, name), what, least)
        if not (is_number(self.margin) and 0 <= self.margin < 1):
            raise UserError(f"scores.margin must be a number from 0 to below 1, got {self.margin!r}")
        if self.layers is not None:
            require_list("scores.layers", self.layers)

    def names(self, backbone: Backbone) -> list[str]:
        """The layers to score, from pixels upwards.

        Raises:
            UserError: the network has no such layer, or none is named.
        """
        if self.layers is not None and not self.layers:
            raise UserError("scores.layers is empty; name some layers, or leave it null for all")
        wanted = list(backbone.layer_names) if self.layers is None else list(self.layers)
        require_layers(wanted, backbone.layer_names)
        return [name for name in backbone.layer_names if name in wanted]

    def sets(self, data: EditData) -> Sets:
        """The pictures of both sides.

        Raises:
            UserError: too few people to hold out.
        """
        return task_sets(data, self.task, self.set_size, self.folds)

    def view(
        self, extractor: PooledExtractor, data: EditData, sets: Sets, trainer: Callable[..., Trainer]
    ) -> ViewedPictures:
        """Those pictures as the layers of an extractor see them."""
        return view_pictures(extractor, data, self.task, sets, trainer)

    def measure(
        self, backbone: Backbone, data: EditData, trainer: Callable[..., Trainer], cache: str | Path
    ) -> list[LayerScore]:
        """Score every layer, or find the scores.

        Args:
            backbone: the network.
            data: the pictures.
            trainer: makes a trainer.
            cache: scores are kept below this folder, in ``layer_scores/``.

        Raises:
            UserError: an unknown layer, pictures too small for the network, or too few people or pictures.
        """
        names = self.names(backbone)
        layout = FeatureExtractor(backbone, names).layout(data.image_size, data.image_size)
        sets = self.sets(data)
        self._require_neighbours(sum(_sizes(sets)))
        file = Path(cache).expanduser() / "layer_scores" / f"{self._key(backbone, data, sets)}.safetensors"

        def scored() -> dict[str, Tensor]:
            log.info("layers: scoring %d of them on %d source and %d target images", len(names), *_sizes(sets))
            viewed = self.view(PooledExtractor(backbone, names, self.grid), data, sets, trainer)
            return {name: torch.tensor(self._numbers(viewed, name), dtype=torch.float64) for name in names}

        numbers = tensors_at(file, scored, "scores of layers")
        return [LayerScore(name, layout.shapes[name], *numbers[name].tolist()) for name in names]  # type: ignore[arg-type]

    def choose(self, scores: Sequence[LayerScore]) -> list[str]:
        """The layers that an edit should read, see ``choose_layers``."""
        return choose_layers(scores, self.margin)

    def _numbers(self, viewed: ViewedPictures, layer: str) -> list[float]:
        points, of_target = viewed.layers[layer], viewed.of_target
        require_people(viewed.groups, of_target, self.folds, self.task)
        folds = folds_by_group(of_target, viewed.groups, self.folds)
        self._require_neighbours(min(len(learns) for learns, _ in folds))
        aucs = probe_aucs(points, of_target, folds)
        knn = neighbour_accuracies(points, of_target, folds, self.neighbours).mean()
        logme = log_evidence(points, np.stack([~of_target, of_target], axis=1))
        return [float(value) for value in (aucs.mean(), aucs.std(ddof=1) / self.folds**0.5, knn, logme)]

    def _require_neighbours(self, pictures: int) -> None:
        if pictures < self.neighbours:
            raise UserError(f"scores.neighbours is {self.neighbours}, but there are {pictures} pictures; set it lower")

    def _key(self, backbone: Backbone, data: EditData, sets: Sets) -> str:
        members = hashlib.sha256(sets.source.tobytes() + b"|" + sets.target.tobytes()).hexdigest()
        return cache_key(
            {
                "network": network_fingerprint(backbone),  # type: ignore[arg-type]
                "layers": ",".join(self.names(backbone)),
                "data": data.catalog.fingerprint,
                "image_size": str(data.image_size),
                "task": repr(self.task),
                "members": members,
                "settings": repr((self.grid, self.folds, self.neighbours)),
            }
        )


def choose_layers(scores: Sequence[LayerScore], margin: float = 0.02) -> list[str]:
    """One layer from each of three depths: the rule of ``layers=auto`` (ours; the paper has conv3_1, conv4_1, conv5_1).

    A *depth* is a run of layers of one height and width, represented by its layer of the highest AUC. The highest depth
    whose AUC is within ``margin`` of the best of all is the first pick: as far up as the class is told about as well as
    anywhere. The two depths below it are the others: they keep the detail of a picture that the upper one has lost.
    Layers whose names begin with ``pool`` are not picked, unless there are no others.

    Args:
        scores: of the layers in the order of the network.
        margin: difference of AUC that does not count.

    Returns:
        Up to three names, from pixels upwards; fewer where fewer depths lie below the first pick.
    """
    candidates = [score for score in scores if not score.layer.startswith(POOLED)] or scores
    depths = [list(depth) for _, depth in groupby(candidates, key=lambda score: score.shape[1:])]
    best = [max(depth, key=lambda score: score.auc) for depth in depths]
    enough = max(score.auc for score in best) - margin
    top = max(place for place, score in enumerate(best) if score.auc >= enough)
    return [score.layer for score in best[max(0, top + 1 - DEPTHS) : top + 1]]


def _sizes(sets: Sets) -> tuple[int, int]:
    return len(sets.source), len(sets.target)
