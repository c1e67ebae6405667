"""Pictures, and what is done to them -> batches without end -> a classifier, and how often it is right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from dmt.ranges import Count, Degrees, NotNegative, Positive, Share

Batch = tuple[Tensor, Tensor]
"""Pictures ``(B, 3, H, W)`` in [0, 1], and how much each is of each class, ``(B, classes)``."""


class Change(Protocol):
    """What is done anew to every batch."""

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Another batch of the same size."""


@dataclass(frozen=True)
class Moved:
    """Every picture shifted by whole pixels, turned, and perhaps mirrored; what comes in from outside is mirrored, too.

    Args:
        shift: the most along each side, as a share of it; with mirroring the usual flips and crops.
        degrees: the most that it is turned either way.
        flip: whether half of the pictures are mirrored left to right.
    """

    shift: Share = 0.125
    degrees: Degrees = 0.0
    flip: bool = True

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        images, labels = batch
        n, side = len(images), images.shape[-1]
        drawn = torch.from_numpy(rng.uniform(-1, 1, (4, n))).to(images)
        angle = drawn[0] * self.degrees * torch.pi / 180
        mirror = torch.where(drawn[1] < 0, -1.0, 1.0) if self.flip else torch.ones_like(angle)
        shift = (drawn[2:] * self.shift * side).round() * 2 / side
        rows = [mirror * angle.cos(), -angle.sin(), shift[0], mirror * angle.sin(), angle.cos(), shift[1]]
        grid = affine_grid(torch.stack(rows, dim=1).reshape(n, 2, 3), list(images.shape), align_corners=False)
        return grid_sample(images, grid, padding_mode="reflection", align_corners=False), labels


@dataclass(frozen=True)
class Mixup:
    """Every picture mixed with another of the batch, and their labels likewise (Zhang et al., ICLR 2018).

    Args:
        alpha: shares are drawn from Beta(alpha, alpha), one for each picture.
    """

    alpha: Positive = 0.2

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        images, labels = batch
        share = torch.from_numpy(rng.beta(self.alpha, self.alpha, len(images))).to(images)
        other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
        own = share[:, None, None, None]
        return own * images + (1 - own) * images[other], share[:, None] * labels + (1 - share[:, None]) * labels[other]


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained: AdamW, its rate up and down again over so many steps (one cycle).

    Args:
        steps: the same number whatever it learns from.
        batch_size: pictures per step.
        learning_rate: the highest.
        weight_decay: of all weights.
    """

    steps: Count
    batch_size: Count
    learning_rate: Positive
    weight_decay: NotNegative = 0.01

    def fit(self, network: nn.Module, batches: Iterator[Batch]) -> None:
        """Train a network, ``(B, ...)`` -> logits ``(B, classes)``, in place."""
        network.train()
        descent = AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        rate = OneCycleLR(descent, self.learning_rate, total_steps=self.steps)
        for _ in range(self.steps):
            inputs, labels = next(batches)
            loss = cross_entropy(network(inputs), labels)
            descent.zero_grad()
            loss.backward()
            descent.step()
            rate.step()


def batches(
    pictures: Batch, made: Batch | None, changes: Sequence[Change], size: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """Batches without end, drawn with replacement.

    Args:
        pictures: those that there are.
        made: those that were made; half of every batch, where there are some (ours).
        changes: done to every batch, in order.
        size: B.
        rng: of all that is drawn.
    """
    while True:
        parts = [(pictures, size)] if made is None else [(pictures, size - size // 2), (made, size // 2)]
        drawn = []
        for (images, labels), count in parts:
            rows = torch.from_numpy(rng.integers(len(images), size=count)).to(images.device)
            drawn.append((images[rows], labels[rows]))
        batch: Batch = (torch.cat([images for images, _ in drawn]), torch.cat([labels for _, labels in drawn]))
        for change in changes:
            batch = change(batch, rng)
        yield batch


@torch.no_grad()
def accuracy(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """How many of some inputs ``(n, ...)`` a classifier puts into their classes ``(n,)``, in percent."""
    network.eval()
    right = [
        (network(part).argmax(dim=1) == own).sum()
        for part, own in zip(inputs.split(256), labels.split(256), strict=True)
    ]
    return 100 * float(torch.stack(right).sum()) / len(labels)
