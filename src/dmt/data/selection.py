"""Scores for source and target -> the sets of pictures that an edit compares: one pair for all inputs, or one each."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dmt.data.catalogs import Catalog
from dmt.data.labels import labels_meant
from dmt.errors import UserError, is_number, nearest_name, require_whole_number
from dmt.ranges import Count, Label, Positive, ShareBelowOne

CLIP = 2.5  # standard deviations of a score beyond which more of it is no more (ours)
VOTERS = 10  # nearest pictures whose labels stand in for those of a picture that has none (ours)


@dataclass(frozen=True)
class Sets:
    """The pictures of both sides, by their positions in the catalog, each ``(n,)``."""

    source: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Pool:
    """What may be chosen from.

    Args:
        catalog: the pictures.
        sides: the scores for source and target, each ``(n,)``, above 0 if a picture may be chosen for that side.
        confident: the most confidently labelled pictures of both sides.
        own_labels: the labels that the edit is about, which pictures cannot be matched by.
        balance: the labels that it is not about, and that both sides have equally often.
    """

    catalog: Catalog
    sides: tuple[np.ndarray, np.ndarray]
    confident: Sets
    own_labels: Sequence[str]
    balance: Sequence[str] = ()


OwnScores = Callable[[str, Sequence[str]], np.ndarray]
"""The name of an input and labels of the catalog -> how much of each it has, ``(L,)``, as the catalog scores."""


class Selection(Protocol):
    """A way to choose the sets for each input."""

    def __call__(self, pool: Pool, points: tuple[Tensor, Tensor], names: Sequence[str], z0: Tensor) -> list[Sets]:
        """Choose the sets of each input; inputs that share theirs get the same object.

        Args:
            pool: what may be chosen.
            points: manifold coordinates of the catalog as source and as target, each ``(n, K)``; NaN where a picture
                is broken.
            names: of the B inputs.
            z0: their coordinates, ``(B, K)``.

        Raises:
            UserError: a side has fewer pictures than asked for.
        """

    def by_labels(self, pool: Pool, names: Sequence[str], own_scores: OwnScores) -> list[Sets]:
        """Choose the sets of each input, or pictures to choose them from, before any picture is read.

        Args:
            pool: what may be chosen.
            names: of the B inputs.
            own_scores: how much an input has of labels.

        Raises:
            UserError: a side has fewer pictures than asked for.
        """

    def describe(self, pool: Pool) -> str:
        """How many pictures each side has, in words."""


@dataclass(frozen=True)
class Confident:
    """The most confidently labelled pictures, the same for every input (the paper, section 5)."""

    def __call__(self, pool: Pool, points: tuple[Tensor, Tensor], names: Sequence[str], z0: Tensor) -> list[Sets]:
        return [pool.confident] * len(names)

    def by_labels(self, pool: Pool, names: Sequence[str], own_scores: OwnScores) -> list[Sets]:
        return [pool.confident] * len(names)

    def describe(self, pool: Pool) -> str:
        return f"{len(pool.confident.source)} source and {len(pool.confident.target)} target images"


@dataclass(frozen=True)
class Matched:
    """For each input the pictures most like it by their other labels (Upchurch et al., CVPR 2017, section 3).

    They count in how many labels a picture differs from the input, and demand that some agree. Ours is the distance of
    the scores, each over its standard deviation and within ``CLIP`` of it: a label that is unsure counts little, and
    agreement is a matter of degree, too; with labels that are only there or not there it is their count, weighted. On
    LFW that keeps gender and age better, and the person (docs/quality.md).

    The scores of an input without labels are guessed: from its features before any picture of the sets is read, as the
    mean of those of the nearest pictures otherwise. Of pictures that are equally like the input the nearest are taken,
    or, before any is read, the most confidently labelled.

    Args:
        set_size: pictures per side; fewer where a side has fewer.
        same: labels that count ``weight`` times; ``None``: those that the task is balanced by.
        weight: see ``same``.
    """

    set_size: Count = 150
    same: Sequence[Label] | None = None
    weight: Positive = 4.0

    def __post_init__(self) -> None:
        require_whole_number("selection.set_size", self.set_size, "a whole number above 0", least=1)
        if not (is_number(self.weight) and self.weight > 0):
            raise UserError(f"selection.weight must be a number above 0, got {self.weight!r}")

    def __call__(self, pool: Pool, points: tuple[Tensor, Tensor], names: Sequence[str], z0: Tensor) -> list[Sets]:
        ranks = {name: [_distances(side, z) for side in points] for name, z in zip(names, z0, strict=True)}

        def own_scores(name: str, labels: Sequence[str]) -> np.ndarray:
            index = pool.catalog.index(name)
            rows = _nearest(ranks[name][1], VOTERS) if index is None else [index]
            return np.array([pool.catalog.scores(label)[rows].mean() for label in labels])

        return self._chosen(pool, own_scores, ranks)

    def by_labels(self, pool: Pool, names: Sequence[str], own_scores: OwnScores) -> list[Sets]:
        sure = [-scores for scores in pool.sides]
        return self._chosen(pool, own_scores, dict.fromkeys(names, sure))

    def describe(self, pool: Pool) -> str:
        return _for_each_input(self.set_size)

    def _chosen(self, pool: Pool, own_scores: OwnScores, ranks: Mapping[str, Sequence[np.ndarray]]) -> list[Sets]:
        """The sets of each input; ``ranks`` orders what is equally like it, ``(n,)`` a side, infinite: not known."""
        labels, weights = self._labels(pool)
        scores = np.stack([pool.catalog.scores(label) for label in labels], axis=1)
        deviations = np.maximum(scores.std(axis=0), np.finfo(float).tiny)
        standard = (scores / deviations).clip(-CLIP, CLIP)
        chosen = []
        for name, own_ranks in ranks.items():
            own = (own_scores(name, labels) / deviations).clip(-CLIP, CLIP)
            distance = (weights * (standard - own) ** 2).sum(axis=1).round(9)
            usable = [
                np.flatnonzero((side > 0) & np.isfinite(rank)) for side, rank in zip(pool.sides, own_ranks, strict=True)
            ]
            for side, rows in zip(("source", "target"), usable, strict=True):
                _require_enough(min(self.set_size, 2), len(rows), side, "are left")
            size = min(self.set_size, *map(len, usable))
            source, target = (
                rows[np.lexsort((rank[rows], distance[rows]))[:size]]
                for rows, rank in zip(usable, own_ranks, strict=True)
            )
            chosen.append(Sets(source, target))
        return chosen

    def _labels(self, pool: Pool) -> tuple[list[str], np.ndarray]:
        """The labels that pictures are matched by, and how much each counts, ``(L,)``."""
        everything = pool.catalog.labels
        own_labels = {found for label in pool.own_labels for found in labels_meant(label, everything)}
        labels = [label for label in everything if label not in own_labels]
        counting_more = pool.balance if self.same is None else self.same
        meant = {label: set(labels_meant(label, everything)) - own_labels for label in counting_more}
        unknown = [label for label, found in meant.items() if not found]
        if unknown:
            raise UserError(
                f"selection.same names {sorted(unknown)}: there are no such labels, or the task changes them"
            )
        same = {label for found in meant.values() for label in found}
        return labels, np.array([self.weight if label in same else 1.0 for label in labels])


@dataclass(frozen=True)
class Nearest:
    """For each input the pictures of either side that are nearest in z (ours).

    Args:
        set_size: pictures per side.
    """

    set_size: Count = 100

    def __post_init__(self) -> None:
        require_whole_number("selection.set_size", self.set_size, "a whole number above 0", least=1)

    def __call__(self, pool: Pool, points: tuple[Tensor, Tensor], names: Sequence[str], z0: Tensor) -> list[Sets]:
        return [self._sets(pool, points, z) for z in z0]

    def by_labels(self, pool: Pool, names: Sequence[str], own_scores: OwnScores) -> list[Sets]:
        return [pool.confident] * len(names)

    def describe(self, pool: Pool) -> str:
        return _for_each_input(self.set_size)

    def _sets(self, pool: Pool, points: tuple[Tensor, Tensor], z: Tensor) -> Sets:
        chosen = []
        for side, scores, codes in zip(("source", "target"), pool.sides, points, strict=True):
            distance = np.where(scores > 0, _distances(codes, z), np.inf)
            _require_enough(self.set_size, int(np.isfinite(distance).sum()), side, "are left")
            chosen.append(_nearest(distance, self.set_size))
        return Sets(*chosen)


def _for_each_input(set_size: int) -> str:
    return f"{set_size} source and {set_size} target images for each input"


def _distances(points: Tensor, z: Tensor) -> np.ndarray:
    """Distances ``(n,)`` of points ``(n, K)`` from ``z (K,)``, infinite for a broken picture."""
    return torch.linalg.vector_norm(points - z.to(points), dim=1).nan_to_num(torch.inf).numpy()


def _nearest(distances: np.ndarray, most: int) -> np.ndarray:
    """Positions of the at most ``most`` smallest distances that are finite."""
    order = np.argsort(distances, kind="stable")[:most]
    return order[np.isfinite(distances[order])]


def _require_enough(wanted: int, found: int, side: str, what: str) -> None:
    if found < wanted:
        raise UserError(f"selection.set_size is {wanted}, but only {found} pictures of the {side} {what}; set it lower")


def evenly(positions: np.ndarray, most: int) -> np.ndarray:
    """At most so many of some positions, at least one, evenly spaced."""
    return positions[
        np.unique(np.linspace(0, len(positions) - 1, max(1, min(most, len(positions)))).round().astype(int))
    ]


def most_confident(scores: np.ndarray, most: int, excluded: np.ndarray) -> np.ndarray:
    """Indices of the at most ``most`` highest scores above 0 among those not ``excluded``, highest first."""
    usable = np.flatnonzero((scores > 0) & ~excluded)
    return usable[np.argsort(-scores[usable], kind="stable")][:most]


def most_confident_sets(
    source_scores: np.ndarray, target_scores: np.ndarray, strata: np.ndarray | None, most: int, excluded: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The most confidently labelled pictures of either side, equally many per stratum if there are strata.

    Args:
        source_scores: ``(n,)``, above 0 if the picture belongs to the source.
        target_scores: the same for the target.
        strata: ``(n,)``, whole numbers; ``None``: the sides need not be equal.
        most: pictures per side.
        excluded: ``(n,)`` of bool.
    """
    sides = (source_scores, target_scores)
    if strata is None:
        source, target = (most_confident(scores, most, excluded) for scores in sides)
        return source, target
    present = np.unique(strata)
    pools = [[most_confident(scores, len(scores), excluded | (strata != s)) for scores in sides] for s in present]
    sizes = np.array([min(len(source), len(target)) for source, target in pools])
    quotas = _quotas(sizes, most)
    source, target = (
        np.concatenate([pool[side][:quota] for pool, quota in zip(pools, quotas, strict=True)]) for side in (0, 1)
    )
    return source, target


