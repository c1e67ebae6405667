"""Many bounded minimisation problems at once: (B, n) starting points -> (B, n) minimisers, by limited-memory BFGS."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(points (b, n), rows (b,)) -> (values (b,), gradients (b, n))``; ``rows`` says which problems are asked for."""

DECREASE, CURVATURE = 1e-4, 0.9  # the constants of the Wolfe conditions, Nocedal and Wright, section 3.1
RUNNING, CONVERGED = "running", "converged"


@dataclass(frozen=True)
class Solution:
    """What a solver found for each of B problems.

    Args:
        value: ``(B, n)``.
        objective: ``(B,)``.
        iterations: ``(B,)``, whole numbers.
        evaluations: ``(B,)``, whole numbers: objective and gradient together count once.
        reasons: for each problem ``"converged"``, or why not.
    """

    value: Tensor
    objective: Tensor
    iterations: Tensor
    evaluations: Tensor
    reasons: list[str]

    @property
    def converged(self) -> list[bool]:
        """For each problem, whether it converged."""
        return [reason == CONVERGED for reason in self.reasons]

    @classmethod
    def at_rest(cls, value: Tensor, objective: Tensor) -> Self:
        """Solutions that needed no iteration."""
        zeros = torch.zeros(len(value), dtype=torch.long)
        return cls(value, objective, zeros, zeros, [CONVERGED] * len(value))

    def part(self, rows: slice) -> Self:
        """Those of some of the problems."""
        return type(self)(
            self.value[rows], self.objective[rows], self.iterations[rows], self.evaluations[rows], self.reasons[rows]
        )


