"""A data set, a network and a schedule -> tasks A and B, and a key for every network that is trained on them."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
import torch

from dmt.data import Catalog, ClassificationTask, ClassTable, LabelledImages, read_labelled
from dmt.errors import UserError, nearest_name
from dmt.networks.network import network_fingerprint
from dmt.ranges import BetweenZeroAndOne, Count, NotNegative, Several, Side
from dmt.storage.tensors import cache_key
from dmt.studies.transfer.classifier import Schedule
from dmt.studies.transfer.networks import WeightLayers
from dmt.studies.transfer.splits import Halves, ListedHalves, Split
from dmt.studies.transfer.treatments import Cell

FORMAT = "1"  # part of every key; to be changed with the way that networks are trained


@dataclass(frozen=True)
class Tasks:
    """The classes of a data set, divided into two tasks A and B, in a new way for every seed.

    Args:
        catalog: the pictures, each of one class.
        image_size: pixels of a side.
        splits: name -> rule that divides the classes.
        split: the name of the rule that is used.
        classes: per task; ``None``: as many as there can be.
        images_per_class: for training; ``None``: as many as the smallest class of the data set has.
        held_out: the share of pictures that is for validation where the data set does not say.
    """

    catalog: Catalog
    image_size: Side
    _: KW_ONLY
    splits: Mapping[str, Split]
    split: str
    classes: Several | None = None
    images_per_class: Count | None = None
    held_out: BetweenZeroAndOne = 0.25

    @property
    def kind(self) -> str:
        """What the rows call the split: its name, and for lists the start of a hash of them as well."""
        rule = self._rule
        return f"{self.split}-{rule.fingerprint}" if isinstance(rule, ListedHalves) else self.split

    def halves(self, seed: int) -> Halves:
        """The classes of the two tasks; raises a ``UserError`` where they cannot be divided so."""
        return self._rule.halves(self._table.labels, self.catalog.kinds, self.classes, seed)

    @cached_property
    def of(self) -> Callable[[int], Mapping[str, ClassificationTask]]:
        """Seed -> letter -> task, with equally many training pictures of every class, whatever the seed."""
        return cache(self._of)

    @cached_property
    def pictures(self) -> Callable[[int, str], tuple[LabelledImages, LabelledImages]]:
        """Seed, letter -> the task's pictures, for training and for validation; the last two tasks' stay in memory."""
        return lru_cache(maxsize=2)(self._pictures)

    @property
    def _rule(self) -> Split:
        if self.split not in self.splits:
            known = ", ".join(self.splits)
            raise UserError(
                f"there is no transfer.split {self.split!r}{nearest_name(self.split, self.splits)} (there are {known})"
            )
        return self.splits[self.split]

    @cached_property
    def _table(self) -> ClassTable:
        return ClassTable.of(self.catalog, self.held_out)

    @cached_property
    def _smallest_class(self) -> int:
        """Training pictures of the smallest of all classes that have any, so that it is the same for all seeds."""
        counts = np.bincount(self._table.classes[~self._table.is_validation])
        return int(min(counts[counts > 0], default=1))

    def _of(self, seed: int) -> Mapping[str, ClassificationTask]:
        halves = self.halves(seed)
        count = self._smallest_class if self.images_per_class is None else self.images_per_class
        return {letter: ClassificationTask.of(self._table, halves.half(letter), count, seed) for letter in "AB"}

    def _pictures(self, seed: int, letter: str) -> tuple[LabelledImages, LabelledImages]:
        task = self.of(seed)[letter]
        train, validation = (
            read_labelled(self.catalog, part, self.image_size) for part in (task.train, task.validation)
        )
        return train, validation


@dataclass(frozen=True)
class Setting:
    """What all networks of a study have in common.

    Args:
        tasks: what they are trained on.
        network: makes one, given ``classes`` and ``image_size``.
        schedule: of the learning; the same for bases, frozen and fine-tuned networks.
        saturated_below: a training loss, in nats; see ``Training.status``.
        still_falling: a fall of the training loss, in nats; see there.
    """

    tasks: Tasks
    network: Callable[..., WeightLayers]
    _: KW_ONLY
    schedule: Schedule
    saturated_below: NotNegative = 0.05
    still_falling: NotNegative = 0.05

    def fresh(self, classes: int, seed: int) -> WeightLayers:
        """A network with the initial weights of a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.network(classes=classes, image_size=self.tasks.image_size)

    @cached_property
    def layer_names(self) -> tuple[str, ...]:
        """Of the network."""
        return self.fresh(2, 0).names

    @cached_property
    def study(self) -> str:
        """Data set, size and the start of a hash of all that networks which are compared have in common."""
        parts = {
            "format": FORMAT,
            "pictures": self.tasks.catalog.fingerprint,
            "held_out": str(self.tasks.held_out),
            "network": network_fingerprint(self.fresh(2, 0)),  # its structure, and how its weights are drawn
            "schedule": repr(self.schedule),
            "classes": str(self.tasks.classes),
        }
        return f"{self.tasks.catalog.title}-{self.tasks.image_size}px-{cache_key(parts)[:6]}"

    def task(self, cell: Cell) -> ClassificationTask:
        """What a cell's network is trained on."""
        return self.tasks.of(cell.split_seed)[cell.target]

    def key(self, cell: Cell) -> str:
        """The start of the SHA-256 of all that determines a cell's network."""
        return cache_key(
            {
                "study": self.study,
                "treatment": cell.treatment,
                "n": str(cell.n),
                "split": f"{self.tasks.kind} {cell.split_seed} {cell.target}",
                "pictures": self.task(cell).fingerprint,
                "base": "" if cell.source is None else self.key(cell.source),
            }
        )
