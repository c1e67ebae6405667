"""Few, wide feature vectors -> their Gram matrix, its decomposition, and combinations, in blocks of columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.linalg import eigh
from scipy.linalg.blas import dsyrk
from torch import Tensor

COLUMNS = 4096  # in float64 at a time: 0.4 GB of 13,000 rows


@dataclass(frozen=True)
class Decomposition:
    """``S^-1 V^T`` and S of centred rows F with ``F F^T = V S^2 V^T``.

    Args:
        mixing: ``(K, n)`` in float64. Each row sums to 0, so that F and the rows before they were centred give the
            same ``mixing @ F``: the right singular vectors.
        singular_values: ``(K,)`` in float64, falling.
        squares: the sum of all squares of F.
    """

    mixing: Tensor
    singular_values: Tensor
    squares: float


@dataclass(frozen=True)
class Rows:
    """The n rows of a matrix ``(n, D)``, kept in main memory; all arithmetic is in float64, on the processor.

    Args:
        batches: the rows, ``(B_i, D)`` each, as ``plus`` keeps them.
    """

    batches: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def plus(self, features: Tensor) -> Self:
        """These and further rows ``(B, D)``; the features are copied, as float16 where that changes no value."""
        return type(self)((*self.batches, _compact(features.detach())))

    def mean(self) -> Tensor:
        """``(D,)``."""
        return torch.cat([block.mean(dim=0) for block in self._blocks()])

    def deviation(self) -> Tensor:
        """The standard deviation of each dimension, with the divisor n: ``(D,)``."""
        return torch.cat([block.std(dim=0, correction=0) for block in self._blocks()])

    def products(self, vectors: Tensor) -> Tensor:
        """Scalar products of vectors ``(B, D)`` with the rows: ``(B, n)``."""
        pieces = zip(vectors.split(COLUMNS, dim=1), self._blocks(), strict=True)
        return torch.stack([piece @ block.T for piece, block in pieces]).sum(dim=0)

    def combined(self, weights: Tensor, dtype: torch.dtype) -> Tensor:
        """Combinations of the rows: ``weights (B, n)`` -> ``(B, D)`` in ``dtype``."""
        return torch.cat([(weights @ block).to(dtype) for block in self._blocks()], dim=1)

    def gram(self, mean: Tensor, deviation: Tensor) -> Tensor:
        """Scalar products ``(n, n)`` of the rows minus ``mean (D,)``, divided by ``deviation (D,)``."""
        lower = np.zeros((len(self), len(self)), order="F")
        for block, center, scale in zip(self._blocks(), mean.split(COLUMNS), deviation.split(COLUMNS), strict=True):
            scaled = block.sub_(center).div_(scale).numpy()
            lower = dsyrk(1.0, scaled.T, beta=1.0, c=lower, trans=1, lower=1, overwrite_c=1)
        products = torch.from_numpy(lower)
        return products + products.tril(-1).T

    def decomposed(self, mean: Tensor, deviation: Tensor, most: int, precision: torch.dtype) -> Decomposition:
        """Decompose the rows minus ``mean (D,)``, divided by ``deviation (D,)``.

        Args:
            mean: of the rows.
            deviation: all ones to leave the rows as they are.
            most: the most directions, from 1 to n.
            precision: the type the rows were computed in. Directions that its rounding could have made are left out.
        """
        gram = self.gram(mean, deviation)
        squares = float(gram.trace())
        rounding = torch.finfo(precision).eps ** 2 * (squares + len(self) * float((mean / deviation).square().sum()))
        values, vectors = _largest_eigenpairs(gram, most)
        real = values > max(rounding, 9 * torch.finfo(gram.dtype).eps * squares)
        singular_values = values[real].sqrt()
        mixing = (vectors[:, real] / singular_values).T
        return Decomposition(mixing - mixing.mean(dim=1, keepdim=True), singular_values, squares)

    def _blocks(self) -> Iterator[Tensor]:
        """``(n, COLUMNS)`` in float64, from left to right; the last may be narrower."""
        for pieces in zip(*(batch.split(COLUMNS, dim=1) for batch in self.batches), strict=True):
            yield torch.cat([piece.double() for piece in pieces])


class CollectsRows:
    """What a manifold has that is fitted to all rows at once: batches are kept until the fit."""

    mean: Tensor
    _rows: Rows

    def partial_fit(self, features: Tensor) -> Self:
        """Take in a batch ``(B, D)``, B of any size."""
        if len(features) == 0:
            return self
        if len(self._rows) == 0:
            precision = torch.promote_types(features.dtype, torch.float32)
            self.mean = features.new_zeros(features.shape[1], dtype=precision)
        self._rows = self._rows.plus(features)
        return self


def _compact(features: Tensor) -> Tensor:
    halves = features.to("cpu", torch.float16, copy=True)
    same = torch.equal(halves.to(features.dtype), features.cpu())
    return halves if same else features.to("cpu", copy=True)


def _largest_eigenpairs(gram: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``(most,)``, falling, and eigenvectors ``(n, most)``; only these are computed where they are few."""
    n = len(gram)
    few = 2 * most <= n  # from about there on it is faster to compute all
    values, vectors = eigh(gram.numpy(), subset_by_index=[n - most, n - 1] if few else None)
    return torch.from_numpy(values).flip(0)[:most], torch.from_numpy(vectors).flip(1)[:, :most]
