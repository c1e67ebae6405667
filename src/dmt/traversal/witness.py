"""The witness function of the maximum mean discrepancy: positive near the source, negative near the target."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dmt.errors import UserError
from dmt.traversal.kernels import Kernel


class Witness:
    """``mean_i k(source_i, z) - mean_j k(target_j, z)`` (Gretton et al., JMLR 2012; the paper, eq. 5).

    The paper prints sums where its authors' code takes means. With sums, lambda scales with the sizes of the sets;
    with means it does not, hence the default.

    Args:
        kernel: a kernel; its bandwidth rule is applied to source and target together.
        source: ``(n, K)``.
        target: ``(m, K)``.
        weighting: ``mean``, or ``sum`` (the paper's equation).
        kept: ``(r, K)``, orthonormal directions along which nothing moves (``dmt.traversal.kept``); ``None``: none.

    Raises:
        UserError: an empty set, or an unknown weighting.
    """

    def __init__(
        self, kernel: Kernel, source: Tensor, target: Tensor, weighting: str = "mean", kept: Tensor | None = None
    ):
        if len(source) == 0 or len(target) == 0:
            raise UserError(f"the witness needs images on both sides, got {len(source)} and {len(target)}")
        if weighting not in ("mean", "sum"):
            raise UserError(f"witness.weighting must be mean or sum, got {weighting!r}")
        points = torch.cat([source, target])
        self.kernel = kernel.fit(points)
        self.source, self.target = points[: len(source)], points[len(source) :]
        self.weighting = weighting
        self.kept = kept
        n_source, n_target = (len(source), len(target)) if weighting == "mean" else (1, 1)
        weights = points.new_full((len(points),), 1 / n_source)
        weights[len(source) :] = -1 / n_target
        self._expansion = self.kernel.expansion(points, weights)

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
        """Witness values ``(m,)`` at the target's own points, each left out of its own value.

        Raises:
            UserError: the target has fewer than two points.
        """
        n_target = len(self.target)
        if n_target < 2:
            raise UserError("the target has one point; what is typical of it needs at least two")
        to_source, among = self.kernel(self.target, self.source), self.kernel(self.target, self.target)
        others = among.sum(dim=1) - among.diagonal()
        if self.weighting == "sum":
            return to_source.sum(dim=1) - others
        return to_source.mean(dim=1) - others / (n_target - 1)


def shared(witnesses: Sequence[Witness]) -> list[tuple[Witness, list[int]]]:
    """The distinct ones among witnesses, one per point, each with the positions of the points that share it."""
    rows: dict[int, list[int]] = {}
    for row, witness in enumerate(witnesses):
        rows.setdefault(id(witness), []).append(row)
    return [(witnesses[own[0]], own) for own in rows.values()]


def witness_values(z: Tensor, witnesses: Sequence[Witness]) -> Tensor:
    """Values ``(B,)`` of points ``(B, K)``, each by its own witness."""
    values = z.new_empty(len(z))
    for witness, rows in shared(witnesses):
        values[rows] = witness(z[rows])
    return values


def allowed_gradients(z: Tensor, witnesses: Sequence[Witness]) -> tuple[Tensor, Tensor]:
    """Values ``(B,)`` of points ``(B, K)``, each by its own witness, and the part of the gradients that it allows."""
    values, gradients = z.new_empty(len(z)), torch.empty_like(z)
    for witness, rows in shared(witnesses):
        values[rows], gradient = witness.with_gradient(z[rows])
        gradients[rows] = witness.allowed(gradient)
    return values, gradients
