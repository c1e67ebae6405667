"""Which lambda' each image gets: a number given, or the largest that takes it to where the target's images lie."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dmt.editing.search import largest_crossing_budgets, require_range
from dmt.errors import UserError, require_whole_number
from dmt.networks.probe import fit_probe, held_out_logits
from dmt.traversal.walks import Walk
from dmt.traversal.witness import Witness

log = logging.getLogger(__name__)

SCAN = 16  # parts of the interval that are looked at before the bisection: a straight walk can overshoot the target


class BudgetRule(Protocol):
    """Chooses a budget per image."""

    def __call__(self, indices: Sequence[int], z0: Tensor, witnesses: Sequence[Witness], walk: Walk) -> Tensor:
        """Budgets ``(B,)`` of the inputs at ``indices``, which begin at ``z0 (B, K)``."""


@dataclass(frozen=True)
class GivenBudgets:
    """The budgets that somebody chose.

    Args:
        values: ``(n,)``, one per input.
    """

    values: Tensor

    def __call__(self, indices: Sequence[int], z0: Tensor, witnesses: Sequence[Witness], walk: Walk) -> Tensor:
        return self.values[list(indices)]


@dataclass(frozen=True)
class TypicalOfTarget:
    """The largest lambda' that takes an image to the target's typical value, by bisection (the paper, footnote 1).

    Nothing is inverted, so that it costs little. What "typical" means is ours: the median over the target's
    images, each left out of its own witness.

    Args:
        of: the value: ``witness``, or ``classifier``, the logit of a logistic regression between the two sets.
        lowest: the smallest lambda' that is tried.
        highest: the largest.
        steps: of the bisection.

    Raises:
        UserError: an unknown value.
    """

    of: str = "witness"
    lowest: float = 0.03
    highest: float = 3.0
    steps: int = 12

    def __post_init__(self) -> None:
        if self.of not in ("witness", "classifier"):
            raise UserError(f"auto.of must be witness or classifier, got {self.of!r}")
        require_range("auto.lowest", self.lowest, "auto.highest", self.highest)
        require_whole_number("auto.steps", self.steps, "a whole number above 0", least=1)

    def __call__(self, indices: Sequence[int], z0: Tensor, witnesses: Sequence[Witness], walk: Walk) -> Tensor:
        distinct = {id(witness): witness for witness in witnesses}
        excess = {key: self._excess(witness) for key, witness in distinct.items()}

        def reached(budgets: Tensor) -> Tensor:
            z = walk(z0, witnesses, budgets).z
            return torch.cat([excess[id(w)](point[None]) for w, point in zip(witnesses, z, strict=True)]) >= 0

        search = largest_crossing_budgets(reached, len(z0), self.lowest, self.highest, self.steps, SCAN)
        if not all(search.reached):
            log.warning(
                "lambda=auto: %d of %d images become typical of the target at no lambda above %g, which they get",
                *(search.reached.count(False), len(z0), self.lowest),
            )
        return search.budgets

    def _excess(self, witness: Witness) -> Callable[[Tensor], Tensor]:
        """By how much a point ``(1, K)`` is more of the target than is typical."""
        if self.of == "witness":
            typical = witness.at_target().median()
            return lambda z: typical - witness(z)
        probe = fit_probe(witness.source, witness.target)
        median = held_out_logits(witness.source, witness.target)[len(witness.source) :].median()
        return lambda z: probe(z) - median
