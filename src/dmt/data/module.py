"""Pictures for a fit and for an edit: a catalog and a task -> source set, target set, inputs, and their loaders."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from dmt.data.catalogs import Catalog
from dmt.data.framed import Framed, Patch
from dmt.data.framing import Framing
from dmt.data.given import Given, PictureLike
from dmt.data.images import ImageError
from dmt.data.selection import Pool, Reserved, Sets, choose_inputs, in_groups, most_confident_sets
from dmt.data.tasks import PictureView, Task
from dmt.errors import UserError, require_whole_number
from dmt.ranges import Count, CountOrNone, Seed, ShareBelowOne, Side

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageBatch:
    """Pictures with where they stand and what they are called.

    Args:
        images: ``(B, 3, H, W)`` in [0, 1].
        indices: positions in the catalog (or among the inputs), in order; a picture that did not decode is absent.
        names: one per picture.
        broken: what went wrong with the pictures of this batch that did not decode.
    """

    images: Tensor
    indices: list[int]
    names: list[str]
    broken: list[str]

    def to(self, device: torch.device) -> "ImageBatch":
        """The same batch with its images on another device."""
        return ImageBatch(self.images.to(device), self.indices, self.names, self.broken)


@dataclass(frozen=True)
class Serving:
    """How pictures are served.

    Args:
        batch_size: pictures per batch when features are computed.
        edit_batch_size: pictures edited at a time.
        num_workers: processes that decode; 0: a thread decodes the next batch while the last one is worked on.
        seed: of what is drawn.
        on_pictures: told after every batch how many pictures of a pass over the catalog have been read, and of how
            many; what it raises ends the pass.

    Raises:
        UserError: a size that is no whole number above 0.
    """

    batch_size: Count = 8
    edit_batch_size: Count = 8
    num_workers: CountOrNone = 0
    seed: Seed = 0
    on_pictures: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "edit_batch_size"):
            require_whole_number(name, getattr(self, name), "a whole number above 0", least=1)


class EditData(LightningDataModule):
    """Serves every picture of a catalog (to fit on) and the pictures to edit, and picks the two sets of a task.

    The pictures to edit and all others of their groups (of the same people) are kept out of both sets.

    Args:
        catalog: the pictures and their labels.
        task: which way to walk; ``None`` if only a manifold is fitted.
        images: the pictures to edit: names in the catalog, paths (of a folder: all pictures in it), or pictures (see
            ``PictureLike``); or how many to draw from the source, no two of one group.
        image_size: pictures are served at this height and width.
        set_size: the most pictures per side, the most confidently labelled ones (paper: 2,000).
        framing: where in a picture the things to edit lie; ``None``: pictures are served as they are, and their files
            are not looked for again.
        reserved: the groups that are kept for judges to learn from: they are in neither set and are not edited. A
            number is their share.
        serving: batches, processes, and the seed of what is drawn.

    Raises:
        UserError: unknown label or picture, a picture that is reserved, or a side without pictures.
    """

    def __init__(
        self,
        catalog: Catalog,
        task: Task | None = None,
        *,
        images: Sequence[PictureLike] | int = 8,
        image_size: Side = 125,
        set_size: Count = 2000,
        framing: Framing | None = None,
        reserved: Reserved | ShareBelowOne = 0.0,
        serving: Serving = Serving(),
    ):
        super().__init__()
        if isinstance(images, int):
            require_whole_number("n_images", images, "a whole number above 0", least=1)
        for name, value in {"set_size": set_size, "image_size": image_size}.items():
            require_whole_number(name, value, "a whole number above 0", least=1)
        named = Given.of(catalog, [] if isinstance(images, int) else images)
        self.catalog = named if framing is None else Framed(named, framing)
        self.task = None if task is None else task.within(self.catalog)
        self.image_size = image_size
        self.serving = serving
        self.reserved = Reserved.of(reserved)
        self.asked = named.asked
        """What was asked for by name, path or picture, in order; the pictures of a folder each."""
        self.inputs: list[str] = []
        self.source = self.target = np.zeros(0, dtype=int)
        if task is not None and self.task is not None:
            _say_what_is_meant(task, self.task)
            self._choose(self.task, images if isinstance(images, int) else named.asked, set_size)

    def _choose(self, task: Task, images: Sequence[str] | int, set_size: int) -> None:
        source_scores, target_scores = task.scores(self.catalog)
        groups = self.catalog.groups
        is_reserved = self.reserved.among(groups)
        if isinstance(images, int):
            only_source = np.where((target_scores > 0) | is_reserved, -1, source_scores)
            chosen = choose_inputs(only_source, groups, set_size, len(groups), self.serving.seed)
            self.inputs = list(islice((self.catalog.names[i] for i in chosen if self.decodes(i)), images))
        else:
            self.inputs = []
            for name in images:  # what is missing or broken is said before anything is computed
                self._require_unreserved(name)
                subjects = self.catalog.ask(name) if isinstance(self.catalog, Framed) else [name]
                self.catalog.read_named(subjects[0], self.image_size)
                self.inputs += subjects
        excluded = in_groups(groups, {group for name in self.inputs if (group := self.catalog.group(name))})
        excluded |= is_reserved | ((source_scores > 0) & (target_scores > 0))
        strata = task.strata(self.catalog)
        source, target = most_confident_sets(source_scores, target_scores, strata, set_size, excluded)
        self.source, self.target = source[: task.source_size], target[: task.target_size]
        sides = np.where(excluded, -1, source_scores), np.where(excluded, -1, target_scores)
        self._sides = sides
        self.pool = Pool(self.catalog, sides, Sets(self.source, self.target), task.labels(), task.balance)
        for side, members in (("source", self.source), ("target", self.target)):
            if len(members) < 2:
                share = self.reserved.share
                and_reserved = f" and those that data.reserved={share} keeps out" if share else ""
                raise UserError(
                    f"the {side} of {task.title!r} has {len(members)} pictures beside the inputs' own people"
                    f"{and_reserved}; at least 2 are needed"
                )

    def part(self, inputs: Sequence[str], sets: Sets) -> "EditData":
        """The same for some of the inputs, whose sets are chosen from these pictures."""
        part = copy(self)
        part.inputs = list(inputs)
        part.source, part.target = sets.source, sets.target
        sides = []
        for scores, members in zip(self.pool.sides, (sets.source, sets.target), strict=True):
            own = np.full(len(scores), -1.0)
            own[members] = scores[members]
            sides.append(own)
        part.pool = replace(self.pool, sides=(sides[0], sides[1]), confident=sets)
        return part

    def without(self, positions: np.ndarray) -> "EditData":
        """The same, with some pictures of the catalog in neither set."""
        part = copy(self)
        part.source, part.target = (side[~np.isin(side, positions)] for side in (self.source, self.target))
        sides = [scores.copy() for scores in self.pool.sides]
        for scores in sides:
            scores[positions] = -1
        part.pool = replace(self.pool, sides=(sides[0], sides[1]), confident=Sets(part.source, part.target))
        return part

    @property
    def others(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the pictures of either class that are in neither set, and may be looked at."""
        source, target = (np.flatnonzero(scores > 0) for scores in self._sides)
        return np.setdiff1d(source, self.source), np.setdiff1d(target, self.target)

    def mean_pictures(self, sets: Sets) -> tuple[Tensor, Tensor]:
        """The mean picture of either side, ``(3, H, W)`` in [0, 1], over those that decode."""
        view = self.task.source_view if self.task is not None else None
        source = _mean_picture(self.some_dataloader(sets.source.tolist(), view))
        return source, _mean_picture(self.some_dataloader(sets.target.tolist()))

    def original(self, name: str) -> Tensor:
        """How a picture asked for by name or path looks before any edit, not viewed, ``(3, H, W)`` in [0, 1]."""
        if isinstance(self.catalog, Framed):
            return self.catalog.original(name, self.image_size)
        return self.catalog.read_named(name, self.image_size)

    def turn(self, name: str) -> float | None:
        """How far the head of an input is turned to the side, as ``Framed.turn``; ``None``: it is no head."""
        return self.catalog.turn(name) if isinstance(self.catalog, Framed) else None

    def shown(self, name: str, before: Tensor, after: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """An input as it looks in its photograph, before and after each of several edits.

        Args:
            name: of the input.
            before: the picture that was served for it, ``(3, H, W)`` in [0, 1].
            after: what became of that.
        """
        catalog = self.catalog
        if not isinstance(catalog, Framed):
            return before, list(after)
        views = catalog.shown(name, before, after)
        view = self.task.source_view if self.task is not None else None
        return views if view is None else (view(views[0]), views[1])

    def patch(self, name: str, before: Tensor, after: Tensor) -> Patch | None:
        """What became of an input, as a change to its photograph; ``None`` where that was not edited itself."""
        is_viewed = self.task is not None and self.task.source_view is not None
        if is_viewed or not isinstance(self.catalog, Framed):
            return None
        return self.catalog.patch(name, after - before)

    def _require_unreserved(self, name: str) -> None:
        group = self.catalog.group(name)
        if group is not None and self.reserved.among([group])[0]:
            raise UserError(
                f"images names {name!r}, whose pictures data.reserved={self.reserved.share} keeps for judges to "
                "learn from; choose another picture, or data.reserved=0"
            )

    def decodes(self, index: int) -> bool:
        """Whether the picture at a position in the catalog can be read."""
        try:
            self.catalog.read(index, self.image_size)
        except ImageError:
            return False
        return True

    def all_dataloader(self, first: int = 0, most: int | None = None) -> DataLoader:
        """Every picture of the catalog from position ``first`` on, at most ``most``, in order."""
        stop = len(self.catalog.names) if most is None else min(first + most, len(self.catalog.names))
        return self._loader(_CatalogImages(self.catalog, self.image_size), range(first, stop), self.serving.batch_size)

    def sample_dataloader(self, count: int, seed: int = 0) -> DataLoader:
        """A random sample of the catalog, always the same for a seed."""
        n = len(self.catalog.names)
        sample = np.sort(np.random.default_rng(seed).permutation(n)[:count])
        return self._loader(_CatalogImages(self.catalog, self.image_size), sample.tolist(), self.serving.batch_size)

    def some_dataloader(self, positions: Sequence[int], view: PictureView | None = None) -> DataLoader:
        """Some pictures of the catalog, in order, each made into something else first if asked for."""
        return self._loader(_CatalogImages(self.catalog, self.image_size, view), positions, self.serving.batch_size)

    def predict_dataloader(self, rows: Sequence[int] | None = None) -> DataLoader:
        """The pictures to edit, or some of them; one that does not decode is an error."""
        view = self.task.source_view if self.task is not None else None
        dataset = _NamedImages(self.catalog, self.inputs, self.image_size, view)
        return self._loader(dataset, range(len(dataset)) if rows is None else rows, self.serving.edit_batch_size)

    def _loader(self, dataset: Dataset, positions: Sequence[int], batch_size: int) -> DataLoader:
        return _Ahead(
            Subset(dataset, positions),
            told=self.serving.on_pictures if isinstance(dataset, _CatalogImages) else None,
            batch_size=batch_size,
            num_workers=self.serving.num_workers,
            collate_fn=_collate,
            persistent_workers=False,
        )


class LFWAttributeSplits(EditData):
    """``EditData`` of Labeled Faces in the Wild, as the configuration calls it."""


def _say_what_is_meant(written: Task, meant: Task) -> None:
    """Log the labels that are the catalog's in another case."""
    for ours, theirs in zip(written.labels(), meant.labels(), strict=True):
        if isinstance(ours, str) and ours != theirs and ours.casefold() == theirs.casefold():
            log.info("%r is taken for %r, the label that there is", ours, theirs)


def _mean_picture(loader: DataLoader) -> Tensor:
    sums = [(batch.images.sum(dim=0), len(batch.images)) for batch in loader if len(batch.images)]
    return sum((total for total, _ in sums), torch.zeros(())) / sum(count for _, count in sums)


class _Ahead(DataLoader):
    """Without processes that decode, a thread does, one batch ahead."""

    def __init__(self, *args: Any, told: Callable[[int, int], None] | None = None, **options: Any):
        super().__init__(*args, **options)
        self.told = told  # by this name Lightning, which makes loaders anew, finds it

    def __iter__(self) -> Iterator[ImageBatch]:  # type: ignore[override]
        n_read, n_all = 0, len(self.dataset)  # type: ignore[arg-type]
        for batch in self._batches():
            n_read += len(batch.indices) + len(batch.broken)
            if self.told is not None:
                self.told(n_read, n_all)
            yield batch

    def _batches(self) -> Iterator[ImageBatch]:
        batches = super().__iter__()
        if self.num_workers:
            yield from batches
            return
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = thread.submit(next, batches, None)
                yield batch


class _CatalogImages(Dataset):
    def __init__(self, catalog: Catalog, size: int, view: PictureView | None = None):
        self.catalog, self.size, self.view = catalog, size, view or _unchanged

    def __len__(self) -> int:
        return len(self.catalog.names)

    def __getitem__(self, index: int) -> tuple[int, str, Tensor | ImageError]:
        try:
            return index, self.catalog.names[index], self.view(self.catalog.read(index, self.size))
        except ImageError as error:
            return index, self.catalog.names[index], error


class _NamedImages(Dataset):
    def __init__(self, catalog: Catalog, names: Sequence[str], size: int, view: PictureView | None = None):
        self.catalog, self.names, self.size, self.view = catalog, names, size, view or _unchanged

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[int, str, Tensor]:
        return index, self.names[index], self.view(self.catalog.read_named(self.names[index], self.size))


def _unchanged(image: Tensor) -> Tensor:
    return image


def _collate(items: list[tuple[int, str, Tensor | ImageError]]) -> ImageBatch:
    good = [(index, name, image) for index, name, image in items if isinstance(image, Tensor)]
    images = torch.stack([image for _, _, image in good]) if good else torch.zeros(0, 3, 1, 1)
    broken = [str(error) for _, _, error in items if isinstance(error, ImageError)]
    return ImageBatch(images, [index for index, _, _ in good], [name for _, name, _ in good], broken)
