"""Edited pictures, rows and runs -> what their page shows, one thing after the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import numpy as np

from dmt.data import to_pixels
from dmt.editing.files import Saved
from dmt.editing.places import Place
from dmt.editing.records import EditedImage, Record
from dmt.editing.table_editor import TableEdit
from dmt.judges.verdicts import HALF
from dmt.reporting.names import short_names
from dmt.reporting.page.words import LAMBDA, Words, with_signs, words_of

NOWHERE = Saved("", "", "")


@dataclass(frozen=True)
class Step:
    """One result of an input, or a picture on the way to it.

    Args:
        label: what sets it apart, such as its lambda'.
        picture: ``(H, W, 3)`` of uint8.
        record: what is known of it; empty on the way.
        file: the picture at its full size, from the page's folder; empty: there is none.
        page: the address of another page about it; empty: there is none.
    """

    label: str
    picture: np.ndarray
    record: Record = field(default_factory=dict)
    file: str = ""
    page: str = ""

    @property
    def words(self) -> Words | None:
        """The record in words."""
        return words_of(self.record) if self.record else None

    @property
    def link(self) -> str:
        """The file as an address."""
        return quote(self.file)


@dataclass(frozen=True)
class Shown:
    """An input with its results.

    Args:
        name: of the input.
        short: the end of the name that tells it from the others.
        before: ``(H, W, 3)`` of uint8.
        steps: its results, or the way to one; the last is shown first.
        file: the input at its full size, from the page's folder; empty: there is none.
        place: where it was and is among both sides.
    """

    name: str
    short: str
    before: np.ndarray
    steps: Sequence[Step]
    file: str = ""
    place: Place | None = None

    @property
    def link(self) -> str:
        """The file as an address."""
        return quote(self.file)

    @property
    def last(self) -> Step:
        """What became of it."""
        return self.steps[-1]

    @property
    def is_of_many(self) -> bool:
        """Whether it has several results."""
        return sum(bool(step.record) for step in self.steps) > 1

    @property
    def way(self) -> str:
        """What its steps are."""
        return "Which" if self.is_of_many else "How far"


@dataclass(frozen=True)
class Change:
    """A value of a row before and after."""

    column: str
    before: str
    after: str

    @property
    def is_one(self) -> bool:
        """Whether they differ."""
        return self.before != self.after


@dataclass(frozen=True)
class ShownRow:
    """A plan for a row of a table.

    Args:
        title: which row, and which plan.
        record: what is known of the plan.
        changes: all columns.
        place: where the row was and would be among both sides.
    """

    title: str
    record: Record
    changes: Sequence[Change]
    place: Place

    @property
    def sentence(self) -> str:
        """What would have to change."""
        words = str(self.record["words"])
        return words[:1].upper() + words[1:] + "."

    @property
    def did_change(self) -> bool:
        """Whether the plan convinces the classifier."""
        return float(self.record["classifier_after"]) > HALF

    @property
    def was_so(self) -> bool:
        """Whether the classifier was convinced by the row as it was."""
        return float(self.record["classifier_before"]) > HALF

    @property
    def verdict(self) -> str:
        """The same in words."""
        if not self.did_change:
            return "Not enough for the classifier"
        return "The classifier said so before, too" if self.was_so else "Enough: the classifier is convinced"

    @property
    def mood(self) -> str:
        """How the verdict looks."""
        return "no" if not self.did_change else "open" if self.was_so else "yes"


def shown_images(images: Sequence[EditedImage], saved: Sequence[Saved] = ()) -> list[Shown]:
    """Every input once, with all its results; where there is only one, with the way to it.

    Args:
        images: edited.
        saved: where they lie; empty: nowhere.
    """
    of_input: dict[tuple[str, int], list[tuple[EditedImage, Saved]]] = {}
    for at, (image, files) in enumerate(zip(images, saved or [NOWHERE] * len(images), strict=True)):
        of_input.setdefault((image.name, 0 if image.edit else at), []).append((image, files))
    shorts = short_names([name for name, _ in of_input])
    return [_shown(own, short) for own, short in zip(of_input.values(), shorts, strict=True)]


def _shown(edits: Sequence[tuple[EditedImage, Saved]], short: str) -> Shown:
    first, files = edits[0]
    steps = [Step(_label(image.record), to_pixels(image.result), image.record, own.file) for image, own in edits]
    if len(edits) == 1:
        steps = [*_way(first), *steps]
    place = first.place if len(edits) == 1 else None
    return Shown(first.name, short, to_pixels(first.input), steps, files.before, place)


def _way(image: EditedImage) -> list[Step]:
    """The input and the pictures between, by the lambda' that each has: it falls from infinity."""
    n = len(image.frames)
    start = [Step(_lambda(math.inf), to_pixels(image.input))] if n else []
    lam = float(image.record.get("lambda", math.nan))
    return start + [Step(_lambda(lam * (n + 1) / (i + 1)), to_pixels(frame)) for i, frame in enumerate(image.frames)]


def _label(record: Record) -> str:
    """What tells a result from the others of its input."""
    return with_signs(str(record["edit"])) if record.get("edit") else _lambda(float(record.get("lambda", math.nan)))


def _lambda(lam: float) -> str:
    return "result" if math.isnan(lam) else f"{LAMBDA} {lam:.3g}".replace("inf", "∞")


def shown_rows(edit: TableEdit, table: str = "") -> list[ShownRow]:
    """Every plan, with all columns before and after; those that change most, in standard deviations, come first.

    Args:
        edit: of some rows.
        table: its name, where there are several.
    """
    plans = len(edit.records) // len(edit.before)
    found = []
    for i, (record, place) in enumerate(zip(edit.records, edit.places, strict=True)):
        before, after = edit.before.iloc[i // plans], edit.after.iloc[i]
        changes = [Change(str(column), _value(before[column]), _value(after[column])) for column in edit.after.columns]
        title = f"{spelt(table)}, row {record['row']}" if table else f"Row {record['row']}"
        title += f", plan {record['plan']}" if plans > 1 else ""
        sizes = _sizes(edit, i)
        changes.sort(key=lambda change: (not change.is_one, -sizes.get(change.column, 0.0)))
        found.append(ShownRow(title, record, changes, place))
    return found


def spelt(name: str) -> str:
    """The name of a table as a heading.

    >>> spelt("breast_cancer")
    'Breast cancer'
    """
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _sizes(edit: TableEdit, plan: int) -> dict[str, float]:
    """How far a plan moves each column, in standard deviations."""
    space, delta = edit.ground.space, np.abs(edit.end[plan] - edit.start[plan])
    return {column.name: float(delta[space.owner == at].max()) for at, column in enumerate(space.columns)}


def _value(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
