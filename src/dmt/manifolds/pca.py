"""Principal component analysis fitted in one pass over batches of feature vectors."""

from typing import Self

import torch
from torch import Tensor

from dmt.manifolds.linear import PCA

BLOCK = 16384  # columns per block of a matrix product: small enough for float64 sums, large enough for speed


class IncrementalPCA(PCA):
    """PCA in memory O((components + batch) x features), whatever the number of images.

    Streaming: a batch is merged into the running decomposition (Ross et al., IJCV 2008; scikit-learn's
    ``IncrementalPCA`` does the same by an SVD). Ours decomposes the small Gram matrix of the stacked rows instead,
    summed in float64 over blocks of columns, since there are far fewer rows than features. What a batch had beyond
    the components kept is lost to later batches. Components past the rank of the data are dropped, not filled with
    noise.

    Args:
        n_components: how many components to keep, or a share of the variance in (0, 1).
        most: where ``n_components`` is a share, the most components to keep while fitting.

    Raises:
        UserError: ``n_components`` is neither a positive whole number nor a share.
    """

    def __init__(self, n_components: int | float = 512, most: int = 1024):
        super().__init__(n_components)
        self.capacity = int(most if n_components < 1 else n_components)

    @property
    def wanted(self) -> str:
        return str(self.n_components) if self.n_components >= 1 else f"{self.n_components} of {self.capacity}"

    def partial_fit(self, features: Tensor) -> Self:
        """Merge a batch ``(B, D)``, B of any size, into the decomposition."""
        n_new, n_old = len(features), self.n_images
        if n_new == 0:
            return self
        if n_old == 0:
            self.mean = features.new_zeros(features.shape[1])
            self.components = features.new_zeros(0, features.shape[1])
        batch_mean = features.mean(dim=0)
        shift = (self.mean - batch_mean) * (n_old * n_new / (n_old + n_new)) ** 0.5
        old_scale = self.singular_values.to(features.dtype).to(features.device)[:, None]

        def added(columns: slice) -> Tensor:
            return torch.cat([features[:, columns] - batch_mean[columns], shift[None, columns]])

        def kept(columns: slice) -> Tensor:
            return self.components[:, columns] * old_scale

        blocks = _column_blocks(features.shape[1])
        n_kept = len(self.components)
        gram = torch.zeros(n_kept + n_new + 1, n_kept + n_new + 1, dtype=torch.float64)
        gram.diagonal()[:n_kept] = self.singular_values.square()
        for columns in blocks:
            rows = torch.cat([kept(columns), added(columns)])
            gram[n_kept:] += (rows[n_kept:] @ rows.T).cpu().double()
        gram[:n_kept, n_kept:] = gram[n_kept:, :n_kept].T
        self._squares += float(gram.diagonal()[n_kept:].sum())

        mixing, singular_values = _leading_directions(gram, self.capacity, features.dtype)
        mixing = mixing.to(features.device)
        components = features.new_empty(len(mixing), features.shape[1])
        for columns in blocks:
            components[:, columns] = mixing @ torch.cat([kept(columns), added(columns)])
        self.mean = self.mean + (batch_mean - self.mean) * (n_new / (n_old + n_new))
        self.components, self.singular_values = components, singular_values
        self.n_images = n_old + n_new
        return self

    def finish(self) -> Self:
        """End the fit: re-orthonormalise, and cut to the share of variance where one was asked for.

        Raises:
            UserError: fewer images than components.
        """
        self._check_enough(self.n_images)
        self._orthonormalise()
        self._keep_wanted()
        self.components = self.components[: len(self.singular_values)].clone()
        return self


def _column_blocks(n_columns: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, n_columns, BLOCK)]


def _leading_directions(gram: Tensor, most: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """From the Gram matrix of some rows, what turns them into their leading right singular vectors.

    Returns:
        The mixing matrix ``(K, n)`` in ``dtype`` and the singular values ``(K,)``, K <= most. Values that the
        rounding of ``dtype``, squared in the Gram matrix, could have made are left out.
    """
    squares, vectors = torch.linalg.eigh(gram)
    values = squares.clamp_min(0).sqrt().flip(0)[:most]
    vectors = vectors.flip(1)[:, :most]
    real = values > 3 * torch.finfo(dtype).eps ** 0.5 * values[0]
    return (vectors[:, real] / values[real]).T.to(dtype), values[real]
