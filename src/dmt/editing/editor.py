"""A task and some pictures -> edited pictures: all parts of the method put together, without a configuration."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor

from dmt.data import EditData, PictureLike, Sets, Task
from dmt.editing.comparison import Comparison, Contrasts
from dmt.editing.files import save_images
from dmt.editing.lambda_rules import FixedLambda, LambdaRule, Trials
from dmt.editing.module import EditedBatch, EditModule, PointsModule
from dmt.editing.places import mean_points, places_of
from dmt.editing.records import EditedImage, edited_images, judged
from dmt.errors import UserError
from dmt.inversion import Inverter
from dmt.inversion.memory import inversion_bytes, require_memory
from dmt.judges import Judge, LearnsFromData, require_fit
from dmt.manifolds import Points, Representation, SetFit, Space, SpaceFit
from dmt.storage import processes
from dmt.storage.files import replacing
from dmt.traversal.walks import walked
from dmt.traversal.witness import WitnessBatch

log = logging.getLogger(__name__)

FAR = 0.025  # of the sets' pictures lie farther from the others than an input that is like them (ours)

Method = Callable[[Representation, Contrasts, Tensor, Inverter], EditModule]
"""A space, what inputs are told apart by, their lambdas ``(n,)``, an inverter -> the module that edits."""


class DataSource(Protocol):
    """Makes the data of an edit."""

    def __call__(self, task: Task | None, images: Sequence[PictureLike] | int = 8) -> EditData:
        """The sets of a task, and pictures to edit, or how many are drawn."""


@dataclass(frozen=True)
class Edit:
    """What became of a task.

    Args:
        title: what was done, in two lines.
        images: the inputs with their results.
        data: the sets and inputs.
        space: where they lie.
        batches: everything that is known, of inputs that share a space one after the other.
        n_spaces: how many there are; ``space`` is the first.
        judges: who has yet to look at the results, by name.
    """

    title: str
    images: list[EditedImage]
    data: EditData
    space: Representation
    batches: list[EditedBatch]
    n_spaces: int = 1
    judges: Mapping[str, Judge] = field(default_factory=dict)

    def judged(self) -> "Edit":
        """The same with what ``judges`` say in the records; they look in the first process."""
        assert self.data.task is not None
        towards = self.data.task.towards()
        images = processes.from_first(lambda: judged(self.images, self.judges, towards))
        return replace(self, images=images, judges={})

    @property
    def table(self) -> pd.DataFrame:
        """One row an image: what is known of its edit; docs/metrics.md has the columns."""
        return pd.DataFrame([image.record for image in self.images])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        import dmt

        return dmt.edit_html(self)

    def save(self, folder: str | Path, mark: bool = True) -> None:
        """Write the photographs with the changes to them, the edited parts in ``crops/``, and ``results.csv``.

        Args:
            folder: made if missing.
            mark: whether photographs say in their metadata that they were altered.

        Raises:
            OSError: the folder cannot be written.
        """
        folder = Path(folder).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        save_images(folder, self.images, mark=mark)
        with replacing(folder / "results.csv") as partial:
            self.table.to_csv(partial, index=False)

    @property
    def points(self) -> tuple[Tensor, Tensor]:
        """Coordinates ``(n, K)`` of the data set's pictures, as source and as target; NaN: not asked for.

        Raises:
            UserError: pictures have many points each.
        """
        points = self.space.catalog_points()
        if points is None:
            raise UserError("with manifold=local a picture has many points; use manifold=span or manifold=pca")
        return points

    @property
    def z0(self) -> Tensor:
        """Coordinates of the inputs, ``(n, K)`` in double precision.

        Raises:
            UserError: inputs have spaces of their own.
        """
        self._require_one_space()
        return torch.cat([batch.traversal.start.z for batch in self.batches])

    @property
    def z(self) -> Tensor:
        """Where they went, ``(n, K)``; raises as ``z0``."""
        self._require_one_space()
        return torch.cat([batch.traversal.z for batch in self.batches])

    @property
    def arrived(self) -> Tensor:
        """Where the finished pictures lie, ``(n, K)``; raises as ``z0``."""
        self._require_one_space()
        return torch.cat([batch.arrived for batch in self.batches])

    def _require_one_space(self) -> None:
        if self.n_spaces > 1:
            raise UserError(
                "each of these inputs is compared with pictures of its own and has a space of its own; edit them one "
                "by one, or with manifold=pca or selection=confident"
            )


@dataclass(frozen=True, kw_only=True)
class Editor:
    """Edits pictures of one data set; vary it with ``dataclasses.replace``.

    >>> editor = Editor.default("digits")  # doctest: +SKIP
    >>> edit = editor.edit("digits", lam=0.3)  # doctest: +SKIP
    >>> edit.images[0].result.shape  # doctest: +SKIP
    torch.Size([3, 32, 32])

    Args:
        data: makes the data for a task and pictures.
        space: fits the space for some data, or finds it; or a space that is fitted.
        method: space, contrasts, lambdas and inverter -> the module that edits.
        comparison: how source and target are compared.
        rule: chooses lambda'.
        inverter: features -> pixels.
        trainer: makes a trainer.
        judges: name -> judge of the results.
    """

    data: DataSource
    space: SpaceFit | Space
    method: Method
    comparison: Comparison = field(default_factory=Comparison)
    rule: LambdaRule = field(default_factory=lambda: FixedLambda(0.7))
    inverter: Inverter = field(default_factory=Inverter)
    trainer: Callable[..., pl.Trainer] = pl.Trainer
    judges: Mapping[str, Judge] = field(default_factory=dict)

    @classmethod
    def default(
        cls, data: str = "lfw", *overrides: str, on_progress: "Callable[[Any], None] | None" = None
    ) -> "Editor":
        """The editor that the command line would use.

        Args:
            data: the name of a data set: ``lfw``, ``digits``, ``folder``; ``table`` gives a ``dmt.TableEditor``.
            overrides: as on the command line, such as ``"backbone=vgg19_distilled"``.
            on_progress: told how far the edit is (a ``dmt.reporting.progress.Step``) after every batch of pictures that
                is read and every iteration; what it raises ends the edit and is raised by ``edit``. It stands in for
                the bars in the terminal.

        Raises:
            UserError: whatever the command line would say.
        """
        import dmt

        return dmt.default_editor(data, *overrides, on_progress=on_progress)

    def edit(
        self,
        task: Task | str,
        images: Sequence[PictureLike] | int = 8,
        lam: float | LambdaRule | None = None,
        *,
        finished: Callable[[Edit], None] | None = None,
    ) -> Edit:
        """Edit some pictures.

        Args:
            task: which way, or the name of a task: an option of ``conf/task``.
            images: what to edit: names in the data set, paths, PIL images, tensors ``(3, H, W)`` in [0, 1], or arrays
                ``(H, W, 3)``; or how many to draw from the source.
            lam: lambda', or a rule that chooses it; ``None``: the editor's.
            finished: given the edit before any judge looks at it, in the first process: a judge may fail.

        Raises:
            UserError: whatever a user asked for that cannot be.
        """
        edit = self.made(task, images, lam)
        if finished is not None and processes.is_first():
            finished(edit)
        return edit.judged()

    def made(
        self, task: Task | str, images: Sequence[PictureLike] | int = 8, lam: float | LambdaRule | None = None
    ) -> Edit:
        """As ``edit``, but that no judge has looked at the results, apart from one that chooses lambda'."""
        way = _named(task) if isinstance(task, str) else task
        rule = self.rule if lam is None else FixedLambda(lam) if isinstance(lam, int | float | str) else lam
        rule.require(self.judges)
        data = self.data(way, images=images)
        ready = {name: judge for name, judge in self.judges.items() if not isinstance(judge, LearnsFromData)}
        self._require_fit(ready, data)
        judges = dict(self.judges)
        for name, judge in self.judges.items():
            if isinstance(judge, LearnsFromData):
                judges[name], data = judge.taught(data)
        self._require_fit({name: judge for name, judge in judges.items() if name not in ready}, data)
        selection = self.comparison.selection_for(data)
        assert data.task is not None
        log.info("%s: %s; editing %d", data.task.title, selection.describe(data.pool), len(data.inputs))
        parts = self.space.parts(data, selection) if isinstance(self.space, SetFit) else [data]
        asked = {name: judge for name, judge in judges.items() if name == getattr(rule, "judge", None)}
        edits: list[Edit] = []
        for number, part in enumerate(parts, start=1):
            if len(parts) > 1:  # sets of several inputs, one after the other
                log.info("%d of %d: %s", number, len(parts), ", ".join(part.inputs))
            edit = self._edited(part, rule, asked)
            edits.append(replace(edit, space=edits[0].space) if edits else edit)  # all would fill the memory
        return replace(edits[0] if len(edits) == 1 else _joined(edits, data), judges=judges)

    @staticmethod
    def _require_fit(judges: Mapping[str, Judge], data: EditData) -> None:
        if judges and data.inputs:
            processes.from_first(lambda: require_fit(judges, data.original(data.inputs[0])))

    def _edited(self, data: EditData, rule: LambdaRule, judges: Mapping[str, Judge]) -> Edit:
        space = self._space(data)
        device = self.trainer().strategy.root_device
        self._require_memory(data, space, device)
        everything = range(len(data.inputs))

        def run(module: pl.LightningModule, rows: Sequence[int] = everything) -> list[Any]:
            trainer = self.trainer(inference_mode=False, enable_progress_bar=False)
            own = processes.own(processes.divided(range(len(rows)), processes.count()))
            loader = data.predict_dataloader([rows[place] for place in own])
            if isinstance(module, EditModule) and self.inverter.on_progress is not None:
                self.inverter.on_progress.begin(len(own))
            parts = processes.gathered(lambda: trainer.predict(module, loader) or [])
            processes.let_go(trainer)
            return [batch for part in parts for batch in part]

        start = Points.joined(run(PointsModule(space)))
        contrasts = self.comparison(data, space, start)

        inverter = self.inverter
        if not rule.exact and inverter.realise is not None:
            inverter = replace(inverter, realise=replace(inverter.realise, rounds=1))
        last: dict[int, EditedBatch] = {}  # what became of inputs in the last trial
        kept: dict[int, EditedBatch] = {}

        def module_with(lams: Tensor) -> EditModule:
            return self.method(space, contrasts, lams, inverter)

        def tried(lams: Tensor, rows: Tensor) -> list[EditedImage]:
            every = lams.new_ones(start.n_things).index_put((rows,), lams)
            batches = run(module_with(every), rows.tolist())
            last.clear()
            last.update(zip(rows.tolist(), _one_by_one(batches), strict=True))
            return processes.from_first(lambda: judged(edited_images(batches, data), judges))

        def keep(rows: Tensor) -> None:
            kept.update({row: last[row] for row in rows.tolist()})

        def arrived(lams: Tensor) -> Tensor:
            z = torch.cat([batch.arrived for batch in run(module_with(lams))])
            return replace(start, z=z).mean(z)

        lams, n_tried = rule.choose(
            Trials(
                start,
                contrasts.witnesses,
                partial(walked, module_with(torch.zeros(start.n_things)).walk, device=device),
                tried,
                arrived,
                lambda: mean_points(space.members(Sets(data.source, data.target))),
                keep,
            )
        )
        module = module_with(lams)
        batches = run(module) if not kept else []
        if kept:  # what was tried already is not made once more
            missing = [row for row in everything if row not in kept or kept[row].traversal.lam != lams[row]]
            kept.update(zip(missing, _one_by_one(run(module, missing)) if missing else [], strict=True))
            batches = [kept[row] for row in everything]
        ends = Points.joined([replace(batch.traversal.start, z=batch.traversal.z) for batch in batches])
        turns = [data.turn(name) for name in data.inputs]
        columns: dict[str, Sequence[float]] = {
            "was_target": _is_typical(start, contrasts.witnesses),
            "unlike_sets": _is_unlike(start, contrasts.witnesses),
            "far_before": farness(start, contrasts.witnesses),
            "far_after": farness(ends, contrasts.witnesses),
        }
        if not any(turn is None for turn in turns):
            columns["turn"] = [float(turn or 0) for turn in turns]
        places = places_of(contrasts.witnesses, start, ends.z, torch.cat([batch.arrived for batch in batches]))
        edited = [
            replace(image, place=places[row]).with_columns(
                inversions=n_tried + (not kept), **{name: values[row] for name, values in columns.items()}
            )
            for row, image in enumerate(edited_images(batches, data))
        ]
        assert data.task is not None
        return Edit(f"{data.task.title}\n{module.describe(rule.title)}", edited, data, space, batches)

    def _space(self, data: EditData) -> Representation:
        if not isinstance(self.space, Space):
            return self.space(data)
        n_known, n_pictures = len(self.space.source), len(data.catalog.names)
        if n_known != n_pictures:
            raise UserError(
                f"the space knows {n_known} pictures, the data set has {n_pictures}; fit it to this data set"
            )
        return self.space

    def _require_memory(self, data: EditData, space: Representation, device: torch.device) -> None:
        layers = {*space.extractor.layers, *self.inverter.layers}
        batch_size = min(data.serving.edit_batch_size, -(-len(data.inputs) // processes.count()))
        needed = inversion_bytes(space.extractor, layers, data.image_size, batch_size, self.inverter.solver.history)
        remedy = f"set edit_batch_size below {batch_size}" if batch_size > 1 else "set image_size lower"
        if device.type == "cpu":
            needed *= processes.count()  # as if all were on this machine
        processes.from_first(lambda: require_memory(needed, device, remedy))


def _one_by_one(batches: Sequence[EditedBatch]) -> list[EditedBatch]:
    return [part for batch in batches for part in batch.parts()]


def _is_typical(start: Points, witnesses: WitnessBatch) -> list[bool]:
    """For each input, whether the witness finds it as typical of the target as half of the target's own pictures."""
    own = witnesses[start.owner]
    excess = start.z.new_empty(len(start.z))
    for witness, rows in own.shared():
        excess[rows] = witness(start.z[rows]) - witness.at_target().median()
    return (start.mean(excess) <= 0).tolist()


def _is_unlike(start: Points, witnesses: WitnessBatch) -> list[bool]:
    """For each input, whether it lies farther from its sets than all but ``FAR`` of their own pictures do.

    Ours: a head that is turned like no other, a mouth that is wide open among closed ones. By the mean distance of the
    mean points of pictures.
    """
    z = start.mean(start.z)
    excess = z.new_empty(len(z))
    for witness, rows in witnesses.shared():
        members = torch.cat(mean_points(witness.members))
        middle = members.mean(dim=0)  # distances of points far from 0 lose digits
        members, points = members - middle, z[rows] - middle
        among = torch.cdist(members, members).sum(dim=1) / max(1, len(members) - 1)
        excess[rows] = torch.cdist(points, members).mean(dim=1) - torch.quantile(among, 1 - FAR)
    return (excess > 0).tolist()


def farness(points: Points, witnesses: WitnessBatch) -> list[float]:
    """How far things lie from the nearest picture of their sets, in units of these pictures' own such distances.

    1 is as far as half of the sets' pictures lie from the nearest other. A walk that leaves the data ends well above
    where it began. Ours; the mean over a thing's points.

    Args:
        points: of n things.
        witnesses: one for each thing.
    """
    own = witnesses[points.owner]
    far = points.z.new_empty(len(points.z))
    for witness, rows in own.shared():
        far[rows] = witness.cloud.farness(points.z[rows])
    return points.mean(far).tolist()


def _joined(edits: Sequence[Edit], data: EditData) -> Edit:
    """One edit of all inputs, in the order they were asked for."""
    images = {image.name: image for edit in edits for image in edit.images}
    batches = [batch for edit in edits for batch in edit.batches]
    return Edit(edits[0].title, [images[name] for name in data.inputs], data, edits[0].space, batches, len(edits))


def _named(task: str) -> Task:
    """The option of ``conf/task`` with this name; the front door knows who reads the configuration."""
    import dmt

    return dmt.task(task)
