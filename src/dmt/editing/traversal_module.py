"""Images to edit -> edited images: features, the witness minimised on the manifold, pixels."""

import torch
from torch import Tensor

from dmt.data import ImageBatch
from dmt.editing.module import EditModule, EditTools
from dmt.errors import UserError
from dmt.inversion.inverter import Inversion, invert
from dmt.networks.extractor import FeatureLayout
from dmt.networks.precision import working_precision
from dmt.traversal.walks import Traversal, Walk, lambda_path
from dmt.traversal.witness import Witness


class TraversalModule(EditModule):
    """Walks on the manifold and inverts the features it arrives at; see ``EditModule``.

    The frames are the way that the result takes as lambda falls from infinity; each is inverted from the one after it.

    Args:
        tools: what the edit works with.
        walk: moves coordinates.
        target_features: ``residual``: Omega(x_s) + U (z_t - z_s), the default, because it keeps what the manifold
            cannot represent of the input; or ``projected``: U z_t + mean (the paper, section 4).

    Raises:
        UserError: unknown ``target_features``.
    """

    def __init__(self, tools: EditTools, walk: Walk, target_features: str = "residual"):
        super().__init__(tools)
        if target_features not in ("residual", "projected"):
            raise UserError(f"target_features must be residual or projected, got {target_features!r}")
        self.walk = walk
        self.target_features = target_features

    def how(self, budget: str) -> str:
        return self.walk.how(budget)

    def edited(self, batch: ImageBatch) -> tuple[Traversal, Inversion]:
        layout, features, z0, witnesses = self._start(batch)
        budget = self.tools.budgets(batch.indices, z0, witnesses, self.walk)
        traversal = self.walk(z0, witnesses, budget)
        return traversal, self._inversion(batch, layout, self._targets(features, traversal), batch.images)

    def way(self, batch: ImageBatch, traversal: Traversal, inversion: Inversion) -> Tensor:
        n_frames = self.tools.frames
        if n_frames == 0:
            return super().way(batch, traversal, inversion)
        layout, features, z0, witnesses = self._start(batch)
        images = inversion.images
        frames: list[Tensor] = []
        budgets = traversal.budget * (n_frames + 1) / torch.arange(n_frames, 0, -1)[:, None]
        for part in lambda_path(z0, witnesses, budgets, self.walk):
            images = self._inversion(batch, layout, self._targets(features, part), images).images
            frames.insert(0, images)
        return torch.stack(frames)

    def _start(self, batch: ImageBatch) -> tuple[FeatureLayout, Tensor, Tensor, list[Witness]]:
        """The features ``(B, D)`` with their layout, the coordinates ``(B, K)`` and the witnesses of a batch."""
        with torch.no_grad():
            activations = self.extractor(batch.images)
            layout = FeatureLayout.of(activations)
            features = layout.pack(activations)
            z0 = self.manifold.encode(features).cpu().double()
        witnesses = [contrast.witness for contrast in self.tools.contrasts(batch.names, z0)]
        return layout, features, z0, witnesses

    def _inversion(self, batch: ImageBatch, layout: FeatureLayout, targets: Tensor, start: Tensor) -> Inversion:
        report = self.tools.on_progress
        return invert(
            self.extractor,
            layout.unpack(targets),
            batch.images,
            self.tools.regularizers,
            self.tools.pixel_solver,
            None if report is None else lambda progress: report(batch, progress),
            start,
            working_precision(self.tools.precision, batch.images.device),
            self.tools.parametrization,
        )

    @torch.no_grad()
    def _targets(self, features: Tensor, traversal: Traversal) -> Tensor:
        if self.target_features == "projected":
            return self.manifold.mean + self.manifold.decode(traversal.z.float().to(features.device))
        return features + self.manifold.decode(traversal.delta.float().to(features.device))
