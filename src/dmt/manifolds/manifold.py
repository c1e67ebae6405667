"""What any manifold offers: it is fitted to feature vectors, and turns them into coordinates and back."""

from typing import Protocol, Self

from torch import Tensor


class Manifold(Protocol):
    """Feature vectors ``(B, D)`` in, coordinates ``(B, K)`` out, in an orthonormal system around the mean.

    ``partial_fit`` any number of times, then ``finish``, then ``encode`` and ``decode``. K is known after ``finish``:
    the length of ``explained_variance_ratio``.
    """

    mean: Tensor
    """Mean feature vector, ``(D,)``: the origin of the coordinates."""

    n_images: int
    """How many images it was fitted to."""

    @property
    def explained_variance_ratio(self) -> Tensor:
        """Share of the images' variance along each coordinate, ``(K,)``, falling; empty before a fit."""

    def partial_fit(self, features: Tensor) -> Self:
        """Take in a batch ``(B, D)``, B of any size, also 0."""

    def finish(self) -> Self:
        """End the fit.

        Raises:
            UserError: too few images were taken in.
        """

    def encode(self, features: Tensor) -> Tensor:
        """``(B, D)`` -> coordinates ``(B, K)``."""

    def decode(self, coordinates: Tensor) -> Tensor:
        """Coordinates or displacements ``(B, K)`` -> ``(B, D)``, *without* the mean."""

    def adjoint(self, coordinates: Tensor) -> Tensor:
        """``(B, K)`` -> ``(B, D)``: the feature vectors whose scalar products with others are those of the coordinates.

        ``<adjoint(c), f> = <c, encode(mean + f)>``; the same as ``decode`` where no dimension is scaled.
        """
