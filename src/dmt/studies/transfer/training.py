"""A network and two sets of labelled pictures -> the network trained, and what every epoch came to."""

import math
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import nn

from dmt.data import LabelledBatches, LabelledImages
from dmt.networks.network import network_fingerprint
from dmt.storage import processes
from dmt.storage.files import DamagedError, found_in, replacing
from dmt.studies.transfer.classifier import ClassifierModule, Schedule
from dmt.studies.transfer.networks import WeightLayers

REPORTED = 10  # validation evaluations whose mean an accuracy is; the paper's figures


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
        if before - last > still_falling or last > 0.9 * math.log(self.classes):
            return "unconverged"
        return "ok"


class EpochCheckpoint(Checkpoint):
    """Keeps a run's state at the end of an epoch, at most every so often, whole or not at all.

    Lightning's ``ModelCheckpoint`` would write after every epoch, an eighth of the time of small networks, or by the
    clock in the middle of one, where it could not be gone on with.

    Args:
        path: of the checkpoint.
        key: of the run, which the checkpoint bears.
        seconds: between two.
    """

    def __init__(self, path: Path, key: str = "", seconds: float = 20):
        self.path, self.key, self.seconds = path, key, seconds
        self._last = time.monotonic()

    @property
    def state_key(self) -> str:
        return type(self).__qualname__  # where Lightning puts ``state_dict``

    def state_dict(self) -> dict[str, str]:
        return {"key": self.key}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if time.monotonic() - self._last >= self.seconds:
            with replacing(self.path) as partial:
                trainer.save_checkpoint(partial)
            self._last = time.monotonic()

    def remove(self) -> None:
        """Delete it, once what came of the run is kept."""
        self.path.unlink(missing_ok=True)

    def found(self) -> Path | None:
        """The path, if an interrupted run of the same key left a checkpoint there; a damaged one is removed."""
        found = found_in(self.path, self._verified, "its network")
        if found is None:
            self.remove()
        return found[0] if found else None

    def _verified(self) -> Path:
        try:
            with zipfile.ZipFile(self.path) as parts:
                damaged = parts.testzip()  # torch does not compare the checksums
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            key = state["callbacks"][self.state_key]["key"]
        except Exception as error:  # pickle's errors share no base class
            raise DamagedError(f"{self.path} is damaged") from error
        if damaged or key != self.key:
            raise DamagedError(f"{self.path} is damaged, or of another run")
        return self.path


def train_network(
    network: WeightLayers,
    train: LabelledImages,
    *,
    validation: LabelledImages,
    schedule: Schedule,
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
        seed: of the order of the pictures and of dropout.
        trainer: makes the trainer, given options of Lightning's ``Trainer``.
        checkpoint: keeps the state while it trains; a run that was interrupted goes on from what it left there.
        cache_bytes: the most that the activations, or pictures on a GPU, may take; 0: nothing is computed beforehand.

    Returns:
        What every epoch came to.

    """
    fit = trainer(
        max_epochs=schedule.epochs,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        enable_progress_bar=False,
        enable_checkpointing=checkpoint is not None,
        callbacks=[checkpoint] if checkpoint else [],
    )
    frozen = nn.Sequential(*network.frozen)
    before = network_fingerprint(frozen)
    began = time.perf_counter()
    device = fit.strategy.root_device
    trunk, rest = _divided(network, (train, validation), cache_bytes)
    if len(trunk):
        train, validation = (_activations(trunk, pictures, device) for pictures in (train, validation))
    elif train.nbytes + validation.nbytes <= cache_bytes:
        train, validation = train.to(device), validation.to(device)
    prepared = time.perf_counter() - began
    module = ClassifierModule(rest.train(), schedule.optimizers, seed=seed)
    batches = LabelledBatches(train, validation, schedule.batch_size, seed)
    fit.fit(module, datamodule=batches, ckpt_path=checkpoint.found() if checkpoint else None)
    processes.let_go(fit)
    assert network_fingerprint(frozen) == before, "a frozen layer has changed"
    epochs = [dict(epoch) for epoch in module.epochs]
    epochs[0]["seconds"] += prepared
    return Training(epochs, classes=int(train.labels.max()) + 1)


def _divided(
    network: WeightLayers, sets: Sequence[LabelledImages], cache_bytes: float
) -> tuple[WeightLayers, WeightLayers]:
    """The first layers that are frozen and without dropout, none if their activations are too large; and the rest."""
    depth = 0
    for layer in network.frozen:
        if any(isinstance(module, nn.Dropout) for module in layer.modules()):
            break
        depth += 1
    if depth:
        first = LabelledImages(sets[0].images[:1], sets[0].labels[:1])
        numbers = _activations(network.part(0, depth), first, torch.device("cpu")).images.numel()
        if sum(len(pictures.labels) for pictures in sets) * 4 * numbers > cache_bytes:
            depth = 0
    return network.part(0, depth), network.part(depth, len(network))


@torch.no_grad()
def _activations(trunk: WeightLayers, pictures: LabelledImages, device: torch.device) -> LabelledImages:
    """What the trunk makes of the pictures, on the device; the trunk itself goes back to the processor."""
    trunk.eval().to(device)
    parts = [trunk(part.to(device).float() / 255) for part in pictures.images.split(256)]
    trunk.cpu()
    return LabelledImages(torch.cat(parts), pictures.labels.to(device))
