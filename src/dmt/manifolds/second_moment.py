"""Feature vectors, seen once -> the sum of their squares along directions that are known only later."""

from collections.abc import Iterable

import torch
from torch import Tensor

from dmt.manifolds.rows import COLUMNS


class SecondMoment:
    """Estimates ``sum_i (f_i u)^2`` for any unit vector u, in memory that depends neither on n nor on D.

    Vectors are folded to ``S f (w,)``: random signs, then sums of all columns that are alike modulo w = 8192, as in
    CountSketch (Charikar et al., ICALP 2002; ours: the modulus in place of a hash). ``(S u)^T M (S u)`` with
    ``M = sum_i (S f_i)(S f_i)^T`` is in expectation the sum wanted plus ``(1 / w - 1 / D) sum_i |f_i|^2``, which is
    taken off; its deviation is about ``2 / w`` of the sum of squares, over the root of the number of vectors. Exact
    for D <= w.

    Args:
        like: ``(D,)``, of the type and on the device to compute in.
    """

    def __init__(self, like: Tensor):
        generator = torch.Generator().manual_seed(0)
        self.signs = (2 * torch.randint(2, like.shape, generator=generator) - 1).to(like)
        self.width = min(COLUMNS, len(like))
        self.matrix = like.new_zeros(self.width, self.width)
        self.squares = 0.0

    def folded(self, blocks: Iterable[tuple[slice, Tensor]]) -> Tensor:
        """Vectors ``(n, D)``, given as blocks of ``COLUMNS`` columns and which these are, -> ``(n, w)``."""
        total = self.matrix.new_zeros(0, self.width)
        for columns, block in blocks:
            signed = block * self.signs[columns]
            if columns.start == 0:
                total = signed
            else:
                total[:, : signed.shape[1]] += signed
        return total

    def add(self, folded: Tensor, squares: float, sign: int = 1) -> None:
        """Take in vectors ``(n, w)``, the sum of whose squares before they were folded is known; or take them out."""
        self.matrix.addmm_(folded.T, folded, alpha=sign)
        self.squares += sign * squares

    def along(self, folded: Tensor) -> Tensor:
        """The sums of squares along unit vectors ``(K, w)``: ``(K,)`` in float64 on the processor."""
        sums = ((folded @ self.matrix) * folded).sum(dim=1).cpu().double()
        return sums - (1 / self.width - 1 / len(self.signs)) * self.squares
