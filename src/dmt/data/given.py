"""Pictures that a user hands over -> pictures that a catalog can be asked for by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dmt.data.catalogs import Catalog
from dmt.data.images import to_tensor
from dmt.errors import UserError

PictureLike = str | Path | Image.Image | Tensor | np.ndarray
"""A name in the catalog or a path; a PIL image; a tensor ``(3, H, W)`` in [0, 1]; an array ``(H, W, 3)`` or ``(H, W)``,
of uint8, or of floats in [0, 1]."""


class Given:
    """A catalog that also knows some pictures by names which it gives them: ``image_1``, ``image_2``, ...

    They are labelled by nobody and belong to no group, so that they can be edited but are in neither set.

    Args:
        catalog: all other pictures.
        pictures: name -> picture.
        asked: what was asked for, by name, in order.
    """

    def __init__(self, catalog: Catalog, pictures: dict[str, Image.Image | Tensor], asked: Sequence[str]):
        self.catalog = catalog
        self.pictures = pictures
        self.asked = list(asked)
        self.title = catalog.title
        self.names: Sequence[str] = catalog.names
        self.groups: Sequence[str] = catalog.groups
        self.labels: Sequence[str] = catalog.labels
        self.fingerprint = catalog.fingerprint
        self.is_validation = catalog.is_validation
        self.kinds = catalog.kinds

    @classmethod
    def of(cls, catalog: Catalog, images: Sequence[PictureLike]) -> Self:
        """A catalog with some pictures, names or paths.

        Raises:
            UserError: something that is no picture.
        """
        pictures: dict[str, Image.Image | Tensor] = {}
        asked = []
        for number, image in enumerate(images, start=1):
            if isinstance(image, str | Path):
                asked.append(str(image))
            else:
                asked.append(f"image_{number}")
                pictures[asked[-1]] = _picture(image)
        return cls(catalog, pictures, asked)

    def read(self, index: int, size: int) -> Tensor:
        return self.catalog.read(index, size)

    def read_named(self, name: str, size: int) -> Tensor:
        picture = self.pictures.get(name)
        if picture is None:
            return self.catalog.read_named(name, size)
        if isinstance(picture, Tensor):
            if picture.shape == (3, size, size):
                return picture
            picture = Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).numpy())
        return to_tensor(picture, size)

    def index(self, name: str) -> int | None:
        return None if name in self.pictures else self.catalog.index(name)

    def group(self, name: str) -> str | None:
        return None if name in self.pictures else self.catalog.group(name)

    def scores(self, label: str) -> np.ndarray:
        return self.catalog.scores(label)


def _picture(image: object) -> Image.Image | Tensor:
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, np.ndarray):
        return _of_array(image)
    if not isinstance(image, Tensor):
        raise UserError(
            f"a picture must be a name, a path, a PIL image, a tensor (3, H, W) or an array (H, W, 3); got "
            f"{type(image)}"
        )
    picture = image.detach().cpu().float()
    if picture.ndim == 3 and len(picture) == 1:
        picture = picture.expand(3, -1, -1)
    if picture.ndim != 3 or len(picture) != 3 or not _is_in_range(picture):
        raise UserError(
            f"a picture given as a tensor must be (3, H, W) with values in [0, 1], got {tuple(image.shape)} "
            f"from {float(image.min()):.3g} to {float(image.max()):.3g}"
        )
    return picture


def _of_array(image: np.ndarray) -> Image.Image | Tensor:
    if image.dtype == np.uint8:
        return Image.fromarray(image)
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or not np.issubdtype(image.dtype, np.floating):
        raise UserError(
            f"a picture given as an array must be (H, W, 3) or (H, W), of uint8 or of floats in [0, 1], got "
            f"{image.shape} of {image.dtype}"
        )
    return _picture(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1))


def _is_in_range(picture: Tensor) -> bool:
    return picture.numel() > 0 and bool(((picture >= 0) & (picture <= 1)).all())
