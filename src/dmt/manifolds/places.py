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
from dmt.ranges import Cells, NotNegative, Positive, Several

LEAST_PLACES = 16  # of a picture, where the grid is not given (ours)

Activations = Mapping[str, Tensor]


class Places(nn.Module):
    """One point for every place: what each layer's channels say there, in a few numbers a layer (ours).

    A vector for the whole picture compares like with like only where pictures are aligned: the mouth of one face with
    the mouth of another. Oranges lie anywhere; their places are compared with all places of all lemons instead. Layers
    are brought to one grid (finer ones averaged, coarser ones interpolated), so that a point knows its surroundings,
    too. Each layer's channels are written in their principal components over the places of both sides, all layers
    with the same total variance. Two further numbers say where the place lies; they do not move.

    >>> import torch
    >>> picture = {"low": torch.rand(40, 6, 4, 4), "high": torch.rand(40, 8, 2, 2)}
    >>> rows = Places().sampled(picture, 10).flatten(0, 1)
    >>> places = Places(channels=3).fitted({"low": (6, 4, 4), "high": (8, 2, 2)}, rows)
    >>> places.points(picture).shape
    torch.Size([640, 8])

    Args:
        channels: numbers kept of each layer; fewer where it has fewer channels.
        grid: places along the shorter side; ``None``: those of the coarsest layer that has at least ``LEAST_PLACES``.
        position: half of the range of the two numbers that say where a place lies; 0: there are none.
        pictures: the most pictures of either side whose places are compared, evenly spaced among the set's.
        points: about how many places of either side are compared, equally many of each picture, drawn at random.
        unit: lambda' is multiplied by it (ours: so that one lambda' does about the same as to whole pictures).

    Raises:
        UserError: a number out of range.
    """

    def __init__(
        self,
        channels: Cells = 32,
        grid: Cells | None = None,
        pictures: Several = 200,
        points: Several = 2000,
        unit: Positive = 0.3,
        position: NotNegative = 1.0,
    ):
        super().__init__()
        require_whole_number("manifold.channels", channels, "a whole number above 0", least=1)
        if grid is not None:
            require_whole_number("manifold.grid", grid, "null or a whole number above 0", least=1)
        require_whole_number("manifold.pictures", pictures, "a whole number above 1", least=2)
        require_whole_number("manifold.points", points, "a whole number above 1", least=2)
        if not (is_number(unit) and 0 < unit < math.inf):
            raise UserError(f"manifold.unit must be a number above 0, got {unit!r}")
        if not (is_number(position) and 0 <= position < math.inf):
            raise UserError(f"manifold.position must be a number, 0 or more, got {position!r}")
        self.position = position
        self.channels = channels
        self.grid = grid
        self.most_pictures = pictures
        self.most_points = points
        self.unit = unit
        self.shape = (0, 0)
        self.layers: tuple[str, ...] = ()

    def shape_for(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
        """The grid (h, w) for layers of these shapes (C, h, w)."""
        sizes = sorted((height, width) for _, height, width in shapes.values())
        coarsest = next((size for size in sizes if size[0] * size[1] >= LEAST_PLACES), sizes[-1])
        if self.grid is None:
            return coarsest
        scale = self.grid / min(coarsest)
        return max(1, round(coarsest[0] * scale)), max(1, round(coarsest[1] * scale))

    @property
    def fixed(self) -> Tensor | None:
        """Directions ``(2, K)`` along which points do not move: where they lie; ``None``: there are none."""
        if not self.position:
            return None
        n_moving = sum(basis.shape[1] for basis in self._buffers_of("basis"))
        return torch.eye(n_moving + 2, dtype=torch.float64)[n_moving:]

    def sampled(self, activations: Activations, count: int, generator: torch.Generator | None = None) -> Tensor:
        """All channels at some places of each picture, drawn at random.

        Args:
            activations: ``{layer: (B, C, h, w)}``.
            count: places of each picture; all where there are fewer.
            generator: draws them.

        Returns:
            ``(B, count, sum of C + 2)``; the last two are where each lies, in [-1, 1] from the top and from the left.
        """
        shape = self.shape_for(FeatureLayout.of(activations).shapes)
        maps = [_to_grid(value.float(), shape) for value in activations.values()]
        rows = torch.cat([*maps, _coordinates(shape, maps[0])], dim=1)
        rows = rows.flatten(2).transpose(1, 2)
        n_places = rows.shape[1]
        drawn = [torch.randperm(n_places, generator=generator)[:count].sort().values for _ in rows]
        return torch.stack([row[places.to(row.device)] for row, places in zip(rows, drawn, strict=True)])

    def fitted(self, shapes: Mapping[str, tuple[int, ...]], rows: Tensor) -> Self:
        """The same with the components of what is there.

        Args:
            shapes: layer -> (C, h, w).
            rows: ``(n, sum of C + 2)``, as ``sampled`` gives them, places of both sides.

        Raises:
            UserError: all places are alike.
        """
        places = deepcopy(self)
        places.layers = tuple(shapes)
        places.shape = self.shape_for(shapes)
        sizes = [shape[0] for shape in shapes.values()]
        for position, channels in enumerate(rows[:, : sum(sizes)].double().split(sizes, dim=1)):
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
        """Places as ``sampled`` gives them, ``(n, sum of C + 2)``, as points ``(n, K)`` in double precision."""
        parts = rows[:, :-2].split([len(basis) for basis in self._buffers_of("basis")], dim=1)
        columns = [
            (part - mean) @ basis
            for part, mean, basis in zip(parts, self._buffers_of("mean"), self._buffers_of("basis"), strict=True)
        ]
        columns += [self.position * rows[:, -2:]] if self.position else []
        return torch.cat(columns, dim=1).double()

    def points(self, activations: Activations) -> Tensor:
        """Every place of each picture: ``{layer: (B, C, h, w)}`` -> ``(B * h * w, K)``, place after place."""
        moved = self.linear(
            {
                layer: activations[layer].float() - mean[:, None, None]
                for layer, mean in zip(self.layers, self._buffers_of("mean"), strict=True)
            }
        )
        if self.position:
            maps = activations[self.layers[0]]
            moved[:, -2:] = self.position * _coordinates(self.shape, maps).permute(0, 2, 3, 1).flatten(0, 2)
        return moved

    def linear(self, changes: Activations) -> Tensor:
        """How far points ``(B * h * w, K)`` move as activations change by so much ``{layer: (B, C, h, w)}``."""
        parts = [
            _to_grid(torch.einsum("bchw,ck->bkhw", changes[layer], basis), self.shape)
            for layer, basis in zip(self.layers, self._buffers_of("basis"), strict=True)
        ]
        if self.position:
            parts.append(parts[0].new_zeros(len(parts[0]), 2, *self.shape))
        return torch.cat(parts, dim=1).permute(0, 2, 3, 1).flatten(0, 2)

    def changes(self, delta: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """Changes of activations ``{layer: (B, C, h, w)}`` that move points by about ``delta (B * h * w, K)``.

        Exactly so where a layer has the grid's places; a coarser layer moves by the mean of its places'.
        """
        height, width = self.shape
        sizes = [back.shape[1] for back in self._buffers_of("back")]
        maps = delta.reshape(-1, height, width, delta.shape[1])[..., : sum(sizes)].permute(0, 3, 1, 2)
        return {
            layer: torch.einsum("bkhw,ck->bchw", _from_grid(part, shapes[layer][1:]), back)
            for layer, part, back in zip(self.layers, maps.split(sizes, dim=1), self._buffers_of("back"), strict=True)
        }

    def _buffers_of(self, kind: str) -> list[Tensor]:
        return [self.get_buffer(f"{kind}_{position}") for position in range(len(self.layers))]


def _coordinates(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Where the places of a grid lie, in [-1, 1] from the top and from the left, for each picture: ``(B, 2, h, w)``."""
    lines = [torch.linspace(-1, 1, side, device=like.device) if side > 1 else like.new_zeros(1) for side in shape]
    rows, columns = torch.meshgrid(*lines, indexing="ij")
    return torch.stack([rows, columns]).float().expand(len(like), -1, -1, -1)


def _to_grid(maps: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``(B, C, h, w)`` brought to the grid: averaged where it is finer, interpolated where it is coarser."""
    if tuple(maps.shape[-2:]) == tuple(shape):
        return maps
    if maps.shape[-2] >= shape[0]:
        return adaptive_avg_pool2d(maps, (shape[0], shape[1]))
    return interpolate(maps, (shape[0], shape[1]), mode="bilinear", align_corners=False)


_from_grid = _to_grid  # the way back follows the same rule
