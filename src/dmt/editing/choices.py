"""How lambda' is chosen for an edit: a number, what is typical of the target, or what convinces a judge.

What is typical of the target is looked for in z, before any picture is made, or in the finished pictures.
"""

import importlib.util
import logging
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dmt.editing.records import EditedImage
from dmt.editing.rules import BudgetRule, GivenBudgets, TypicalOfTarget
from dmt.editing.search import bayesian_budgets, largest_crossing_budgets, require_range
from dmt.errors import UserError, is_number, nearest_name, require_side, require_whole_number
from dmt.networks.probe import fit_probe, held_out_logits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trials:
    """What a choice may try out before the edit.

    Args:
        n_images: how many inputs there are, n.
        edited: budgets ``(n,)`` -> the inputs edited with them.
        arrived: budgets ``(n,)`` -> where the inputs edited with them lie on the manifold, ``(n, K)``.
        sides: the coordinates of the pictures of the whole source and target, ``(., K)`` each.
    """

    n_images: int
    edited: Callable[[Tensor], list[EditedImage]]
    arrived: Callable[[Tensor], Tensor]
    sides: Callable[[], tuple[Tensor, Tensor]]


class BudgetChoice(Protocol):
    """A way to choose lambda'."""

    @property
    def title(self) -> str:
        """The choice in a few words."""

    def require(self, judges: Collection[str]) -> None:
        """Make sure, before any work, that the judges asked for are there; raises ``UserError``."""

    def rule(self, trials: Trials) -> tuple[BudgetRule, int]:
        """The rule for the inputs, and how many edits of all of them it took."""


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

    def require(self, judges: Collection[str]) -> None:
        pass

    def rule(self, trials: Trials) -> tuple[BudgetRule, int]:
        return GivenBudgets(torch.full((trials.n_images,), self.value, dtype=torch.float64)), 0


@dataclass(frozen=True)
class TypicalBudget(TypicalOfTarget):
    """The largest lambda' that takes an image to the target's typical value in z; see ``TypicalOfTarget``."""

    @property
    def title(self) -> str:
        return f"lambda' by the {self.of}"

    def require(self, judges: Collection[str]) -> None:
        pass

    def rule(self, trials: Trials) -> tuple[BudgetRule, int]:
        return self, 0


@dataclass(frozen=True)
class PictureBudget:
    """The largest lambda' whose *finished picture* a linear classifier finds as typical of the target as is asked for.

    The picture that comes out reaches only a part of the way that was walked in z (a fifth, on LFW by default), hence a
    look at the picture itself: its features are read again, and the classifier, fitted to the coordinates of both
    sides, decides. Ours; by bisection, every step of which edits all inputs. No judge is asked.

    Args:
        level: how typical: 0 is the classifier's median over the source's pictures, 1 that over the target's, each
            picture left out of its own classifier.
        lowest: the smallest lambda' that is tried.
        highest: the largest.
        steps: of the bisection.

    Raises:
        UserError: a value that cannot be.
    """

    level: float = 1.0
    lowest: float = 0.05
    highest: float = 0.5
    steps: int = 5

    def __post_init__(self) -> None:
        if not (is_number(self.level) and math.isfinite(self.level)):
            raise UserError(f"auto.level must be a number, such as 0.7, got {self.level!r}")
        require_range("auto.lowest", self.lowest, "auto.highest", self.highest)
        require_whole_number("auto.steps", self.steps, "a whole number above 0", least=1)

    @property
    def title(self) -> str:
        return f"lambda' by the finished picture, level {self.level:g}"

    def require(self, judges: Collection[str]) -> None:
        pass

    def rule(self, trials: Trials) -> tuple[BudgetRule, int]:
        source, target = trials.sides()
        probe = fit_probe(source, target)
        logits = held_out_logits(source, target)
        of_source, of_target = logits[: len(source)].median(), logits[len(source) :].median()
        wanted = of_source + self.level * (of_target - of_source)
        search = largest_crossing_budgets(
            lambda budgets: probe(trials.arrived(budgets)) >= wanted,
            trials.n_images,
            self.lowest,
            self.highest,
            self.steps,
        )
        short = search.reached.count(False)
        if short:
            log.warning("lambda=auto: %d of %d images do not get there at any lambda tried", short, trials.n_images)
        return GivenBudgets(search.budgets), search.evaluations


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
    lowest: float = 0.05
    highest: float = 1.0
    trials: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        require_side("auto.beyond", self.beyond)
        if not is_number(self.threshold):
            raise UserError(f"auto.threshold must be a number, got {self.threshold!r}")
        require_range("auto.lowest", self.lowest, "auto.highest", self.highest)
        if importlib.util.find_spec("optuna") is None:
            raise UserError("auto=judge needs Optuna: pip install -e '.[auto]'")

    @property
    def title(self) -> str:
        return f"lambda' by the judge of {self.judge}"

    def require(self, judges: Collection[str]) -> None:
        if self.judge not in judges:
            raise UserError(
                f"auto=judge needs a judge {self.judge!r}{nearest_name(self.judge, judges)}; add judges=faces, "
                "or choose auto=witness"
            )

    def rule(self, trials: Trials) -> tuple[BudgetRule, int]:
        sign = 1 if self.beyond == "above" else -1

        def evaluate(budgets: list[float]) -> list[tuple[float, float]]:
            images = trials.edited(torch.tensor(budgets, dtype=torch.float64))
            column = f"{self.judge}_after"
            if column not in images[0].record:
                raise UserError(f"the judge {self.judge!r} compares pictures; auto=judge needs one that gives a number")
            return [
                (float(image.record["change"]), sign * (self.threshold - float(image.record[column])))
                for image in images
            ]

        search = bayesian_budgets(evaluate, trials.n_images, self.lowest, self.highest, self.trials, self.seed)
        unconvinced = search.reached.count(False)
        if unconvinced:
            log.warning(
                "lambda=auto: %d of %d images convinced the judge at no lambda tried", unconvinced, trials.n_images
            )
        return GivenBudgets(search.budgets), search.evaluations
