"""The classes of a data set -> two halves that share none."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dmt.data.labels import label_named
from dmt.errors import UserError, require_whole_number
from dmt.storage.tensors import cache_key


@dataclass(frozen=True)
class Halves:
    """Two tasks' classes.

    Args:
        a: names of the classes of task A, at least two.
        b: the same for task B; none of them in ``a``.

    Raises:
        UserError: a class is in both or twice in one, or a half has fewer than two.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]

    def __post_init__(self) -> None:
        twice = [label for label, times in Counter(self.a + self.b).items() if times > 1]
        if twice:
            raise UserError(f"the halves of a split may not overlap, but {twice[0]!r} is named twice; leave one out")
        for name, half in (("A", self.a), ("B", self.b)):
            if len(half) < 2:
                count = f"{len(half)} class{'' if len(half) == 1 else 'es'}"
                raise UserError(
                    f"half {name} of the split has {count}; two at least can be told apart: list more "
                    f"(transfer.splits.listed.{name.lower()}), or choose another data set"
                )

    @property
    def division(self) -> frozenset[frozenset[str]]:
        """What it divides the classes into, whichever half is called A."""
        return frozenset({frozenset(self.a), frozenset(self.b)})

    def half(self, letter: str) -> tuple[str, ...]:
        """The classes of ``A`` or of ``B``."""
        return {"A": self.a, "B": self.b}[letter]


class Split(Protocol):
    """A rule that makes halves."""

    def halves(self, labels: Sequence[str], kinds: Mapping[str, str], size: int | None, seed: int) -> Halves:
        """Divide classes.

        Args:
            labels: the names of all classes.
            kinds: name -> kind of thing.
            size: classes per half; ``None``: as many as both can have.
            seed: of whatever is random.

        Raises:
            UserError: they cannot be divided so.
        """


@dataclass(frozen=True)
class RandomHalves:
    """At random: similar tasks (the paper, section 4.1)."""

    def halves(self, labels: Sequence[str], kinds: Mapping[str, str], size: int | None, seed: int) -> Halves:
        size = _checked(size, len(labels) // 2, "half of the classes")
        drawn = [labels[i] for i in np.random.default_rng(seed).permutation(len(labels))]
        return Halves(tuple(sorted(drawn[:size])), tuple(sorted(drawn[size : 2 * size])))


@dataclass(frozen=True)
class HalvesByKind:
    """By the kind of thing: dissimilar tasks (the paper, section 4.2).

    Ours: equally many classes on both sides, at random by seed where a kind has more; the paper has 449 against 551.

    Args:
        a: the kind of task A's classes.
        b: the kind of task B's.
    """

    a: str
    b: str

    def halves(self, labels: Sequence[str], kinds: Mapping[str, str], size: int | None, seed: int) -> Halves:
        members = [[label for label in labels if kinds.get(label) == kind] for kind in (self.a, self.b)]
        for kind, own in zip((self.a, self.b), members, strict=True):
            if not own:
                known = ", ".join(sorted(set(kinds.values()))) or "none"
                raise UserError(
                    f"the data set has no classes of the kind {kind!r} (kinds known: {known}); choose another "
                    "transfer.split, or data=tiny_imagenet or cifar100"
                )
        size = _checked(size, min(map(len, members)), "what the smaller kind has")
        generator = np.random.default_rng(seed)
        chosen = [sorted(own[i] for i in generator.permutation(len(own))[:size]) for own in members]
        return Halves(tuple(chosen[0]), tuple(chosen[1]))


@dataclass(frozen=True)
class ListedHalves:
    """By lists.

    Args:
        a: the classes of task A.
        b: those of task B.
    """

    a: Sequence[str]
    b: Sequence[str]

    @property
    def fingerprint(self) -> str:
        """The start of the SHA-256 of both lists."""
        return cache_key({name: json.dumps([str(label) for label in half]) for name, half in vars(self).items()})[:6]

    def halves(self, labels: Sequence[str], kinds: Mapping[str, str], size: int | None, seed: int) -> Halves:
        if size is not None:
            raise UserError("transfer.split=listed has the classes that are listed; leave transfer.classes=null")
        a, b = (
            tuple(label_named(label, labels, "the data set", "class") for label in half) for half in (self.a, self.b)
        )
        return Halves(a, b)


def _checked(size: int | None, most: int, what: str) -> int:
    if size is None:
        return most
    require_whole_number("transfer.classes", size, f"null or a whole number from 2 to {most}, {what}", 2, most)
    return size
