"""A classifier and pictures -> what would have to change in each of them for the classifier to change its mind."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from scipy.special import expit, softmax
from torch import Tensor

from dmt.data import EditData, PictureLike, ScoredTask, Task
from dmt.editing.editor import Edit, Editor
from dmt.editing.lambda_rules import CLASSIFIER, LeastChange
from dmt.editing.records import EditedImage, unjudged
from dmt.errors import UserError, nearest_name
from dmt.judges import Judge
from dmt.judges.classifier import Classifier, classifier_of
from dmt.judges.verdicts import HALF
from dmt.ranges import Beyond, Builder
from dmt.storage import processes

log = logging.getLogger(__name__)

TOLERANCE = 1e-3  # by which probabilities may miss a sum of 1
WINDOW = 0.5  # of a wanted change: pictures whose number is no farther from an input's are like it (ours)
BETWEEN_LINES = 10.0  # seconds
SECOND_OPINIONS = ("classes_after", "probe_after")  # columns of judges of the classes other than the classifier
CONFIRMED, ADVERSARIAL, NOT = "confirmed", "adversarial", "no"


@dataclass(frozen=True)
class Explain:
    """For each picture the least change for which a classifier changes its mind, and whether anybody else agrees.

    The sides are pictures that the classifier is sure of, labelled or not. An input goes from the class that the
    classifier gives it to another, as far as it takes: lambda is bracketed and bisected for each (``LeastChange``).
    The editor's own judges are the second opinion: a change that only the classifier sees is adversarial.

    Args:
        classifier: who is asked.
        classes: from which to which; one: from it to whatever is next for each picture, and any other than its own
            will do; ``None``: from any.
        names: of the classifier's outputs, in order; ``None``: ``classes`` where there are as many, else ``0``, ``1``.
        number: of a classifier that says a number: ``+10`` or ``-5``, by how much it shall change; ``>50`` or ``<20``,
            what it shall be.
        search: how lambda is looked for.

    Raises:
        UserError: more than two classes, or no such change.

    >>> explain = Explain(classifier, ["orange", "lemon"])  # doctest: +SKIP
    >>> explain(Editor.default("folder", "data.catalog.root=photos"), ["photos/orange/1.jpg"]).table  # doctest: +SKIP
    """

    classifier: Classifier
    classes: Sequence[str] | None = None
    names: Sequence[str] | None = None
    number: str | None = None
    search: LeastChange = field(default_factory=lambda: LeastChange(CLASSIFIER, steps=2))

    def __post_init__(self) -> None:
        if self.classes is not None and not 1 <= len(self.classes) <= 2:
            raise UserError(f"classes must be [from,to], [from] or null, got {list(self.classes)}")
        if self.number is not None:
            if self.classes is not None:
                raise UserError("number is of a classifier that says a number; leave out classes, or number")
            _wanted(self.number, 0.0)

    @property
    def title(self) -> str:
        """What is asked, in a few words."""
        if self.number is not None:
            return f"{self.classifier.title}: {self.number}"
        return f"{self.classifier.title}: {' to '.join(map(str, self.classes or ['any class']))}"

    def __call__(
        self,
        editor: Editor,
        images: Sequence[PictureLike] | int = 8,
        *,
        finished: Callable[[Edit], None] | None = None,
    ) -> Edit:
        """Explain some pictures.

        Args:
            editor: edits; its judges are asked for a second opinion.
            images: names in the data set, paths of pictures or of folders, or how many are drawn.
            finished: given all pictures before anybody is asked for a second opinion, in the first process.

        Raises:
            UserError: a class that the classifier does not have or gives to no picture, or whatever else cannot be.
        """
        data = editor.data(None, images)
        log.info("%s: asking about %d pictures", self.classifier.title, len(data.catalog.names))
        said = self._of_catalog(data)
        asked = self._asked(data, images, said)
        if not asked:
            raise UserError(f"{self.title}: the classifier gives no picture to the class that is to be changed")
        of_inputs = self._said(torch.stack([data.catalog.read_named(name, data.image_size) for name in asked]))
        ways = _ways_to_number(self.number, said, of_inputs) if self.number else self._ways(said, of_inputs)
        together: dict[_Way, list[str]] = {}
        for name, way in zip(asked, ways, strict=True):
            if way is not None:
                together.setdefault(way, []).append(name)
        left_out = len(asked) - sum(map(len, together.values()))
        if left_out:
            why = f"not {self._label(said, str(self.classes[0]))!r}" if self.classes else f"{self.number} already"
            log.warning("%d of %d pictures are %s to the classifier, and are left out", left_out, len(asked), why)
        if not together and self.number:
            raise UserError(f"all of the {len(asked)} pictures are {self.number} already; choose others")
        if not together:
            raise UserError(f"none of the {len(asked)} pictures is of the class that is to be changed; choose others")
        made: list[_Made] = []
        parts = [(way, part) for way, names in together.items() for part in _parts(data, said, way, names)]
        if len(parts) > 1:  # each is short, so that a line for every inversion would say little
            told_of = editor.inverter.on_progress
            brief = None if told_of is None else told_of.briefly()
            editor = replace(editor, inverter=replace(editor.inverter, on_progress=brief))
        told = time.monotonic()
        for way, names in parts:
            try:
                made.append(self._made(editor, data, said, way, names))
            except _TooFewError as error:
                if (way, names) == parts[-1] and not made:
                    raise
                log.warning("%s; left out: %s", error, ", ".join(names))
            if time.monotonic() - told > BETWEEN_LINES:
                told = time.monotonic()
                n_done = sum(len(part.edit.images) for part in made)
                log.info("explained %d of %d pictures", n_done, len(asked) - left_out)
        if finished is not None and processes.is_first():
            finished(_all_of([part.edit for part in made], asked, self.title))
        return _all_of([self._judged(part, said) for part in made], asked, self.title)

    def _asked(self, data: EditData, images: Sequence[PictureLike] | int, said: Tensor) -> list[str]:
        if isinstance(images, int):
            drawn = np.random.default_rng(data.serving.seed).permutation(len(data.catalog.names))
            if self.classes is not None:
                own = _chances(said, said).argmax(dim=1)
                drawn = drawn[(own == self._position(said, str(self.classes[0]))).numpy()[drawn]]
            return [data.catalog.names[i] for i in drawn[~said.isnan().any(dim=1).numpy()[drawn]][:images]]
        if not all(isinstance(image, str | Path) for image in images):
            raise UserError("pictures to explain must be names or paths")
        return list(data.asked)

    def _said(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.classifier.outputs(list(images))).double()

    def _of_catalog(self, data: EditData) -> Tensor:
        """What the classifier says of every picture, ``(n, C)``: probabilities, or a number; NaN of broken ones."""
        rows: list[Tensor] = []
        positions: list[int] = []
        for batch in data.all_dataloader():
            if len(batch.images):
                rows.append(self._said(batch.images))
                positions += batch.indices
        if not rows:
            raise UserError("none of the pictures decodes")
        found = torch.cat(rows)
        said = found.new_full((len(data.catalog.names), found.shape[1]), torch.nan)
        said[positions] = found
        return said

    def _ways(self, said: Tensor, of_inputs: Tensor) -> list["_Way | None"]:
        first = None if self.classes is None else self._position(said, str(self.classes[0]))
        second = self._position(said, str(self.classes[1])) if self.classes and len(self.classes) == 2 else None
        if first is not None and first == second:
            raise UserError(f"classes must differ, got {list(self.classes or [])}")
        ways: list[_Way | None] = []
        for row in _chances(of_inputs, said):
            order = row.argsort(descending=True).tolist()
            own = order[0]
            wanted = second if second is not None else order[1]
            ways.append(None if first is not None and own != first else _Way(own, wanted))
        return ways

    def _names(self, said: Tensor) -> list[str]:
        n_classes = max(2, said.shape[1])
        names = self.names if self.names is not None else self.classes if len(self.classes or ()) == n_classes else None
        if names is not None and len(names) != n_classes:
            raise UserError(f"the classifier has {n_classes} classes, names has {len(names)}; name each, in order")
        return list(map(str, names)) if names is not None else list(map(str, range(n_classes)))

    def _position(self, said: Tensor, label: str) -> int:
        names = self._names(said)
        if label in names:
            return names.index(label)
        if label.isdigit() and int(label) < len(names):
            return int(label)
        raise UserError(
            f"the classifier has no class {label!r}{nearest_name(label, names)}; name its {len(names)} classes in the "
            "order of its outputs: task.names=[...]"
        )

    def _label(self, said: Tensor, label: str) -> str:
        return self._names(said)[self._position(said, label)]

    def _made(self, editor: Editor, data: EditData, said: Tensor, way: "_Way", names: list[str]) -> "_Made":
        if way.number is None:
            labels = self._names(said)
            chances = _chances(said, said)
            source, target = (_surely(chances, position) for position in (way.own, way.wanted))
            title = f"{labels[way.own]} to {labels[way.wanted]}"
            judge: Judge = _Preference(self.classifier, way, _are_logits(said), len(self.classes or ()) == 2)
            rule = replace(self.search, judge=CLASSIFIER)
            columns = {"from": labels[way.own], "to": labels[way.wanted]}
        else:
            source, target = way.sides(said[:, 0])
            title = f"{way.own_number:.4g} to {way.number:.4g}"
            judge = _Number(self.classifier)
            beyond: Beyond = "above" if way.rises else "below"
            rule = replace(self.search, judge=CLASSIFIER, threshold=way.number, beyond=beyond)
            columns = {"from": f"{way.own_number:.4g}", "to": f"{way.number:.4g}"}
        for side, scores in (("from", source), ("to", target)):
            if (scores > 0).sum() < 2:
                raise _TooFewError(
                    f"{title}: the classifier gives {int((scores > 0).sum())} of {len(scores)} pictures to "
                    f"{columns[side]!r}; at least 2 are needed: give a folder of more pictures, "
                    "data=folder data.catalog.root=PATH"
                )
        task = cast(Task, ScoredTask(title, source.numpy(), target.numpy()))
        edit = replace(editor, judges={CLASSIFIER: judge, **editor.judges}).made(task, names, rule)
        images = [image.with_columns(**columns) for image in edit.images]
        return _Made(replace(edit, images=images), rule)

    def _judged(self, made: "_Made", said: Tensor) -> Edit:
        edit = made.edit.judged()
        if unjudged(edit.images):  # what else the classifier would be asked fails as well, and the pictures stay
            return replace(edit, images=[image.with_columns(verdict="") for image in edit.images])
        becomes = self._becomes(said, [image.result for image in edit.images])
        images = [_with_verdict(image, made.rule, own) for image, own in zip(edit.images, becomes, strict=True)]
        return replace(edit, images=images)

    def _becomes(self, said: Tensor, results: Sequence[Tensor]) -> list[str]:
        """What the classifier says of results: a class, or a number."""
        found = torch.from_numpy(self.classifier.outputs(results)).double()
        if self.number is not None:
            return [f"{value:.4g}" for value in found[:, 0].tolist()]
        labels = self._names(said)
        return [labels[position] for position in _chances(found, said).argmax(dim=1).tolist()]


def explain(
    classifier: Builder | Path | Classifier,
    classes: Sequence[str] | None = None,
    *,
    names: Sequence[str] | None = None,
    number: str | None = None,
    weights: str | None = None,
    output: str | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    search: LeastChange | None = None,
) -> Explain:
    """An ``Explain`` of a classifier by its file or the function that builds it; see ``dmt.judges.classifier_of``."""
    if isinstance(classifier, str | Path):
        classifier = classifier_of(classifier, weights, output, preprocessing)
    number = None if number is None else str(number)  # YAML reads +10 as a number
    return Explain(classifier, classes, names, number, search or LeastChange(CLASSIFIER, steps=2))


class _TooFewError(UserError):
    """There are too few pictures like an input, or of what is wanted of it."""


@dataclass(frozen=True)
class _Way:
    """From where to where: classes by their positions, or numbers."""

    own: int = 0
    wanted: int = 1
    own_number: float = 0.0
    number: float | None = None

    @property
    def rises(self) -> bool:
        assert self.number is not None
        return self.number > self.own_number

    def sides(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of pictures like the input, and of those that have what is wanted, by their numbers ``(n,)``."""
        assert self.number is not None
        distance = abs(self.number - self.own_number)
        source = WINDOW * distance - (values - self.own_number).abs()
        beyond = (values - self.number) * (1 if self.rises else -1)
        target = torch.where(beyond >= 0, 1 / (1 + beyond / distance), -1.0)  # first those just beyond
        return source.nan_to_num(-1.0), torch.where(values.isnan(), -1.0, target)


