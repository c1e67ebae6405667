"""A task and some pictures -> edited pictures: all parts of the method put together, without a configuration."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import pytorch_lightning as pl
import torch
from torch import Tensor

from dmt.budget_rules import BudgetRule, GivenBudgets, TypicalOfTarget
from dmt.budgets import bayesian_budgets
from dmt.data import AttributeSplits, ImageBatch, Selection, Sets, Task
from dmt.errors import UserError, nearest_name
from dmt.grounds import Ground, Grounds
from dmt.judges import Judge
from dmt.kernels import Kernel
from dmt.memory import inversion_bytes, require_memory
from dmt.modules import Contrast, EditedBatch, EditModule, EditTools
from dmt.regularizers import Regularizer
from dmt.reporting.results import EditedImage, edited_images, judged
from dmt.solvers import LBFGS, Progress
from dmt.witness import Witness

log = logging.getLogger(__name__)


class BudgetChoice(Protocol):
    """A way to choose lambda'."""

    @property
    def title(self) -> str:
        """The choice in a few words."""

    def rule(self, n_images: int, try_out: Callable[[Tensor], list[EditedImage]]) -> tuple[BudgetRule, int]:
        """The rule for n inputs, given what edits them with budgets ``(n,)``; and how many edits that took."""


@dataclass(frozen=True)
class FixedBudget:
    """One lambda' for every image.

    Args:
        value: above 0, or infinite: then the input comes back.
    """

    value: float

    @property
    def title(self) -> str:
        return f"lambda' {self.value:g}"

    def rule(self, n_images: int, try_out: Callable[[Tensor], list[EditedImage]]) -> tuple[BudgetRule, int]:
        return GivenBudgets(torch.full((n_images,), self.value, dtype=torch.float64)), 0


@dataclass(frozen=True)
class TypicalBudget(TypicalOfTarget):
    """The largest lambda' that takes an image to the target's typical value in z; see ``TypicalOfTarget``."""

    @property
    def title(self) -> str:
        return f"lambda' by the {self.of}"

    def rule(self, n_images: int, try_out: Callable[[Tensor], list[EditedImage]]) -> tuple[BudgetRule, int]:
        return self, 0


