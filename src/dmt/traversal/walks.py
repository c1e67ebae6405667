"""Points on the manifold -> moved points: the witness minimised under a budget, batched, without I/O."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from dmt.errors import UserError, is_number
from dmt.manifolds.representation import Points
from dmt.ranges import Alpha, Positive
from dmt.solvers import LBFGS, Solution
from dmt.traversal.witness import WitnessBatch

STIFFNESS = 100.0  # of what keeps a walk within the data, where the witness lies in [-1, 1] (ours)
PROCESSOR = torch.device("cpu")
SMALLER = "smaller edits more, for example lambda=0.3"
MANY = 200  # points, from which on a walk is made on the GPU (ours, not measured yet)


@dataclass(frozen=True)
class Traversal:
    """Where the points of B things went.

    Args:
        start: P points with whose they are; ``start.z (P, K)`` is where they began.
        delta: ``(P, K)``, their displacements.
        lam: ``(B,)``, lambda' of each thing, dimensionless.
        before: ``(P,)``, the witness at the start.
        after: ``(P,)``, the witness at the end.
        solution: what the solver says of each point's minimisation.
    """

    start: Points
    delta: Tensor
    lam: Tensor
    before: Tensor
    after: Tensor
    solution: Solution

    def to(self, device: torch.device | str) -> "Traversal":
        """The same on another device."""
        found = self.solution
        return Traversal(
            self.start.to(device),
            self.delta.to(device),
            self.lam.to(device),
            self.before.to(device),
            self.after.to(device),
            replace(found, value=found.value.to(device), objective=found.objective.to(device)),
        )

    def of_one(self, thing: int) -> "Traversal":
        """The way of the points of one thing."""
        first, last = torch.searchsorted(self.start.owner, torch.tensor([thing, thing + 1])).tolist()
        rows = slice(first, last)
        start = Points(self.start.z[rows], self.start.owner[rows] - thing, 1)
        before, after = self.before[rows], self.after[rows]
        return Traversal(start, self.delta[rows], self.lam[[thing]], before, after, self.solution.part(rows))

    @property
    def z(self) -> Tensor:
        """Where each point arrived, ``(P, K)``."""
        return self.start.z + self.delta

    @property
    def witness_before(self) -> Tensor:
        """The mean witness of each thing's points at the start, ``(B,)``."""
        return self.start.mean(self.before)

    @property
    def witness_after(self) -> Tensor:
        """The same at the end."""
        return self.start.mean(self.after)

    @property
    def length(self) -> Tensor:
        """How far each thing went, ``||delta||`` over all of its points, ``(B,)``."""
        return self.start.sum(self.delta.square().sum(dim=1)).sqrt()

    @property
    def shrinkage(self) -> Tensor:
        """``-<delta, z> / ||z||^2``, ``(B,)``: the share of its own deviation from the mean that a thing loses.

        Ours: at stationarity the RBF witness pulls every point towards the mean (1 would be all the way), which blurs
        a picture and costs the identity.
        """
        inner = self.start.sum((self.delta * self.start.z).sum(dim=1))
        return -inner / self.start.sum(self.start.z.square().sum(dim=1)).clamp_min(1e-30)

    @property
    def converged(self) -> list[bool]:
        """For each thing, whether all of its points did."""
        missed = self.start.sum(torch.tensor([not one for one in self.solution.converged]).double())
        return [not count for count in missed.tolist()]

    @property
    def iterations(self) -> Tensor:
        """The most iterations that a point of each thing took, ``(B,)``."""
        most = torch.zeros(self.start.n_things, dtype=torch.long)
        return most.scatter_reduce(0, self.start.owner, self.solution.iterations, "amax")


class Walk(Protocol):
    """A way to move points from the source towards the target."""

    def __call__(self, start: Points, witnesses: WitnessBatch, lam: Tensor) -> Traversal:
        """Move the points of B things.

        Args:
            start: the points, and whose they are.
            witnesses: one for each thing.
            lam: ``(B,)``, lambda' of each thing, infinite for one that stays.
        """

    def describe(self, strength: str) -> str:
        """How far it goes, in a few words, given those for lambda."""


