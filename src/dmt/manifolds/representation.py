"""Things -> points on which a walk goes, and displacements of points -> what the inverter shall reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from dmt.data import Sets
from dmt.networks.extractor import FeatureExtractor, FeatureLayout


@dataclass(frozen=True)
class Points:
    """P points of B things, and whose they are.

    A manifold of whole pictures gives every picture one point; a local one would give it a point for every place of a
    layer, and a row of a table has one.

    Args:
        z: ``(P, K)``, coordinates in double precision.
        owner: ``(P,)``, ascending: which of the things each point is of.
        n_things: B.
    """

    z: Tensor
    owner: Tensor
    n_things: int

    @classmethod
    def one_each(cls, z: Tensor) -> Self:
        """One point a thing."""
        return cls(z, torch.arange(len(z)), len(z))

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        return type(self)(self.z.to(device), self.owner.to(device), self.n_things)

    def sum(self, values: Tensor) -> Tensor:
        """Sums ``(B,)`` over each thing's points of ``values (P,)``, or ``(B, K)`` of ``(P, K)``."""
        return values.new_zeros(self.n_things, *values.shape[1:]).index_add(0, self.owner, values)

    def mean(self, values: Tensor) -> Tensor:
        """Means ``(B,)`` over each thing's points of ``values (P,)``, or ``(B, K)`` of ``(P, K)``."""
        return self.sum(values) / self.sum(torch.ones_like(values))

    def repeated(self, n: int) -> Self:
        """All of them n times, each time as those of other things."""
        shifts = self.n_things * torch.arange(n).repeat_interleave(len(self.owner))
        return type(self)(self.z.repeat(n, 1), self.owner.repeat(n) + shifts, n * self.n_things)

    @classmethod
    def joined(cls, parts: "list[Points]") -> "Points":
        """Those of several batches, in order."""
        first = [0]
        for part in parts:
            first.append(first[-1] + part.n_things)
        owners = [part.owner + shift for part, shift in zip(parts, first, strict=False)]
        return Points(torch.cat([part.z for part in parts]), torch.cat(owners), first[-1])


@dataclass(frozen=True)
class Encoded:
    """Things as points, and what is needed to go back.

    Args:
        points: where they lie, on the processor: a few thousand points are no work, and not every device has doubles.
        features: ``(B, D)``, their feature vectors.
        layout: where each layer lies in these.
    """

    points: Points
    features: Tensor
    layout: FeatureLayout


@dataclass(frozen=True)
class Members:
    """The points of the pictures of both sides.

    Args:
        source: of the source.
        target: of the target.
    """

    source: Points
    target: Points


class Representation(Protocol):
    """How pictures become points, and displacements become activations again.

    ``dmt.manifolds.Space`` has one point for every picture, ``dmt.manifolds.LocalSpace`` one for every place of it.
    """

    @property
    def extractor(self) -> FeatureExtractor:
        """Pictures -> activations."""

    @property
    def manifold(self) -> Any:
        """What was fitted, a module that follows the device."""

    @property
    def unit(self) -> float:
        """What lambda' is multiplied by, so that it means about the same in every representation."""

    @property
    def fixed(self) -> Tensor | None:
        """Orthonormal directions ``(r, K)`` along which points never move; ``None``: there are none."""

    def members(self, sets: Sets) -> Members:
        """The points of two sets of the catalog's pictures, those that are known."""

    def catalog_points(self) -> tuple[Tensor, Tensor] | None:
        """Coordinates ``(n, K)`` of the catalog's pictures, as source and as target; ``None``: they have many each."""

    def coordinates(self, images: Tensor) -> Tensor:
        """Points ``(P, K)`` of pictures ``(B, 3, H, W)`` in [0, 1], in double precision, on the processor."""

    def points(self, activations: Mapping[str, Tensor]) -> Points:
        """The points of pictures whose activations ``{layer: (B, C, h, w)}`` are known, on the processor."""

    def encode(self, images: Tensor) -> Encoded:
        """Pictures ``(B, 3, H, W)`` in [0, 1] as points."""

    def targets(self, encoded: Encoded, delta: Tensor, form: str = "residual") -> dict[str, Tensor]:
        """The activations ``{layer: (B, C, h, w)}`` of things whose points are displaced.

        Args:
            encoded: the things.
            delta: ``(P, K)``, the displacements.
            form: ``residual``: Omega(x_s) + U delta, which keeps what the manifold cannot represent of the input; or
                ``projected``: U z_t + mean (the paper, section 4).
        """

    def along(self, encoded: Encoded, delta: Tensor) -> dict[str, Tensor]:
        """What to multiply a change of activations by to get the share of a displacement that it makes.

        Args:
            encoded: the things.
            delta: ``(P, K)``, the displacements.

        Returns:
            ``{layer: (B, C, h, w)}``: ``<along, change>`` is 1 for the change that ``targets`` asks for. With one point
            a picture it is ``<dz, delta> / <delta, delta>``, where dz is how far that point moves with the change;
            with many it is the same of activations. Zeros for a thing whose points are not displaced.
        """
