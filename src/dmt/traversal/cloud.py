"""How far points lie from the pictures of both sides: whether a walk stays where there are any."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dmt.manifolds.representation import Members


@dataclass(frozen=True)
class Cloud:
    """The points of both sides' pictures, with their own distances as the unit (ours).

    Args:
        center: ``(K,)``, their mean; distances of points far from 0 lose digits.
        offsets: ``(n, K)``, from it.
        unit: the median distance of a picture's points from the nearest of another picture.
    """

    center: Tensor
    offsets: Tensor
    unit: float

    @classmethod
    def of(cls, members: Members) -> "Cloud":
        """The cloud of both sides' pictures."""
        points = torch.cat([members.source.z, members.target.z])
        owner = torch.cat([members.source.owner, members.source.n_things + members.target.owner])
        center = points.mean(dim=0)
        offsets = points - center
        among = torch.cdist(offsets, offsets).masked_fill(owner[:, None] == owner, torch.inf).amin(dim=1)
        return cls(center, offsets, float(among.quantile(0.5)))

    def farness(self, z: Tensor) -> Tensor:
        """Distances ``(P,)`` of points ``(P, K)`` from the nearest of a picture, in units; 1 is typical of pictures."""
        return torch.cdist(z - self.center, self.offsets).amin(dim=1) / self.unit

    def excess(self, z: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
        """``max(0, farness^2 - within^2)^2`` ``(P,)`` of points ``(P, K)``, and its gradient ``(P, K)``.

        Args:
            z: the points.
            within: ``(P,)``, in units.
        """
        away = z - self.center
        nearest = away - self.offsets[torch.cdist(away, self.offsets).argmin(dim=1)]
        beyond = (nearest.square().sum(dim=1) / self.unit**2 - within**2).clamp_min(0)
        return beyond.square(), (4 / self.unit**2) * beyond[:, None] * nearest
