"""What every way to edit images has in common: a batch in, a batch with results out."""

import time
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from dmt.data import ImageBatch
from dmt.editing.comparison import Contrasts
from dmt.inversion import Inversion, Inverter
from dmt.manifolds import Points, Representation
from dmt.solvers import Solution
from dmt.traversal.walks import Traversal, Walk
from dmt.traversal.witness import WitnessBatch


@dataclass(frozen=True)
class EditedBatch:
    """A batch of inputs with what became of them.

    Args:
        batch: the inputs.
        traversal: their way on the manifold.
        inversion: the pictures.
        frames: ``(F, B, 3, H, W)`` in [0, 1], the way from the inputs to the results, both left out; F may be 0.
        seconds: for the whole batch, without the frames.
        arrived: ``(P, K)``, where the finished pictures lie.
    """

    batch: ImageBatch
    traversal: Traversal
    inversion: Inversion
    frames: Tensor
    seconds: float
    arrived: Tensor

    def to(self, device: torch.device) -> "EditedBatch":
        """The same with its pictures on another device; the trainer collects predictions on the processor."""
        moved = replace(
            self.inversion,
            images=self.inversion.images.to(device),
            terms={name: value.to(device) for name, value in self.inversion.terms.items()},
            realised=self.inversion.realised.to(device),
            multiplier=self.inversion.multiplier.to(device),
        )
        return replace(self, batch=self.batch.to(device), inversion=moved, frames=self.frames.to(device))

    def parts(self) -> "list[EditedBatch]":
        """Each input with what became of it, in a batch of its own."""
        n = len(self.batch.names)
        return [self._part(slice(row, row + 1), self.seconds / n) for row in range(n)]

    def _part(self, row: slice, seconds: float) -> "EditedBatch":
        batch = replace(
            self.batch,
            images=self.batch.images[row],
            indices=self.batch.indices[row],
            names=self.batch.names[row],
        )
        start = self.traversal.start
        return EditedBatch(
            batch,
            self.traversal.of_one(row.start),
            self.inversion.part(row),
            self.frames[:, row],
            seconds,
            self.arrived[(start.owner >= row.start) & (start.owner < row.stop)],
        )


class EditModule(LightningModule):
    """Edits the inputs of a task; run by ``Trainer(inference_mode=False).predict`` over batches of them.

    Args:
        space: where pictures are points.
        contrasts: what each of the n inputs is edited between.
        lams: ``(n,)``, lambda' of each input.
        inverter: features -> pixels.
    """

    walk: Walk
    """How points move, or would: rules that choose lambda look at it."""

    def __init__(self, space: Representation, contrasts: Contrasts, lams: Tensor, inverter: Inverter):
        super().__init__()
        self.extractor, self.manifold = space.extractor, space.manifold  # modules, so that they follow the device
        self.space = space
        self.contrasts = contrasts
        self.lams = lams
        self.inverter = inverter

    @classmethod
    def check(cls, **options: Any) -> None:
        """Make sure, before any work, that the module takes these options; raises ``UserError``."""

    @abstractmethod
    def edited(self, batch: ImageBatch) -> tuple[Traversal, Inversion]:
        """What becomes of a batch.

        Where the inversion has no activations the walk is that of the finished pictures (``_observed``).
        """

    def frames_between(self, batch: ImageBatch, traversal: Traversal, inversion: Inversion) -> Tensor:
        """Pictures between the inputs and the results, ``(F, B, 3, H, W)``."""
        return batch.images.new_zeros(0, *batch.images.shape)

    def describe(self, strength: str) -> str:
        """How much is edited, in a few words, given those for lambda."""
        return self.walk.describe(strength)

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> EditedBatch:
        began = time.perf_counter()
        traversal, inversion = self.edited(batch)
        seconds = time.perf_counter() - began
        read = inversion.activations
        arrived = self.space.points(read).z if read else traversal.z
        inversion = replace(inversion, activations={})  # as large as what was to be reached
        frames = self.frames_between(batch, traversal, inversion)
        return EditedBatch(batch, traversal, inversion, frames, seconds, arrived)

    def configure_optimizers(self) -> None:
        return None

    def _own(self, batch: ImageBatch) -> tuple[WitnessBatch, Tensor]:
        """The witnesses of a batch's inputs, and their lambdas ``(B,)``."""
        rows = torch.tensor(batch.indices)
        return self.contrasts.witnesses[rows], self.lams[rows]

    def _observed(self, start: Points, images: Tensor, lam: Tensor, witnesses: WitnessBatch) -> Traversal:
        """The way on the manifold of pictures that were made without it."""
        delta = self.space.coordinates(images) - start.z
        own = witnesses[start.owner]
        before, after = own.values(start.z), own.values(start.z + delta)
        return Traversal(start, delta, lam, before, after, Solution.at_rest(delta, after))


class PointsModule(LightningModule):
    """Batches of pictures -> their points; run by ``Trainer.predict``.

    Args:
        space: where pictures are points.
    """

    def __init__(self, space: Representation):
        super().__init__()
        self.extractor, self.manifold = space.extractor, space.manifold
        self.space = space

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> Points:
        return self.space.encode(batch.images).points