@dataclass(frozen=True)
class _Made:
    """Pictures of one way that are finished, and by which rule."""

    edit: Edit
    rule: LeastChange


@dataclass(frozen=True)
class _Preference:
    """How much a classifier prefers the wanted class to the best of the others: above 0.5 it has changed its mind.

    Where no class was named, how much it prefers the best of the others to the picture's own.
    """

    classifier: Classifier
    way: _Way
    are_logits: bool
    is_named: bool

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        return {f"{name}_before": self._read(before), f"{name}_after": self._read(after)}

    def _read(self, images: Sequence[Tensor]) -> np.ndarray:
        chances = _as_chances(torch.from_numpy(self.classifier.outputs(images)).double(), self.are_logits)
        one = self.way.wanted if self.is_named else self.way.own
        of_one = chances[:, one]
        of_others = chances.index_fill(1, torch.tensor([one]), -1.0).amax(dim=1)
        share = of_one / (of_one + of_others).clamp_min(1e-12)
        return (share if self.is_named else 1 - share).numpy()


@dataclass(frozen=True)
class _Number:
    """The number that a classifier says."""

    classifier: Classifier

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        return {f"{name}_{when}": self.classifier.outputs(images)[:, 0]
                for when, images in (("before", before), ("after", after))}  # fmt: skip


