"""The pictures of reserved people -> pooled features of a network, for judges to learn from."""

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dmt.data.catalogs import Catalog
from dmt.data.framed import Framed
from dmt.data.framing import Framing
from dmt.data.images import ImageError
from dmt.data.selection import Reserved
from dmt.errors import UserError, is_number, require_whole_number
from dmt.networks import Backbone
from dmt.networks.extractor import PooledExtractor
from dmt.ranges import Cells, ShareBelowOne, Side, SomeShare
from dmt.storage.tensors import cache_key, tensors_at

log = logging.getLogger(__name__)

BATCH = 16  # pictures at a time (ours: bounds the memory)


class PooledFeatures:
    """Activations of a network's layers, averaged in the cells of a grid.

    Args:
        backbone: the network.
        layers: which of its layers.
        grid: cells along each side; a smaller layer has as many as it has places.
        crop: side of a centred square that is enlarged to the picture's size first, as a share of it, above 0 and at
            most 1.

    Raises:
        UserError: an unknown layer, or a number out of range.
    """

    def __init__(self, backbone: Backbone, layers: Sequence[str], grid: Cells = 4, crop: SomeShare = 1.0):
        require_whole_number("a probe's grid", grid, "a whole number above 0", least=1)
        if not (is_number(crop) and 0 < crop <= 1):
            raise UserError(f"a probe's crop must be a number above 0 and at most 1, got {crop!r}")
        self.extractor = PooledExtractor(backbone, layers, grid)
        self.grid = grid
        self.crop = crop

    @property
    def fingerprint(self) -> dict[str, str]:
        """What determines a feature vector besides the picture."""
        return self.extractor.fingerprint | {"grid": str(self.grid), "crop": str(float(self.crop))}

    def __call__(self, images: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` in [0, 1] to ``(B, D)``, D the layers' channels times the cells."""
        with torch.no_grad():
            return self.extractor.vectors(center(images, self.crop))

    def at_size(self, images: Sequence[Tensor], side: int) -> Tensor:
        """Features ``(n, D)`` of pictures ``(3, H, W)`` in [0, 1], brought to ``side`` pixels a side first."""
        size = (side, side)
        parts = []
        for start in range(0, len(images), BATCH):
            batch = torch.stack(list(images[start : start + BATCH]))
            if batch.shape[-2:] != size:
                batch = interpolate(batch, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
            parts.append(self(batch))
        return torch.cat(parts)


def center(images: Tensor, share: float) -> Tensor:
    """The centred part of ``(B, 3, H, W)`` with ``share`` of its sides, enlarged to H x W (bicubic) and in [0, 1]."""
    height, width = images.shape[-2:]
    rows, columns = max(1, round(share * height)), max(1, round(share * width))
    if (rows, columns) == (height, width):
        return images
    top, left = (height - rows) // 2, (width - columns) // 2
    part = images[..., top : top + rows, left : left + columns]
    return interpolate(part, (height, width), mode="bicubic", align_corners=False).clamp(0, 1)


class ReservedPictures:
    """What judges learn from: pictures of people whom no edit sees, three quarters to fit and one quarter to test.

    Args:
        catalog: the pictures and their labels.
        reserved: whose pictures, as ``data.reserved``; a quarter of them is held out from the fit.
        features: what is known of a picture.
        image_size: pictures are read at this height and width.
        cache: features are kept below this folder, in ``probes/``.
        framing: where in a picture its subject lies, as in ``data.framing``: what judges see of an edit is how that is
            shown; ``None``: they see pictures as the catalog serves them.

    Raises:
        UserError: the share is 0, or the pictures are too small for the network.
    """

    def __init__(
        self,
        catalog: Catalog,
        reserved: Reserved | ShareBelowOne,
        *,
        features: PooledFeatures,
        image_size: Side,
        cache: str | Path,
        framing: Framing | None = None,
    ):
        reserved = Reserved.of(reserved)
        is_reserved = reserved.among(catalog.groups)
        if not is_reserved.any():
            raise UserError(
                f"probes learn from people whom no edit sees, and data.reserved={reserved.share} keeps none; set "
                "data.reserved=0.25, or leave out judges=probe and judges=attributes"
            )
        features.extractor.layout(image_size, image_size)  # an unfit size is said before any work
        self.catalog = catalog if framing is None else Framed(catalog, framing)
        self.features = features
        self.image_size = image_size
        self.cache = Path(cache).expanduser()
        self._reserved = np.flatnonzero(is_reserved)
        self._held_out = Reserved(reserved.share / 4, reserved.spared).among(catalog.groups)

    @property
    def fingerprint(self) -> str:
        """Changes with the pictures, their split or their features."""
        members = np.packbits(self._held_out[self._reserved]).tobytes() + self._reserved.tobytes()
        data = {"data": self.catalog.fingerprint, "members": members.hex(), "image_size": str(self.image_size)}
        return cache_key(self.features.fingerprint | data)

    @property
    def positions(self) -> np.ndarray:
        """Where the reserved pictures that decode stand in the catalog, ``(n,)``."""
        return self._stored["positions"].numpy()

    @property
    def points(self) -> Tensor:
        """Their features, ``(n, D)``."""
        return self._stored["points"]

    @property
    def held_out(self) -> np.ndarray:
        """Which of them test and do not teach, ``(n,)`` of bool."""
        return self._held_out[self.positions]

    def points_of(self, images: Sequence[Tensor]) -> Tensor:
        """Features ``(n, D)`` of pictures ``(3, H, W)`` in [0, 1], brought to ``image_size`` first."""
        return self.features.at_size(images, self.image_size)

    def _read(self, position: int) -> Tensor:
        if isinstance(self.catalog, Framed):
            return self.catalog.original(self.catalog.names[position], self.image_size)
        return self.catalog.read(position, self.image_size)

    @cached_property
    def _stored(self) -> dict[str, Tensor]:
        file = self.cache / "probes" / f"{self.fingerprint}.safetensors"
        return tensors_at(file, self._computed, "judges")

    def _computed(self) -> dict[str, Tensor]:
        log.info("judges: computing features of %d pictures of reserved people", len(self._reserved))
        points: list[Tensor] = []
        positions: list[int] = []
        for start in range(0, len(self._reserved), BATCH):
            images = []
            for position in self._reserved[start : start + BATCH].tolist():
                try:
                    images.append(self._read(position))
                    positions.append(position)
                except ImageError as error:
                    log.warning("skipped a picture that does not decode: %s", error)
            if images:
                points.append(self.points_of(images))
        return {"points": torch.cat(points), "positions": torch.tensor(positions)}
