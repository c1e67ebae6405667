"""Feature vectors, seen once -> the sum of their squares along directions that are known only later."""

from collections.abc import Iterable

import torch
from torch import Tensor

from dmt.manifolds.rows import COLUMNS


class SecondMoment:
    """Estimates ``sum_i (f_i u)^2`` for any unit vector u, in memory that depends neither on n nor on D.

    Vectors are folded to ``S f (w,)``: random signs, then sums of all columns that are alike modulo w = 8192, as in
    CountSketch (Charikar et al., ICALP 2002; ours: the modulus in place of a hash). Two foldings with independent
    signs make ``(S u)^T M (R u)`` with ``M = sum_i (S f_i)(R f_i)^T`` an estimate without bias, whatever columns are
    summed; one folding alone would add what the columns summed have in squares. Its deviation is about
    ``1 / w`` of the sum of all squares, over the root of the number of vectors. Exact for D <= w.

    Args:
        like: ``(D,)``, of the type and on the device to compute in.
    """

    def __init__(self, like: Tensor):
        generator = torch.Generator().manual_seed(0)
        self.signs = (2 * torch.randint(2, (2, 1, len(like)), generator=generator) - 1).to(like)
        self.width = min(COLUMNS, len(like))
        self.matrix = like.new_zeros(self.width, self.width)

    def folded(self, blocks: Iterable[tuple[slice, Tensor]]) -> Tensor:
        """Vectors ``(n, D)``, as ``column_blocks`` yields them, -> ``(2, n, w)``."""
        total = self.matrix.new_zeros(2, 0, self.width)
        for columns, block in blocks:
            if len(block) != total.shape[1]:
                total = self.matrix.new_zeros(2, len(block), self.width)
            total[:, :, : block.shape[1]].addcmul_(block, self.signs[:, :, columns])
        return total

    def add(self, folded: Tensor, sign: int = 1) -> None:
        """Take in vectors ``(2, n, w)``, or take them out."""
        self.matrix.addmm_(folded[0].T, folded[1], alpha=sign)

    def along(self, folded: Tensor) -> Tensor:
        """The sums of squares along unit vectors ``(2, K, w)``: ``(K,)``."""
        return ((folded[0] @ self.matrix) * folded[1]).sum(dim=1)
