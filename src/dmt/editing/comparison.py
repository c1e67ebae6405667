"""A task's two sides -> what each input is told apart by: the pictures it is compared with, and their witness."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dmt.data import Confident, EditData, Selection, Sets, label_signs
from dmt.manifolds import Points, Space
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

    def __call__(self, data: EditData, space: Space, inputs: Points) -> Contrasts:
        """What each input is told apart by.

        Args:
            data: the catalog, the task, and the inputs.
            space: where both sides lie.
            inputs: where the inputs lie.
        """
        selection = self.selection_for(data)
        chosen = selection(data.pool, (space.source, space.target), data.inputs, inputs.z)
        members = [(sets.source.tobytes(), sets.target.tobytes()) for sets in chosen]
        distinct = dict(zip(members, chosen, strict=True))
        position = {key: i for i, key in enumerate(distinct)}
        kept = self._kept(data, space)
        witnesses = [self._witness(sets, space, kept) for sets in distinct.values()]
        index = torch.tensor([position[key] for key in members], dtype=torch.long)
        return Contrasts(list(distinct.values()), WitnessBatch(witnesses, index), data.mean_pictures)

    def _witness(self, sets: Sets, space: Space, kept: Tensor | None) -> Witness:
        source, target = space.source[sets.source].double(), space.target[sets.target].double()
        return Witness(self.kernel, present(source), present(target), self.weighting, kept)

    def _kept(self, data: EditData, space: Space) -> Tensor | None:
        assert data.task is not None
        keep = data.task.balance if self.keep is None else self.keep
        if not keep:
            return None
        source, target = (torch.from_numpy(scores > 0).double() for scores in data.task.scores(data.catalog))
        signs = torch.from_numpy(label_signs(data.catalog, keep, data.task.labels()))
        return kept_directions(space.target, signs, target - source)


def present(points: Tensor) -> Tensor:
    """Those of points ``(n, K)`` that are known."""
    return points[~points.isnan().any(dim=1)]
