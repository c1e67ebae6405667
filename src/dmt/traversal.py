"""Points on the manifold -> moved points: the witness minimised under a budget, batched, without I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from dmt.errors import UserError, is_number
from dmt.solvers import LBFGS, Solution
from dmt.witness import Witness


@dataclass(frozen=True)
class Traversal:
    """Where each of B images went.

    Args:
        z0: ``(B, K)``, where it began.
        delta: ``(B, K)``, its displacement; ``z = z0 + delta``.
        budget: ``(B,)``, lambda', dimensionless.
        witness_before: ``(B,)``.
        witness_after: ``(B,)``.
        solution: what the solver says of the minimisation.
    """

    z0: Tensor
    delta: Tensor
    budget: Tensor
    witness_before: Tensor
    witness_after: Tensor
    solution: Solution

    @property
    def z(self) -> Tensor:
        """Where each image arrived, ``(B, K)``."""
        return self.z0 + self.delta

    @property
    def length(self) -> Tensor:
        """``||delta||``, ``(B,)``."""
        return self.delta.norm(dim=1)

    @property
    def shrinkage(self) -> Tensor:
        """``-<delta, z0> / ||z0||^2``, ``(B,)``: the share of its own deviation from the mean that an image loses.

        Ours: at stationarity the RBF witness pulls every image towards the mean (1 would be all the way), which
        blurs the picture and costs the identity.
        """
        return -(self.delta * self.z0).sum(dim=1) / self.z0.square().sum(dim=1).clamp_min(1e-30)

    @classmethod
    def joined(cls, parts: Sequence[Self], rows: Sequence[Sequence[int]]) -> Self:
        """Put traversals of some images each, ``parts[i]`` of the images ``rows[i]``, back into one."""
        order = torch.tensor([row for part in rows for row in part]).argsort()
        tensors = {
            name: torch.cat([getattr(part, name) for part in parts])[order]
            for name in ("z0", "delta", "budget", "witness_before", "witness_after")
        }
        return cls(**tensors, solution=Solution.joined([part.solution for part in parts], order))


class Walk(Protocol):
    """A way to move points from the source towards the target."""

    def __call__(self, z0: Tensor, witness: Witness, budget: Tensor) -> Traversal:
        """Move ``z0 (B, K)``; ``budget (B,)`` is lambda', infinite for a point that stays."""

    def how(self, budget: str) -> str:
        """How far it goes, in a few words, given those for lambda."""


@dataclass(frozen=True)
class WitnessDescent:
    """Deep manifold traversal: ``argmin_delta witness(z0 + delta) + lambda ||delta||^2`` (the paper, section 4, eq. 6).

    The minimum is that over the displacements which the witness allows; all, unless directions are kept (ours).

    Args:
        solver: the minimiser; it starts at delta = 0.
    """

    solver: LBFGS

    def __call__(self, z0: Tensor, witness: Witness, budget: Tensor) -> Traversal:
        weights = witness.kernel.budget_weight(budget)
        moves = weights.isfinite()

        def objective(delta: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                delta = delta.detach().requires_grad_()
                values = witness(z0[rows] + delta) + weights[rows].nan_to_num() * delta.square().sum(dim=1)
                values = torch.where(moves[rows], values, values.detach())
                (gradient,) = torch.autograd.grad(values.sum(), delta)
            return values.detach(), witness.allowed(gradient)

        solution = self.solver.minimise(objective, torch.zeros_like(z0))
        return _traversal(z0, solution, witness, budget)

    def how(self, budget: str) -> str:
        return budget


@dataclass(frozen=True)
class LinearInterpolation:
    """``delta = alpha (mean(target) - mean(source))``: Deep Feature Interpolation (Upchurch et al., CVPR 2017).

    Args:
        alpha: how far; ``None``: 1 / (2 lambda'), where the witness of a linear kernel has its minimum, so that one
            budget means about the same for both methods (ours).
    """

    alpha: float | None = None

    def __call__(self, z0: Tensor, witness: Witness, budget: Tensor) -> Traversal:
        alpha = interpolation_length(self.alpha, budget)
        delta = alpha[:, None] * witness.allowed(witness.target.mean(dim=0) - witness.source.mean(dim=0))
        return _traversal(z0, Solution.at_rest(delta, witness(z0 + delta)), witness, budget)

    def how(self, budget: str) -> str:
        return budget if self.alpha is None else f"alpha {self.alpha}"


def interpolation_length(alpha: float | None, budget: Tensor) -> Tensor:
    """``alpha`` for every image, or 1 / (2 lambda') where it is ``None``; see ``LinearInterpolation``.

    Raises:
        UserError: ``alpha`` is no finite number.
    """
    if alpha is None:
        return 0.5 / budget
    if not (is_number(alpha) and math.isfinite(alpha)):
        raise UserError(f"method.alpha must be a number, or null to follow lambda, got {alpha}")
    return torch.full_like(budget, alpha)


def traverse(z0: Tensor, witnesses: Sequence[Witness], budget: Tensor, walk: Walk) -> Traversal:
    """Walk from ``z0 (B, K)``, each image with its own witness; images that share one walk together."""
    distinct = list({id(witness): witness for witness in witnesses}.values())
    rows = [[i for i, witness in enumerate(witnesses) if witness is shared] for shared in distinct]
    parts = [walk(z0[own], witness, budget[own]) for own, witness in zip(rows, distinct, strict=True)]
    return Traversal.joined(parts, rows)


def check_budget(value: object) -> float:
    """Return lambda' as a float.

    Raises:
        UserError: it is not a number above 0 (infinity is allowed: it returns the input).
    """
    if not (is_number(value) and value > 0):
        raise UserError(
            f"lambda must be a number above 0 or auto, got {value}; smaller edits more, for example lambda=0.3"
        )
    return float(value)


def _traversal(z0: Tensor, solution: Solution, witness: Witness, budget: Tensor) -> Traversal:
    return Traversal(z0, solution.value, budget, witness(z0), witness(z0 + solution.value), solution)
