"""Points on the manifold -> moved points: the witness minimised under a budget, batched, without I/O."""

import math
from dataclasses import dataclass

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
        budget: lambda', dimensionless.
        witness_before: ``(B,)``.
        witness_after: ``(B,)``.
        solution: what the solver says of the minimisation.
    """

    z0: Tensor
    delta: Tensor
    budget: float
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


def check_budget(value: object) -> float:
    """Return lambda' as a float.

    Raises:
        UserError: it is not a number above 0 (infinity is allowed: it returns the input).
    """
    if not (is_number(value) and value > 0):
        raise UserError(f"lambda must be a number above 0, got {value}; smaller edits more, for example lambda=0.3")
    return float(value)


def traverse(z0: Tensor, witness: Witness, budget: float, solver: LBFGS) -> Traversal:
    """``argmin_delta witness(z0 + delta) + lambda ||delta||^2`` (the paper, section 4, eq. 6), from delta = 0.

    Args:
        z0: ``(B, K)``.
        witness: its points must have the same K, dtype and device.
        budget: lambda' = 2 sigma^2 lambda, dimensionless; the authors' range on LFW is 0.03 ... 0.31, smaller edits
            more.
        solver: the minimiser.

    Raises:
        UserError: ``budget`` is not above 0.
    """
    weight = witness.kernel.budget_weight(check_budget(budget))

    def objective(delta: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            delta = delta.detach().requires_grad_()
            values = witness(z0[rows] + delta)
            if math.isfinite(weight):
                values = values + weight * delta.square().sum(dim=1)
            (gradient,) = torch.autograd.grad(values.sum(), delta)
        return values.detach(), gradient

    still = torch.zeros_like(z0)
    if math.isfinite(weight):
        solution = solver.minimise(objective, still)
    else:
        zeros = torch.zeros(len(z0), dtype=torch.long)
        solution = Solution(still, witness(z0), zeros, zeros, ["converged"] * len(z0))
    return Traversal(z0, solution.value, budget, witness(z0), witness(z0 + solution.value), solution)
