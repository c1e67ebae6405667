"""A catalog of pictures of any size -> a catalog of the squares that an edit sees, and the way back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from dmt.data.catalogs import Catalog
from dmt.data.framing import VIEW, Frame, Framing, Subject
from dmt.data.photographs import Photograph


@dataclass(frozen=True)
class Patch:
    """A change to a photograph, which is made when the photograph is asked for.

    Args:
        of: the photograph's name.
        read: reads the photograph.
        frame: where in it.
        change: ``(3, size, size)``, differences of values in [0, 1].
    """

    of: str
    read: Callable[[], Photograph]
    frame: Frame
    change: Tensor


def finished(patches: Sequence[Patch]) -> Photograph:
    """One photograph with all changes that were made to it."""
    photograph = patches[0].read()
    for patch in patches:
        photograph = patch.frame.put_back(photograph, patch.change)
    return photograph


class Framed:
    """A catalog that serves, for each picture, the square that an edit sees.

    Args:
        catalog: the pictures, which must be files or have been handed over.
        framing: where in them the things to edit lie.
    """

    def __init__(self, catalog: Catalog, framing: Framing):
        self.catalog = catalog
        self.framing = framing
        self.title = catalog.title
        self.names: Sequence[str] = catalog.names
        self.groups: Sequence[str] = catalog.groups
        self.labels: Sequence[str] = catalog.labels
        self.is_validation = catalog.is_validation
        self.kinds = catalog.kinds
        own = "" if framing.whole else f"-{framing.fingerprint}"
        self.fingerprint = catalog.fingerprint + own
        self._asked: dict[str, tuple[str, Subject]] = {}

    def ask(self, name: str) -> list[str]:
        """The names of what there is to edit in a picture: its own, or one for each of several faces."""
        subjects = self._subjects(name)
        names = [name] if len(subjects) == 1 else [f"{name}, face {number}" for number in range(1, len(subjects) + 1)]
        self._asked.update({own: (name, subject) for own, subject in zip(names, subjects, strict=True)})
        return names

    def read(self, index: int, size: int) -> Tensor:
        if self.framing.whole:
            return self.catalog.read(index, size)
        photograph, subject = self._of(self.names[index])
        return subject.frame.sampled(photograph, size)

    def read_named(self, name: str, size: int) -> Tensor:
        if self.framing.whole:
            return self.catalog.read_named(name, size)
        photograph, subject = self._of(name)
        return subject.frame.sampled(photograph, size)

    def photograph(self, name: str) -> Photograph:
        return self.catalog.photograph(self._picture(name))

    def index(self, name: str) -> int | None:
        return self.catalog.index(self._picture(name))

    def group(self, name: str) -> str | None:
        return self.catalog.group(self._picture(name))

    def scores(self, label: str) -> np.ndarray:
        return self.catalog.scores(label)

    def patch(self, name: str, change: Tensor) -> Patch:
        """What became of the square of a picture, as a change ``(3, size, size)`` to the photograph."""
        picture = self._picture(name)
        return Patch(picture, partial(self.catalog.photograph, picture), self._subject(name).frame, change)

    def original(self, name: str, size: int) -> Tensor:
        """How a picture looks before any edit: as ``shown``."""
        if self.framing.whole:
            return self.catalog.read_named(self._picture(name), size)
        photograph, subject = self._of(name)
        return (subject.view or subject.frame).sampled(photograph, VIEW)

    def shown(self, name: str, before: Tensor, after: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """How a thing looks in its photograph, before and after each of several edits; ``(3, H, W)`` in [0, 1] each.

        Args:
            name: of what was edited.
            before: the square that was served for it.
            after: what became of that.
        """
        if self.framing.whole:
            return before, list(after)
        photograph, subject = self._of(name)
        view = subject.view or subject.frame
        edited = (subject.frame.put_back(photograph, picture - before) for picture in after)
        return view.sampled(photograph, VIEW), [view.sampled(picture, VIEW) for picture in edited]

    def turn(self, name: str) -> float | None:
        """How far a head is turned to the side (``dmt.data.framing.head_turn``); ``None``: it is no head."""
        return None if self.framing.whole else self._subject(name).turn

    def _picture(self, name: str) -> str:
        return self._asked[name][0] if name in self._asked else name

    def _subject(self, name: str) -> Subject:
        """What in a photograph a name means; a photograph that was asked for is not decoded again."""
        return self._asked[name][1] if name in self._asked else self._of(name)[1]

    def _of(self, name: str) -> tuple[Photograph, Subject]:
        """The photograph that a name means, and what in it."""
        if name in self._asked:
            picture, subject = self._asked[name]
            return self.catalog.photograph(picture), subject
        photograph = self.catalog.photograph(name)
        return photograph, self.framing.subjects(self._own_name(name), photograph)[0]

    def _subjects(self, name: str) -> list[Subject]:
        return self.framing.subjects(self._own_name(name), self.catalog.photograph(name))

    def _own_name(self, name: str) -> str:
        index = self.catalog.index(name)
        return name if index is None else self.names[index]
