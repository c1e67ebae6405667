"""A cell of the study -> its network trained, once for all who need it, and a row about it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from pytorch_lightning import Trainer
from torch import Tensor

from dmt import __version__
from dmt.data import Catalog, ClassificationTask, ClassTable, LabelledImages, read_labelled
from dmt.networks.network import network_fingerprint
from dmt.storage.tensors import cache_key, read_tensors, write_tensors
from dmt.studies.transfer.cells import Cell
from dmt.studies.transfer.classifier import Schedule
from dmt.studies.transfer.networks import WeightLayers
from dmt.studies.transfer.rows import Run
from dmt.studies.transfer.splits import Halves, ListedHalves, Split
from dmt.studies.transfer.store import RunStore
from dmt.studies.transfer.training import EpochCheckpoint, Training, train_network
from dmt.studies.transfer.treatments import treated, treatment_named

log = logging.getLogger(__name__)

FORMAT = "1"  # of what is determined by a key; changed with the way that networks are trained


@dataclass(frozen=True)
class Setting:
    """What all networks of a study have in common.

    Args:
        catalog: the pictures, each of one class.
        image_size: pixels of a side.
        network: makes one, given ``classes`` and ``image_size``.
        schedule: of the learning.
        split: divides the classes.
        split_name: what the configuration calls it.
        classes: per half; ``None``: as many as there can be.
        images_per_class: for training; ``None``: as many as the smallest class of the data set has.
        held_out: the share of pictures that is for validation where no split is published.
        saturated_below: a training loss, in nats; see ``Training.status``.
        still_falling: a fall of the training loss, in nats; see there.
    """

    catalog: Catalog
    image_size: int
    network: Callable[..., WeightLayers]
    schedule: Schedule
    split: Split
    split_name: str
    classes: int | None = None
    images_per_class: int | None = None
    held_out: float = 0.25
    saturated_below: float = 0.05
    still_falling: float = 0.05

    @cached_property
    def table(self) -> ClassTable:
        """What class each picture is of."""
        return ClassTable.of(self.catalog, self.held_out)

    @cached_property
    def _smallest_class(self) -> int:
        """Training pictures of the smallest of all classes that have any, so that it is the same for all seeds."""
        table = self.table
        counts = np.bincount(table.classes[~table.is_validation], minlength=len(table.labels))
        return int(min(counts[counts > 0], default=1))

    @cached_property
    def _tasks(self) -> dict[int, dict[str, ClassificationTask]]:
        return {}

    @property
    def kind(self) -> str:
        """What the rows call the split: by its name, and lists by the start of a hash of them as well."""
        if isinstance(self.split, ListedHalves):
            return f"{self.split_name}-{self.split.fingerprint}"
        return self.split_name

    def halves(self, split_seed: int) -> Halves:
        """The classes of tasks A and B."""
        return self.split.halves(self.table.labels, self.catalog.kinds, self.classes, split_seed)

    def tasks(self, split_seed: int) -> dict[str, ClassificationTask]:
        """Tasks A and B, equally many training pictures of every class, whatever the seed."""
        if split_seed not in self._tasks:
            halves = self.halves(split_seed)
            count = self._smallest_class if self.images_per_class is None else self.images_per_class
            self._tasks[split_seed] = {
                letter: ClassificationTask.of(self.table, halves.half(letter), count, split_seed) for letter in "AB"
            }
        return self._tasks[split_seed]

    def fresh(self, classes: int, seed: int) -> WeightLayers:
        """A network with the initial weights of a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.network(classes=classes, image_size=self.image_size)

    @cached_property
    def layer_names(self) -> tuple[str, ...]:
        """Of the network."""
        return self.fresh(2, 0).names

    @cached_property
    def network_fingerprint(self) -> str:
        """Of its structure and the way its weights are drawn; the number of classes is that of the task."""
        return network_fingerprint(self.fresh(2, 0))

    @cached_property
    def study(self) -> str:
        """Data set, size and the start of a hash of all that networks which are compared have in common."""
        parts = {
            "format": FORMAT,
            "pictures": self.catalog.fingerprint,
            "held_out": str(self.held_out),
            "network": self.network_fingerprint,
            "schedule": repr(self.schedule),
            "classes": str(self.classes),
        }
        return f"{self.catalog.title}-{self.image_size}px-{cache_key(parts)[:6]}"

    def key(self, cell: Cell) -> str:
        """The start of the SHA-256 of all that determines a cell's network."""
        task = self.tasks(cell.split_seed)[cell.target]
        return cache_key(
            {
                "study": self.study,
                "treatment": cell.treatment,
                "n": str(cell.n),
                "split": f"{self.kind} {cell.split_seed} {cell.target}",
                "pictures": task.fingerprint,
                "base": "" if cell.source is None else self.key(cell.source),
            }
        )


