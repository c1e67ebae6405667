"""A network and two sets of labelled pictures -> the network trained, and what every epoch came to."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor, nn

from dmt.data import LabelledBatches, LabelledImages
from dmt.errors import UserError
from dmt.networks.network import network_fingerprint
from dmt.studies.transfer.classifier import Schedule, ValidatedClassifierModule
from dmt.studies.transfer.networks import WeightLayers

REPORTED = 10  # validation evaluations whose mean an accuracy is; the paper's figures
CHECKPOINT_SECONDS = 20.0


@dataclass(frozen=True)
class Training:
    """What became of a network.

    Args:
        epochs: for each ``train_loss``, ``train_top1``, ``val_loss``, ``top1`` and ``seconds``.
        classes: how many there were.
    """

    epochs: Sequence[dict[str, float]]
    classes: int

    @property
    def top1_last(self) -> float:
        """The mean of the last ten validation evaluations, of all if there are fewer, in percent."""
        return mean([epoch["top1"] for epoch in self.epochs][-REPORTED:])

    @property
    def top1_best10(self) -> float:
        """The mean of the ten highest validation evaluations, of all if there are fewer, in percent."""
        return mean(sorted((epoch["top1"] for epoch in self.epochs), reverse=True)[:REPORTED])

    @property
    def seconds(self) -> float:
        """Of all epochs, whether they were trained in one go or not."""
        return sum(epoch["seconds"] for epoch in self.epochs)

    def status(self, saturated_below: float, still_falling: float) -> str:
        """Whether the dip of co-adapted layers can be measured: ``ok``, ``saturated`` or ``unconverged``.

        Ours. Saturated: the training loss is near zero, so that whatever is above a frozen layer can make up for it.
        Unconverged: the loss of the last tenth of the epochs is still lower than that of the tenth before (two epochs
        at least), or near that of guessing, or was not a finite number in any epoch.

        Args:
            saturated_below: training loss, in nats.
            still_falling: the fall, in nats, that is too much.
        """
        losses = [epoch["train_loss"] for epoch in self.epochs]
        if not all(map(math.isfinite, losses)):
            return "unconverged"
        tenth = max(2, len(losses) // 10)
        last, before = mean(losses[-tenth:]), mean(losses[-2 * tenth : -tenth] or losses)
        if last < saturated_below:
            return "saturated"
        if before - last > still_falling or last > 0.9 * float(torch.tensor(self.classes).log()):
            return "unconverged"
        return "ok"


class EpochCheckpoint(Checkpoint):
    """Keeps a run's state at the end of an epoch, at most every so often, whole or not at all.

    Args:
        path: of the checkpoint.
        key: of all that determines the run; kept with it.
        seconds: between two.
    """

    def __init__(self, path: Path, key: str, seconds: float = CHECKPOINT_SECONDS):
        self.path, self.key, self.seconds = path, key, seconds
        self._last = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if time.monotonic() - self._last < self.seconds:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        trainer.save_checkpoint(partial)
        partial.replace(self.path)
        self._last = time.monotonic()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["key"] = self.key

    def remove(self) -> None:
        """Delete it, once what came of the run is kept."""
        self.path.unlink(missing_ok=True)

    def found(self) -> str | None:
        """The path, if an interrupted run left a checkpoint there.

        Raises:
            UserError: it is damaged or of another run.
        """
        if not self.path.is_file():
            return None
        try:
            key = torch.load(self.path, map_location="cpu", weights_only=True)["key"]
        except Exception as error:  # pickle's errors share no base class
            raise UserError(f"{self.path} is damaged; delete it, and its network is trained from the start") from error
        if key != self.key:
            raise UserError(
                f"{self.path} is the checkpoint of another configuration (key {key}); delete it, and the "
                "network is trained from the start"
            )
        return str(self.path)


def train_network(
    network: WeightLayers,
    train: LabelledImages,
    validation: LabelledImages,
    schedule: Schedule,
    times: int,
    seed: int,
    trainer: Callable[..., Trainer],
    checkpoint: EpochCheckpoint | None = None,
    cache_bytes: float = 2e9,
) -> Training:
    """Train what learns of a network, in place.

    The frozen layers below the first dropout give the same for a picture every time, so that their activations are
    computed once. What the network reads lies on its device, if it is no more than ``cache_bytes``.

    Args:
        network: as its treatment left it.
        train: pictures to learn from.
        validation: pictures that it is tested on after every epoch.
        schedule: of the learning.
        times: how many times as long as the schedule says.
        seed: of the order of the pictures and of dropout.
        trainer: makes the trainer, given options of Lightning's ``Trainer``.
        checkpoint: keeps the state while it trains, and what an interrupted run left there is gone on with.
        cache_bytes: the most that the activations, or pictures on a GPU, may take; 0: nothing is computed beforehand.

    Returns:
        What every epoch came to.
    """
    fit = trainer(
        max_epochs=times * schedule.epochs,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        enable_progress_bar=False,
        enable_checkpointing=checkpoint is not None,
        callbacks=[checkpoint] if checkpoint else [],
    )
    frozen = nn.Sequential(*network.frozen)
    before = network_fingerprint(frozen)
    began = time.perf_counter()
    depth = _cached_depth(network)
    size = sum(len(pictures.labels) for pictures in (train, validation)) * 4 * _activation_size(network, depth, train)
    if not 0 < size <= cache_bytes:
        depth = 0
    trunk, rest = network.part(0, depth), network.part(depth, len(network))
    device = fit.strategy.root_device
    if depth:
        train, validation = (_activations(trunk, pictures, device) for pictures in (train, validation))
    elif train.nbytes + validation.nbytes <= cache_bytes:
        train, validation = train.to(device), validation.to(device)
    prepared = time.perf_counter() - began
    module = ValidatedClassifierModule(
        rest.train(), schedule.optimizer, schedule.milestones(times), schedule.factor, seed=seed
    )
    batches = LabelledBatches(train, validation, schedule.batch_size, seed)
    fit.fit(module, datamodule=batches, ckpt_path=checkpoint.found() if checkpoint else None)
    assert network_fingerprint(frozen) == before, "a frozen layer has changed"
    epochs = [dict(epoch) for epoch in module.epochs]
    epochs[0]["seconds"] += prepared
    classes = int(train.labels.max()) + 1
    return Training(epochs, classes)


def _cached_depth(network: WeightLayers) -> int:
    """How many layers from the first on are frozen and without dropout."""
    depth = 0
    for layer in network.frozen:
        if any(isinstance(module, nn.Dropout) for module in layer.modules()):
            break
        depth += 1
    return depth


def _activation_size(network: WeightLayers, depth: int, pictures: LabelledImages) -> int:
    """Numbers per picture behind the first ``depth`` layers; 0 behind none."""
    first = LabelledImages(pictures.images[:1], pictures.labels[:1])
    return _activations(network.part(0, depth), first, torch.device("cpu")).images.numel() if depth else 0


@torch.no_grad()
def _activations(trunk: WeightLayers, pictures: LabelledImages, device: torch.device) -> LabelledImages:
    """What the trunk makes of the pictures, on the device; the trunk itself goes back to the processor."""
    trunk.eval().to(device)
    parts: list[Tensor] = [trunk(part.to(device).float() / 255) for part in pictures.images.split(256)]
    trunk.cpu()
    return LabelledImages(torch.cat(parts), pictures.labels.to(device))