def _quotas(sizes: np.ndarray, most: int) -> np.ndarray:
    """Shares of ``most`` in proportion to ``sizes``, by largest remainders; ``sizes`` where they add up to less."""
    if sizes.sum() <= most:
        return sizes
    exact = sizes * (most / sizes.sum())
    quotas = np.floor(exact).astype(int)
    quotas[np.argsort(quotas - exact, kind="stable")[: most - quotas.sum()]] += 1
    return quotas


def in_groups(groups: Sequence[str], held_out: Collection[str]) -> np.ndarray:
    """Which pictures belong to one of the groups held out, ``(n,)`` of bool."""
    held_out = set(held_out)
    return np.array([group in held_out for group in groups], dtype=bool)


@dataclass(frozen=True)
class Reserved:
    """The groups that are kept for judges to learn from, so that no edit sees them.

    A group is reserved if the SHA-256 of its name, as a fraction of the largest, lies below the share. Ours: the choice
    depends on nothing but the name, and what is reserved at a smaller share is reserved at a larger one.

    Args:
        share: of the groups, in [0, 1).
        spared: groups that are not reserved whatever their names say.

    Raises:
        UserError: no share.
    """

    share: ShareBelowOne = 0.0
    spared: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not (is_number(self.share) and 0 <= self.share < 1):
            raise UserError(f"data.reserved must be a number from 0 to below 1, got {self.share!r}")

    @classmethod
    def of(cls, value: "Reserved | float") -> "Reserved":
        """A number is a share."""
        return value if isinstance(value, Reserved) else cls(value)

    def among(self, groups: Sequence[str]) -> np.ndarray:
        """Which pictures of these groups are reserved, ``(n,)`` of bool."""
        spared = set(self.spared)
        return np.array([_fraction(group) < self.share and group not in spared for group in groups], dtype=bool)


