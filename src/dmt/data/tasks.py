"""A task says which pictures of a catalog make the source and which the target."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from torch import Tensor

from dmt.data.catalogs import Catalog
from dmt.data.images import ImageError, chroma, desaturated
from dmt.data.labels import labels_meant, matching
from dmt.data.selection import Selection
from dmt.errors import UserError, nearest_name, require_whole_number
from dmt.ranges import Count, CountOrNone, Direction, Label, NotNegative, Seed, Several

SMALL = 32  # pixels: enough to tell colour from grey

PictureView = Callable[[Tensor], Tensor]
"""A picture ``(3, H, W)`` in [0, 1] -> what is made of it."""


class Task(Protocol):
    """Which way to walk; what is given here is what most tasks have."""

    source_size: int | None = None
    """The most source pictures; ``None``: as many as a set may have."""
    target_size: int | None = None
    """The same for the target."""
    balance: Sequence[str] = ()
    """Labels that the edit is not about: both sets have them equally often, and it does not move along them."""
    selection: Selection | None = None
    """How the sets are chosen unless somebody says otherwise; ``None``: the most confidently labelled pictures."""

    @property
    def title(self) -> str:
        """The task in a few words."""

    @property
    def source_view(self) -> PictureView | None:
        """What source pictures and inputs are made into before anything else; ``None``: they stay as they are."""
        return None

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        """How surely each picture belongs to the source and to the target, each ``(n,)``, above 0 if it does."""

    def strata(self, catalog: Catalog) -> np.ndarray | None:
        """The stratum of each picture, ``(n,)``: both sides get equally many from each; ``None``: they need not."""
        return None

    def labels(self) -> Sequence[str]:
        """The labels of the catalog that the edit is about."""
        return []

    def towards(self) -> Mapping[str, bool]:
        """Labels -> whether the result shall have them, or not; empty: no label says what is wanted."""
        return {}

    def within(self, catalog: Catalog) -> Self:
        """The same with labels spelt as the catalog spells them; those it does not have stay as they are."""
        return self


@dataclass(frozen=True)
class AttributeTask(Task):
    """More, or less, of an attribute.

    Args:
        attribute: a label of the catalog.
        direction: ``more`` or ``less``, which swaps source and target.
        source: another label whose pictures make the source of ``more``; ``None``: those with the opposite of the
            attribute.
        balance: labels that both sets have equally often. Ours: LFW's most frowning pictures show men mostly, and
            the unbalanced edit then turns women into men.
        selection: how the sets are chosen unless somebody says otherwise.

    Raises:
        UserError: another direction.
    """

    attribute: Label
    direction: Direction = "more"
    source: Label = None
    balance: Sequence[Label] = ()
    selection: Selection | None = None

    def __post_init__(self) -> None:
        _require_direction(self.direction)

    @property
    def title(self) -> str:
        return f"{self.direction} {self.attribute}"

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        target = catalog.scores(self.attribute)
        source = -target if self.source is None else catalog.scores(self.source)
        return _directed(self.direction, source, target)

    def strata(self, catalog: Catalog) -> np.ndarray | None:
        if not self.balance:
            return None
        has_label = [catalog.scores(label) > 0 for label in self.balance]
        return sum((has << bit for bit, has in enumerate(has_label)), np.zeros(len(catalog.names), dtype=int))

    def labels(self) -> Sequence[str]:
        return [self.attribute] if self.source is None else [self.attribute, self.source]

    def towards(self) -> Mapping[str, bool]:
        is_more = self.direction == "more"
        source = {} if self.source is None else {str(self.source): not is_more}
        return {**source, str(self.attribute): is_more}

    def within(self, catalog: Catalog) -> Self:
        source = None if self.source is None else _spelt(self.source, catalog)
        balance = tuple(_spelt(label, catalog) for label in self.balance)
        return replace(self, attribute=_spelt(self.attribute, catalog), source=source, balance=balance)


@dataclass(frozen=True)
class ClassTask(Task):
    """From one class to another.

    Args:
        source: a label of the catalog.
        target: another one.
        direction: ``more``, or ``less``, which swaps the two.

    Raises:
        UserError: another direction.
    """

    source: Label
    target: Label
    direction: Direction = "more"

    def __post_init__(self) -> None:
        _require_direction(self.direction)

    @property
    def title(self) -> str:
        ends = [str(self.source), str(self.target)]
        return " to ".join(ends if self.direction == "more" else ends[::-1])

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        if str(self.source) == str(self.target):
            raise UserError(f"task.source and task.target are both {self.source!r}; they must differ")
        source, target = catalog.scores(self.source), catalog.scores(self.target)
        return _directed(self.direction, source, target)

    def labels(self) -> Sequence[str]:
        return [str(self.source), str(self.target)]

    def towards(self) -> Mapping[str, bool]:
        is_more = self.direction == "more"
        return {str(self.source): not is_more, str(self.target): is_more}

    def within(self, catalog: Catalog) -> Self:
        return replace(self, source=_spelt(self.source, catalog), target=_spelt(self.target, catalog))


@dataclass(frozen=True)
class PersonTask(Task):
    """From anybody to one person: the source is an equal number of pictures of others, at random (the paper, figure 4).

    Args:
        person: a group of the catalog, with spaces or underscores.
        least: the fewest pictures of the person that will do.
        seed: of the choice of the others.
        direction: ``more``, or ``less``: from the person to the others.
    """

    person: str
    least: Count = 10
    seed: Seed = 0
    direction: Direction = "more"

    def __post_init__(self) -> None:
        _require_direction(self.direction)
        if not self.person:
            raise UserError('task=person needs a name: person="George W Bush"')

    @property
    def title(self) -> str:
        return f"{'towards' if self.direction == 'more' else 'away from'} {self.person}"

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        groups = np.array(catalog.groups)
        is_person = groups == self._group(catalog)
        if is_person.sum() < self.least:
            raise UserError(
                f"there are {is_person.sum()} pictures of {self.person}, fewer than the {self.least} asked for; choose "
                "another person, or set task.least lower"
            )
        drawn = np.random.default_rng(self.seed).uniform(0.1, 1, len(groups))
        others, own = np.where(is_person, -1.0, drawn), np.where(is_person, 1.0, -1.0)
        return _directed(self.direction, others, own)

    def strata(self, catalog: Catalog) -> np.ndarray:
        return np.zeros(len(catalog.names), dtype=int)

    def _group(self, catalog: Catalog) -> str:
        found = matching(str(self.person), catalog.groups, _with_spaces)
        if not found:
            spelled = map(_with_spaces, dict.fromkeys(catalog.groups))
            nearest = nearest_name(_with_spaces(str(self.person)), spelled)
            raise UserError(f"there are no pictures of {self.person!r}{nearest}")
        if len(found) > 1:
            either = " or ".join(repr(group) for group in found)
            raise UserError(f"{self.person!r} may be {either}: write person as one of them is written")
        return found[0]


@dataclass(frozen=True)
class ColorizeTask(Task):
    """From grey to colour: the source is desaturated copies of some pictures, the target others in colour (figure 5).

    Args:
        source_size: desaturated pictures; 200 in the paper.
        least_chroma: the mean distance from grey that makes a picture one in colour, as ``data.images.chroma``.
        spare: pictures looked at beyond those needed, some of which may be inputs or grey.
        target_size: pictures in colour.
        seed: which pictures.
    """

    source_size: Several = 200
    target_size: Several = 2000
    least_chroma: NotNegative = 4.0
    spare: CountOrNone = 200
    seed: Seed = 0

    def __post_init__(self) -> None:
        require_whole_number("task.source_size", self.source_size, "a whole number above 1", least=2)
        require_whole_number("task.target_size", self.target_size, "a whole number above 1", least=2)

    @property
    def title(self) -> str:
        return "grey to colour"

    @property
    def source_view(self) -> PictureView:
        return desaturated

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        order = np.random.default_rng(self.seed).permutation(len(catalog.names))
        n_source = min(self.source_size + self.spare, len(order) // 2)
        source, target = np.full(len(order), -1.0), np.full(len(order), -1.0)
        for scores, positions in (
            (source, order[:n_source]),
            (target, order[n_source : n_source + self.target_size + self.spare]),
        ):
            in_colour = [i for i in positions if _mean_chroma(catalog, i) >= self.least_chroma]
            scores[in_colour] = np.linspace(1, 0.5, len(in_colour))
        return source, target


def _directed(direction: str, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores of source and target of ``more``, swapped for ``less``."""
    return (source, target) if direction == "more" else (target, source)


