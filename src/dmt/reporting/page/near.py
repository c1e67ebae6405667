"""Points of both sides of an edit -> a map on which what is alike lies close: t-SNE, of a sample."""

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from dmt.editing.places import SMALLEST, Sides

MOST = 256  # points of all maps of a page: they take half a second to a second of one core (ours)
LEAST = 30  # points of one map; where there would be fewer there is none (ours)
STEPS = 350  # of t-SNE, 250 of which exaggerate; what MOST points change after that is not seen (ours)
NEIGHBOURS = 10  # that are counted


@dataclass(frozen=True)
class NearMap:
    """A map that keeps who is near whom, and nothing else: distances between groups, and axes, mean nothing.

    Args:
        source: places ``(n, 2)`` of a sample of the source.
        target: places ``(n, 2)`` of one of the target.
        ends: places ``(B, 2, 2)`` of things, before and after.
    """

    source: np.ndarray
    target: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, sides: Sides, ends: np.ndarray, most: int = MOST) -> "NearMap | None":
        """The map of both sides and of things ``(B, 2, K)``, before and after, put together by t-SNE.

        Of each side equally many points are drawn, at random but always the same: half of what the things leave of
        ``most``, and a quarter of it at least. ``None``: there is no such map, where points have fewer than three
        coordinates (the straight map shows all), are all alike, or are too few.
        """
        each = max((most - 2 * len(ends)) // 2, most // 4)
        source, target = (_drawn(side, each) for side in (sides.source, sides.target))
        points = np.concatenate([source, target, ends.reshape(-1, ends.shape[-1])])
        n, n_sides = len(points), len(source) + len(target)
        if n < LEAST or points.shape[1] < 3 or np.ptp(points, axis=0).max() < SMALLEST:
            return None
        from sklearn.manifold import TSNE  # a third of a second, which only a page takes

        found = TSNE(init="pca", perplexity=min(30, n / 4), max_iter=STEPS, random_state=0).fit_transform(points)
        return cls(found[: len(source)], found[len(source) : n_sides], found[n_sides:].reshape(-1, 2, 2))


def share_of_target(sides: Sides, points: np.ndarray) -> np.ndarray:
    """The share of the target's among the ``NEIGHBOURS`` nearest of both sides, ``(B,)`` for points ``(B, K)``.

    A point that is one of them is its own nearest.
    """
    known = np.concatenate([sides.source, sides.target])
    found = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(known))).fit(known)
    return (found.kneighbors(points, return_distance=False) >= len(sides.source)).mean(axis=1)


def _drawn(points: np.ndarray, n: int) -> np.ndarray:
    return points[np.sort(np.random.default_rng(0).permutation(len(points))[:n])]
