"""Labelled images -> a trained classifier; first of all the small network for digits."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from pytorch_lightning import LightningModule, Trainer
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from dmt.backbones import LayeredNetwork, digits_network
from dmt.backbones.weights import load_into, load_tensors
from dmt.data import Digits

log = logging.getLogger(__name__)

DIGITS_SIZE = 32  # pixels; scikit-learn's digits have 8
DIGITS_EPOCHS = 4


class ClassifierModule(LightningModule):
    """Trains a network by cross-entropy with AdamW.

    Args:
        network: ``(B, 3, H, W)`` in [0, 1] -> logits ``(B, classes)``.
        learning_rate: of AdamW.
    """

    def __init__(self, network: nn.Module, learning_rate: float = 2e-3):
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        logits = self.network(images)
        self.log("accuracy", (logits.argmax(1) == labels).float().mean(), prog_bar=True)
        return nn.functional.cross_entropy(logits, labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate)


def digits_backbone(weights: str | Path, trainer: Callable[..., Trainer], width: int = 16) -> LayeredNetwork:
    """The network for digits, trained on scikit-learn's digits the first time and read from ``weights`` afterwards.

    Args:
        weights: a ``.safetensors`` file; made if missing.
        trainer: makes the trainer, given ``max_epochs``.
        width: see ``digits_network``.
    """
    path = Path(weights).expanduser()
    network = digits_network(width)
    if not path.exists():
        log.info("training the network for digits (seconds), to %s", path)
        _train_digits(network, trainer)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        save_file(network.state_dict(), partial)
        partial.replace(path)
    load_into(network, load_tensors(path), path)
    return network.eval().requires_grad_(False)


def _train_digits(network: LayeredNetwork, trainer: Callable[..., Trainer]) -> None:
    digits = Digits()
    images = torch.stack([digits.read(i, DIGITS_SIZE) for i in range(len(digits.names))])
    labels = torch.from_numpy(digits.digits).long()
    last_width = network(images[:1], ["conv3"])["conv3"].shape[1]
    classifier = nn.Sequential(
        network.stem,
        *network.layers.values(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * last_width, 10),
    ).requires_grad_(True)
    loader = DataLoader(
        TensorDataset(images, labels), batch_size=64, shuffle=True, generator=torch.Generator().manual_seed(0)
    )
    trainer(max_epochs=DIGITS_EPOCHS).fit(ClassifierModule(classifier), loader)
