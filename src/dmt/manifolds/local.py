"""Every place of a picture as a point of its own: the space of classes whose pictures are not aligned."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dmt.data import EditData, Sets
from dmt.data.selection import evenly
from dmt.errors import UserError
from dmt.manifolds.features import CatalogFeatures
from dmt.manifolds.places import Places
from dmt.manifolds.representation import Encoded, Members, Points
from dmt.networks.extractor import FeatureExtractor, FeatureLayout


@dataclass(frozen=True)
class LocalSpace:
    """Where places are points: a ``dmt.manifolds.Representation`` with many points for every picture.

    Args:
        extractor: pictures -> activations.
        manifold: activations <-> points.
        source: places of the source's pictures, with whose they are.
        target: the same of the target.
    """

    extractor: FeatureExtractor
    manifold: Places
    source: Points
    target: Points

    @property
    def unit(self) -> float:
        return self.manifold.unit

    @property
    def fixed(self) -> Tensor | None:
        return self.manifold.fixed

    def members(self, sets: Sets) -> Members:
        return Members(self.source, self.target)

    def catalog_points(self) -> None:
        return None

    @torch.no_grad()
    def points(self, activations: Mapping[str, Tensor]) -> Points:
        z = self.manifold.points(activations).cpu().double()
        n = len(next(iter(activations.values())))
        return Points(z, torch.arange(n).repeat_interleave(len(z) // n), n)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Encoded:
        activations = self.extractor(images)
        layout = FeatureLayout.of(activations)
        return Encoded(self.points(activations), layout.pack(activations), layout)

    @torch.no_grad()
    def targets(self, encoded: Encoded, delta: Tensor, form: str = "residual") -> dict[str, Tensor]:
        if form != "residual":
            raise UserError(f"target_features must be residual with manifold=local, got {form!r}")
        activations = encoded.layout.unpack(encoded.features)
        changes = self.manifold.changes(delta.float().to(encoded.features.device), encoded.layout.shapes)
        return {layer: activations[layer] + change for layer, change in changes.items()}

    @torch.no_grad()
    def along(self, encoded: Encoded, delta: Tensor) -> dict[str, Tensor]:
        changes = self.manifold.changes(delta.float().to(encoded.features.device), encoded.layout.shapes)
        squares = [change.square().flatten(1).sum(dim=1) for change in changes.values()]
        whole = sum(squares[1:], squares[0])[:, None, None, None]
        return {layer: (change / whole).where(whole > 0, 0) for layer, change in changes.items()}

    def coordinates(self, images: Tensor) -> Tensor:
        """Points ``(B * h * w, K)`` of pictures ``(B, 3, H, W)`` in [0, 1], in double precision, on the processor."""
        return self.encode(images).points.z


def local_space(features: CatalogFeatures, places: Places, data: EditData) -> LocalSpace:
    """The places of both sides' pictures.

    Raises:
        UserError: none of the pictures of a side decodes.
    """
    extractor = features.extractor()
    layout = extractor.layout(data.image_size, data.image_size)
    generator = torch.Generator().manual_seed(0)
    source_view = None if data.task is None else data.task.source_view
    sides: list[Tensor] = []
    for name, members, view in (("source", data.source, source_view), ("target", data.target, None)):
        chosen = evenly(members, places.most_pictures)
        each = -(-places.most_points // len(chosen))
        rows: list[Tensor] = []

        def take(found: Tensor, positions: list[int], each: int = each, rows: list[Tensor] = rows) -> None:
            rows.append(places.sampled(layout.unpack(found), each, generator))

        features.some(extractor, chosen, take, view)
        if not rows:
            raise UserError(f"none of the pictures of the {name} decodes")
        sides.append(torch.cat(rows))
    fitted = places.fitted(layout.shapes, torch.cat([side.flatten(0, 1) for side in sides]))
    source, target = (_owned(fitted, side) for side in sides)
    return LocalSpace(extractor, fitted, source, target)


def _owned(places: Places, sampled: Tensor) -> Points:
    owner = torch.arange(len(sampled)).repeat_interleave(sampled.shape[1])
    return Points(places.project(sampled.flatten(0, 1)), owner, len(sampled))
