"""A task says which labels make the source and which the target; selection turns them into two sets of pictures."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dmt.data.catalogs import Catalog
from dmt.errors import UserError


class Task(Protocol):
    """Which way to walk."""

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        """How surely each picture belongs to the source and to the target, each ``(n,)``, above 0 if it does."""


@dataclass(frozen=True)
class AttributeTask:
    """More, or less, of an attribute.

    Args:
        attribute: a label of the catalog.
        direction: ``more`` or ``less``.
        source: another label whose pictures make the source; ``None``: those with the opposite of the attribute.

    Raises:
        UserError: another direction.
    """

    attribute: str
    direction: str = "more"
    source: str | None = None

    def __post_init__(self) -> None:
        if self.direction not in ("more", "less"):
            raise UserError(f"task.direction must be more or less, got {self.direction!r}")

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        target = catalog.scores(self.attribute) * (1 if self.direction == "more" else -1)
        source = -target if self.source is None else catalog.scores(self.source)
        return source, target


@dataclass(frozen=True)
class ClassTask:
    """From one class to another.

    Args:
        source: a label of the catalog.
        target: another one.
    """

    source: str
    target: str

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        if str(self.source) == str(self.target):
            raise UserError(f"task.source and task.target are both {self.source!r}; they must differ")
        return catalog.scores(str(self.source)), catalog.scores(str(self.target))


def most_confident(scores: np.ndarray, most: int, excluded: np.ndarray) -> np.ndarray:
    """Indices of the at most ``most`` highest scores above 0 among those not ``excluded``, highest first."""
    usable = np.flatnonzero((scores > 0) & ~excluded)
    return usable[np.argsort(-scores[usable], kind="stable")][:most]


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
