"""Source and target points -> a linear classifier that tells them apart."""

from dataclasses import dataclass

import torch
from sklearn.linear_model import LogisticRegression
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


def fit_probe(source: Tensor, target: Tensor, strength: float = 0.01) -> LinearProbe:
    """Logistic regression on standardised coordinates (scikit-learn's, both classes weighted alike).

    Args:
        source: ``(n, K)``.
        target: ``(m, K)``.
        strength: the inverse of the squared norm's weight, scikit-learn's ``C``; small, since the coordinates are
            hundreds and the points a few thousand at most.
    """
    points = torch.cat([source, target]).double().numpy()
    scaler = StandardScaler().fit(points)
    labels = [0] * len(source) + [1] * len(target)
    regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    regression.fit(scaler.transform(points), labels)
    weights = regression.coef_[0] / scaler.scale_
    return LinearProbe(torch.from_numpy(weights), float(regression.intercept_[0] - weights @ scaler.mean_))
