"""Data sets of classes, with what their publishers say of them -> catalogs: folders, and those of torchvision."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from dmt.data.catalogs import FileCatalog, Folder
from dmt.data.images import ImageError, UnreadableError, read_image, to_tensor
from dmt.data.label_files import read_kinds
from dmt.data.labels import label_named
from dmt.data.photographs import Photograph
from dmt.errors import UserError


class ClassFolders(FileCatalog):
    """Pictures in one subfolder per class below ``train/`` and below ``val/``.

    Args:
        root: the folder.
        classes: a CSV file with columns ``class_id`` (the subfolder) and ``group`` (the kind of thing), relative to
            ``root``; ``None``: nothing is known of the kinds.

    Raises:
        UserError: a folder or the file is missing, there are no pictures, or the file has other columns.
    """

    times_count = False  # fixed data sets: a copy is the same

    def __init__(self, root: str | Path, classes: str | Path | None = None):
        root = Path(os.path.expanduser(root))
        for part in ("train", "val"):
            if not os.path.isdir(root / part):
                raise UserError(
                    f"there is no folder {root / part}; put the data set there (a subfolder per class), or name its "
                    "place: data.catalog.root=PATH, or the environment variable DMT_DATA"
                )
        parts = {part: Folder(root / part) for part in ("train", "val")}
        files = [f"{part}/{file}" for part, folder in parts.items() for file in folder.files]
        super().__init__(root, files, files, files)
        self.labels = sorted({label for folder in parts.values() for label in folder.labels})
        position = {label: i for i, label in enumerate(self.labels)}
        self._class = np.array([position[Path(file).parts[1]] for file in files])
        self.is_validation = np.array([file.startswith("val/") for file in files])
        if classes is not None:
            self.kinds = read_kinds(root / os.path.expanduser(classes), self.labels)

    def scores(self, label: str) -> np.ndarray:
        return _scores_of_class(self._class, self.labels, label)


class TorchvisionClasses:
    """A classification data set of torchvision, its two published parts one after the other.

    Args:
        train: makes the training part, for example a partial of ``torchvision.datasets.CIFAR10``.
        validation: makes the validation part.
        kinds: kind of thing -> the classes that are of it.

    Raises:
        UserError: the data set is not where it is looked for, or ``kinds`` names an unknown class.
    """

    def __init__(
        self,
        train: Callable[[], Any],
        validation: Callable[[], Any],
        kinds: Mapping[str, Sequence[str]] | None = None,
    ):
        self._parts = [_opened(train), _opened(validation)]
        first, second = (len(part) for part in self._parts)
        self.names = [f"train_{i:07d}" for i in range(first)] + [f"val_{i:07d}" for i in range(second)]
        self.groups = self.names
        self.labels = list(getattr(self._parts[0], "wnids", self._parts[0].classes))  # ImageNet's names are not unique
        self._class = np.concatenate([np.array(part.targets) for part in self._parts])
        self._index = {name: i for i, name in enumerate(self.names)}
        self.is_validation = np.arange(first + second) >= first
        self.kinds = {label: kind for kind, labels in (kinds or {}).items() for label in labels}
        for label in self.kinds:
            if label not in self.labels:
                raise UserError(f"data.catalog.kinds names no class of the data set: {label!r}")
        self.title = type(self._parts[0]).__name__.lower()
        self.fingerprint = hashlib.sha256(self.title.encode() + self._class.tobytes()).hexdigest()[:16]

    def read(self, index: int, size: int) -> Tensor:
        return to_tensor(self._picture(index), size)

    def photograph(self, name: str) -> Photograph:
        index = self.index(name)
        return Photograph.read(name) if index is None else Photograph.of(self._picture(index))

    def _picture(self, index: int) -> Image.Image:
        train, validation = self._parts
        picture, _ = train[index] if index < len(train) else validation[index - len(train)]
        return picture

    def read_named(self, name: str, size: int) -> Tensor:
        index = self.index(name)
        if index is not None:
            return self.read(index, size)
        try:
            return read_image(Path(os.path.expanduser(name)), size)
        except (ImageError, UnreadableError) as error:
            raise UserError(f"{error}; give a path, or a name from {self.names[0]} to {self.names[-1]}") from error

    def index(self, name: str) -> int | None:
        return self._index.get(name)

    def group(self, name: str) -> str | None:
        return name if name in self._index else None

    def scores(self, label: str) -> np.ndarray:
        return _scores_of_class(self._class, self.labels, label)


def _opened(part: Callable[[], Any]) -> Any:
    try:
        return part()
    except (RuntimeError, FileNotFoundError) as error:
        settings = getattr(part, "keywords", {})
        what = getattr(getattr(part, "func", part), "__name__", "the data set")
        raise UserError(
            f"{what} is not in {settings.get('root')}; put torchvision's files for it there, or set data_dir or the "
            "environment variable DMT_DATA to the folder above"
        ) from error


def _scores_of_class(classes: np.ndarray, labels: Sequence[str], label: str) -> np.ndarray:
    found = label_named(label, labels, "the data set", "class")
    return np.where(classes == labels.index(found), 1.0, -1.0)
