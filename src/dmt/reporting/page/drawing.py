"""Places on maps of two sets -> the numbers of their drawings in SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dmt.editing.places import Place
from dmt.reporting.page.near import LEAST, MOST, NEIGHBOURS, NearMap, share_of_target

WIDTH, HEIGHT = 320, 220
MARGIN = 16
DRAWN = 250  # points of a side, drawn evenly
INSIDE = (0.01, 0.99)  # quantiles of a side's places that must be on the map

Spot = tuple[float, float]


@dataclass(frozen=True)
class Cloud:
    """Dots of both sides in SVG, ``viewBox="0 0 320 220"``.

    Args:
        name: tells it from the others of a page.
        source: the path of dots of the source.
        target: of the target.
    """

    name: str
    source: str
    target: str


@dataclass(frozen=True)
class OnMap:
    """A place on a map of its sides.

    Args:
        cloud: the sides, or a sample of them.
        start: x, y.
        picture: likewise.
        words: how the two lie: how far across, in percent from the source's mean to the target's; on the map of
            neighbours, how many of their nearest are the target's, such as ``2 of 10``.
    """

    cloud: Cloud
    start: Spot
    picture: Spot
    words: tuple[str, str]


@dataclass(frozen=True)
class OnStraight(OnMap):
    """A place on the straight map.

    Args:
        axis: x of the means of the source and of the target.
        walk: x, y.
    """

    axis: Spot
    walk: Spot


@dataclass(frozen=True)
class Drawn:
    """A place on both maps; ``near`` is ``None`` where there is no such map."""

    straight: OnStraight
    near: OnMap | None


def drawn(places: Sequence[Place | None]) -> tuple[list[Cloud], list[Drawn | None]]:
    """The dots of each map once, and each place on its maps; ``None`` stays so."""
    of_sides: dict[int, list[int]] = {}
    for at, place in enumerate(places):
        if place is not None:
            of_sides.setdefault(id(place.sides), []).append(at)
    clouds: list[Cloud] = []
    found: dict[int, Drawn] = {}
    for number, own in enumerate(of_sides.values()):
        there = [place for place in (places[at] for at in own) if place is not None]
        straight = _on_straight(f"map-{number}", there)
        near = _on_near(f"near-{number}", there, MOST // len(of_sides))
        clouds += [maps[0].cloud for maps in (straight, near) if maps]
        found |= {at: Drawn(straight[row], near[row] if near else None) for row, at in enumerate(own)}
    return clouds, [found.get(at) for at in range(len(places))]


def _on_straight(name: str, places: Sequence[Place]) -> list[OnStraight]:
    sets = places[0].map
    ends = np.array([[place.start, place.walk, place.picture] for place in places])
    paper = _Paper.of([sets.source, sets.target], ends)
    cloud = Cloud(name, paper.dots(sets.source), paper.dots(sets.target))
    (left, _), (right, _) = paper.spots(np.array([[0.0, 0.0], [1.0, 0.0]]))
    found = []
    for own in ends:
        start, walk, picture = paper.spots(own)
        words = (f"{own[0, 0]:.0%}", f"{own[2, 0]:.0%}")
        found.append(OnStraight(cloud, start, picture, words, (left, right), walk))
    return found


def _on_near(name: str, places: Sequence[Place], most: int) -> list[OnMap]:
    sides, ends = places[0].sides, np.array([[place.ends[0], place.ends[2]] for place in places])
    found = NearMap.of(sides, ends, most) if most >= LEAST else None
    if found is None:
        return []
    paper = _Paper.of([found.source, found.target], found.ends)
    cloud = Cloud(name, paper.dots(found.source), paper.dots(found.target))
    shares = share_of_target(sides, ends.reshape(-1, ends.shape[-1])).reshape(-1, 2)
    maps = []
    for own, (before, after) in zip(found.ends, np.rint(NEIGHBOURS * shares).astype(int), strict=True):
        start, picture = paper.spots(own)
        maps.append(OnMap(cloud, start, picture, (f"{before} of {NEIGHBOURS}", f"{after} of {NEIGHBOURS}")))
    return maps


@dataclass(frozen=True)
class _Paper:
    """Where places of a map come to lie in the drawing.

    Args:
        low: the place ``(2,)`` in the lower left corner.
        high: that in the upper right one.
    """

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, sides: Sequence[np.ndarray], ends: np.ndarray) -> "_Paper":
        """Most places of both sides ``(n, 2)`` and all ends ``(B, E, 2)`` must be on it."""
        bounds = [np.concatenate([[np.quantile(side, at, axis=0) for side in sides], *ends]) for at in INSIDE]
        return cls(bounds[0].min(axis=0), bounds[1].max(axis=0))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        scale = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN]) / np.maximum(self.high - self.low, 1e-9)
        return (MARGIN + (points - self.low) * scale) * [1, -1] + [0, HEIGHT]

    def spots(self, points: np.ndarray) -> list[Spot]:
        return [(across, up) for across, up in self(points).round(1).tolist()]

    def dots(self, points: np.ndarray) -> str:
        """The path of ``DRAWN`` of the points, those inside."""
        chosen = points[np.sort(np.random.default_rng(0).permutation(len(points))[:DRAWN])]
        inside = chosen[((chosen >= self.low) & (chosen <= self.high)).all(axis=1)]
        return "".join(f"M{x:.0f} {y:.0f}h0" for x, y in self(inside))
