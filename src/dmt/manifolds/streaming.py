"""Principal component analysis fitted in one pass over batches of feature vectors."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from dmt.manifolds.pca import PCA
from dmt.manifolds.rows import Rows, column_blocks, combined, gram, leading_directions
from dmt.manifolds.second_moment import SecondMoment
from dmt.ranges import Components, Count


class IncrementalPCA(PCA):
    """PCA in memory O(components x features), whatever the number of images.

    Streaming: some rows at a time are merged into the running decomposition (Ross et al., IJCV 2008; scikit-learn's
    ``IncrementalPCA`` does the same by an SVD). Ours decomposes the Gram matrix of the stacked rows instead, since
    there are far fewer rows than features. What the merged rows had beyond the directions kept is lost to later ones;
    so more directions are kept while fitting than components are wanted, and the variance lost along each is estimated
    (``SecondMoment``) and given back. Rows wait, as float16 where that is exact, until they are as many as these
    directions, so that the size of the batches changes nothing. Components past the rank of the data are dropped, not
    filled with noise.

    Args:
        n_components: how many components to keep, or a share of the variance in (0, 1).
        most: where ``n_components`` is a share, the most components to keep while fitting.
        oversampling: otherwise, the directions kept while fitting for each component.

    Raises:
        UserError: ``n_components`` is neither a positive whole number nor a share.
    """

    def __init__(self, n_components: Components = 512, most: Count = 1024, oversampling: Count = 3):
        super().__init__(n_components)
        self.capacity = int(most if n_components < 1 else oversampling * n_components)
        self._rows = Rows()
        self._seen: SecondMoment | None = None
        self._storage = torch.zeros(0)  # of the components while fitting: a second copy would be most of the memory

    @property
    def wanted(self) -> str:
        return f"{self.n_components} of {self.capacity}"

    @property
    def explained_variance(self) -> Tensor:
        """Variance along each component, ``(K,)`` in float64, with the divisor n - 1."""
        return super().explained_variance[: self.capacity if self.n_components < 1 else int(self.n_components)]

    def partial_fit(self, features: Tensor) -> Self:
        """Take in a batch ``(B, D)``, B of any size."""
        if len(features) and self.mean.numel() == 0:
            precision = torch.promote_types(features.dtype, torch.float32)
            self.mean = features.new_zeros(features.shape[1], dtype=precision)
            self.components = self.mean.new_zeros(0, features.shape[1])
        while len(features):
            room = self.capacity - len(self._rows)
            self._rows, features = self._rows.plus(features[:room], features.device), features[room:]
            if len(self._rows) == self.capacity:
                self._merge()
        return self

    def finish(self) -> Self:
        """End the fit: merge the rows that wait, keep the components wanted, and re-orthonormalise.

        Raises:
            UserError: fewer images than components.
        """
        self._check_enough(self.n_images + len(self._rows))
        self._merge()
        squares, order = (self.singular_values.square() + self._lost()).sort(descending=True)
        self.singular_values = squares.clamp_min(0).sqrt()
        self._keep_wanted()
        self.components = self.components[order[: len(self.singular_values)].to(self.components.device)]
        self._seen, self._storage = None, torch.zeros(0)
        self._orthonormalise()
        return self

    def save(self, path: Path, metadata: Mapping[str, str], extra: Mapping[str, Tensor] | None = None) -> None:
        self._merge()
        super().save(path, metadata, extra)

    @property
    def _scale(self) -> Tensor:
        return self.singular_values.to(self.mean)[:, None]

    def _merge(self) -> None:
        """Merge the rows that wait into the decomposition."""
        n_new, n_old = len(self._rows), self.n_images
        if n_new == 0:
            return
        center = self._rows.mean(self.mean)
        shift = (self.mean - center) * (n_old * n_new / (n_old + n_new)) ** 0.5
        scale = self._scale

        def stacked() -> Iterator[tuple[slice, Tensor]]:
            for columns, block in column_blocks([self.components, *self._rows.batches, shift[None]], shift):
                block[: len(scale)] *= scale
                block[len(scale) : -1] -= center[columns]
                yield columns, block

        products = gram(block for _, block in stacked())
        self._squares += float(products.diagonal()[len(scale) :].sum())
        self._see(center, shift)
        found = leading_directions(products, self.capacity, self.mean.dtype)
        mixing = found.mixing.to(self.mean)
        if self._storage.numel() == 0:
            self._storage = self.mean.new_empty(self.capacity, len(center))
        self.components = combined(mixing, stacked(), self._storage[: len(mixing)])
        self.mean = self.mean + (center - self.mean) * (n_new / (n_old + n_new))
        self.singular_values = found.singular_values
        self.n_images, self._rows = n_old + n_new, Rows()

    def _see(self, center: Tensor, shift: Tensor) -> None:
        """Fold the rows that wait, whose mean is ``center (D,)``, and ``shift (D,)``."""
        if self._seen is None:  # of a fit that was read back, the components are known
            self._seen = SecondMoment(self.mean)
            self._seen.add(self._seen.folded(column_blocks([self.components], self.mean)) * self._scale)
        self._seen.add(self._seen.folded(self._rows.centred(center)))
        self._seen.add(self._seen.folded(column_blocks([shift[None]], shift)))

    def _lost(self) -> Tensor:
        """What truncation has taken from the square of each singular value, ``(K,)``, as an unbiased estimate."""
        kept = float(self.singular_values.square().sum())
        if self._seen is None or self._squares - kept < 1e-6 * kept:  # ours: no more than rounding makes
            return torch.zeros_like(self.singular_values)
        directions = self._seen.folded(column_blocks([self.components], self.mean))
        self._seen.add(directions * self._scale, sign=-1)
        return self._seen.along(directions).to(self.singular_values)
