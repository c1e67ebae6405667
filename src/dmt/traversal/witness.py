"""The witness function of the maximum mean discrepancy: positive near the source, negative near the target."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from dmt.errors import UserError
from dmt.manifolds.representation import Members, Points
from dmt.traversal.cloud import Cloud
from dmt.traversal.kernels import Kernel


class Witness:
    """``mean_i k(source_i, z) - mean_j k(target_j, z)`` (Gretton et al., JMLR 2012; the paper, eq. 5).

    The paper prints sums where its authors' code takes means. With sums, lambda scales with the sizes of the sets;
    with means it does not, hence the default.

    Args:
        kernel: a kernel; its bandwidth rule is applied to source and target together.
        source: ``(n, K)``, or points with whose they are.
        target: ``(m, K)``, likewise.
        weighting: ``mean``, or ``sum`` (the paper's equation).
        kept: ``(r, K)``, orthonormal directions along which nothing moves (``dmt.traversal.kept``); ``None``: none.
        unit: what lambda' is multiplied by; see ``dmt.manifolds.Representation``.

    Raises:
        UserError: an empty set, or an unknown weighting.
    """

    def __init__(
        self,
        kernel: Kernel,
        source: Tensor | Points,
        target: Tensor | Points,
        weighting: str = "mean",
        kept: Tensor | None = None,
        unit: float = 1.0,
    ):
        source, target = (side if isinstance(side, Points) else Points.one_each(side) for side in (source, target))
        if source.n_things == 0 or target.n_things == 0:
            raise UserError(f"the witness needs images on both sides, got {source.n_things} and {target.n_things}")
        if weighting not in ("mean", "sum"):
            raise UserError(f"witness.weighting must be mean or sum, got {weighting!r}")
        n_source, n_target = len(source.z), len(target.z)
        points = torch.cat([source.z, target.z])
        self.kernel = kernel.fit(points)
        self.source, self.target = points[:n_source], points[n_source:]
        self.members = Members(source, target)
        self.weighting = weighting
        self.kept = kept
        self.unit = unit
        weights = points.new_full((len(points),), 1 / n_source if weighting == "mean" else 1)
        weights[n_source:] = -1 / n_target if weighting == "mean" else -1
        self._expansion = self.kernel.expansion(points, weights)

    @cached_property
    def cloud(self) -> Cloud:
        """Where the pictures of both sides lie."""
        return Cloud.of(self.members)

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        members, kept = self.members, None if self.kept is None else self.kept.to(device)
        sides = members.source.to(device), members.target.to(device)
        return type(self)(self.kernel, *sides, self.weighting, kept, self.unit)

    def lambda_weight(self, lam: Tensor) -> Tensor:
        """Lambda ``(B,)`` in ``witness + lambda ||delta||^2`` from the dimensionless ``lam``."""
        return self.kernel.lambda_weight(lam * self.unit)

    def allowed(self, delta: Tensor) -> Tensor:
        """What is left of displacements ``(..., K)`` without their part along the directions that are kept."""
        return delta if self.kept is None else delta - (delta @ self.kept.T) @ self.kept

    def __call__(self, z: Tensor) -> Tensor:
        """Witness values ``(B,)`` of points ``(B, K)``; they fall towards the target."""
        return self._expansion(z)

    def with_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Witness values ``(B,)`` and their gradients ``(B, K)`` at points ``(B, K)``."""
        return self._expansion.with_gradient(z)

    def at_target(self) -> Tensor:
        """Mean witness value of the points of each of the target's pictures, left out of its own values: ``(m,)``.

        Raises:
            UserError: the target has fewer than two pictures.
        """
        target = self.members.target
        if target.n_things < 2:
            raise UserError("the target has one point; what is typical of it needs at least two")
        to_source, among = self.kernel(self.target, self.source), self.kernel(self.target, self.target)
        own = among.new_zeros(len(among), target.n_things).index_add(1, target.owner, among)
        others = among.sum(dim=1) - own[torch.arange(len(own)), target.owner]
        if self.weighting == "sum":
            return target.mean(to_source.sum(dim=1) - others)
        n_others = len(among) - target.sum(torch.ones_like(others))[target.owner]
        return target.mean(to_source.mean(dim=1) - others / n_others)


@dataclass(frozen=True)
class WitnessBatch:
    """The witness of each of n things or points: the distinct ones, and which of them each has.

    Args:
        distinct: the witnesses.
        index: ``(n,)``, positions in ``distinct``.
    """

    distinct: Sequence[Witness]
    index: Tensor

    @classmethod
    def of_one(cls, witness: Witness, n: int) -> Self:
        """One witness for all."""
        return cls([witness], torch.zeros(n, dtype=torch.long))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Tensor) -> Self:
        """Those of some things, or of the points that these have."""
        return type(self)(self.distinct, self.index[rows])

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        return type(self)([witness.to(device) for witness in self.distinct], self.index.to(device))

    def shared(self) -> Iterator[tuple[Witness, Tensor]]:
        """Each witness that anybody has, with the rows ``(m,)`` of those who have it."""
        for position, witness in enumerate(self.distinct):
            rows = (self.index == position).nonzero()[:, 0]
            if len(rows):
                yield witness, rows

    def values(self, z: Tensor) -> Tensor:
        """Values ``(n,)`` of points ``(n, K)``, each by its own witness."""
        values = z.new_empty(len(z))
        for witness, rows in self.shared():
            values[rows] = witness(z[rows])
        return values

    def allowed_gradients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``(n,)`` of points ``(n, K)``, each by its own witness, and the part of the gradients it allows."""
        values, gradients = z.new_empty(len(z)), torch.empty_like(z)
        for witness, rows in self.shared():
            values[rows], gradient = witness.with_gradient(z[rows])
            gradients[rows] = witness.allowed(gradient)
        return values, gradients
