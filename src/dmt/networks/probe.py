"""Source and target points -> a linear classifier that tells them apart; points with labels -> one for each label."""

from dataclasses import dataclass

import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor


@dataclass(frozen=True)
class LinearProbe:
    """``logit(z) = <weights, z> + offset``, above 0 where z is more likely of the target.

    Args:
        weights: ``(K,)``.
        offset: a number.
    """

    weights: Tensor
    offset: float

    def __call__(self, z: Tensor) -> Tensor:
        """Logits ``(B,)`` of points ``(B, K)``."""
        return z @ self.weights.to(z) + self.offset


def held_out_logits(source: Tensor, target: Tensor, strength: float = 0.01, folds: int = 5) -> Tensor:
    """Logits ``(n + m,)`` of the points, source first, each by a probe that was fitted without it; see ``fit_probe``.

    Args:
        source: ``(n, K)``.
        target: ``(m, K)``.
        strength: see ``fit_probe``.
        folds: of the cross-validation; fewer where a side has fewer points.
    """
    points = torch.cat([source, target]).double().numpy()
    labels = [0] * len(source) + [1] * len(target)
    folds = min(folds, len(source), len(target))
    return torch.from_numpy(
        cross_val_predict(_pipeline(strength), points, labels, cv=folds, method="decision_function")
    )


def fit_probe(source: Tensor, target: Tensor, strength: float = 0.01) -> LinearProbe:
    """Logistic regression on standardised coordinates (scikit-learn's, both classes weighted alike).

    Args:
        source: ``(n, K)``.
        target: ``(m, K)``.
        strength: the inverse of the squared norm's weight, scikit-learn's ``C``; small, since the coordinates are
            hundreds and the points a few thousand at most.
    """
    points = torch.cat([source, target]).double().numpy()
    scaler, regression = _pipeline(strength).fit(points, [0] * len(source) + [1] * len(target))
    weights = regression.coef_[0] / scaler.scale_
    return LinearProbe(torch.from_numpy(weights), float(regression.intercept_[0] - weights @ scaler.mean_))


def fit_label_probes(points: Tensor, has: Tensor, penalty: float = 2.5) -> list[LinearProbe]:
    """A probe per label, by one ridge regression of all of them on standardised coordinates (scikit-learn's).

    The boundary lies midway between the means of those with and without the label. Ours: as good as logistic regression
    on LFW's attributes, and 73 of them take a second.

    Args:
        points: ``(n, K)``.
        has: ``(n, L)`` of bool; every label is had by some and not by all.
        penalty: of the squared weights, as a multiple of the points' mean squared length, K.

    Returns:
        L probes whose logits tell the sides apart by their signs, not how likely they are.
    """
    scaler = StandardScaler().fit(points.double().numpy())
    standard = scaler.transform(points.double().numpy())
    signs = has.double().numpy() * 2 - 1
    weights = Ridge(penalty * points.shape[1]).fit(standard, signs).coef_.reshape(has.shape[1], -1)
    values, among = standard @ weights.T, has.double().numpy()
    middles = ((values * among).sum(0) / among.sum(0) + (values * (1 - among)).sum(0) / (1 - among).sum(0)) / 2
    weights = weights / scaler.scale_
    offsets = -middles - weights @ scaler.mean_
    return [LinearProbe(torch.from_numpy(row), float(offset)) for row, offset in zip(weights, offsets, strict=True)]


def predicted_scores(points: Tensor, scores: Tensor, others: Tensor, penalty: float = 1.0) -> Tensor:
    """Scores ``(m, L)`` of other points, by ridge regression on standardised coordinates (scikit-learn's).

    Args:
        points: ``(n, K)``.
        scores: ``(n, L)``, theirs.
        others: ``(m, K)``.
        penalty: of the squared weights, as a multiple of the points' mean squared length, K.
    """
    ridge = make_pipeline(StandardScaler(), Ridge(penalty * points.shape[1]))
    ridge.fit(points.double().numpy(), scores.double().numpy())
    return torch.from_numpy(ridge.predict(others.double().numpy()).reshape(len(others), -1))


def _pipeline(strength: float) -> Pipeline:
    regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    return make_pipeline(StandardScaler(), regression)
