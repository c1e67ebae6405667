"""A task and some pictures -> edited pictures: all parts of the method put together, without a configuration."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dmt.data import AttributeSplits, ImageBatch, Selection, Sets, Task
from dmt.editing.choices import BudgetChoice, Trials
from dmt.editing.module import Contrast, EditedBatch, EditModule, EditTools
from dmt.editing.records import EditedImage, edited_images, judged
from dmt.editing.rules import GivenBudgets
from dmt.inversion.memory import inversion_bytes, require_memory
from dmt.inversion.parametrizations import PIXELS, Parametrization
from dmt.inversion.regularizers import Regularizer
from dmt.judges import Judge
from dmt.manifolds.grounds import Ground, Grounds
from dmt.solvers import LBFGS, Progress
from dmt.storage import processes
from dmt.traversal.kept import kept_directions, label_signs
from dmt.traversal.kernels import Kernel
from dmt.traversal.witness import Witness

log = logging.getLogger(__name__)

Method = Callable[[EditTools], EditModule]
"""What an edit works with -> the module that edits."""


@dataclass(frozen=True)
class Edit:
    """What became of a task.

    Args:
        title: what was done, in two lines.
        images: the inputs with their results.
        data: the sets and inputs.
        ground: the manifold.
        batches: everything that is known.
    """

    title: str
    images: list[EditedImage]
    data: AttributeSplits
    ground: Ground
    batches: list[EditedBatch]

    @property
    def z0(self) -> Tensor:
        """Coordinates of the inputs, ``(n, K)`` in double precision."""
        return torch.cat([batch.traversal.z0 for batch in self.batches])

    @property
    def z(self) -> Tensor:
        """Where they went, ``(n, K)``."""
        return torch.cat([batch.traversal.z for batch in self.batches])


@dataclass(frozen=True)
class Editor:
    """Edits pictures of one data set; vary it with ``dataclasses.replace``.

    Args:
        splits: makes the data module for a task, images and their number.
        grounds: makes the manifold for a data module.
        method: tools -> the module that edits.
        selection: chooses the sets.
        kernel: of the witness.
        weighting: of the witness.
        budget: chooses lambda'.
        regularizers: name -> penalty on the picture.
        pixel_solver: inverts features to pixels.
        trainer: makes a trainer.
        judges: name -> judge of the results.
        on_progress: told about the inversion after every iteration.
        frames: pictures between input and result.
        precision: of the network while pixels are sought.
        parametrization: what the pixel solver moves.
        match_colors: whether results get the colours of their inputs back (``dmt.inversion.colors``).
        keep: labels that the edit shall leave alone (``dmt.traversal.kept``); ``None``: the task's balance.
        settings: the configuration that all this was made from, as plain values.
    """

    splits: Callable[..., AttributeSplits]
    grounds: Grounds
    method: Method
    selection: Selection
    kernel: Kernel
    weighting: str
    budget: BudgetChoice
    regularizers: Mapping[str, Regularizer]
    pixel_solver: LBFGS
    trainer: Callable[..., pl.Trainer]
    judges: Mapping[str, Judge]
    on_progress: Callable[[ImageBatch, Progress], None] | None = None
    frames: int = 0
    precision: str = "float32"
    parametrization: Parametrization = PIXELS
    match_colors: bool = False
    keep: Sequence[str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def edit(self, task: Task, images: Sequence[str] = (), n_images: int = 8) -> Edit:
        """Edit some pictures.

        Args:
            task: which way.
            images: names or paths; empty: ``n_images`` of the source are chosen.
            n_images: how many to choose.

        Raises:
            UserError: whatever a user asked for that cannot be.
        """
        self.budget.require(self.judges)
        data = self.splits(task=task, images=list(images), n_images=n_images)
        ground = self.grounds(data)
        log.info("%s: %d source and %d target images; editing %d", task.title, *_sizes(data), len(data.inputs))

        self._require_memory(data, ground)

        tools = self._tools(data, ground)
        shares = processes.divided(range(len(data.inputs)), processes.count())

        def run(module: EditModule) -> list[EditedBatch]:
            trainer = self.trainer(inference_mode=False, enable_progress_bar=False)
            loader = data.predict_dataloader(processes.own(shares))
            parts = processes.gathered(lambda: cast(list[EditedBatch], trainer.predict(module, loader) or []))
            return [batch for part in parts for batch in part]

        def try_out(budgets: Tensor) -> list[EditedImage]:
            batches = run(self.method(replace(tools, budgets=GivenBudgets(budgets), frames=0)))
            return processes.from_first(lambda: judged(edited_images(batches, data.in_place), self.judges))

        def arrived(budgets: Tensor) -> Tensor:
            module = self.method(replace(tools, budgets=GivenBudgets(budgets), frames=0))
            return torch.cat([module.coordinates(batch.inversion.images) for batch in run(module)])

        def sides() -> tuple[Tensor, Tensor]:
            return _present(ground.source_points[data.source]), _present(ground.target_points[data.target])

        rule, n_tried = self.budget.rule(Trials(len(data.inputs), try_out, arrived, sides))
        module = self.method(replace(tools, budgets=rule))
        batches = run(module)
        images_made = processes.from_first(lambda: judged(edited_images(batches, data.in_place), self.judges))
        edited = [image.with_columns(inversions=n_tried + 1) for image in images_made]
        return Edit(f"{task.title}\n{module.how(self.budget.title)}", edited, data, ground, batches)

    def _require_memory(self, data: AttributeSplits, ground: Ground) -> None:
        penalized = [layer for penalty in self.regularizers.values() for layer in penalty.layers]
        layers = {*ground.extractor.layers, *penalized}
        batch_size = min(data.edit_batch_size, -(-len(data.inputs) // processes.count()))
        needed = inversion_bytes(ground.extractor, layers, data.image_size, batch_size, self.pixel_solver.history)
        remedy = f"set data.edit_batch_size below {batch_size}" if batch_size > 1 else "set data.image_size lower"
        device = self.trainer().strategy.root_device
        if device.type == "cpu":
            needed *= processes.count()  # as if all were on this machine
        processes.from_first(lambda: require_memory(needed, device, remedy))

    def _tools(self, data: AttributeSplits, ground: Ground) -> EditTools:
        assert data.task is not None
        view = data.task.source_view
        kept = self._kept(data, ground)
        made: dict[int, Contrast] = {}

        def contrasts(names: Sequence[str], z0: Tensor) -> list[Contrast]:
            points = ground.source_points, ground.target_points
            chosen = self.selection(data.pool, points, names, z0)
            for sets in chosen:
                if id(sets) not in made:
                    made[id(sets)] = Contrast(sets, self._witness(sets, ground, kept))
            return [made[id(sets)] for sets in chosen]

        means: dict[int, tuple[Tensor, Tensor]] = {}

        def mean_pictures(sets: Sets) -> tuple[Tensor, Tensor]:
            if id(sets) not in means:
                source = _mean_picture(data.some_dataloader(sets.source.tolist(), view))
                means[id(sets)] = source, _mean_picture(data.some_dataloader(sets.target.tolist()))
            return means[id(sets)]

        return EditTools(
            ground.extractor,
            ground.manifold,
            contrasts,
            mean_pictures,
            GivenBudgets(torch.zeros(0)),
            self.regularizers,
            self.pixel_solver,
            self.on_progress,
            self.frames,
            self.precision,
            self.parametrization,
            self.match_colors,
        )

    def _kept(self, data: AttributeSplits, ground: Ground) -> Tensor | None:
        assert data.task is not None
        keep = data.task.balance if self.keep is None else self.keep
        if not keep:
            return None
        source, target = (torch.from_numpy(scores > 0).double() for scores in data.task.scores(data.catalog))
        signs = label_signs(data.catalog, keep, data.task.labels())
        return kept_directions(ground.target_points, signs, target - source)

    def _witness(self, sets: Sets, ground: Ground, kept: Tensor | None) -> Witness:
        source, target = (
            points[positions].double()
            for points, positions in ((ground.source_points, sets.source), (ground.target_points, sets.target))
        )
        return Witness(self.kernel, _present(source), _present(target), self.weighting, kept)


def _sizes(data: AttributeSplits) -> tuple[int, int]:
    return len(data.source), len(data.target)


def _mean_picture(loader: DataLoader) -> Tensor:
    """``(3, H, W)``, over the pictures that decode."""
    sums = [(batch.images.sum(dim=0), len(batch.images)) for batch in loader if len(batch.images)]
    return sum((total for total, _ in sums), torch.zeros(())) / sum(count for _, count in sums)


def _present(points: Tensor) -> Tensor:
    return points[~points.isnan().any(dim=1)]
