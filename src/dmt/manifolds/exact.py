"""Principal component analysis of all feature vectors at once, from their Gram matrix."""

from typing import Self

from dmt.manifolds.pca import PCA
from dmt.manifolds.rows import CollectsRows, Rows, combined
from dmt.ranges import Components


class ExactPCA(CollectsRows, PCA):
    """PCA without the loss of ``IncrementalPCA``, in memory O(images x (images + features)).

    With the centred rows F ``(n, D)`` and the Gram matrix ``F F^T = V S^2 V^T``, the components are ``S^-1 V^T F``
    (Turk and Pentland, J. Cogn. Neurosci. 1991, do so for faces). The rows wait in main memory, as float16 where that
    is exact, until ``finish`` frees them; rows given later begin another fit. Components past the rank of the data
    are dropped; so are those whose variance is below 1e-6 of the largest where the features are float32, for products
    are taken in the features' type.

    Args:
        n_components: how many components to keep, or a share of the variance in (0, 1).

    Raises:
        UserError: ``n_components`` is neither a positive whole number nor a share.
    """

    def __init__(self, n_components: Components = 512):
        super().__init__(n_components)
        self._rows = Rows()

    def finish(self) -> Self:
        """Compute the components.

        Raises:
            UserError: fewer images than components.
        """
        self._check_enough(len(self._rows))
        self.n_images = len(self._rows)
        self.mean = self._rows.mean(self.mean)
        most = self.n_images if self.n_components < 1 else int(self.n_components)
        found = self._rows.decomposed(self.mean, None, most, self.mean.dtype)
        self.singular_values, self._squares = found.singular_values, found.squares
        self._keep_wanted()
        mixing = found.mixing[: len(self.singular_values)].to(self.mean)
        out = self.mean.new_empty(len(mixing), len(self.mean))
        self.components = combined(mixing, self._rows.centred(self.mean), out)
        self._rows = Rows()
        self._orthonormalise()
        return self
