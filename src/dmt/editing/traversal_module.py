"""Images to edit -> edited images: features, the witness minimised on the manifold, pixels."""

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from dmt.data import ImageBatch
from dmt.editing.comparison import Contrasts
from dmt.editing.module import EditModule
from dmt.errors import UserError
from dmt.inversion import Inversion, Inverter
from dmt.manifolds import Representation
from dmt.ranges import CountOrNone
from dmt.traversal.walks import Traversal, Walk, lambda_path, walked


class TraversalModule(EditModule):
    """Walks on the manifold and inverts the features it arrives at; see ``EditModule``.

    Args:
        space: where pictures are points.
        contrasts: what each input is edited between.
        lams: ``(n,)``, lambda' of each input.
        inverter: features -> pixels.
        walk: moves points.
        target_features: ``residual`` or ``projected``; see ``dmt.manifolds.Representation.targets``.
        frames: pictures between input and result: the way that the result takes as lambda falls from infinity, each
            inverted from the one after it.

    Raises:
        UserError: unknown ``target_features``.
    """

    def __init__(
        self,
        space: Representation,
        contrasts: Contrasts,
        lams: Tensor,
        inverter: Inverter,
        *,
        walk: Walk,
        target_features: Literal["residual", "projected"] = "residual",
        frames: CountOrNone = 0,
    ):
        super().__init__(space, contrasts, lams, inverter)
        self.check(target_features=target_features)
        self.walk = walk
        self.target_features = target_features
        self.n_frames = frames

    @classmethod
    def check(cls, target_features: str = "residual", **options: Any) -> None:
        if target_features not in ("residual", "projected"):
            raise UserError(f"target_features must be residual or projected, got {target_features!r}")

    def edited(self, batch: ImageBatch) -> tuple[Traversal, Inversion]:
        encoded = self.space.encode(batch.images)
        traversal = walked(self.walk, encoded.points, *self._own(batch), self.device)
        if self.inverter.on_progress is not None:
            before, after = traversal.witness_before.mean(), traversal.witness_after.mean()
            self.inverter.on_progress.walked(float(before), float(after))
        targets = self.space.targets(encoded, traversal.delta, self.target_features)
        along = self.space.along(encoded, traversal.delta)
        return traversal, self.inverter(self.extractor, targets, batch.images, along=along)

    def frames_between(self, batch: ImageBatch, traversal: Traversal, inversion: Inversion) -> Tensor:
        if self.n_frames == 0:
            return super().frames_between(batch, traversal, inversion)
        encoded = self.space.encode(batch.images)
        witnesses, lam = self._own(batch)
        lams = lam * (self.n_frames + 1) / torch.arange(self.n_frames, 0, -1)[:, None]
        images, inverter = inversion.images, replace(self.inverter, on_progress=None)
        frames: list[Tensor] = []
        for delta in lambda_path(encoded.points, witnesses, lams, self.walk, self.device):
            targets = self.space.targets(encoded, delta, self.target_features)
            along = self.space.along(encoded, delta)
            images = inverter(self.extractor, targets, batch.images, start=images, along=along).images
            frames.insert(0, images)
        return torch.stack(frames)