def _wanted(number: str, own: float) -> float:
    """The number that is wanted of a picture whose own is this."""
    text = str(number).strip()
    try:
        value = float(text.lstrip("<>+"))
    except ValueError as error:
        raise UserError(f"number must be such as '+10', '-5', '>50' or '<20', got {number!r}") from error
    if not math.isfinite(value):
        raise UserError(f"number must be finite, got {number!r}")
    if text[:1] in "<>":
        return value
    if value == 0:
        raise UserError(f"number must be a change, such as '+10' or '-5', got {number!r}")
    return own + value


def _ways_to_number(number: str, said: Tensor, of_inputs: Tensor) -> list[_Way | None]:
    if said.shape[1] != 1:
        raise UserError(f"number is of a classifier that says one number, this one says {said.shape[1]}; give classes")
    ways: list[_Way | None] = []
    for own in of_inputs[:, 0].tolist():
        wanted = _wanted(number, own)
        is_there = (own > wanted if number.strip()[0] == ">" else own < wanted) if number.strip()[0] in "<>" else False
        ways.append(None if is_there else _Way(own_number=own, number=wanted))
    return ways


def _are_logits(said: Tensor) -> bool:
    """Whether what a classifier says, ``(n, C)``, are logits, not probabilities."""
    known = said[~said.isnan().any(dim=1)]
    if known.shape[1] == 1:
        return bool(((known < 0) | (known > 1)).any())
    return bool((known < -TOLERANCE).any() or ((known.sum(dim=1) - 1).abs() > TOLERANCE).any())