def _fraction(group: str) -> float:
    """A number in [0, 1] that looks drawn at random and is always the same for a name."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64


def choose_inputs(scores: np.ndarray, groups: Sequence[str], among: int, count: int, seed: int) -> np.ndarray:
    """Pick pictures to edit: at random among the ``among`` highest scores above 0, no two of one group."""
    candidates = most_confident(scores, among, np.zeros(len(scores), dtype=bool))
    shuffled = np.random.default_rng(seed).permutation(candidates)
    _, first = np.unique(np.array(groups)[shuffled], return_index=True)
    return shuffled[np.sort(first)][:count]


def label_signs(catalog: Catalog, labels: Sequence[str], own_labels: Sequence[str]) -> np.ndarray:
    """1 where a picture of the catalog has a label and -1 where it has not, ``(n, L)``.

    Args:
        catalog: the pictures.
        labels: that shall be kept.
        own_labels: that the task changes.

    Raises:
        UserError: a label is unknown or the task's own.
    """
    own = {found for label in own_labels for found in labels_meant(label, catalog.labels)}
    for label in labels:
        found = labels_meant(label, catalog.labels)
        if not found:
            raise UserError(f"keep names {label!r}: there is no such label{nearest_name(label, catalog.labels)}")
        if set(found) <= own:
            raise UserError(f"keep names {label!r}, which the task is there to change; leave it out")
    columns = [np.where(catalog.scores(label) > 0, 1.0, -1.0) for label in labels]
    return np.stack(columns, axis=1)
