"""The witness function of the maximum mean discrepancy: positive near the source, negative near the target."""

import torch
from torch import Tensor

from dmt.errors import UserError
from dmt.kernels import Kernel


class Witness:
    """``mean_i k(source_i, z) - mean_j k(target_j, z)`` (Gretton et al., JMLR 2012; the paper, eq. 5).

    The paper prints sums where its authors' code takes means. With sums, lambda scales with the sizes of the sets;
    with means it does not, hence the default.

    Args:
        kernel: a kernel; its bandwidth rule is applied to source and target together.
        source: ``(n, K)``.
        target: ``(m, K)``.
        weighting: ``mean``, or ``sum`` (the paper's equation).
        kept: ``(r, K)``, orthonormal directions along which nothing shall move (``dmt.kept_labels``); ``None``: none.

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
        self.kernel = kernel.fit(torch.cat([source, target]))
        self.source = source
        self.target = target
        self.weighting = weighting
        self.kept = kept

    def allowed(self, delta: Tensor) -> Tensor:
        """What is left of displacements ``(..., K)`` without their part along the directions that are kept."""
        return delta if self.kept is None else delta - (delta @ self.kept.T) @ self.kept

    def __call__(self, z: Tensor) -> Tensor:
        """Witness values ``(B,)`` of points ``(B, K)``; they fall towards the target."""
        to_source, to_target = self.kernel(z, self.source), self.kernel(z, self.target)
        if self.weighting == "sum":
            return to_source.sum(dim=1) - to_target.sum(dim=1)
        return to_source.mean(dim=1) - to_target.mean(dim=1)

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
