"""A task says which labels make the source and which the target; selection turns them into two sets of pictures."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dmt.data.catalogs import Catalog
from dmt.errors import UserError


class Task(Protocol):
    """Which way to walk."""

    @property
    def title(self) -> str:
        """The task in a few words."""

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        """How surely each picture belongs to the source and to the target, each ``(n,)``, above 0 if it does."""

    def strata(self, catalog: Catalog) -> np.ndarray:
        """The stratum of each picture, ``(n,)``: source and target get the same number of pictures from each."""


@dataclass(frozen=True)
class AttributeTask:
    """More, or less, of an attribute.

    Args:
        attribute: a label of the catalog.
        direction: ``more`` or ``less``.
        source: another label whose pictures make the source; ``None``: those with the opposite of the attribute.
        balance: labels that both sets have equally often. Ours: LFW's most frowning pictures show men mostly, and
            the unbalanced edit then turns women into men.

    Raises:
        UserError: another direction.
    """

    attribute: str
    direction: str = "more"
    source: str | None = None
    balance: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.direction not in ("more", "less"):
            raise UserError(f"task.direction must be more or less, got {self.direction!r}")

    @property
    def title(self) -> str:
        return f"{self.direction} {self.attribute}"

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        target = catalog.scores(self.attribute) * (1 if self.direction == "more" else -1)
        source = -target if self.source is None else catalog.scores(self.source)
        return source, target

    def strata(self, catalog: Catalog) -> np.ndarray:
        has_label = [catalog.scores(label) > 0 for label in self.balance]
        return sum((has << bit for bit, has in enumerate(has_label)), np.zeros(len(catalog.names), dtype=int))


@dataclass(frozen=True)
class ClassTask:
    """From one class to another.

    Args:
        source: a label of the catalog.
        target: another one.
    """

    source: str
    target: str

    @property
    def title(self) -> str:
        return f"{self.source} to {self.target}"

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        if str(self.source) == str(self.target):
            raise UserError(f"task.source and task.target are both {self.source!r}; they must differ")
        return catalog.scores(str(self.source)), catalog.scores(str(self.target))

    def strata(self, catalog: Catalog) -> np.ndarray:
        return np.zeros(len(catalog.names), dtype=int)


def most_confident(scores: np.ndarray, most: int, excluded: np.ndarray) -> np.ndarray:
    """Indices of the at most ``most`` highest scores above 0 among those not ``excluded``, highest first."""
    usable = np.flatnonzero((scores > 0) & ~excluded)
    return usable[np.argsort(-scores[usable], kind="stable")][:most]


def most_confident_sets(
    source_scores: np.ndarray, target_scores: np.ndarray, strata: np.ndarray, most: int, excluded: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The most confidently labelled pictures of either side, equally many per stratum where there are several strata.

    Args:
        source_scores: ``(n,)``, above 0 if the picture belongs to the source.
        target_scores: the same for the target; a picture of both sides is used for neither.
        strata: ``(n,)``, whole numbers.
        most: pictures per side.
        excluded: ``(n,)`` of bool.
    """
    excluded = excluded | ((source_scores > 0) & (target_scores > 0))
    sides = (source_scores, target_scores)
    present = np.unique(strata)
    if len(present) == 1:
        source, target = (most_confident(scores, most, excluded) for scores in sides)
        return source, target
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


def choose_inputs(scores: np.ndarray, groups: Sequence[str], among: int, count: int, seed: int) -> np.ndarray:
    """Pick pictures to edit: at random among the ``among`` highest scores above 0, no two of one group."""
    candidates = most_confident(scores, among, np.zeros(len(scores), dtype=bool))
    shuffled = np.random.default_rng(seed).permutation(candidates)
    _, first = np.unique(np.array(groups)[shuffled], return_index=True)
    return shuffled[np.sort(first)][:count]
