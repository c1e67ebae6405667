"""Points of pictures -> numbers: how much of a class they carry, and how alike two networks see the pictures."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier

from dmt.networks.probe import fit_label_probes

Fold = tuple[np.ndarray, np.ndarray]
"""Positions of the points to learn from, and of those held out, each ``(m,)``."""

STEPS, TOLERANCE = 500, 1e-8  # of the fixed point of the evidence, which takes some tens
EXACT = 1e-12  # of a squared length: below it there is nothing


def folds_by_group(of_target: np.ndarray, groups: Sequence[str], count: int) -> list[Fold]:
    """Divide points so that each is held out once, no group is on both sides, and the classes are spread evenly.

    Args:
        of_target: ``(n,)`` of bool.
        groups: of the points: pictures of one person are held out together.
        count: of folds.
    """
    return list(StratifiedGroupKFold(count).split(of_target, of_target, groups))


def probe_aucs(points: np.ndarray, of_target: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
    """Area under the ROC curve of a linear probe on the points held out, in [0, 1], ``(folds,)``: .5 is chance.

    The probe is ``dmt.networks.probe.fit_label_probes``: a ridge regression, solved in the pictures where they are
    fewer than the coordinates, so that it is quick (Alain and Bengio, arXiv 1610.01644, use logistic regression).

    Args:
        points: ``(n, D)``.
        of_target: ``(n,)`` of bool.
        folds: see ``folds_by_group``.
    """
    found = []
    for learns, tests in folds:
        (probe,) = fit_label_probes(torch.from_numpy(points[learns]), torch.from_numpy(of_target[learns, None]))
        logits = probe(torch.from_numpy(points[tests]).double())
        found.append(roc_auc_score(of_target[tests], logits.numpy()))
    return np.array(found)


def neighbour_accuracies(points: np.ndarray, of_target: np.ndarray, folds: Sequence[Fold], k: int = 10) -> np.ndarray:
    """Balanced accuracy of the vote of the ``k`` nearest points by cosine distance, in [0, 1], ``(folds,)``.

    Args as in ``probe_aucs``. Half is chance whatever the sizes of the classes.
    """
    voters = KNeighborsClassifier(k, metric="cosine")
    return np.array(
        [
            balanced_accuracy_score(
                of_target[tests], voters.fit(points[learns], of_target[learns]).predict(points[tests])
            )
            for learns, tests in folds
        ]
    )


def log_evidence(points: np.ndarray, labels: np.ndarray) -> float:
    """LogME: the log of the most evidence for a linear model of the labels, per point and label; higher is better.

    The evidence is that of ``y = F w + noise`` with ``w ~ N(0, 1 / alpha)`` and ``noise ~ N(0, 1 / beta)``, the most
    over alpha and beta (You et al., LogME, ICML 2021, equation 2). It is found by their fixed point,
    ``alpha = gamma / m^T m`` and ``beta = (n - gamma) / ||F m - y||^2``, in the eigenvectors of ``F F^T`` or ``F^T F``,
    whichever is smaller.

    Args:
        points: F, ``(n, D)``.
        labels: y, ``(n, L)``: one column per class, 1 where the point is of it and 0 elsewhere.

    Returns:
        The mean over the classes. A class that the points tell nothing of has the evidence of noise alone.
    """
    squares, projections = _spectrum(points.astype(float), labels.astype(float))
    left_over = np.square(labels).sum(axis=0) - projections.sum(axis=0)
    found = [
        _most_evidence(squares, column, max(float(rest), 0.0), points.shape)
        for column, rest in zip(projections.T, left_over, strict=True)
    ]
    return float(np.mean(found))


def _spectrum(points: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of ``F F^T`` above 0, ``(r,)``, and squared projections of the labels on its vectors, ``(r, L)``.

    The eigenvalues are divided by the largest: the evidence does not depend on the scale of the points.
    """
    wide = points.shape[0] <= points.shape[1]
    squares, vectors = np.linalg.eigh(points @ points.T if wide else points.T @ points)
    kept = squares > squares.max() * len(squares) * np.finfo(float).eps
    squares, vectors = squares[kept], vectors[:, kept]
    if wide:
        projections = np.square(vectors.T @ labels)
    else:
        projections = np.square(vectors.T @ (points.T @ labels)) / squares[:, None]
    return squares / squares.max(initial=0), projections


def _most_evidence(squares: np.ndarray, projections: np.ndarray, left_over: float, shape: tuple[int, ...]) -> float:
    """The evidence at its fixed point, over n.

    Args:
        squares: eigenvalues, ``(r,)``.
        projections: squared, of a label, ``(r,)``.
        left_over: of the label's squared length, outside the span of the points.
        shape: n and D.
    """
    n, d = shape

    def moments(alpha: float, beta: float) -> tuple[float, float, float]:
        """``gamma``, ``m^T m`` and ``||F m - y||^2`` of the mean m of the weights."""
        shrunk = alpha + beta * squares
        length = (np.square(beta / shrunk) * squares * projections).sum()
        residual = (np.square(alpha / shrunk) * projections).sum() + left_over
        return float((beta * squares / shrunk).sum()), float(length), max(float(residual), n * EXACT)

    alpha = beta = 1.0
    for _ in range(STEPS):
        gamma, length, residual = moments(alpha, beta)
        if length < EXACT:  # alpha grows without bound: there is nothing but noise
            return (n * math.log(n / (2 * math.pi * residual)) - n) / (2 * n)
        before, alpha, beta = (alpha, beta), gamma / length, (n - gamma) / residual
        if np.allclose((alpha, beta), before, rtol=TOLERANCE, atol=0):
            break
    _, length, residual = moments(alpha, beta)
    log_determinant = float(np.log(alpha + beta * squares).sum()) + (d - len(squares)) * math.log(alpha)
    fit = n * math.log(beta / (2 * math.pi)) + d * math.log(alpha) - log_determinant
    return (fit - beta * residual - alpha * length) / (2 * n)


def centred_gram(points: np.ndarray) -> np.ndarray:
    """Inner products ``(n, n)`` of points ``(n, D)`` less their mean."""
    centred = points - points.mean(axis=0)
    return centred @ centred.T


def alignment(one: np.ndarray, other: np.ndarray) -> float:
    """Linear CKA of two networks from their centred inner products ``(n, n)``, in [0, 1].

    ``||Y^T X||^2 / (||X^T X|| ||Y^T Y||)`` (Kornblith et al., ICML 2019, section 3): 1 where one network's points are
    the other's, turned and scaled. Where points have more coordinates than there are pictures it is above 0 for
    independent ones, too. nan where a network gives the same for all pictures.
    """
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    return float((one * other).sum() / lengths) if lengths > 0 else math.nan