def _require_direction(direction: str) -> None:
    if direction not in ("more", "less"):
        raise UserError(f"task.direction must be more or less, got {direction!r}")


def _mean_chroma(catalog: Catalog, index: int) -> float:
    """Of a small copy; 0 for a broken picture."""
    try:
        return chroma(catalog.read(index, SMALL))
    except ImageError:
        return 0.0


def _spelt(label: str, catalog: Catalog) -> str:
    """A label as the catalog spells it; as it is where it has none or several, of which ``scores`` then tells."""
    found = labels_meant(label, catalog.labels)
    return found[0] if len(found) == 1 else label


def _with_spaces(name: str) -> str:
    return name.replace("_", " ")


@dataclass(frozen=True)
class ScoredTask(Task):
    """Between pictures that somebody scored, such as a classifier.

    Args:
        name: the task in a few words.
        source: how surely each picture of the catalog belongs to the source, ``(n,)``, above 0 if it does.
        target: the same for the target.
    """

    name: str
    source: np.ndarray
    target: np.ndarray

    @property
    def title(self) -> str:
        return self.name

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        if not len(self.source) == len(self.target) == len(catalog.names):
            raise UserError(f"{self.title}: {len(self.source)} pictures are scored, there are {len(catalog.names)}")
        return self.source, self.target


