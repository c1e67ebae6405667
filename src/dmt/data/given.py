"""Pictures that a user hands over -> pictures that a catalog can be asked for by name."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dmt.data.catalogs import Catalog
from dmt.data.folders import FolderContents, counted, odd_name, shown
from dmt.data.images import ImageError, in_a_line, require_pixels, to_tensor, upright
from dmt.data.photographs import Photograph
from dmt.errors import UserError, require_list

log = logging.getLogger(__name__)

PictureLike = str | Path | Image.Image | Tensor | np.ndarray
"""A name in the catalog, or a path (of a folder: all pictures in it); a PIL image; a tensor ``(3, H, W)`` in [0, 1]; an
array ``(H, W, 3)`` or ``(H, W)``, of uint8, or of floats in [0, 1]."""


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
        """A catalog with some pictures, names or paths; the path of a folder stands for all pictures below it.

        Raises:
            UserError: something that is no picture, a folder without one, or a single picture without a list around it.
        """
        if isinstance(images, str | Path) and _is_folder(images, catalog):
            images = [images]
        if isinstance(images, str | Path | Image.Image):
            require_list("images", images)
        pictures: dict[str, Image.Image | Tensor] = {}
        asked = []
        for number, image in enumerate(images, start=1):
            if isinstance(image, str | Path):
                _require_plain_name(str(image))
                asked += _pictures_in(image) if _is_folder(image, catalog) else [str(image)]
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

    def photograph(self, name: str) -> Photograph:
        picture = self.pictures.get(name)
        if picture is None:
            return self.catalog.photograph(name)
        if isinstance(picture, Tensor):
            return Photograph.of_pixels(picture.permute(1, 2, 0).numpy())
        return Photograph.of(picture)

    def index(self, name: str) -> int | None:
        return None if name in self.pictures else self.catalog.index(name)

    def group(self, name: str) -> str | None:
        return None if name in self.pictures else self.catalog.group(name)

    def scores(self, label: str) -> np.ndarray:
        return self.catalog.scores(label)


def _require_plain_name(name: str) -> None:
    """Tables, logs and the names of results take no other."""
    if reason := odd_name(name):
        raise UserError(f"images: {shown(name)} has {reason}; rename it, or name the folder that it lies in")


def _is_folder(image: str | Path, catalog: Catalog) -> bool:
    """Whether the path of a folder is meant, and not a picture of the catalog that has its name."""
    return bool(str(image)) and str(image) not in catalog.names and os.path.isdir(os.path.expanduser(image))


def _pictures_in(folder: str | Path) -> list[str]:
    contents = FolderContents.of(folder)
    if not contents.pictures:
        raise UserError(f"images: there are no pictures in the folder {folder}{contents.instead}")
    log.info("images: %s in %s", counted(len(contents.pictures), "picture"), contents.root)
    if contents.left_out:
        log.info("images: %s", contents.left_out)
    return [str(contents.root / file) for file in contents.pictures]


def _picture(image: object) -> Image.Image | Tensor:
    if isinstance(image, Image.Image):
        return _decoded(image)
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
    if picture.ndim != 3 or len(picture) != 3 or not picture.numel():
        raise UserError(f"a picture given as a tensor must be (3, H, W) or (1, H, W), got {tuple(image.shape)}")
    return _in_range(picture)


def _decoded(image: Image.Image) -> Image.Image:
    """A copy, turned upright as ``read_image`` turns files: what is wrong with it is said before any work."""
    if 0 in image.size:
        raise UserError(f"a picture given as a PIL image has no pixels: {image.width} x {image.height}")
    require_pixels(*image.size, "a picture given as a PIL image")
    try:
        turned = upright(image)
    except Exception as error:  # whatever the decoder of its format raises
        raise ImageError(f"a picture given as a PIL image does not decode ({in_a_line(error)})") from error
    return turned.copy() if turned is image else turned


def _of_array(image: np.ndarray) -> Image.Image | Tensor:
    is_bytes = image.dtype == np.uint8
    channels = (3, 4) if is_bytes else (3,)
    is_picture = image.size > 0 and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in channels))
    if not is_picture or not (is_bytes or np.issubdtype(image.dtype, np.floating)):
        raise UserError(
            f"a picture given as an array must be (H, W, 3) or (H, W), of uint8 or of floats in [0, 1], got "
            f"{image.shape} of {image.dtype}"
        )
    if is_bytes:
        return _decoded(Image.fromarray(image))
    picture = torch.from_numpy(image.astype(np.float32))
    return _in_range(picture.expand(3, -1, -1) if image.ndim == 2 else picture.permute(2, 0, 1))


def _in_range(picture: Tensor) -> Tensor:
    if not ((picture >= 0) & (picture <= 1)).all():
        raise UserError(
            f"a picture given as a tensor or as an array of floats must have values in [0, 1], got some from "
            f"{float(picture.min()):.3g} to {float(picture.max()):.3g}"
        )
    return picture