@dataclass(frozen=True)
class Grid:
    """Trains the networks of a setting, each once, whoever else is at work in the same folder.

    Args:
        setting: what they have in common.
        store: their rows.
        folder: weights of the bases, checkpoints of interrupted runs, locks.
        trainer: makes Lightning's trainer.
    """

    setting: Setting
    store: RunStore
    folder: Path
    trainer: Callable[..., Trainer]

    def run(self, cell: Cell, wait: bool = True) -> Run | None:
        """The run of a cell: found, or trained.

        Args:
            cell: which network.
            wait: until another process that is training it has done so; if not, the answer is then ``None``.

        Raises:
            UserError: a damaged file; the message says what to do.
        """
        key = self.setting.key(cell)
        try:
            with FileLock(self._file("locks", key, "lock"), timeout=-1 if wait else 0):
                known = self.store.runs().get(key)
                return known if known is not None else self._train(cell)
        except Timeout:
            return None

    def base_weights(self, cell: Cell) -> Mapping[str, Tensor]:
        """Weights and buffers of a trained base; trained first if nobody has."""
        key = self.setting.key(cell)
        file = self._file("bases", key, "safetensors")
        with FileLock(self._file("locks", key, "lock")):
            if not file.is_file():
                self._train(cell)
        return read_tensors(file)

    def seconds_of_an_epoch(self, cell: Cell) -> float:
        """How long an epoch of a cell's network takes, measured with layers that nobody trained."""
        task = self.setting.tasks(cell.split_seed)[cell.target]
        train, validation = self._pictures(task)
        short = replace(self.setting.schedule, epochs=2)  # the first one is slower
        network = treated(self.setting.fresh(len(task.classes), 0), cell.treatment, cell.n, None)
        return train_network(network, train, validation, short, 1, 0, self.trainer).epochs[-1]["seconds"]

    def _train(self, cell: Cell) -> Run:
        setting, key = self.setting, self.setting.key(cell)
        task = setting.tasks(cell.split_seed)[cell.target]
        base = None if cell.source is None else self.base_weights(cell.source)
        seed = int(key, 16) % 2**31
        network = treated(setting.fresh(len(task.classes), seed), cell.treatment, cell.n, base)
        train, validation = self._pictures(task)
        checkpoint = EpochCheckpoint(self._file("checkpoints", key, "ckpt"), key)
        times = treatment_named(cell.treatment).schedules
        training = train_network(network, train, validation, setting.schedule, times, seed, self.trainer, checkpoint)
        run = self._run_of(cell, task, training)
        log.info(
            "%s: top-1 %.1f %%, training loss %.2f, %s, %.0f s",
            cell, training.top1_last, training.epochs[-1]["train_loss"], run.status, training.seconds,
        )  # fmt: skip
        if cell.treatment == "base" and run.status != "ok":
            log.warning(
                "%s is %s (training loss %.3f): what copied layers cost cannot be read from this split; %s",
                cell, run.status, training.epochs[-1]["train_loss"],
                "more epochs would help (net.schedule.epochs)" if run.status == "unconverged" else
                "more classes or pictures or a narrower network would help",
            )  # fmt: skip
        if key not in self.store.runs():  # a base whose weights were lost has one
            self.store.append(run)
        if cell.treatment == "base":
            write_tensors(self._file("bases", key, "safetensors"), network.state_dict())
        checkpoint.remove()
        return run

    def _run_of(self, cell: Cell, task: ClassificationTask, training: Training) -> Run:
        last = training.epochs[-1]
        return Run(
            study=self.setting.study,
            treatment=cell.treatment,
            n=cell.n,
            layer=self.setting.layer_names[cell.n - 1] if cell.n else "",
            base=cell.base,
            target=cell.target,
            split=self.setting.kind,
            split_seed=cell.split_seed,
            images_per_class=task.images_per_class,
            classes=len(task.classes),
            top1_last=training.top1_last,
            top1_best10=training.top1_best10,
            train_loss=last["train_loss"],
            val_loss=last["val_loss"],
            epochs=len(training.epochs),
            seconds=training.seconds,
            status=training.status(self.setting.saturated_below, self.setting.still_falling),
            version_torch=str(torch.__version__),
            version_dmt=__version__,
            key=self.setting.key(cell),
        )

    @cached_property
    def _read(self) -> dict[str, tuple[LabelledImages, LabelledImages]]:
        return {}

    def _pictures(self, task: ClassificationTask) -> tuple[LabelledImages, LabelledImages]:
        """For training and for validation; those of the two tasks asked for last stay in memory."""
        if task.fingerprint not in self._read:
            while len(self._read) > 1:
                self._read.pop(next(iter(self._read)))
            catalog, size = self.setting.catalog, self.setting.image_size
            self._read[task.fingerprint] = (
                read_labelled(catalog, task.train, size),
                read_labelled(catalog, task.validation, size),
            )
        return self._read[task.fingerprint]

    def _file(self, kind: str, key: str, suffix: str) -> Path:
        folder = self.folder / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{key}.{suffix}"