@dataclass(frozen=True)
class JudgedBudget:
    """For each image the lambda' of the least change that convinces a judge, by constrained Bayesian optimisation.

    Gardner et al., ICML 2014; Gelbart et al., UAI 2014; the paper, footnote 1. Every trial edits all inputs.

    Args:
        judge: the name of a judge.
        threshold: what the judge says of a result must lie beyond it.
        beyond: ``above`` or ``below`` the threshold.
        lowest: the smallest lambda' that is tried.
        highest: the largest.
        trials: edits.
        seed: of the search.

    Raises:
        UserError: ``beyond`` is neither.
    """

    judge: str
    threshold: float = 0.5
    beyond: str = "above"
    lowest: float = 0.1
    highest: float = 1.0
    trials: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.beyond not in ("above", "below"):
            raise UserError(f"auto.beyond must be above or below, got {self.beyond!r}")

    @property
    def title(self) -> str:
        return f"lambda' by the judge of {self.judge}"

    def rule(self, n_images: int, try_out: Callable[[Tensor], list[EditedImage]]) -> tuple[BudgetRule, int]:
        sign = 1 if self.beyond == "above" else -1

        def evaluate(budgets: list[float]) -> list[tuple[float, float]]:
            images = try_out(torch.tensor(budgets, dtype=torch.float64))
            column = f"{self.judge}_after"
            if column not in images[0].record:
                known = [name.removesuffix("_after") for name in images[0].record if name.endswith("_after")]
                raise UserError(
                    f"auto=judge needs a judge {self.judge!r} that gives a number{nearest_name(self.judge, known)}; "
                    "add judges=faces, or choose auto=witness"
                )
            return [
                (float(image.record["change"]), sign * (self.threshold - float(image.record[column])))
                for image in images
            ]

        search = bayesian_budgets(evaluate, n_images, self.lowest, self.highest, self.trials, self.seed)
        unconvinced = search.reached.count(False)
        if unconvinced:
            log.warning("lambda=auto: %d of %d images convinced the judge at no lambda tried", unconvinced, n_images)
        return GivenBudgets(search.budgets), search.evaluations


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
    """

    splits: Callable[..., AttributeSplits]
    grounds: Grounds
    method: Callable[[EditTools], EditModule]
    selection: Selection
    kernel: Kernel
    weighting: str
    budget: BudgetChoice
    regularizers: Mapping[str, Regularizer]
    pixel_solver: LBFGS
    trainer: Callable[..., pl.Trainer]
    judges: Mapping[str, Judge]
    on_progress: Callable[[ImageBatch, Progress], None] | None = None

    def edit(self, task: Task, images: Sequence[str] = (), n_images: int = 8) -> Edit:
        """Edit some pictures.

        Args:
            task: which way.
            images: names or paths; empty: ``n_images`` of the source are chosen.
            n_images: how many to choose.

        Raises:
            UserError: whatever a user asked for that cannot be.
        """
        data = self.splits(task=task, images=list(images), n_images=n_images)
        ground = self.grounds(data)
        title = f"{task.title}\n{self.budget.title}"
        log.info("%s: %d source and %d target images; editing %d", task.title, *_sizes(data), len(data.inputs))

        self._require_memory(data, ground)

        def run(rule: BudgetRule) -> list[EditedBatch]:
            module = self.method(self._tools(data, ground, rule))
            trainer = self.trainer(inference_mode=False, enable_progress_bar=False)
            return cast(list[EditedBatch], trainer.predict(module, data.predict_dataloader()))

        def results(batches: list[EditedBatch]) -> list[EditedImage]:
            return judged(edited_images(batches), self.judges)

        rule, n_tried = self.budget.rule(len(data.inputs), lambda budgets: results(run(GivenBudgets(budgets))))
        batches = run(rule)
        edited = [image.with_columns(inversions=n_tried + 1) for image in results(batches)]
        return Edit(title, edited, data, ground, batches)

    def _require_memory(self, data: AttributeSplits, ground: Ground) -> None:
        penalized = [layer for penalty in self.regularizers.values() for layer in penalty.layers]
        layers = {*ground.extractor.layers, *penalized}
        batch_size = min(data.edit_batch_size, len(data.inputs))
        needed = inversion_bytes(ground.extractor, layers, data.image_size, batch_size, self.pixel_solver.history)
        remedy = f"set data.edit_batch_size below {batch_size}" if batch_size > 1 else "set data.image_size lower"
        require_memory(needed, self.trainer().strategy.root_device, remedy)

    def _tools(self, data: AttributeSplits, ground: Ground, rule: BudgetRule) -> EditTools:
        assert data.task is not None
        view = data.task.source_view
        made: dict[int, Contrast] = {}

        def contrasts(names: Sequence[str], z0: Tensor) -> list[Contrast]:
            points = ground.source_points, ground.target_points
            chosen = self.selection(data.pool, points, names, z0)
            for sets in chosen:
                if id(sets) not in made:
                    made[id(sets)] = Contrast(sets, self._witness(sets, ground))
            return [made[id(sets)] for sets in chosen]

        def mean_pictures(sets: Sets) -> tuple[Tensor, Tensor]:
            loaders = data.some_dataloader(sets.source.tolist(), view), data.some_dataloader(sets.target.tolist())
            source, target = (torch.cat([batch.images for batch in loader]).mean(dim=0) for loader in loaders)
            return source, target

        return EditTools(
            ground.extractor,
            ground.manifold,
            contrasts,
            mean_pictures,
            rule,
            self.regularizers,
            self.pixel_solver,
            self.on_progress,
        )

    def _witness(self, sets: Sets, ground: Ground) -> Witness:
        source, target = (
            points[positions].double()
            for points, positions in ((ground.source_points, sets.source), (ground.target_points, sets.target))
        )
        return Witness(self.kernel, _present(source), _present(target), self.weighting)


def _sizes(data: AttributeSplits) -> tuple[int, int]:
    return len(data.source), len(data.target)


def _present(points: Tensor) -> Tensor:
    return points[~points.isnan().any(dim=1)]
