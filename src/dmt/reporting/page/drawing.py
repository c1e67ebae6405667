"""Places on maps of two sets -> the numbers of their drawings in SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dmt.editing.places import Place, SetsMap

WIDTH, HEIGHT = 320, 220
MARGIN = 16
DRAWN = 250  # points of a side, drawn evenly
INSIDE = (0.01, 0.99)  # quantiles of a side's places that must be on the map

Spot = tuple[float, float]


@dataclass(frozen=True)
class Drawing:
    """A map in SVG, ``viewBox="0 0 320 220"``.

    Args:
        name: tells it from the others of a page.
        source: the path of dots of the source.
        target: of the target.
        axis: x of the means of the source and of the target.
    """

    name: str
    source: str
    target: str
    axis: Spot


@dataclass(frozen=True)
class Drawn:
    """A place on a drawing.

    Args:
        on: the drawing.
        start: x, y.
        walk: likewise.
        picture: likewise.
        words: how far across the start and the end lie, in percent from the source's mean to the target's.
    """

    on: Drawing
    start: Spot
    walk: Spot
    picture: Spot
    words: tuple[str, str]


def drawn(places: Sequence[Place | None]) -> tuple[list[Drawing], list[Drawn | None]]:
    """Each map once, and each place on its map; ``None`` stays so."""
    of_map: dict[int, list[int]] = {}
    for at, place in enumerate(places):
        if place is not None:
            of_map.setdefault(id(place.map), []).append(at)
    drawings: list[Drawing] = []
    found: dict[int, Drawn] = {}
    for own in of_map.values():
        there = [place for place in (places[at] for at in own) if place is not None]
        drawing, spots = _drawing(f"map-{len(drawings)}", there[0].map, there)
        drawings.append(drawing)
        for at, place, (start, walk, picture) in zip(own, there, spots, strict=True):
            words = (f"{place.start[0]:.0%}", f"{place.picture[0]:.0%}")
            found[at] = Drawn(drawing, start, walk, picture, words)
    return drawings, [found.get(at) for at in range(len(places))]


def _drawing(name: str, sets: SetsMap, places: Sequence[Place]) -> tuple[Drawing, list[list[Spot]]]:
    ends = np.array([[place.start, place.walk, place.picture] for place in places])
    sides = [sets.source, sets.target]
    bounds = [np.concatenate([[np.quantile(side, at, axis=0) for side in sides], *ends]) for at in INSIDE]
    low, high = bounds[0].min(axis=0), bounds[1].max(axis=0)
    scale = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN]) / np.maximum(high - low, 1e-9)

    def on_paper(points: np.ndarray) -> np.ndarray:
        return (MARGIN + (points - low) * scale) * [1, -1] + [0, HEIGHT]

    def dots(points: np.ndarray) -> str:
        chosen = points[np.sort(np.random.default_rng(0).permutation(len(points))[:DRAWN])]
        inside = chosen[((chosen >= low) & (chosen <= high)).all(axis=1)]
        return "".join(f"M{x:.0f} {y:.0f}h0" for x, y in on_paper(inside))

    means = on_paper(np.array([[0.0, low[1]], [1.0, low[1]]]))[:, 0].round(1).tolist()
    spots = [[_spot(end) for end in on_paper(own)] for own in ends]
    return Drawing(name, dots(sets.source), dots(sets.target), (means[0], means[1])), spots


def _spot(end: np.ndarray) -> Spot:
    across, up = end.round(1).tolist()
    return across, up
