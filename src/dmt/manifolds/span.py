"""The span of given feature vectors as a manifold, through their Gram matrix alone: no components are formed."""

from typing import Self

import torch
from torch import Tensor, nn

from dmt.errors import UserError
from dmt.manifolds.rows import CollectsRows, Rows


class Span(CollectsRows, nn.Module):
    """All combinations ``delta = F^T beta`` of the given images' features (the paper's version 3, March 2016; no PCA).

    F ``(n, D)`` are the rows minus their mean, divided by each dimension's standard deviation where ``z_score`` is on.
    The Gram matrix ``F F^T = V S^2 V^T`` gives orthonormal coordinates of their span,

        ``encode(f) = ((f - mean) / deviation) F^T V S^-1``,
        ``decode(delta) = (delta S^-1 V^T F) * deviation``,

    so that ``beta = V S^-1 delta``, and that distances of coordinates are distances of (scaled) feature vectors.
    Version 3 minimises over beta; we minimise over these coordinates, in which its budget ``||delta||^2`` is round.

    Since ``V^T 1 = 0``, both run over the rows as they came, without centring or scaling them again. The rows stay in
    main memory, as float16 where that is exact; all products are summed there in float64, whatever the device of
    ``mean``. Directions past the rank of the rows are dropped.

    Args:
        z_score: divide every dimension by its standard deviation over the rows (the authors do). A dimension that is
            constant, or as good as constant, is left as it is.
    """

    mean: Tensor

    def __init__(self, z_score: bool = False):
        super().__init__()
        self.z_score = z_score
        self.n_images = 0
        self.register_buffer("mean", torch.zeros(0))
        self.singular_values = torch.zeros(0, dtype=torch.float64)  # no buffers: not every device has doubles
        self._mixing = torch.zeros(0, 0, dtype=torch.float64)
        self._center = torch.zeros(0, dtype=torch.float64)
        self._deviation = torch.ones(0, dtype=torch.float64)
        self._rows = Rows()

    @property
    def explained_variance_ratio(self) -> Tensor:
        """Share of the rows' variance along each coordinate, ``(K,)``; they sum to 1."""
        squares = self.singular_values.square()
        return squares / squares.sum()

    @property
    def codes(self) -> Tensor:
        """Coordinates of the rows in the order they were given, ``(n, K)``: V S, without a pass over them."""
        return (self._mixing.T * self.singular_values.square()).to(self.mean)

    def finish(self) -> Self:
        """Compute the coordinate system of all rows taken in so far.

        Raises:
            UserError: no images.
        """
        if len(self._rows) == 0:
            raise UserError("the span of 0 images holds nothing; give the manifold at least 2 images")
        self.n_images = len(self._rows)
        self._center = self._rows.mean(self._center)
        self.mean = self._center.to(self.mean)
        self._deviation = self._scale() if self.z_score else torch.ones_like(self._center)
        found = self._rows.decomposed(
            self._center, self._deviation if self.z_score else None, self.n_images, self.mean.dtype
        )
        self._mixing, self.singular_values = found.mixing, found.singular_values
        return self

    def encode(self, features: Tensor) -> Tensor:
        """``(B, D)`` -> coordinates in the span ``(B, K)``."""
        scaled = (features.cpu() - self._center) / self._deviation.square()
        return (self._rows.products(scaled) @ self._mixing.T).to(self.mean)

    def decode(self, delta: Tensor) -> Tensor:
        """Coordinates or displacements ``(B, K)`` -> ``(B, D)``, *without* the mean."""
        beta = delta.cpu().double() @ self._mixing
        return self._rows.combined(beta).to(self.mean)

    def adjoint(self, coordinates: Tensor) -> Tensor:
        """What ``<adjoint(c), f> = <c, encode(mean + f)>`` holds for: ``decode`` over the squared deviations."""
        return self.decode(coordinates) / self._deviation.square().to(self.mean)

    def _scale(self) -> Tensor:
        deviation = self._rows.deviation(self._center)
        noise = 1e-6 * (self._center.abs() + deviation.max())  # ours: what is no more than rounding is not blown up
        return deviation.where(deviation > noise, 1)
