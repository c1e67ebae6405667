"""A task's two sides -> what each input is told apart by: the pictures it is compared with, and their witness."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dmt.data import Confident, EditData, Selection, Sets, label_signs
from dmt.errors import UserError
from dmt.manifolds import Points, Representation
from dmt.traversal.kept import kept_directions
from dmt.traversal.kernels import RBF, Kernel
from dmt.traversal.witness import Witness, WitnessBatch


@dataclass(frozen=True)
class Contrasts:
    """What the inputs of an edit are edited away from and towards.

    Args:
        sets: the distinct pairs of sets.
        witnesses: one witness for each pair, and which of them each input has.
        mean_pictures: a pair of sets -> the mean picture of either side, ``(3, H, W)`` in [0, 1].
    """

    sets: Sequence[Sets]
    witnesses: WitnessBatch
    mean_pictures: Callable[[Sets], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Comparison:
    """How source and target are compared: by which pictures and which kernel, and along which directions.

    Args:
        kernel: of the witness.
        selection: chooses the sets; ``None``: as the task says.
        weighting: of the witness, ``mean`` or ``sum``.
        keep: labels along whose directions an edit does not move (``dmt.traversal.kept``); ``None``: those that the
            task is balanced by.
    """

    kernel: Kernel = field(default_factory=RBF)
    selection: Selection | None = None
    weighting: str = "mean"
    keep: Sequence[str] | None = None

    def selection_for(self, data: EditData) -> Selection:
        """What chooses the sets of a task."""
        assert data.task is not None
        return self.selection or data.task.selection or Confident()

    def __call__(self, data: EditData, space: Representation, inputs: Points) -> Contrasts:
        """What each input is told apart by.

        Args:
            data: the catalog, the task, and the inputs.
            space: where both sides lie.
            inputs: where the inputs lie.
        """
        points = space.catalog_points()
        if points is None:  # then they were chosen by their labels, before
            chosen = [data.pool.confident] * len(data.inputs)
        else:
            chosen = self.selection_for(data)(data.pool, points, data.inputs, inputs.z)
        members = [(sets.source.tobytes(), sets.target.tobytes()) for sets in chosen]
        distinct = dict(zip(members, chosen, strict=True))
        position = {key: i for i, key in enumerate(distinct)}
        kept = self._kept(data, space)
        witnesses = [self._witness(sets, space, kept) for sets in distinct.values()]
        index = torch.tensor([position[key] for key in members], dtype=torch.long)
        return Contrasts(list(distinct.values()), WitnessBatch(witnesses, index), data.mean_pictures)

    def _witness(self, sets: Sets, space: Representation, kept: Tensor | None) -> Witness:
        members = space.members(sets)
        return Witness(self.kernel, members.source, members.target, self.weighting, kept, space.unit)

    def _kept(self, data: EditData, space: Representation) -> Tensor | None:
        assert data.task is not None
        keep = data.task.balance if self.keep is None else self.keep
        points = space.catalog_points()
        if self.keep and points is None:
            raise UserError("keep needs pictures that are points: manifold=span or manifold=pca")
        if not keep or points is None:
            return space.fixed
        source, target = (torch.from_numpy(scores > 0).double() for scores in data.task.scores(data.catalog))
        signs = torch.from_numpy(label_signs(data.catalog, keep, data.task.labels()))
        return kept_directions(points[1], signs, target - source)
