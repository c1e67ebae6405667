"""A cell of the study -> its network trained, once for all who need it, and a row about it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from pytorch_lightning import Trainer
from torch import Tensor

from dmt import __version__
from dmt.storage.files import write_text
from dmt.storage.tensors import cached_tensors, found_tensors, keep_tensors
from dmt.studies.transfer.rows import Row, RunStore, checked
from dmt.studies.transfer.setting import Setting
from dmt.studies.transfer.training import EpochCheckpoint, Training, train_network
from dmt.studies.transfer.treatments import TREATMENTS, Cell, treated

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Grid:
    """Trains the networks of a setting, each once, even if several processes work in the same folder.

    Args:
        setting: what the networks have in common.
        store: their rows.
        folder: for the weights of the bases, checkpoints of interrupted runs, locks, and notes of what was trained.
        trainer: makes Lightning's trainer.
    """

    setting: Setting
    store: RunStore
    _: KW_ONLY
    folder: Path
    trainer: Callable[..., Trainer]

    def run(self, cell: Cell, wait: bool = True) -> Row | None:
        """The row of a cell: found, or trained.

        Args:
            cell: which network.
            wait: whether to wait for another process that is training it; if not, the answer is then ``None``.

        Raises:
            UserError: a damaged file; the message says what to do.
        """
        key = self.setting.key(cell)
        try:
            with FileLock(self._file("locks", key, "lock"), timeout=-1 if wait else 0):
                if row := self.store.runs().get(key):
                    return row
                if self._file("trained", key, "txt").exists():
                    log.warning("%s was trained, and its row is not in %s: trained again", cell, self.store.path)
                return self._train(cell)
        except Timeout:
            return None

    def base_weights(self, cell: Cell) -> Mapping[str, Tensor]:
        """Weights and buffers of a base, which is trained first if they are not there."""
        key = self.setting.key(cell)
        file = self._file("bases", key, "safetensors")
        with FileLock(self._file("locks", key, "lock")):
            found = found_tensors(file, f"weights of {cell}")
            if found is None:
                self._train(cell)
                found = cached_tensors(file)
        return found

    def seconds_of_an_epoch(self, cell: Cell) -> float:
        """How long an epoch of a cell's network takes, measured with layers that nobody trained."""
        short = replace(self.setting.schedule, epochs=2)  # the first epoch is slower
        network = treated(self.setting.fresh(len(self.setting.task(cell).classes), 0), cell, None)
        train, validation = self.setting.tasks.pictures(cell.split_seed, cell.target)
        training = train_network(network, train, validation=validation, schedule=short, seed=0, trainer=self.trainer)
        return training.epochs[-1]["seconds"]

    def _train(self, cell: Cell) -> Row:
        setting, key = self.setting, self.setting.key(cell)
        base = None if cell.source is None else self.base_weights(cell.source)
        seed = int(key, 16) % 2**31
        network = treated(setting.fresh(len(setting.task(cell).classes), seed), cell, base)
        train, validation = setting.tasks.pictures(cell.split_seed, cell.target)
        checkpoint = EpochCheckpoint(self._file("checkpoints", key, "ckpt"), key)
        training = train_network(
            network,
            train,
            validation=validation,
            schedule=replace(setting.schedule, epochs=setting.schedule.epochs * TREATMENTS[cell.treatment].schedules),
            seed=seed,
            trainer=self.trainer,
            checkpoint=checkpoint,
        )
        row = checked(self._row(cell, training), str(cell))  # the same now as when it is found
        if key not in self.store.runs():  # a base whose weights were lost has one
            self.store.append(row)
            write_text(self._file("trained", key, "txt"), f"{cell}\n")
        log.info(
            "%s: top-1 %.1f %%, training loss %.2f, %s, %.0f s",
            cell, training.top1_last, row["train_loss"], row["status"], training.seconds,
        )  # fmt: skip
        if cell.treatment == "base" and row["status"] != "ok":
            log.warning(
                "%s is %s (training loss %.3f): what copied layers cost cannot be read from this split; %s",
                cell, row["status"], row["train_loss"],
                "more epochs would help (net.schedule.epochs)" if row["status"] == "unconverged" else
                "more classes or pictures or a narrower network would help",
            )  # fmt: skip
        if cell.treatment == "base":
            keep_tensors(self._file("bases", key, "safetensors"), network.state_dict())
        checkpoint.remove()
        return row

    def _row(self, cell: Cell, training: Training) -> Row:
        setting, last = self.setting, training.epochs[-1]
        return {
            "study": setting.study,
            "treatment": cell.treatment,
            "n": cell.n,
            "layer": setting.layer_names[cell.n - 1] if cell.n else "",
            "base": cell.base,
            "target": cell.target,
            "split": setting.tasks.kind,
            "split_seed": cell.split_seed,
            "images_per_class": setting.task(cell).images_per_class,
            "classes": len(setting.task(cell).classes),
            "top1_last": training.top1_last,
            "top1_best10": training.top1_best10,
            "train_loss": last["train_loss"],
            "val_loss": last["val_loss"],
            "epochs": len(training.epochs),
            "seconds": training.seconds,
            "status": training.status(setting.saturated_below, setting.still_falling),
            "version_torch": str(torch.__version__),
            "version_dmt": __version__,
            "key": setting.key(cell),
        }

    def _file(self, kind: str, key: str, suffix: str) -> Path:
        folder = self.folder / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{key}.{suffix}"
