"""Few, wide feature vectors -> their Gram matrix, its decomposition, and combinations, in blocks of columns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from scipy.linalg import eigh
from scipy.linalg.blas import dsyrk, ssyrk
from torch import Tensor

FEW = 512  # rows whose products are fastest by torch.mm, whose threads are awake (ours, measured)
COLUMNS = 8192  # in a block: 0.4 GB of 13,000 rows in float32


@dataclass(frozen=True)
class Decomposition:
    """``S^-1 V^T`` and S of rows F with ``F F^T = V S^2 V^T``.

    Args:
        mixing: ``(K, n)`` in float64; ``mixing @ F`` are the right singular vectors.
        singular_values: ``(K,)`` in float64, falling.
        squares: the sum of all squares of F.
    """

    mixing: Tensor
    singular_values: Tensor
    squares: float


@dataclass(frozen=True)
class Rows:
    """The n rows of a matrix ``(n, D)``, which wait for a computation.

    Args:
        batches: the rows, ``(B_i, D)`` each, as ``plus`` keeps them.
    """

    batches: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def plus(self, features: Tensor, device: torch.device | str = "cpu") -> Self:
        """These and further rows ``(B, D)``, copied to the device, as float16 where that changes no value."""
        return type(self)((*self.batches, _compact(features.detach(), device)))

    def blocks(self, like: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """As ``column_blocks``."""
        return column_blocks(self.batches, like)

    def mean(self, like: Tensor) -> Tensor:
        """``(D,)``, computed in the type and on the device of ``like``."""
        blocks = ((block[0].clone(), block) for _, block in self.blocks(like))
        return torch.cat([first + block.sub_(first).mean(dim=0) for first, block in blocks])  # exact for equal rows

    def deviation(self, like: Tensor) -> Tensor:
        """The standard deviation of each dimension, with the divisor n: ``(D,)``; otherwise as ``mean``."""
        return torch.cat([block.std(dim=0, correction=0) for _, block in self.blocks(like)])

    def products(self, vectors: Tensor) -> Tensor:
        """Scalar products of vectors ``(B, D)`` with the rows: ``(B, n)``."""
        return torch.stack([vectors[:, columns] @ block.T for columns, block in self.blocks(vectors)]).sum(dim=0)

    def combined(self, weights: Tensor) -> Tensor:
        """Combinations of the rows: ``weights (B, n)`` -> ``(B, D)``."""
        return combined(weights, self.blocks(weights))

    def centred(self, mean: Tensor, deviation: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
        """As ``blocks``, minus ``mean (D,)`` and divided by ``deviation (D,)``, in the type of ``mean``."""
        for columns, block in self.blocks(mean):
            block -= mean[columns]
            yield columns, block if deviation is None else block.div_(deviation[columns])

    def decomposed(self, mean: Tensor, deviation: Tensor | None, most: int, precision: torch.dtype) -> Decomposition:
        """Decompose the ``centred`` rows.

        Each row of ``mixing`` sums to 0, so that these rows and those before they were centred give the same
        right singular vectors.

        Args:
            mean: of the rows.
            deviation: what to divide each dimension by, if anything.
            most: the most directions, from 1 to n.
            precision: the type the rows were computed in. Directions that its rounding could have made are left out.
        """
        products = gram(block for _, block in self.centred(mean, deviation))
        products -= products.mean(dim=0)  # what the rounding of the mean left
        products -= products.mean(dim=1, keepdim=True)
        origin = mean if deviation is None else mean / deviation
        squares = float(products.trace()) + len(self) * float(origin.cpu().double().square().sum())
        found = leading_directions(products, most, mean.dtype, torch.finfo(precision).eps ** 2 * squares)
        mixing = found.mixing - found.mixing.mean(dim=1, keepdim=True)
        return Decomposition(mixing, found.singular_values, found.squares)


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


def gram(blocks: Iterable[Tensor]) -> Tensor:
    """Scalar products of rows with each other.

    Args:
        blocks: all rows' columns in turn, ``(n, c)`` each. Products are taken in their type and on their device.

    Returns:
        ``(n, n)`` in float64, summed over the blocks in float64 on the processor.
    """
    total = products = torch.zeros(0, 0, dtype=torch.float64)
    for block in blocks:
        products = _lower_products(block, products)
        total = total.add_(products) if len(total) else products.to(torch.float64, copy=True)
    upper = total.tril(-1).T
    return total.tril_().add_(upper)


def column_blocks(parts: Sequence[Tensor], like: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows, block of columns after block of columns.

    Args:
        parts: the rows, ``(B_i, D)`` each.
        like: has the type and the device that the blocks shall have.

    Yields:
        Which columns, and a copy of them ``(n, COLUMNS)``, from left to right; the last may be narrower. The next
        block takes the place of the one before: fresh memory for each would take as long as the copying.
    """
    sizes = [len(part) for part in parts]
    n = sum(sizes)
    width = parts[0].shape[1] if parts else 0
    memory = like.new_empty(n * min(width, COLUMNS))
    for start in range(0, width, COLUMNS):
        columns = slice(start, min(start + COLUMNS, width))
        block = memory[: n * (columns.stop - start)].view(n, columns.stop - start)
        for place, part in zip(block.split(sizes), parts, strict=True):
            place.copy_(part[:, columns])
        yield columns, block


