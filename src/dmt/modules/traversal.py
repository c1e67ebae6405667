"""Images to edit -> edited images: features, the witness minimised on the manifold, pixels."""

import torch
from torch import Tensor

from dmt.data import ImageBatch
from dmt.errors import UserError, require_whole_number
from dmt.features import FeatureLayout
from dmt.inversion import Inversion, invert
from dmt.modules.edit import EditModule, EditTools
from dmt.traversal import Traversal, Walk, traverse
from dmt.witness import Witness


class TraversalModule(EditModule):
    """Walks on the manifold and inverts the features it arrives at; see ``EditModule``.

    Args:
        tools: what the edit works with.
        walk: moves coordinates.
        target_features: ``residual``: Omega(x_s) + U (z_t - z_s), the default, because it keeps what the manifold
            cannot represent of the input; or ``projected``: U z_t + mean (the paper, section 4).
        frames: pictures between input and result, each the start of the next: the way that the result takes as lambda
            falls from infinity.

    Raises:
        UserError: unknown ``target_features``, or ``frames`` is no whole number.
    """

    def __init__(self, tools: EditTools, walk: Walk, target_features: str = "residual", frames: int = 0):
        super().__init__(tools)
        if target_features not in ("residual", "projected"):
            raise UserError(f"target_features must be residual or projected, got {target_features!r}")
        require_whole_number("output.frames", frames, "a whole number, 0 or more", least=0)
        self.walk = walk
        self.target_features = target_features
        self.frames = frames

    def edited(self, batch: ImageBatch) -> tuple[Traversal, Inversion, Tensor]:
        with torch.no_grad():
            activations = self.extractor(batch.images)
            layout = FeatureLayout.of(activations)
            features = layout.pack(activations)
            z0 = self.manifold.encode(features).cpu().double()
            witnesses = [contrast.witness for contrast in self.tools.contrasts(batch.names, z0)]
            budget = self.tools.budgets(batch.indices, z0, witnesses, self.walk)
            traversal = traverse(z0, witnesses, budget, self.walk)
        inversion = self._inversion(batch, layout, self._targets(features, traversal), batch.images)
        return traversal, inversion, self._way(batch, layout, features, witnesses, traversal, inversion.images)

    def _way(
        self,
        batch: ImageBatch,
        layout: FeatureLayout,
        features: Tensor,
        witnesses: list[Witness],
        end: Traversal,
        images: Tensor,
    ) -> Tensor:
        """The frames ``(F, B, 3, H, W)``, computed backwards from the result, each from the one after it."""
        frames: list[Tensor] = []
        for i in range(self.frames, 0, -1):
            part = traverse(end.z0, witnesses, end.budget * (self.frames + 1) / i, self.walk)
            images = self._inversion(batch, layout, self._targets(features, part), images).images
            frames.insert(0, images)
        return torch.stack(frames) if frames else batch.images.new_zeros(0, *batch.images.shape)

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
        )

    def _targets(self, features: Tensor, traversal: Traversal) -> Tensor:
        if self.target_features == "projected":
            return self.manifold.mean + self.manifold.decode(traversal.z.float().to(features.device))
        return features + self.manifold.decode(traversal.delta.float().to(features.device))