@dataclass(frozen=True)
class Limits:
    """Within what displacements stay, and what each coordinate costs: ``lambda sum_k (price_k delta_k)^2`` (ours).

    Args:
        lower: ``(P, K)``, of the displacements.
        upper: the same; where both are equal the coordinate has no choice.
        price: ``(P, K)``, above 0; 1 is that of the paper.
        first: ``(P, K)``, where the descent begins; ``None``: at 0.
    """

    lower: Tensor
    upper: Tensor
    price: Tensor
    first: Tensor | None = None


@dataclass(frozen=True)
class WitnessDescent:
    """Deep manifold traversal: ``argmin_delta witness(z + delta) + lambda ||delta||^2`` (the paper, section 4, eq. 6).

    The minimum is that over the displacements which the witness allows; all, unless directions are kept (ours). Every
    point moves by itself.

    Args:
        solver: the minimiser; it starts at delta = 0.
        within: how far from the nearest picture of its sets a point may end, in units of these pictures' own distances
            (``dmt.traversal.cloud``): what lies beyond is penalised (ours); ``None``: wherever the witness leads.
        limits: of the points' displacements; ``None``: there are none (the paper).

    Raises:
        UserError: ``within`` is no number above 0.
    """

    solver: LBFGS
    within: Positive | None = None
    limits: Limits | None = None

    def __post_init__(self) -> None:
        if self.within is not None and not (is_number(self.within) and 0 < self.within < math.inf):
            raise UserError(f"within must be a number above 0, such as 1.1, or null, got {self.within!r}")

    def __call__(self, start: Points, witnesses: WitnessBatch, lam: Tensor) -> Traversal:
        z, own = start.z, witnesses[start.owner]
        before, gradients = own.allowed_gradients(z)
        weights, sigma = torch.empty_like(before), torch.empty_like(before)
        for witness, rows in own.shared():
            weights[rows] = witness.lambda_weight(lam[start.owner[rows]])
            sigma[rows] = witness.kernel.sigma2**0.5
        # Ours: the solver's first step, its unit of length, would reach the minimum if the witness were linear, but is
        # no longer than sigma, within which it nearly is; one unit of z is a thousandth of that for LFW's features
        unit = (gradients.norm(dim=1) / (2 * weights)).minimum(sigma)[:, None]
        weights = weights.where(weights.isfinite(), 0)  # who stays pays nothing
        limits, squares = self.limits, torch.ones(())
        if limits is not None:
            unit, squares = unit / limits.price, limits.price.square()  # steps are round in what they cost
        squared_prices = squares.expand_as(z)

        def objective(steps: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            delta = unit[rows] * steps
            values, gradients = own[rows].allowed_gradients(z[rows] + delta)
            costs = weights[rows, None] * squared_prices[rows] * delta
            values, gradients = values + (costs * delta).sum(dim=1), gradients + 2 * costs
            if self.within is not None:
                penalties, slopes = self._penalty(own[rows], z[rows], z[rows] + delta)
                values, gradients = values + penalties, gradients + slopes
            return values, unit[rows] * gradients

        begin = torch.zeros_like(z)
        if limits is None:
            found = self.solver.minimise(objective, begin, at_start=(before, unit * gradients))
        else:  # who stays has steps of no length, whatever the limits
            if limits.first is not None:
                begin = torch.where(unit > 0, limits.first / unit, 0)
            lower, upper = (torch.where(unit > 0, limit / unit, 0) for limit in (limits.lower, limits.upper))
            found = self.solver.minimise(objective, begin, lower, upper)
        delta = unit * found.value
        after = own.values(z + delta)
        return Traversal(start, delta, lam, before, after, replace(found, value=delta))

    def _penalty(self, own: WitnessBatch, start: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """What it costs to be beyond ``within``, or beyond where a point began if that is farther, ``(P,)``."""
        assert self.within is not None
        values, gradients = z.new_empty(len(z)), torch.empty_like(z)
        for witness, rows in own.shared():
            allowed = witness.cloud.farness(start[rows]).clamp_min(self.within)
            values[rows], slopes = witness.cloud.excess(z[rows], allowed)
            gradients[rows] = witness.allowed(slopes)
        return STIFFNESS * values, STIFFNESS * gradients

    def describe(self, strength: str) -> str:
        return strength if self.within is None else f"{strength}, within {self.within:g}"


def walked(walk: Walk, start: Points, witnesses: WitnessBatch, lam: Tensor, device: torch.device) -> Traversal:
    """A walk of points that lie on the processor, made where it is quick; where the points went, on the processor.

    Ours: a GPU has to be told of every step of the minimisation, which for few points takes longer than the step; so it
    gets ``MANY`` points or more, the places of a few pictures. Devices without double precision are left out.

    Args:
        walk: how points move.
        start: the points, and whose they are.
        witnesses: one for each thing.
        lam: ``(B,)``, lambda' of each thing.
        device: the one that features are computed on.

    Raises:
        UserError: the points have no dimension, for all that they were found from is alike.
    """
    if not start.z.shape[1]:
        raise UserError("the things to compare are all alike, so that no way leads from some to others")
    if device.type != "cuda" or len(start.z) < MANY:
        return walk(start, witnesses, lam)
    return walk(start.to(device), witnesses.to(device), lam.to(device)).to(start.z.device)


@dataclass(frozen=True)
class LinearInterpolation:
    """``delta = alpha (mean(target) - mean(source))``: Deep Feature Interpolation (Upchurch et al., CVPR 2017).

    Args:
        alpha: how far; ``None``: 1 / (2 lambda'), where the witness of a linear kernel has its minimum, so that one
            lambda' means about the same for both methods (ours).

    Raises:
        UserError: ``alpha`` is no finite number.
    """

    alpha: Alpha | None = None

    def __post_init__(self) -> None:
        if self.alpha is not None and not (is_number(self.alpha) and math.isfinite(self.alpha)):
            raise UserError(f"alpha must be a number, or null to follow lambda, got {self.alpha!r}")

    def __call__(self, start: Points, witnesses: WitnessBatch, lam: Tensor) -> Traversal:
        own = witnesses[start.owner]
        delta = torch.empty_like(start.z)
        for witness, rows in own.shared():
            delta[rows] = witness.allowed(witness.target.mean(dim=0) - witness.source.mean(dim=0))
        delta *= self.length(lam)[start.owner][:, None]
        before, after = own.values(start.z), own.values(start.z + delta)
        return Traversal(start, delta, lam, before, after, Solution.at_rest(delta, after))

    def length(self, lam: Tensor) -> Tensor:
        """``alpha`` of each thing, ``(B,)``."""
        return 0.5 / lam if self.alpha is None else torch.full_like(lam, self.alpha)

    def describe(self, strength: str) -> str:
        return strength if self.alpha is None else f"alpha {self.alpha}"


def lambda_path(
    start: Points, witnesses: WitnessBatch, lams: Tensor, walk: Walk, device: torch.device = PROCESSOR
) -> list[Tensor]:
    """Displacements ``(P, K)`` at each row of ``lams (n, B)``, all in one batch.

    Ours: warm starts, each lambda from the end of the one before, would save a fifth of the evaluations and would
    make each result depend on those before; one batch reads the points of the witness once for all lambdas.
    """
    n, n_things = lams.shape
    every = torch.arange(n_things).repeat(n)
    return list(walked(walk, start.repeated(n), witnesses[every], lams.flatten(), device).delta.chunk(n))


def check_lambda(value: object) -> float:
    """Return lambda' as a float.

    Raises:
        UserError: it is not a number above 0 (infinity is allowed: it returns the input).
    """
    if not (is_number(value) and value > 0):
        is_infinite = isinstance(value, str) and value.lower().lstrip("+.") in ("inf", "infinity")
        remedy = "infinity is .inf in a YAML file and inf or .inf on the command line" if is_infinite else SMALLER
        raise UserError(f"lambda must be a number above 0 or auto, got {value}; {remedy}")
    return float(value)