def _as_chances(outputs: Tensor, are_logits: bool) -> Tensor:
    """Probabilities ``(n, C)`` of each class; of one output, that it is the second."""
    if outputs.shape[1] == 1:
        second = torch.from_numpy(expit(outputs.numpy())) if are_logits else outputs
        return torch.cat([1 - second, second], dim=1)
    return torch.from_numpy(softmax(outputs.numpy(), axis=1)) if are_logits else outputs


def _chances(outputs: Tensor, said: Tensor) -> Tensor:
    return _as_chances(outputs, _are_logits(said))


def _surely(chances: Tensor, position: int) -> Tensor:
    """How sure the classifier is of a class, ``(n,)``, -1 where it says another."""
    is_it = chances.nan_to_num(-1.0).argmax(dim=1) == position
    return torch.where(is_it & ~chances.isnan().any(dim=1), chances[:, position].nan_to_num(0.0), -1.0)


def _parts(data: EditData, said: Tensor, way: _Way, names: list[str]) -> list[list[str]]:
    """The inputs of one way in parts, so that the others of a side that they are most of are left to compare with."""
    if way.number is not None:
        return [[name] for name in names]
    alike = (_surely(_chances(said, said), way.own) > 0).numpy()
    inside = sum(1 for name in names if (i := data.catalog.index(name)) is not None and alike[i])
    if 2 * inside <= alike.sum():
        return [names]
    return [part for part in (names[::2], names[1::2]) if part]


def _with_verdict(image: EditedImage, rule: LeastChange, becomes: str) -> EditedImage:
    """Whether the classifier changed its mind, and whether every other judge of the classes agrees."""
    after = float(image.record[f"{CLASSIFIER}_after"])
    reached = after > rule.threshold if rule.beyond == "above" else after < rule.threshold
    others = [float(image.record[column]) for column in SECOND_OPINIONS if column in image.record]
    verdict = NOT if not reached else "yes" if not others else CONFIRMED if min(others) > HALF else ADVERSARIAL
    return image.with_columns(becomes=becomes, reached=reached, verdict=verdict)


def _all_of(edits: Sequence[Edit], asked: Sequence[str], title: str) -> Edit:
    images = {image.name: image for edit in edits for image in edit.images}
    order = [name for edit in edits for name in edit.data.inputs]
    position = {name: i for i, name in enumerate(asked)}
    order.sort(key=lambda name: position.get(name, len(position)))
    batches = [batch for edit in edits for batch in edit.batches]
    first = edits[0]
    told = f"{title}\n{first.title.splitlines()[-1]}"
    return Edit(told, [images[name] for name in order], first.data, first.space, batches, len(edits))
