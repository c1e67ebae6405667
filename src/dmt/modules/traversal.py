"""Images to edit -> edited images: features, the witness minimised on the manifold, pixels."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from dmt.data import ImageBatch
from dmt.errors import UserError
from dmt.features import FeatureExtractor, FeatureLayout
from dmt.inversion import Inversion, invert
from dmt.kernels import Kernel
from dmt.manifolds import IncrementalPCA
from dmt.regularizers import Regularizer
from dmt.solvers import LBFGS, Progress
from dmt.traversal import Traversal, traverse
from dmt.witness import Witness


@dataclass(frozen=True)
class EditedBatch:
    """A batch of inputs with what became of them.

    Args:
        batch: the inputs.
        traversal: their way on the manifold.
        inversion: the pictures.
        seconds: for the whole batch.
    """

    batch: ImageBatch
    traversal: Traversal
    inversion: Inversion
    seconds: float

    def to(self, device: torch.device) -> "EditedBatch":
        """The same with its pictures on another device; the trainer collects predictions on the processor."""
        moved = replace(
            self.inversion,
            images=self.inversion.images.to(device),
            terms={name: value.to(device) for name, value in self.inversion.terms.items()},
        )
        return replace(self, batch=self.batch.to(device), inversion=moved)


class TraversalModule(LightningModule):
    """Edits images; run by ``Trainer(inference_mode=False).predict``.

    Args:
        extractor: Omega.
        manifold: fitted on features of the same extractor.
        source: manifold coordinates of the source set, ``(n, K)``.
        target: of the target set, ``(m, K)``.
        kernel: of the witness; its bandwidth rule looks at source and target.
        budget: lambda', dimensionless.
        regularizers: name -> penalty on the picture.
        z_solver: minimises the witness.
        pixel_solver: inverts features to pixels.
        target_features: ``residual``: Omega(x_s) + U (z_t - z_s), the default, because it keeps what the manifold
            cannot represent of the input; or ``projected``: U z_t + mean (the paper, section 4).
        weighting: of the witness, ``mean`` or ``sum``.
        on_progress: told about the inversion after every iteration.

    Raises:
        UserError: unknown ``target_features``.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        manifold: IncrementalPCA,
        source: Tensor,
        target: Tensor,
        kernel: Kernel,
        budget: float,
        regularizers: Mapping[str, Regularizer],
        z_solver: LBFGS,
        pixel_solver: LBFGS,
        target_features: str = "residual",
        weighting: str = "mean",
        on_progress: Callable[[ImageBatch, Progress], None] | None = None,
    ):
        super().__init__()
        if target_features not in ("residual", "projected"):
            raise UserError(f"target_features must be residual or projected, got {target_features!r}")
        self.extractor = extractor
        self.manifold = manifold
        self.witness = Witness(kernel, source.double(), target.double(), weighting)
        self.budget = budget
        self.regularizers = regularizers
        self.z_solver = z_solver
        self.pixel_solver = pixel_solver
        self.target_features = target_features
        self.on_progress = on_progress

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> EditedBatch:
        began = time.perf_counter()
        with torch.no_grad():
            activations = self.extractor(batch.images)
            layout = FeatureLayout.of(activations)
            features = layout.pack(activations)
            # in double precision, on the processor: a few thousand points, and not every device has doubles
            z0 = self.manifold.encode(features).cpu().double()
            traversal = traverse(z0, self.witness, self.budget, self.z_solver)
            targets = self._targets(features, traversal)
        report = self.on_progress
        inversion = invert(
            self.extractor,
            layout.unpack(targets),
            batch.images,
            self.regularizers,
            self.pixel_solver,
            None if report is None else lambda progress: report(batch, progress),
        )
        return EditedBatch(batch, traversal, inversion, time.perf_counter() - began)

    def configure_optimizers(self) -> None:
        return None

    def _targets(self, features: Tensor, traversal: Traversal) -> Tensor:
        if self.target_features == "projected":
            return self.manifold.mean + self.manifold.decode(traversal.z.float().to(features.device))
        return features + self.manifold.decode(traversal.delta.float().to(features.device))
