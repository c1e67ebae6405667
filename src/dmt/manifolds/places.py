"""Activations of several layers <-> one point for every place of a grid: what is alike is found wherever it lies."""

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from dmt.errors import UserError, is_number, require_whole_number
from dmt.networks.extractor import FeatureLayout

MOST_PLACES = 256  # of a picture, where the grid is not given (ours: more cost time and bring little)

Activations = Mapping[str, Tensor]


class Places(nn.Module):
    """One point for every place: what each layer's channels say there, in a few numbers a layer (ours).

    A vector for the whole picture compares like with like only where pictures are aligned: the mouth of one face with
    the mouth of another. Oranges lie anywhere; their places are compared with all places of all lemons instead. Layers
    are brought to one grid (finer ones averaged, coarser ones interpolated), so that a point knows its surroundings,
    too. Each layer's channels are written in their principal components over the places of both sides, all layers
    with the same total variance.

    >>> import torch
    >>> picture = {"low": torch.rand(40, 6, 4, 4), "high": torch.rand(40, 8, 2, 2)}
    >>> rows = Places().sampled(picture, 10).flatten(0, 1)
    >>> places = Places(channels=3).fitted({"low": (6, 4, 4), "high": (8, 2, 2)}, rows)
    >>> places.points(picture).shape
    torch.Size([640, 6])

    Args:
        channels: numbers kept of each layer; fewer where it has fewer channels.
        grid: places along the shorter side; ``None``: those of the finest layer that has at most ``MOST_PLACES``.
        pictures: the most pictures of either side whose places are compared, evenly spaced among the set's.
        points: about how many places of either side are compared, equally many of each picture, drawn at random.
        unit: lambda' is multiplied by it (ours: so that one lambda' does about the same as to whole pictures).

    Raises:
        UserError: a number out of range.
    """

    def __init__(
        self,
        channels: int = 32,
        grid: int | None = None,
        pictures: int = 200,
        points: int = 2000,
        unit: float = 0.3,
    ):
        super().__init__()
        require_whole_number("manifold.channels", channels, "a whole number above 0", least=1)
        if grid is not None:
            require_whole_number("manifold.grid", grid, "null or a whole number above 0", least=1)
        require_whole_number("manifold.pictures", pictures, "a whole number above 1", least=2)
        require_whole_number("manifold.points", points, "a whole number above 1", least=2)
        if not (is_number(unit) and 0 < unit < math.inf):
            raise UserError(f"manifold.unit must be a number above 0, got {unit!r}")
        self.channels = channels
        self.grid = grid
        self.most_pictures = pictures
        self.most_points = points
        self.unit = unit
        self.shape = (0, 0)
        self.layers: tuple[str, ...] = ()

    def shape_for(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
        """The grid (h, w) for layers of these shapes (C, h, w)."""
        sizes = sorted(((height, width) for _, height, width in shapes.values()), reverse=True)
        finest = next((size for size in sizes if size[0] * size[1] <= MOST_PLACES), sizes[-1])
        if self.grid is None:
            return finest
        scale = self.grid / min(finest)
        return max(1, round(finest[0] * scale)), max(1, round(finest[1] * scale))

    def sampled(self, activations: Activations, count: int, generator: torch.Generator | None = None) -> Tensor:
        """All channels at some places of each picture, drawn at random.

        Args:
            activations: ``{layer: (B, C, h, w)}``.
            count: places of each picture; all where there are fewer.
            generator: draws them.

        Returns:
            ``(B, count, sum of C)``.
        """
        shape = self.shape_for(FeatureLayout.of(activations).shapes)
        rows = torch.cat([_to_grid(value.float(), shape) for value in activations.values()], dim=1)
        rows = rows.flatten(2).transpose(1, 2)
        n_places = rows.shape[1]
        drawn = [torch.randperm(n_places, generator=generator)[:count].sort().values for _ in rows]
        return torch.stack([row[places.to(row.device)] for row, places in zip(rows, drawn, strict=True)])

    def fitted(self, shapes: Mapping[str, tuple[int, ...]], rows: Tensor) -> Self:
        """The same with the components of what is there.

        Args:
            shapes: layer -> (C, h, w).
            rows: ``(n, sum of C)``, as ``sampled`` gives them, places of both sides.

        Raises:
            UserError: all places are alike.
        """
        places = deepcopy(self)
        places.layers = tuple(shapes)
        places.shape = self.shape_for(shapes)
        for position, channels in enumerate(rows.double().split([shape[0] for shape in shapes.values()], dim=1)):
            mean = channels.mean(dim=0)
            covariance = (channels - mean).T @ (channels - mean) / len(channels)
            values, vectors = torch.linalg.eigh(covariance)
            kept = vectors[:, -min(self.channels, len(values)) :].flip(1)
            spread = values[-kept.shape[1] :].clamp_min(0).sum().sqrt()
            if not spread > 0:
                raise UserError(
                    f"layer {places.layers[position]!r} is the same at every place of both sides; choose other layers"
                )
            places.register_buffer(f"mean_{position}", mean.float())
            places.register_buffer(f"basis_{position}", (kept / spread).float())
            places.register_buffer(f"back_{position}", (kept * spread).float())
        return places

    def project(self, rows: Tensor) -> Tensor:
        """Places as ``sampled`` gives them, ``(n, sum of C)``, as points ``(n, K)`` in double precision."""
        parts = rows.split([len(basis) for basis in self._buffers_of("basis")], dim=1)
        columns = [
            (part - mean) @ basis
            for part, mean, basis in zip(parts, self._buffers_of("mean"), self._buffers_of("basis"), strict=True)
        ]
        return torch.cat(columns, dim=1).double()

    def points(self, activations: Activations) -> Tensor:
        """Every place of each picture: ``{layer: (B, C, h, w)}`` -> ``(B * h * w, K)``, place after place."""
        return self.linear(
            {
                layer: activations[layer].float() - mean[:, None, None]
                for layer, mean in zip(self.layers, self._buffers_of("mean"), strict=True)
            }
        )

    def linear(self, changes: Activations) -> Tensor:
        """How far points ``(B * h * w, K)`` move as activations change by so much ``{layer: (B, C, h, w)}``."""
        parts = [
            _to_grid(torch.einsum("bchw,ck->bkhw", changes[layer], basis), self.shape)
            for layer, basis in zip(self.layers, self._buffers_of("basis"), strict=True)
        ]
        return torch.cat(parts, dim=1).permute(0, 2, 3, 1).flatten(0, 2)

    def changes(self, delta: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """Changes of activations ``{layer: (B, C, h, w)}`` that move points by about ``delta (B * h * w, K)``.

        Exactly so where a layer has the grid's places; a coarser layer moves by the mean of its places'.
        """
        height, width = self.shape
        maps = delta.reshape(-1, height, width, delta.shape[1]).permute(0, 3, 1, 2)
        sizes = [back.shape[1] for back in self._buffers_of("back")]
        return {
            layer: torch.einsum("bkhw,ck->bchw", _from_grid(part, shapes[layer][1:]), back)
            for layer, part, back in zip(self.layers, maps.split(sizes, dim=1), self._buffers_of("back"), strict=True)
        }

    def _buffers_of(self, kind: str) -> list[Tensor]:
        return [self.get_buffer(f"{kind}_{position}") for position in range(len(self.layers))]


def _to_grid(maps: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``(B, C, h, w)`` brought to the grid: averaged where it is finer, interpolated where it is coarser."""
    if tuple(maps.shape[-2:]) == tuple(shape):
        return maps
    if maps.shape[-2] >= shape[0]:
        return adaptive_avg_pool2d(maps, (shape[0], shape[1]))
    return interpolate(maps, (shape[0], shape[1]), mode="bilinear", align_corners=False)


_from_grid = _to_grid  # the way back follows the same rule
