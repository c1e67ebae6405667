"""A network and a task -> the activations of all its layers on pictures of both sides, pooled as they come."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch import Tensor

from dmt.data import EditData, Sets, Task
from dmt.data.selection import most_confident_sets
from dmt.errors import UserError
from dmt.manifolds import IncrementalPCA
from dmt.manifolds.module import FeatureHandler, ManifoldModule, read_through, warn_of_broken
from dmt.networks.extractor import FeatureExtractor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViewedPictures:
    """Pictures of both sides of a task as the layers of a network see them.

    Args:
        layers: layer -> points ``(n, D)``.
        of_target: ``(n,)`` of bool.
        groups: of the pictures: who is on them.
    """

    layers: dict[str, np.ndarray]
    of_target: np.ndarray
    groups: list[str]


def task_sets(data: EditData, task: Task, set_size: int, least: int) -> Sets:
    """The most confident pictures of both sides, balanced as the task wants; none of people reserved for judges.

    Args:
        data: the pictures.
        task: its scores and strata.
        set_size: the most pictures per side.
        least: the fewest people per side that will do.

    Raises:
        UserError: a side has too few people.
    """
    catalog = data.catalog
    source_scores, target_scores = task.scores(catalog)
    excluded = data.reserved.among(catalog.groups)
    excluded |= (source_scores > 0) & (target_scores > 0)
    sets = Sets(*most_confident_sets(source_scores, target_scores, task.strata(catalog), set_size, excluded))
    both = [*sets.source, *sets.target]
    require_people([catalog.groups[i] for i in both], np.arange(len(both)) >= len(sets.source), least, task)
    return sets


def require_people(groups: Sequence[str], of_target: np.ndarray, least: int, task: Task) -> None:
    """Raise a ``UserError`` unless both sides have pictures of ``least`` people, one of whom can then be held out.

    Args:
        groups: ``n`` people, one per picture.
        of_target: ``(n,)`` of bool, the side of each picture.
        least: the fewest per side that will do.
        task: whose sides they are.
    """
    for side, is_on_it in (("source", ~of_target), ("target", of_target)):
        n_people = len({group for group, is_here in zip(groups, is_on_it, strict=True) if is_here})
        if n_people < least:
            raise UserError(
                f"the scores of layers hold people out, and the {side} of {task.title!r} has pictures of {n_people} "
                f"only, of the {least} needed; set scores.folds lower (2 at least), choose another task, or the layers "
                "of an edit yourself (layers=[...])"
            )


def view_pictures(
    extractor: FeatureExtractor, data: EditData, task: Task, sets: Sets, trainer: Callable[..., Trainer]
) -> ViewedPictures:
    """Read all layers of an extractor in one pass over the pictures of both sides; what does not decode is left out.

    Args:
        extractor: pools, so that the points of all layers fit into memory.
        data: the pictures.
        task: makes something of the pictures of the source, if it does.
        sets: positions of the pictures.
        trainer: makes a trainer, on whose device the network runs.
    """
    batches: list[Tensor] = []
    positions: list[int] = []

    def take(features: Tensor, found: list[int]) -> None:
        batches.append(features)
        positions.extend(found)

    module = ManifoldModule(extractor, IncrementalPCA())
    n_source = 0
    for members, view in ((sets.source, task.source_view), (sets.target, None)):
        n_source = len(positions)
        loader = data.some_dataloader(members.tolist(), view)
        handler = FeatureHandler(take)
        read_through(trainer(callbacks=[handler]), module, loader)
        warn_of_broken(handler.broken)
    layout = extractor.layout(data.image_size, data.image_size)
    vectors = torch.cat(batches).numpy()
    columns = layout.columns(list(layout.shapes))
    return ViewedPictures(
        {layer: vectors[:, place] for layer, place in zip(layout.shapes, columns, strict=True)},
        np.arange(len(positions)) >= n_source,
        [data.catalog.groups[i] for i in positions],
    )
