"""What every way to edit images has in common: a batch in, a batch with results out."""

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from dmt.data import ImageBatch, Sets
from dmt.editing.rules import BudgetRule
from dmt.inversion.colors import with_colors_of
from dmt.inversion.inverter import Inversion
from dmt.inversion.parametrizations import PIXELS, Parametrization
from dmt.inversion.regularizers import Regularizer
from dmt.manifolds import Manifold
from dmt.networks.extractor import FeatureExtractor
from dmt.solvers import LBFGS, Progress
from dmt.traversal.walks import Traversal
from dmt.traversal.witness import Witness


@dataclass(frozen=True)
class Contrast:
    """What an input is edited away from and towards.

    Args:
        sets: the pictures of both sides.
        witness: tells them apart on the manifold.
    """

    sets: Sets
    witness: Witness


@dataclass(frozen=True)
class EditedBatch:
    """A batch of inputs with what became of them.

    Args:
        batch: the inputs.
        traversal: their way on the manifold.
        inversion: the pictures.
        frames: ``(F, B, 3, H, W)`` in [0, 1], the way from the inputs to the results, both left out; F may be 0.
        seconds: for the whole batch, without the frames.
    """

    batch: ImageBatch
    traversal: Traversal
    inversion: Inversion
    frames: Tensor
    seconds: float

    def to(self, device: torch.device) -> "EditedBatch":
        """The same with its pictures on another device; the trainer collects predictions on the processor."""
        moved = replace(
            self.inversion,
            images=self.inversion.images.to(device),
            terms={name: value.to(device) for name, value in self.inversion.terms.items()},
        )
        return replace(self, batch=self.batch.to(device), inversion=moved, frames=self.frames.to(device))


@dataclass(frozen=True)
class EditTools:
    """What an edit works with, whatever its method.

    Args:
        extractor: Omega.
        manifold: fitted on features of the same extractor.
        contrasts: names of B inputs and their coordinates ``(B, K)`` -> what each is edited between.
        mean_pictures: the mean picture of either side, ``(3, H, W)`` in [0, 1].
        budgets: lambda' of each input.
        regularizers: name -> penalty on the picture.
        pixel_solver: inverts features to pixels.
        on_progress: told about the inversion after every iteration.
        frames: pictures between input and result, for methods that walk.
        precision: of the network while pixels are sought; see ``working_precision``.
        parametrization: what the pixel solver moves.
        match_colors: whether results get the mean and the spread of their inputs' colours back.
    """

    extractor: FeatureExtractor
    manifold: Manifold
    contrasts: Callable[[Sequence[str], Tensor], list[Contrast]]
    mean_pictures: Callable[[Sets], tuple[Tensor, Tensor]]
    budgets: BudgetRule
    regularizers: Mapping[str, Regularizer]
    pixel_solver: LBFGS
    on_progress: Callable[[ImageBatch, Progress], None] | None = None
    frames: int = 0
    precision: str = "float32"
    parametrization: Parametrization = PIXELS
    match_colors: bool = False


class EditModule(LightningModule):
    """Edits images; run by ``Trainer(inference_mode=False).predict``.

    Args:
        tools: what the edit works with.
    """

    def __init__(self, tools: EditTools):
        super().__init__()
        self.tools = tools
        self.extractor, self.manifold = tools.extractor, tools.manifold  # modules, so that they follow the device

    @abstractmethod
    def edited(self, batch: ImageBatch) -> tuple[Traversal, Inversion]:
        """What becomes of a batch."""

    def way(self, batch: ImageBatch, traversal: Traversal, inversion: Inversion) -> Tensor:
        """Pictures between the inputs and the results, ``(F, B, 3, H, W)``."""
        return batch.images.new_zeros(0, *batch.images.shape)

    def how(self, budget: str) -> str:
        """The strength of the edit in a few words, given those for lambda."""
        return budget

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> EditedBatch:
        began = time.perf_counter()
        traversal, inversion = self.edited(batch)
        if self.tools.match_colors:
            inversion = replace(inversion, images=with_colors_of(inversion.images, batch.images))
        seconds = time.perf_counter() - began
        return EditedBatch(batch, traversal, inversion, self.way(batch, traversal, inversion), seconds)

    def configure_optimizers(self) -> None:
        return None

    def coordinates(self, images: Tensor) -> Tensor:
        """Manifold coordinates ``(B, K)`` of ``(B, 3, H, W)``, in double precision.

        They are on the processor: a few thousand points are no work, and not every device has doubles.
        """
        with torch.no_grad():
            return self.manifold.encode(self.extractor.vectors(images)).cpu().double()