def combined(weights: Tensor, blocks: Iterable[tuple[slice, Tensor]], out: Tensor | None = None) -> Tensor:
    """Combinations of rows.

    Args:
        weights: ``(B, n)``.
        blocks: as ``column_blocks`` yields them.
        out: where the result goes; may be what the blocks are copies of.

    Returns:
        ``(B, D)``.
    """
    if out is None:
        return torch.cat([weights @ block for _, block in blocks], dim=1)
    for columns, block in blocks:
        torch.mm(weights, block, out=out[:, columns])
    return out


def leading_directions(gram: Tensor, most: int, precision: torch.dtype, noise: float = 0.0) -> Decomposition:
    """Decompose rows by their Gram matrix.

    Args:
        gram: ``(n, n)`` in float64; may be overwritten.
        most: the most directions, from 1 to n.
        precision: the type the products were taken in. Directions that its rounding could have made are left out.
        noise: squares of singular values up to here are left out, too.
    """
    squares = float(gram.trace())
    values, vectors = _largest_eigenpairs(gram, min(most, len(gram)))
    # ours: rounding gives a symmetric matrix of independent errors; its norm is 2 sqrt(n) times their deviation
    rounding = 9 * torch.finfo(precision).eps * max(float(values[0]), squares / len(gram) ** 0.5)
    real = values > max(noise, rounding)
    singular_values = values[real].sqrt()
    return Decomposition((vectors[:, real] / singular_values).T, singular_values, squares)


def _lower_products(block: Tensor, before: Tensor) -> Tensor:
    """``block @ block.T``, of which only the lower triangle is right; may take the place of the block's before."""
    if block.device.type != "cpu" or len(block) <= FEW:
        return (block @ block.T).cpu()
    # ours: half the operations of block @ block.T, at the same rate; python benchmarks/pca.py products
    product = dsyrk if block.dtype == torch.float64 else ssyrk
    out = before.numpy() if before.dtype == block.dtype and len(before) else None
    return torch.from_numpy(product(1.0, block.numpy().T, c=out, trans=1, lower=1, overwrite_c=True))


def _compact(features: Tensor, device: torch.device | str) -> Tensor:
    halves = features.to(device, torch.float16, copy=True)
    if features.dtype == torch.float16:
        return halves
    pairs = zip(halves.split(32), features.split(32), strict=True)  # few at a time, for they are copied
    same = all(torch.equal(half.to(part), part) for half, part in pairs)
    return halves if same else features.to(device, copy=True)


def _largest_eigenpairs(gram: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``(most,)``, falling, and eigenvectors ``(n, most)``; only these are computed where they are few."""
    n = len(gram)
    few = 2 * most <= n  # from about there on it is faster to compute all
    values, vectors = eigh(gram.numpy(), subset_by_index=[n - most, n - 1] if few else None, overwrite_a=True)
    return torch.from_numpy(values).flip(0)[:most], torch.from_numpy(vectors).flip(1)[:, :most]