class JointTask:
    """Several tasks at once: the source is of all their sources, the target of all their targets.

    Args:
        tasks: by any names, in the order in which they are told.

    Raises:
        UserError: fewer than two, or tasks that look at pictures in ways of their own.
    """

    def __init__(self, **tasks: Task):
        if len(tasks) < 2:
            raise UserError("several tasks at once are at least two, such as task=[smiling,senior]")
        self.tasks = list(tasks.values())
        for task in self.tasks:
            if task.source_view is not None:
                raise UserError(f"{task.title!r} looks at pictures in a way of its own and goes with no other task")
        own = {label.lower() for label in self.labels()}
        balance = dict.fromkeys(label for task in self.tasks for label in task.balance)
        self.source_view: PictureView | None = None
        self.source_size = min((task.source_size for task in self.tasks if task.source_size), default=None)
        self.target_size = min((task.target_size for task in self.tasks if task.target_size), default=None)
        self.balance: Sequence[str] = [label for label in balance if label.lower() not in own]
        self.selection = self.tasks[0].selection

    @property
    def title(self) -> str:
        return " and ".join(task.title for task in self.tasks)

    def scores(self, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
        """The least sure of each side's."""
        sources, targets = zip(*(task.scores(catalog) for task in self.tasks), strict=True)
        return np.min(sources, axis=0), np.min(targets, axis=0)

    def strata(self, catalog: Catalog) -> np.ndarray | None:
        if not self.balance:
            return None
        has_label = [catalog.scores(label) > 0 for label in self.balance]
        return sum((has << bit for bit, has in enumerate(has_label)), np.zeros(len(catalog.names), dtype=int))

    def labels(self) -> Sequence[str]:
        return [label for task in self.tasks for label in task.labels()]

    def towards(self) -> Mapping[str, bool]:
        return {label: wanted for task in self.tasks for label, wanted in task.towards().items()}

    def within(self, catalog: Catalog) -> "JointTask":
        return JointTask(**{f"task_{i}": task.within(catalog) for i, task in enumerate(self.tasks)})
