"""Photographs and what edits made of them -> how well the two can be told apart, within the face and around it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from dmt.errors import UserError, is_number, require_whole_number
from dmt.judges.metrics import FACE, central_square
from dmt.judges.reserved import BATCH
from dmt.ranges import Positive, Several

log = logging.getLogger(__name__)

REGIONS = ("frame", "inside", "outside")
GREY = 0.5  # what the rest of the picture is filled with: one value for all, so that it says nothing of the picture
LEAST = 20  # pictures (ours: an AUC of fewer says little)


@dataclass(frozen=True)
class Realism:
    """How well edits are told from photographs.

    Args:
        auc: .5 if they cannot be told apart, 1 if they always can.
        error: its standard error.
    """

    auc: float
    error: float


def realism(
    before: Sequence[Tensor],
    after: Sequence[Tensor],
    people: Sequence[str],
    features: Callable[[Tensor], Tensor],
    region: str = "frame",
    strength: float = 0.001,
    folds: int = 5,
) -> Realism:
    """The AUC with which a linear probe tells edits from photographs of people whom it has not seen.

    The classifier two-sample test of Lopez-Paz and Oquab (ICLR 2017), with the AUC for the accuracy. Ours is that
    people are never split, as each is there twice, before and after: a probe that has seen one of the two would take
    the other for it. Every fold has as many edits as photographs, so that which is more frequent says nothing.

    Equal pictures give .5 exactly. An AUC somewhat below .5 says nothing more than .5 does: what a probe learns from
    chance differences is, among those left out, more often the other way round than not.

    Args:
        before: photographs, ``(3, H, W)`` in [0, 1].
        after: what edits made of them.
        people: who is in each; those of one name are kept together.
        features: maps ``(B, 3, H, W)`` to ``(B, D)``, by another network than the edits', such as ``PooledFeatures``.
        region: where it may look: ``frame``, everywhere; ``inside``, the central square in which LFW's faces lie
            (``metrics.FACE``); ``outside``, the rest. What it may not see is grey.
        strength: the inverse of the penalty of the squared weights, scikit-learn's ``C``, on standardised features.
        folds: of the cross-validation; fewer where there are fewer people.

    Raises:
        UserError: an unknown region, fewer than two people, or a number out of range.
    """
    logits = held_out_logits(before, after, people, features, region, strength, folds)
    return Realism(*grouped_auc(logits, people))


def realism_scores(
    before: Sequence[Tensor],
    after: Sequence[Tensor],
    people: Sequence[str],
    features: Callable[[Tensor], Tensor],
    region: str = "frame",
    strength: float = 0.001,
    folds: int = 5,
) -> np.ndarray:
    """Probability of being an edit, ``(2, n)``: of the photographs, then of what became of them; see ``realism``."""
    return expit(held_out_logits(before, after, people, features, region, strength, folds))


def held_out_logits(
    before: Sequence[Tensor],
    after: Sequence[Tensor],
    people: Sequence[str],
    features: Callable[[Tensor], Tensor],
    region: str,
    strength: float,
    folds: int,
) -> np.ndarray:
    """The logit of ``realism_scores``, ``(2, n)``, each by a probe that was fitted without this person."""
    _require(region, strength, folds)
    if not len(before) == len(after) == len(people):
        raise UserError(f"realism needs pairs, got {len(before)} before, {len(after)} after and {len(people)} people")
    if len(set(people)) < 2:
        raise UserError("realism needs the pictures of two people or more, to ask about one what another taught")
    points = np.concatenate([_points(images, features, region) for images in (before, after)])
    edited = np.repeat([0, 1], len(before))
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    split = GroupKFold(min(folds, len(set(people))))
    logits = cross_val_predict(probe, points, edited, groups=[*people, *people], cv=split, method="decision_function")
    return logits.reshape(2, -1)


def shown(images: Tensor, region: str) -> Tensor:
    """``(B, 3, H, W)`` with grey wherever a region does not reach; see ``realism``."""
    if region == "frame":
        return images
    height, width = images.shape[-2:]
    inside = torch.from_numpy(central_square(height, width, FACE)).to(images.device)
    return torch.where(inside if region == "inside" else ~inside, images, torch.full_like(images, GREY))


def grouped_auc(scores: np.ndarray, groups: Sequence[str]) -> tuple[float, float]:
    """The AUC of scores and its standard error, where those of one group are not independent.

    ``A = mean_ij [x_i < y_j] + [x_i = y_j] / 2``, and the variance is that of Obuchowski (Biometrics 1997): with
    ``X_i`` and ``Y_i`` the means over the other class, less A, and ``S_g`` the sum of ``(X_i + Y_i) / n`` over a group,
    ``G / (G - 1) sum_g S_g^2``. The probes are taken as given: what another division of the people would give is not
    in it.

    Args:
        scores: ``(2, n)``, of the negatives and the positives.
        groups: ``(n,)``, two or more different ones; the same for both.
    """
    low, high = scores
    n = len(low)
    ranks = rankdata(np.concatenate([low, high]))
    below = (ranks[n:] - rankdata(high)) / n  # of every positive, the share of negatives below it
    above = 1 - (ranks[:n] - rankdata(low)) / n
    auc = float(below.mean())
    _, members = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(members, weights=(below - auc + above - auc) / n)
    return auc, float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()))


class RealismJudge:
    """How much each result looks like an edit to a probe that was taught by the others, in columns named after it.

    ``NAME_before`` and ``NAME_after`` are probabilities of being an edit, in [0, 1]; the AUC of all goes into the log.
    A judge is not told who is in a picture, so that every pair counts as a person of its own: where one person is
    edited several times, the AUC flatters the probe a little.

    Args:
        features: see ``realism``.
        region: see ``realism``.
        strength: see ``realism``.
        folds: see ``realism``.

    Raises:
        UserError: an unknown region, or a number out of range.
    """

    may_say_nan = True  # of too few pictures

    def __init__(
        self,
        features: Callable[[Tensor], Tensor],
        region: str = "frame",
        strength: Positive = 0.001,
        folds: Several = 5,
    ):
        _require(region, strength, folds)
        self.features = features
        self.region = region
        self.strength = strength
        self.folds = folds

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        """As every judge; all nan if there are fewer than ``LEAST`` pictures."""
        if len(before) < LEAST:
            log.warning("judges: %s needs %d pictures or more and has %d", name, LEAST, len(before))
            logits = np.full((2, len(before)), np.nan)
        else:
            logits = self._logits(before, after)
            auc, error = grouped_auc(logits, _each_its_own(before))
            log.info(
                "judges: %s, edits told from photographs with AUC %.3f (standard error %.3f) by %s; 0.5 is perfect",
                name,
                auc,
                error,
                self.region,
            )
        return {f"{name}_before": expit(logits[0]), f"{name}_after": expit(logits[1])}

    def realism(self, before: Sequence[Tensor], after: Sequence[Tensor]) -> Realism:
        """The AUC of all and its standard error; nan if there are fewer than ``LEAST`` pictures."""
        if len(before) < LEAST:
            return Realism(float("nan"), float("nan"))
        return Realism(*grouped_auc(self._logits(before, after), _each_its_own(before)))

    def _logits(self, before: Sequence[Tensor], after: Sequence[Tensor]) -> np.ndarray:
        people = _each_its_own(before)
        return held_out_logits(before, after, people, self.features, self.region, self.strength, self.folds)


def _each_its_own(images: Sequence[Tensor]) -> list[str]:
    return [str(number) for number in range(len(images))]


def _points(images: Sequence[Tensor], features: Callable[[Tensor], Tensor], region: str) -> np.ndarray:
    """Features ``(n, D)`` of what a region shows; pictures of several sizes go one by one."""
    size = BATCH if len({image.shape for image in images}) == 1 else 1
    batches = [torch.stack(list(images[start : start + size])) for start in range(0, len(images), size)]
    return torch.cat([features(shown(batch, region)) for batch in batches]).double().cpu().numpy()


def _require(region: str, strength: float, folds: int) -> None:
    if region not in REGIONS:
        raise UserError(f"realism looks at one of {', '.join(REGIONS)}, got region={region!r}")
    if not (is_number(strength) and strength > 0):
        raise UserError(f"the strength of a probe must be a number above 0, got {strength!r}")
    require_whole_number("folds", folds, "a whole number above 1", least=2)
