"""Pictures of reserved people -> linear probes that judge pictures of others: has it the target, what else changed."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor

from dmt.data.labels import labels_meant
from dmt.data.tasks import Task
from dmt.errors import UserError, is_number
from dmt.judges.reserved import ReservedPictures
from dmt.networks.probe import LinearProbe, fit_label_probes, fit_probe
from dmt.ranges import Positive, Share

log = logging.getLogger(__name__)

LEAST = 20  # held-out pictures of either class (ours: an AUC of fewer says little)


class ProbeJudge:
    """The probability that a picture is of the task's target: ``NAME_before`` and ``NAME_after``, flipped above 0.5.

    A linear probe of reserved people's pictures, both classes weighted alike (ours: a judge that needs no download
    and shares neither the edit's pictures nor, by default, its network).

    Args:
        pictures: of the reserved people.
        task: whose source and target are told apart.
        strength: see ``fit_probe``.
        floor: the lowest AUC on held-out people that will do, in [0, 1].

    Raises:
        UserError: the task edits what is made of the pictures, has too few of them, or the AUC is below the floor.
    """

    def __init__(self, pictures: ReservedPictures, task: Task, strength: Positive = 0.001, floor: Share = 0.85):
        _require_probeable(task, floor)
        source, target = (scores[pictures.positions] > 0 for scores in task.scores(pictures.catalog))
        known, held_out = source ^ target, pictures.held_out
        if not _are_enough(target, known, held_out):
            raise UserError(
                f"judges=probe: the reserved people have fewer than {LEAST} pictures of the source or the target of "
                f"{task.title!r} to learn from or to be tested on; set data.reserved higher, or leave out judges=probe"
            )
        learns, tests = known & ~held_out, known & held_out
        self.pictures = pictures
        self.probe = fit_probe(pictures.points[learns & source], pictures.points[learns & target], strength)
        self.auc, self.balanced_accuracy = _quality(self.probe, pictures.points[tests], target[tests])
        log.info(
            "judges: probe of %r fitted to %d pictures of reserved people; on %d of others among them AUC %.3f, "
            "balanced accuracy %.3f",
            task.title,
            learns.sum(),
            tests.sum(),
            self.auc,
            self.balanced_accuracy,
        )
        if self.auc < floor:
            raise UserError(
                f"judges=probe tells the source and the target of {task.title!r} apart with AUC {self.auc:.3f} only, "
                f"below floor={floor}; choose other layers, grid or crop, set judges.probe.floor lower, or leave out "
                "judges=probe"
            )

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        return {f"{name}_before": self._probabilities(before), f"{name}_after": self._probabilities(after)}

    def _probabilities(self, images: Sequence[Tensor]) -> np.ndarray:
        return self.probe(_points(self.pictures, images)).sigmoid().numpy()


class AttributesJudge:
    """How many attributes that the task is not about changed, ``NAME_changed``.

    Its mean over pictures is the MNAC of Rodríguez et al. (ICCV 2021) and Jacob et al. (ECCV 2022), who count CelebA's
    attributes by a network's decisions; here one linear probe per label of the catalog decides.

    Args:
        pictures: of the reserved people.
        task: whose own labels are left out.
        penalty: see ``fit_label_probes``.
        floor: the lowest AUC on held-out people with which an attribute counts, in [0, 1].

    Raises:
        UserError: the task edits what is made of the pictures, or no attribute's probe is good enough.
    """

    def __init__(self, pictures: ReservedPictures, task: Task, penalty: Positive = 2.5, floor: Share = 0.85):
        _require_probeable(task, floor)
        names = pictures.catalog.labels
        own_labels = {meant for label in task.labels() for meant in labels_meant(label, names)}
        others = [label for label in names if label not in own_labels]
        labels = {label: pictures.catalog.scores(label)[pictures.positions] > 0 for label in others}
        self.pictures = pictures
        self.probes = self._good_probes(labels, penalty, floor)
        log.info("judges: %d of %d attributes have a probe of AUC %g or more", len(self.probes), len(others), floor)
        if not self.probes:
            raise UserError(
                f"judges=attributes: no attribute has a probe of AUC {floor} or more; set judges.attributes.floor "
                "lower, data.reserved higher, or leave out judges=attributes"
            )

    def _good_probes(self, labels: Mapping[str, np.ndarray], penalty: float, floor: float) -> dict[str, LinearProbe]:
        points, held_out = self.pictures.points, self.pictures.held_out
        labels = {label: has for label, has in labels.items() if _are_enough(has, np.ones_like(has), held_out)}
        if not labels:
            return {}
        taught = torch.from_numpy(np.stack([has[~held_out] for has in labels.values()], axis=1))
        good = {}
        for (label, has), probe in zip(
            labels.items(), fit_label_probes(points[~held_out], taught, penalty), strict=True
        ):
            auc, _ = _quality(probe, points[held_out], has[held_out])
            if auc >= floor:
                good[label] = probe
                log.debug("judges: %s, AUC %.3f", label, auc)
        return good

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        return {f"{name}_changed": (self.decisions(before) != self.decisions(after)).sum(axis=1)}

    def decisions(self, images: Sequence[Tensor]) -> np.ndarray:
        """Which of the kept attributes each picture ``(3, H, W)`` has, ``(n, attributes)`` of bool."""
        points = _points(self.pictures, images)
        return np.stack([probe(points).numpy() > 0 for probe in self.probes.values()], axis=1)


def _points(pictures: ReservedPictures, images: Sequence[Tensor]) -> Tensor:
    """Features ``(n, D)`` of pictures, in double precision."""
    return pictures.points_of(images).double()


def _are_enough(has: np.ndarray, known: np.ndarray, held_out: np.ndarray) -> bool:
    """Whether both classes of what is known have pictures enough to learn from and to test on; all ``(n,)`` of bool."""
    sides = [known & side & part for side in (has, ~has) for part in (held_out, ~held_out)]
    return min(int(side.sum()) for side in sides) >= LEAST


def _quality(probe: LinearProbe, points: Tensor, has: np.ndarray) -> tuple[float, float]:
    """AUC and, at probability 0.5, balanced accuracy on points ``(n, D)`` of known classes ``(n,)`` of bool."""
    logits = probe(points.double()).numpy()
    return float(roc_auc_score(has, logits)), float(balanced_accuracy_score(has, logits > 0))


def _require_probeable(task: Task, floor: float) -> None:
    if not (is_number(floor) and 0 <= floor <= 1):
        raise UserError(f"a probe's floor must be a number from 0 to 1, got {floor!r}")
    if task.source_view is not None:
        raise UserError(
            f"probes learn from pictures as they are, but {task.title!r} edits what is made of them; leave out "
            "judges=probe and judges=attributes"
        )
