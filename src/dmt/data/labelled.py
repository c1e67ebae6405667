"""A catalog and some of its classes -> labelled pictures in memory, to learn from and to be tested on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from dmt.data.catalogs import Catalog
from dmt.data.images import to_pixels
from dmt.errors import UserError, is_number, require_whole_number


@dataclass(frozen=True)
class LabelledImages:
    """Pictures with a class each.

    Args:
        images: ``(n, 3, H, W)`` of uint8; or what a network's first layers made of them, ``(n, ...)``.
        labels: ``(n,)``, positions among the classes.
    """

    images: Tensor
    labels: Tensor

    @property
    def nbytes(self) -> int:
        """Of the pictures and the labels."""
        return self.images.nbytes + self.labels.nbytes

    def to(self, device: torch.device) -> "LabelledImages":
        """The same on another device."""
        return LabelledImages(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class ClassTable:
    """What class each picture of a catalog is of, and whether it is for validation.

    Args:
        labels: names of the classes.
        classes: ``(n,)``, positions among ``labels``.
        is_validation: ``(n,)`` of bool.
    """

    labels: Sequence[str]
    classes: np.ndarray
    is_validation: np.ndarray

    @classmethod
    def of(cls, catalog: Catalog, held_out: float, seed: int = 0) -> "ClassTable":
        """The table of a catalog in which every picture has one label.

        Args:
            catalog: the pictures.
            held_out: the share of each class that is for validation, in (0, 1), where no split is published.
            seed: which pictures that is.

        Raises:
            UserError: a picture has no label or several, or no share.
        """
        if not (is_number(held_out) and 0 < held_out < 1):
            raise UserError(f"transfer.held_out must be a number between 0 and 1, got {held_out!r}")
        classes, found = np.zeros(len(catalog.names), dtype=int), np.zeros(len(catalog.names), dtype=int)
        for position, label in enumerate(catalog.labels):
            has = catalog.scores(label) > 0
            classes[has] = position
            found += has
        if (found != 1).any():
            name = catalog.names[int(np.flatnonzero(found != 1)[0])]
            raise UserError(
                f"{name} has {found[found != 1][0]} labels, and a classifier learns exactly one; choose a data set of "
                "classes, such as data=digits or data=folder without a file of labels"
            )
        is_validation = catalog.is_validation
        if is_validation is None:
            is_validation = _held_out(classes, held_out, seed)
        return cls(catalog.labels, classes, is_validation)

    def members(self, label: str, validation: bool) -> np.ndarray:
        """The positions of a class's pictures for training, or for validation."""
        of_class = self.classes == self.labels.index(label)
        return np.flatnonzero(of_class & (self.is_validation == validation))


@dataclass(frozen=True)
class ClassificationTask:
    """Classes to tell apart, and the pictures for it.

    Args:
        classes: their names.
        train: for each class the positions in the catalog of the pictures to learn from.
        validation: the same for those to be tested on.
    """

    classes: Sequence[str]
    train: Sequence[np.ndarray]
    validation: Sequence[np.ndarray]

    @classmethod
    def of(cls, table: ClassTable, classes: Sequence[str], images_per_class: int, seed: int) -> "ClassificationTask":
        """Choose as many pictures of each class for training, and all there are for validation.

        Args:
            table: the classes of all pictures.
            classes: those to tell apart, in this order.
            images_per_class: for training, chosen at random.
            seed: of the choice; a larger one contains a smaller one.

        Raises:
            UserError: a class has fewer pictures, or none for validation.
        """
        require_whole_number("transfer.images_per_class", images_per_class, "a whole number above 0", least=1)
        train, validation = [], []
        for label in classes:
            members, kept = table.members(label, validation=False), table.members(label, validation=True)
            if len(members) < images_per_class or not len(kept):
                fewer = f"set transfer.images_per_class to {len(members)} or less, or " if len(members) else ""
                raise UserError(
                    f"class {label!r} has {len(members)} pictures for training and {len(kept)} for validation; "
                    f"{fewer}leave the class out"
                )
            train.append(np.random.default_rng(seed).permutation(members)[:images_per_class])
            validation.append(kept)
        return cls(classes, train, validation)

    @property
    def images_per_class(self) -> int:
        """For training."""
        return len(self.train[0])

    @property
    def fingerprint(self) -> str:
        """The start of the SHA-256 of the classes and all positions."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for members in [*self.train, *self.validation]:
            digest.update(members.astype(np.int64).tobytes() + b"\n")
        return digest.hexdigest()[:16]


def read_labelled(catalog: Catalog, members: Sequence[np.ndarray], size: int) -> LabelledImages:
    """Read the pictures of some classes.

    Args:
        catalog: the pictures.
        members: for each class the positions of its pictures.
        size: pixels of a side.

    Raises:
        ImageError: a picture does not decode.
    """
    positions = np.concatenate(members)
    pixels = np.stack([to_pixels(catalog.read(int(i), size)) for i in positions])
    labels = np.repeat(np.arange(len(members)), [len(own) for own in members])
    return LabelledImages(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels))


def _held_out(classes: np.ndarray, share: float, seed: int) -> np.ndarray:
    """About ``share`` of each class and at least one picture, ``(n,)`` of bool."""
    drawn = np.random.default_rng(seed).permutation(len(classes))
    chosen = np.zeros(len(classes), dtype=bool)
    for position in np.unique(classes):
        own = drawn[classes[drawn] == position]
        chosen[own[: max(1, round(share * len(own)))]] = True
    return chosen


class LabelledBatches(LightningDataModule):
    """Serves labelled pictures, or their activations, where they lie: shuffled by seed and epoch alone, all of them.

    Args:
        train: inputs ``(n, ...)`` and labels ``(n,)``.
        validation: the same.
        batch_size: per step.
        seed: of the order.
    """

    def __init__(self, train: LabelledImages, validation: LabelledImages, batch_size: int, seed: int):
        super().__init__()
        self.train, self.validation, self.batch_size, self.seed = train, validation, batch_size, seed

    def train_dataloader(self) -> "_Batches":
        epoch = self.trainer.current_epoch if self.trainer else 0
        order = torch.randperm(len(self.train.labels), generator=torch.Generator().manual_seed(self.seed + epoch))
        return _Batches(self.train, order.to(self.train.labels.device).split(self.batch_size))

    def val_dataloader(self) -> "_Batches":
        labels = self.validation.labels
        return _Batches(self.validation, torch.arange(len(labels), device=labels.device).split(256))


class _Batches:
    def __init__(self, pictures: LabelledImages, parts: Sequence[Tensor]):
        self.pictures, self.parts = pictures, parts

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Any:
        return ((self.pictures.images[part], self.pictures.labels[part]) for part in self.parts)
