"""The data of an edit -> a probe of another network that tells its classes apart, from pictures outside its sets."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from dmt.data import EditData, PictureView
from dmt.data.selection import evenly
from dmt.errors import UserError, is_number, require_whole_number
from dmt.judges.judge import Judge
from dmt.judges.reserved import PooledFeatures
from dmt.networks.probe import LinearProbe, fit_probe, held_out_logits
from dmt.ranges import BetweenZeroAndOne, Positive, Side

log = logging.getLogger(__name__)

LEAST = 10  # pictures of either side that a probe learns from, if there are so many beside the sets (ours)
MOST = 200  # and the most (ours)
SEPARATE = 0.75  # AUC below which classes are said to hardly separate (ours)


@runtime_checkable
class LearnsFromData(Protocol):
    """A judge that learns, for each edit, from pictures which the edit then does not see."""

    def taught(self, data: EditData) -> tuple[Judge, EditData]:
        """The judge, and the data without the pictures it has learnt from."""


class ClassesJudge:
    """The probability that a picture is of the task's target: ``NAME_before`` and ``NAME_after``, flipped above 0.5.

    For classes of any kind, and for as few as twenty pictures of each. The probe is linear, both classes weighted
    alike, in features of another network than the edit's, averaged in the cells of a grid (ours).

    Args:
        features: of what is learnt from and judged.
        size: pictures are brought to this height and width first.
        share: of the pictures of either side, from which the probe learns and which the edit does not see; where that
            would be fewer than ``LEAST`` it learns from all but the inputs.
        strength: see ``dmt.networks.probe.fit_probe``.

    Raises:
        UserError: a number out of range.
    """

    def __init__(
        self, features: PooledFeatures, size: Side = 128, share: BetweenZeroAndOne = 0.3, strength: Positive = 0.1
    ):
        require_whole_number("judges.classes.size", size, "a whole number above 0", least=1)
        if not (is_number(share) and 0 < share < 1):
            raise UserError(f"judges.classes.share must be a number between 0 and 1, got {share!r}")
        if not (is_number(strength) and 0 < strength < math.inf):
            raise UserError(f"judges.classes.strength must be a number above 0, got {strength!r}")
        features.extractor.layout(size, size)  # an unfit size is said before any work
        self.features = features
        self.size = size
        self.share = share
        self.strength = strength
        self._seen: dict[tuple[str, int, int], Tensor] = {}  # pictures of a catalog, at a size -> their features

    def taught(self, data: EditData) -> tuple["TaughtJudge", EditData]:
        usable = [np.flatnonzero(scores > 0) for scores in data.pool.sides]
        kept_out = [evenly(rows, round(self.share * len(rows))) for rows in usable]
        are_left = min(len(rows) - len(out) for rows, out in zip(usable, kept_out, strict=True))
        is_enough = min(map(len, kept_out)) >= LEAST and are_left >= 2
        learnt_from = [evenly(rows, MOST) for rows in (kept_out if is_enough else usable)]
        assert data.task is not None
        views = (data.task.source_view, None)
        source, target = (self._points(data, rows, view) for rows, view in zip(learnt_from, views, strict=True))
        sides = f"{len(source)} + {len(target)} pictures"
        if min(len(source), len(target)) < 2:
            raise UserError("a side has fewer than 2 pictures for a probe to learn from; leave out judges=classes")
        logits = held_out_logits(source, target, self.strength)
        auc = float(roc_auc_score([0] * len(source) + [1] * len(target), logits))
        from_where = "that the edit does not see" if is_enough else "of its sets, for there are few"
        log.info("judges: classes of %r, learnt from %s %s: AUC %.3f", data.task.title, sides, from_where, auc)
        if auc < SEPARATE:
            log.warning(
                "these classes hardly separate in this network: AUC %.2f, where 0.5 is chance; what the judge says "
                "means little",
                auc,
            )
        judge = TaughtJudge(self, fit_probe(source, target, self.strength), auc)
        return judge, data.without(np.concatenate(learnt_from)) if is_enough else data

    def points_of(self, images: Sequence[Tensor]) -> Tensor:
        """Features ``(n, D)`` of pictures ``(3, H, W)`` in [0, 1], in double precision."""
        return self.features.at_size(images, self.size).double()

    def _points(self, data: EditData, rows: np.ndarray, view: PictureView | None) -> Tensor:
        """Features ``(n, D)`` of the catalog's pictures that decode; each is looked at once, unless it is viewed."""
        seen = self._seen if view is None else {}
        keys = {row: (data.catalog.fingerprint, data.image_size, row) for row in rows.tolist()}
        new = [row for row, key in keys.items() if key not in seen]
        for batch in data.some_dataloader(new, view) if new else ():
            if len(batch.images):
                found = zip(batch.indices, self.points_of(list(batch.images)), strict=True)
                seen |= {keys[index]: point for index, point in found}
        known = [seen[key] for key in keys.values() if key in seen]
        return torch.stack(known) if known else torch.zeros(0, 1)

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        raise UserError("judges=classes learns from the sets of an edit, of which there is none here")


@dataclass(frozen=True)
class TaughtJudge:
    """What a ``ClassesJudge`` has learnt.

    Args:
        classes: who sees.
        probe: who tells the classes apart.
        auc: by cross-validation.
    """

    classes: ClassesJudge
    probe: LinearProbe
    auc: float

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        return {f"{name}_before": self.probabilities(before), f"{name}_after": self.probabilities(after)}

    def probabilities(self, images: Sequence[Tensor]) -> np.ndarray:
        """Of the target, ``(n,)``, for pictures ``(3, H, W)`` in [0, 1]."""
        return self.probe(self.classes.points_of(images)).sigmoid().numpy()
