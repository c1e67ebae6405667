"""The points of both sides of an edit -> a map on a plane, and where things were and are on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from dmt.manifolds import Members, Points
from dmt.traversal.witness import WitnessBatch

SMALLEST = 1e-12  # distance of two means, below which they are one
ITERATIONS = 12  # of the power method, for a direction that is drawn


@dataclass(frozen=True)
class SetsMap:
    """A linear map of points, on which a place means the same everywhere.

    Across, how far from the mean of the source, 0, to that of the target, 1; up, in the same unit, the direction at
    right angles to it along which the sets vary most.

    Args:
        source: places ``(n, 2)`` of the source.
        target: places ``(m, 2)`` of the target.
        origin: ``(K,)``, the mean of the source.
        plane: ``(K, 2)``, what displacements are multiplied by.
    """

    source: np.ndarray
    target: np.ndarray
    origin: np.ndarray
    plane: np.ndarray

    @classmethod
    def of(cls, source: np.ndarray, target: np.ndarray) -> "SetsMap":
        """The map of two sets of points, ``(n, K)`` and ``(m, K)``.

        >>> places = SetsMap.of(np.array([[0.0, 1.0], [0.0, -1.0]]), np.array([[2.0, 1.0], [2.0, -1.0]]))
        >>> places(np.array([[1.0, 0.0]])).tolist()
        [[0.5, 0.0]]
        """
        origin, across = source.mean(axis=0), target.mean(axis=0) - source.mean(axis=0)
        length = max(float(np.linalg.norm(across)), SMALLEST)
        rest = np.concatenate([source - origin, target - target.mean(axis=0)])
        rest = rest - np.outer(rest @ across, across) / length**2
        up = randomized_svd(rest, 1, n_iter=ITERATIONS, random_state=0)[2][0]
        plane = np.stack([across / length**2, up / length], axis=1)
        return cls((source - origin) @ plane, (target - origin) @ plane, origin, plane)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Places ``(n, 2)`` of points ``(n, K)``."""
        return (points - self.origin) @ self.plane


@dataclass(frozen=True, eq=False)
class Sides:
    """The points of both sides of an edit.

    Args:
        source: ``(n, K)``.
        target: ``(m, K)``.
    """

    source: np.ndarray
    target: np.ndarray

    @cached_property
    def map(self) -> SetsMap:
        """Their linear map."""
        return SetsMap.of(self.source, self.target)


@dataclass(frozen=True, eq=False)
class Place:
    """Where one input was and is.

    Args:
        sides: what it was edited between.
        ends: points ``(3, K)``: the input, where the walk ended, and the finished picture's own features.
    """

    sides: Sides
    ends: np.ndarray

    @property
    def map(self) -> SetsMap:
        """The linear map of its sides."""
        return self.sides.map

    @cached_property
    def _on_map(self) -> np.ndarray:
        return self.map(self.ends)

    @property
    def start(self) -> np.ndarray:
        """``(2,)``, the input on the linear map."""
        return self._on_map[0]

    @property
    def walk(self) -> np.ndarray:
        """``(2,)``, where the walk ended."""
        return self._on_map[1]

    @property
    def picture(self) -> np.ndarray:
        """``(2,)``, the finished picture."""
        return self._on_map[2]


def places_of(witnesses: WitnessBatch, start: Points, walk: Tensor, picture: Tensor) -> Sequence[Place]:
    """Each thing's place among the sets of its witness; of things with many points the means of these.

    Args:
        witnesses: one for each of n things.
        start: their points.
        walk: ``(P, K)``, where the walk took these.
        picture: ``(P, K)``, where those of the finished pictures lie.
    """
    ends = np.stack([start.mean(z).numpy() for z in (start.z, walk, picture)], axis=1)
    places: dict[int, Place] = {}
    for witness, rows in witnesses.shared():
        sides = Sides(*(side.numpy() for side in mean_points(witness.members)))
        places.update({row: Place(sides, ends[row]) for row in rows.tolist()})
    return [places[row] for row in range(start.n_things)]


def mean_points(members: Members) -> tuple[Tensor, Tensor]:
    """The mean point of each picture of the source and of the target, ``(., K)`` each."""
    return members.source.mean(members.source.z), members.target.mean(members.target.z)
