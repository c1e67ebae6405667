"""Trains the network for digits whose weights come with the package: ``python docs/digits_network.py`` (seconds)."""

import dmt  # noqa: F401, I001 - before Lightning

from functools import partial

import pytorch_lightning as pl
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim import AdamW
from torch.utils.data import DataLoader, TensorDataset

from dmt.data import Digits
from dmt.networks import digits_network
from dmt.networks.digits import WEIGHTS
from dmt.networks.weights import tensors_sha256
from dmt.studies.transfer.classifier import ClassifierModule

SIZE = 32  # pixels; scikit-learn's digits have 8
EPOCHS = 4


def main() -> None:
    """Train, and write the weights into the package."""
    pl.seed_everything(0)
    digits, network = Digits(), digits_network()
    images = torch.stack([digits.read(i, SIZE) for i in range(len(digits.names))])
    labels = torch.from_numpy(digits.digits).long()
    last_width = network(images[:1], ["conv3"])["conv3"].shape[1]
    layers = [network.stem, *network.layers.values(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    classifier = nn.Sequential(*layers, nn.Linear(4 * last_width, 10)).requires_grad_(True)
    shuffled = torch.Generator().manual_seed(0)
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True, generator=shuffled)
    trainer = pl.Trainer(max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(ClassifierModule(classifier, partial(AdamW, lr=2e-3)), loader)
    save_file(network.state_dict(), WEIGHTS)
    print(f"SHA256 of dmt.networks.digits: {tensors_sha256(network.state_dict())[:16]}")


if __name__ == "__main__":
    main()
