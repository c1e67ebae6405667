"""Points on the manifold -> moved points: the witness minimised under a budget, batched, without I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from dmt.errors import UserError, is_number
from dmt.solvers import LBFGS, Solution
from dmt.traversal.witness import Witness, allowed_gradients, shared, witness_values


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

    def part(self, rows: slice) -> Self:
        """That of some of the images."""
        before, after = self.witness_before[rows], self.witness_after[rows]
        return type(self)(self.z0[rows], self.delta[rows], self.budget[rows], before, after, self.solution.part(rows))


class Walk(Protocol):
    """A way to move points from the source towards the target."""

    def __call__(self, z0: Tensor, witnesses: Sequence[Witness], budget: Tensor) -> Traversal:
        """Move ``z0 (B, K)``, each by its own witness; ``budget (B,)`` is lambda', infinite for a point that stays."""

    def how(self, budget: str) -> str:
        """How far it goes, in a few words, given those for lambda."""


@dataclass(frozen=True)
class WitnessDescent:
    """Deep manifold traversal: ``argmin_delta witness(z0 + delta) + lambda ||delta||^2`` (the paper, section 4, eq. 6).

    The minimum is that over the displacements which the witness allows; all, unless directions are kept (ours).

    Args:
        solver: the minimiser; it starts at delta = 0.
        shrink: whether an image may come nearer to the mean, or go away from it, along its own deviation: with
            ``False`` (ours), ``<delta, z0> = 0``.
    """

    solver: LBFGS
    shrink: bool = True

    def __call__(self, z0: Tensor, witnesses: Sequence[Witness], budget: Tensor) -> Traversal:
        radial = None if self.shrink else _radial(z0, witnesses)
        before, gradients = allowed_gradients(z0, witnesses)
        gradients = _without(gradients, radial)
        weights, sigma = torch.empty_like(before), torch.empty_like(before)
        for witness, own in shared(witnesses):
            weights[own] = witness.kernel.budget_weight(budget[own])
            sigma[own] = witness.kernel.sigma2**0.5
        # Ours: the solver's first step, its unit of length, would reach the minimum if the witness were linear, but is
        # no longer than sigma, within which it nearly is; one unit of z is a thousandth of that for LFW's features
        unit = (gradients.norm(dim=1) / (2 * weights)).minimum(sigma)[:, None]
        weights = weights.where(weights.isfinite(), 0)  # who stays pays nothing

        def objective(steps: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            delta = unit[rows] * steps
            values, gradients = allowed_gradients(z0[rows] + delta, [witnesses[row] for row in rows.tolist()])
            gradients = _without(gradients, None if radial is None else radial[rows])
            values += weights[rows] * delta.square().sum(dim=1)
            return values, unit[rows] * (gradients + 2 * weights[rows, None] * delta)

        at_start = before, unit * gradients
        found = self.solver.minimise(objective, torch.zeros_like(z0), at_start=at_start)
        delta = unit * found.value
        after = found.objective - weights * delta.square().sum(dim=1)
        return Traversal(z0, delta, budget, before, after, replace(found, value=delta))

    def how(self, budget: str) -> str:
        return budget


def _radial(z0: Tensor, witnesses: Sequence[Witness]) -> Tensor:
    """Unit vectors ``(B, K)``: each image's deviation from the mean, as far as its witness allows to move along it."""
    allowed = torch.empty_like(z0)
    for witness, own in shared(witnesses):
        allowed[own] = witness.allowed(z0[own])
    return torch.nn.functional.normalize(allowed, dim=1)


def _without(vectors: Tensor, unit: Tensor | None) -> Tensor:
    return vectors if unit is None else vectors - (vectors * unit).sum(dim=1, keepdim=True) * unit


@dataclass(frozen=True)
class LinearInterpolation:
    """``delta = alpha (mean(target) - mean(source))``: Deep Feature Interpolation (Upchurch et al., CVPR 2017).

    Args:
        alpha: how far; ``None``: 1 / (2 lambda'), where the witness of a linear kernel has its minimum, so that one
            budget means about the same for both methods (ours).
    """

    alpha: float | None = None

    def __call__(self, z0: Tensor, witnesses: Sequence[Witness], budget: Tensor) -> Traversal:
        delta = torch.empty_like(z0)
        for witness, own in shared(witnesses):
            delta[own] = witness.allowed(witness.target.mean(dim=0) - witness.source.mean(dim=0))
        delta *= interpolation_length(self.alpha, budget)[:, None]
        before, after = witness_values(z0, witnesses), witness_values(z0 + delta, witnesses)
        return Traversal(z0, delta, budget, before, after, Solution.at_rest(delta, after))

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


def lambda_path(z0: Tensor, witnesses: Sequence[Witness], budgets: Tensor, walk: Walk) -> list[Traversal]:
    """Move ``z0 (B, K)`` at each row of ``budgets (n, B)``, all in one batch.

    Ours: warm starts, each lambda from the end of the one before, would save a fifth of the evaluations and would
    make each result depend on those before; one batch reads the points of the witness once for all lambdas.
    """
    n_budgets, n_points = budgets.shape
    moved = walk(z0.repeat(n_budgets, 1), list(witnesses) * n_budgets, budgets.flatten())
    return [moved.part(slice(start, start + n_points)) for start in range(0, n_budgets * n_points, n_points)]


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