@dataclass(frozen=True)
class Progress:
    """Where a solver is: handed to its callback after every iteration."""

    iteration: int
    most_iterations: int
    running: int
    objective: float


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with optional bounds, for a batch of independent problems.

    Nocedal and Wright, Numerical Optimization, section 7.2, for the direction; Bertsekas' two-metric projection
    (SIAM J. Control Optim. 1982) for the bounds: coordinates that lie on a bound and would leave it rest, the
    others take the quasi-Newton step and are clamped. Each problem has its own line search for the weak Wolfe
    conditions (bracketing as in Lewis and Overton, Math. Program. 2013, with a parabola for the first cut) and leaves
    the batch when it is done. A step is kept for the history only if its curvature is positive.

    Convergence is judged free of the objective's scale and offset (ours): the last ``window`` iterations brought
    less than ``tolerance`` of the whole decrease so far, or the projected gradient fell below
    ``gradient_tolerance`` times its first value.

    Args:
        iterations: the most iterations.
        history: how many steps make up the approximate Hessian.
        tolerance: see above.
        window: see above.
        gradient_tolerance: see above.
        most_trials: line search trials in one iteration.
    """

    iterations: int = 200
    history: int = 10
    tolerance: float = 1e-3
    window: int = 5
    gradient_tolerance: float = 1e-6
    most_trials: int = 20

    def minimise(
        self,
        objective: Objective,
        start: Tensor,
        lower: float = -math.inf,
        upper: float = math.inf,
        callback: Callable[[Progress], None] | None = None,
        at_start: tuple[Tensor, Tensor] | None = None,
    ) -> Solution:
        """Minimise ``objective`` from ``start (B, n)`` within ``lower <= x <= upper``.

        Values ``(B,)`` and gradients ``(B, n)`` that are known already are handed over as ``at_start``; ``start`` must
        then lie within the bounds.

        The objective's values must be finite at ``start``, projected into the bounds; where a trial step gives NaN
        or +infinity the step is shortened.
        """
        found = _Results(start)
        first = objective if at_start is None else lambda points, rows: at_start
        state = self._first_state(first, start.clamp(lower, upper))
        for iteration in range(1, self.iterations + 1):
            state = self._finish(state, found, _is_stationary(state, self.gradient_tolerance, lower, upper), CONVERGED)
            if len(state) == 0:
                break
            state, moved = self._step(objective, state, lower, upper)
            state = self._finish(state, found, ~moved, "no descent along the search direction")
            if iteration >= self.window:
                state = self._finish(state, found, self._has_stalled(state), CONVERGED)
            if callback is not None:
                callback(Progress(iteration, self.iterations, len(state), found.objective_sum(state)))
        everything = torch.ones(len(state), dtype=torch.bool, device=start.device)
        self._finish(state, found, everything, f"stopped after {self.iterations} iterations")
        return found.solution()

    def _first_state(self, objective: Objective, start: Tensor) -> "_State":
        rows = torch.arange(len(start), device=start.device)
        values, gradients = objective(start, rows)
        empty = start.new_zeros(self.history, *start.shape)
        return _State(
            rows=rows,
            x=start,
            value=values,
            gradient=gradients,
            first_value=values,
            first_gradient=gradients.abs().amax(dim=1),
            recent=values.new_full((len(start), self.window), torch.inf),
            steps=empty,
            changes=empty.clone(),
            curvature=values.new_zeros(self.history, len(start)),
            iterations=torch.zeros_like(rows),
            evaluations=torch.ones_like(rows),
        )

    def _step(self, objective: Objective, state: "_State", lower: float, upper: float) -> tuple["_State", Tensor]:
        direction = _search_direction(state, lower, upper)
        has_history = (state.curvature > 0).any(dim=0)
        unit = 1 / direction.norm(dim=1).clamp_min(torch.finfo(direction.dtype).tiny)
        length = torch.where(has_history, torch.ones_like(unit), unit)
        shortest, longest = torch.zeros_like(length), torch.full_like(length, math.inf)

        x, value, gradient = state.x.clone(), state.value.clone(), state.gradient.clone()
        evaluations = state.evaluations.clone()
        moved = torch.zeros(len(state), dtype=torch.bool, device=x.device)
        searching = torch.arange(len(state), device=x.device)
        for _ in range(self.most_trials):
            trial = (state.x[searching] + length[searching, None] * direction[searching]).clamp(lower, upper)
            trial_value, trial_gradient = objective(trial, state.rows[searching])
            evaluations[searching] += 1
            step = trial - state.x[searching]
            slope = (state.gradient[searching] * step).sum(dim=1)
            falls = trial_value <= state.value[searching] + DECREASE * slope
            bends = (trial_gradient * step).sum(dim=1) >= CURVATURE * slope
            stands = moved[searching] & (trial == x[searching]).all(dim=1)  # every coordinate is on its bound

            done = searching[falls]
            x[done], value[done], gradient[done] = trial[falls], trial_value[falls], trial_gradient[falls]
            moved[done] = True
            longest[searching[~falls]] = length[searching[~falls]]
            shortest[done] = length[done]

            shrinkage = _interpolated_shrinkage(state.value[searching], slope, trial_value)
            between = (shortest[searching] + longest[searching]) / 2
            shorter = torch.where(shortest[searching] > 0, between, length[searching] * shrinkage)
            longer = torch.where(longest[searching].isinf(), 2 * length[searching], between)
            length[searching] = torch.where(falls, longer, shorter)
            searching = searching[~(falls & (bends | stands))]
            if len(searching) == 0:
                break
        return state.advanced(x, value, gradient, evaluations), moved

    def _has_stalled(self, state: "_State") -> Tensor:
        lately = state.recent[:, 0] - state.value
        return lately.isfinite() & (lately <= self.tolerance * (state.first_value - state.value))

    @staticmethod
    def _finish(state: "_State", found: "_Results", done: Tensor, reason: str) -> "_State":
        if not done.any():
            return state
        found.record(state.select(done), reason)
        return state.select(~done)


@dataclass(frozen=True)
class _State:
    """The problems still running; ``steps``, ``changes`` and ``curvature`` are ``(history, b, ...)``, newest last."""

    rows: Tensor
    x: Tensor
    value: Tensor
    gradient: Tensor
    first_value: Tensor
    first_gradient: Tensor
    recent: Tensor
    steps: Tensor
    changes: Tensor
    curvature: Tensor
    iterations: Tensor
    evaluations: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, keep: Tensor) -> Self:
        historic = ("steps", "changes", "curvature")
        chosen = {
            f.name: getattr(self, f.name)[:, keep] if f.name in historic else getattr(self, f.name)[keep]
            for f in fields(self)
        }
        return type(self)(**chosen)

    def advanced(self, x: Tensor, value: Tensor, gradient: Tensor, evaluations: Tensor) -> Self:
        step, change = x - self.x, gradient - self.gradient
        curvature = (step * change).sum(dim=1)
        floor = torch.finfo(x.dtype).eps * step.norm(dim=1) * change.norm(dim=1)
        usable = curvature > floor
        steps, changes, curvatures = self.steps.clone(), self.changes.clone(), self.curvature.clone()
        steps[:, usable] = torch.cat([steps[1:, usable], step[None, usable]])
        changes[:, usable] = torch.cat([changes[1:, usable], change[None, usable]])
        curvatures[:, usable] = torch.cat([curvatures[1:, usable], curvature[None, usable]])
        return type(self)(
            rows=self.rows,
            x=x,
            value=value,
            gradient=gradient,
            first_value=self.first_value,
            first_gradient=self.first_gradient,
            recent=torch.cat([self.recent[:, 1:], self.value[:, None]], dim=1),
            steps=steps,
            changes=changes,
            curvature=curvatures,
            iterations=self.iterations + 1,
            evaluations=evaluations,
        )


class _Results:
    """Collects what the problems ended with, in their first order."""

    def __init__(self, start: Tensor):
        n = len(start)
        self.value = start.clone()
        self.objective = start.new_zeros(n)
        self.iterations = torch.zeros(n, dtype=torch.long)
        self.evaluations = torch.zeros(n, dtype=torch.long)
        self.reasons = [RUNNING] * n

    def record(self, state: _State, reason: str) -> None:
        self.value[state.rows] = state.x
        self.objective[state.rows] = state.value.to(self.objective.dtype)
        rows = state.rows.cpu()
        self.iterations[rows] = state.iterations.cpu()
        self.evaluations[rows] = state.evaluations.cpu()
        for row in rows.tolist():
            self.reasons[row] = reason

    def objective_sum(self, state: _State) -> float:
        ended = [row for row, reason in enumerate(self.reasons) if reason != RUNNING]
        return float(self.objective[ended].sum() + state.value.sum())

    def solution(self) -> Solution:
        return Solution(self.value, self.objective, self.iterations, self.evaluations, self.reasons)


def _search_direction(state: _State, lower: float, upper: float) -> Tensor:
    """The quasi-Newton direction over the coordinates that are free to move, or steepest descent if it ascends."""
    resting = _resting(state, lower, upper)
    downhill = -state.gradient.masked_fill(resting, 0)
    direction = _inverse_hessian_product(state, downhill).masked_fill(resting, 0)
    descends = (direction * state.gradient).sum(dim=1) < 0
    return torch.where(descends[:, None], direction, downhill)


def _resting(state: _State, lower: float, upper: float) -> Tensor:
    return ((state.x <= lower) & (state.gradient > 0)) | ((state.x >= upper) & (state.gradient < 0))


def _is_stationary(state: _State, tolerance: float, lower: float, upper: float) -> Tensor:
    projected = state.gradient.masked_fill(_resting(state, lower, upper), 0)
    return projected.abs().amax(dim=1) <= tolerance * state.first_gradient


def _inverse_hessian_product(state: _State, vector: Tensor) -> Tensor:
    """The two-loop recursion; slots that hold no step yet contribute nothing."""
    filled = state.curvature > 0
    inverse = torch.where(filled, 1 / state.curvature.where(filled, torch.ones_like(state.curvature)), 0)
    q = vector.clone()
    coefficients = []
    for i in reversed(range(len(state.steps))):
        coefficient = inverse[i] * (state.steps[i] * q).sum(dim=1)
        q -= coefficient[:, None] * state.changes[i]
        coefficients.append(coefficient)
    newest_change = state.changes[-1].square().sum(dim=1)
    q *= torch.where(filled[-1], state.curvature[-1] / newest_change.clamp_min(torch.finfo(q.dtype).tiny), 1)[:, None]
    for i, coefficient in enumerate(reversed(coefficients)):
        q += (coefficient - inverse[i] * (state.changes[i] * q).sum(dim=1))[:, None] * state.steps[i]
    return q


def _interpolated_shrinkage(value: Tensor, slope: Tensor, trial_value: Tensor) -> Tensor:
    """Where the parabola through the value, the slope and the trial value has its minimum, within [0.1, 0.5]."""
    shrinkage = -slope / (2 * (trial_value - value - slope))
    return shrinkage.nan_to_num(0.1, 0.1, 0.1).clamp(0.1, 0.5)
