"""Many bounded minimisation problems at once: (B, n) starting points -> (B, n) minimisers, by limited-memory BFGS."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(points (b, n), rows (b,)) -> (values (b,), gradients (b, n))``; ``rows`` says which problems are asked for."""

Diagonal = Callable[[Tensor, Tensor], Tensor]
"""``(points (b, n), rows (b,)) -> (b, n)``, 0 or more."""

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

    Where the diagonal D of a part of the objective's Hessian is known, the first guess of the Hessian is D, as it is
    at the last point, plus a multiple of the identity, ``||y - D s|| / ||s||`` of the last step s, for what the rest
    does to gradients, y (ours: scaled identities, as in equation 7.20, know nothing of coordinates that differ much).

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
        noise: float = 0.0,
        known_curvature: Diagonal | None = None,
    ) -> Solution:
        """Minimise ``objective`` from ``start (B, n)`` within ``lower <= x <= upper``.

        Values ``(B,)`` and gradients ``(B, n)`` that are known already are handed over as ``at_start``; ``start`` must
        then lie within the bounds. ``noise`` is the relative error of the objective's values: where a step changes them
        by no more, its slope decides (the approximate Wolfe conditions of Hager and Zhang, SIAM J. Optim. 2005, whose
        error is absolute). ``known_curvature`` gives the diagonal of the Hessian of a part of the objective.

        The objective's values must be finite at ``start``, projected into the bounds; where a trial step gives NaN
        or +infinity the step is shortened.
        """
        found = _Results(start)
        first = objective if at_start is None else lambda points, rows: at_start
        diagonal = known_curvature or _nothing
        state = self._first_state(first, start.clamp(lower, upper), diagonal)
        for iteration in range(1, self.iterations + 1):
            state = self._finish(state, found, _is_stationary(state, self.gradient_tolerance, lower, upper), CONVERGED)
            if len(state) == 0:
                break
            state, moved = self._step(objective, state, lower, upper, noise, diagonal)
            state = self._finish(state, found, ~moved, "no descent along the search direction")
            if iteration >= self.window:
                state = self._finish(state, found, self._has_stalled(state), CONVERGED)
            if callback is not None:
                callback(Progress(iteration, self.iterations, len(state), found.objective_sum(state)))
        everything = torch.ones(len(state), dtype=torch.bool, device=start.device)
        self._finish(state, found, everything, f"stopped after {self.iterations} iterations")
        return found.solution()

    def _first_state(self, objective: Objective, start: Tensor, diagonal: Diagonal) -> "_State":
        rows = torch.arange(len(start), device=start.device)
        values, gradients = objective(start, rows)
        empty = start.new_zeros(len(start), self.history, start.shape[1])
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
            products=start.new_zeros(len(start), self.history, self.history),
            known_curvature=diagonal(start, rows),
            other_curvature=start.new_ones(len(start)),
            next_slot=torch.zeros_like(rows),
            iterations=torch.zeros_like(rows),
            evaluations=torch.ones_like(rows),
        )

    def _step(
        self,
        objective: Objective,
        state: "_State",
        lower: float,
        upper: float,
        noise: float,
        diagonal: Diagonal,
    ) -> tuple["_State", Tensor]:
        direction = _search_direction(state, lower, upper)
        has_history = state.products.diagonal(dim1=1, dim2=2).any(dim=1)
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
            trial_slope = (trial_gradient * step).sum(dim=1)
            is_level = trial_value <= state.value[searching] + noise * state.value[searching].abs()
            falls = trial_value <= state.value[searching] + DECREASE * slope
            falls |= is_level & (trial_slope <= (2 * DECREASE - 1) * slope)
            bends = trial_slope >= CURVATURE * slope
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
        return state.advanced(x, value, gradient, evaluations, diagonal(x, state.rows)), moved

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
    """The problems still running.

    The history is a ring for each problem: ``next_slot (b,)`` says where its next step will be written, ``products``
    are the inner products ``steps_i . changes_j``, ``(b, history, history)``. An empty slot is zero. The first guess of
    the Hessian is ``known_curvature (b, n)`` on its diagonal plus ``other_curvature (b,)``.
    """

    rows: Tensor
    x: Tensor
    value: Tensor
    gradient: Tensor
    first_value: Tensor
    first_gradient: Tensor
    recent: Tensor
    steps: Tensor
    changes: Tensor
    products: Tensor
    known_curvature: Tensor
    other_curvature: Tensor
    next_slot: Tensor
    iterations: Tensor
    evaluations: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, keep: Tensor) -> Self:
        return type(self)(**{f.name: getattr(self, f.name)[keep] for f in fields(self)})

    def advanced(
        self, x: Tensor, value: Tensor, gradient: Tensor, evaluations: Tensor, known_curvature: Tensor
    ) -> Self:
        self._remember(x - self.x, gradient - self.gradient, known_curvature)
        return replace(
            self,
            x=x,
            value=value,
            gradient=gradient,
            known_curvature=known_curvature,
            recent=torch.cat([self.recent[:, 1:], self.value[:, None]], dim=1),
            iterations=self.iterations + 1,
            evaluations=evaluations,
        )

    def _remember(self, step: Tensor, change: Tensor, known_curvature: Tensor) -> None:
        """Write a step ``(b, n)`` and the gradient's change over the oldest, if its curvature is good."""
        curvature = (step * change).sum(dim=1)
        floor = torch.finfo(step.dtype).eps * step.norm(dim=1) * change.norm(dim=1)
        usable = (curvature > floor).nonzero()[:, 0]
        slot = self.next_slot[usable]
        self.steps[usable, slot], self.changes[usable, slot] = step[usable], change[usable]
        self.products[usable, :, slot] = _products(self.steps, change)[usable]
        self.products[usable, slot, :] = _products(self.changes, step)[usable]
        other = change - known_curvature * step
        bends = usable[((step * other).sum(dim=1) > floor)[usable]]
        self.other_curvature[bends] = (other.norm(dim=1) / step.norm(dim=1))[bends]
        self.next_slot[usable] = (slot + 1) % self.steps.shape[1]


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
    """The two-loop recursion of Nocedal and Wright, algorithm 7.4, whose loops are two triangular systems.

    With S and Y the steps and changes by age and R the upper triangle of ``S^T Y``, the first loop is
    ``a = R^-1 S^T v``, the second ``b = R^-T (diag(R) a - Y^T H0 (v - Y a))``, and the result ``H0 (v - Y a) + S b``.
    """
    history = state.steps.shape[1]
    order = (state.next_slot[:, None] + torch.arange(history, device=vector.device)) % history  # the oldest first
    products = state.products.gather(1, order[:, :, None].expand(-1, -1, history))
    products = products.gather(2, order[:, None].expand(-1, history, -1))
    curvature = products.diagonal(dim1=1, dim2=2)
    triangle = products.triu() + (curvature == 0).to(products).diag_embed()
    newest_first = order.argsort(dim=1)
    first = _solve(triangle, _products(state.steps, vector).gather(1, order), upper=True)
    guess = state.known_curvature + state.other_curvature[:, None]
    rest = _minus(vector, state.changes, first.gather(1, newest_first)) / guess
    second = curvature * first - _products(state.changes, rest).gather(1, order)
    second = _solve(triangle.mT, second, upper=False)
    return _minus(rest, state.steps, -second.gather(1, newest_first))


def _nothing(points: Tensor, rows: Tensor) -> Tensor:
    """A diagonal of zeros, ``(b, 1)``."""
    return points.new_zeros(len(points), 1)


def _products(vectors: Tensor, vector: Tensor) -> Tensor:
    """``(b, k, n), (b, n) -> (b, k)``: inner products."""
    return torch.bmm(vectors, vector[:, :, None])[:, :, 0]


def _minus(vector: Tensor, vectors: Tensor, coefficients: Tensor) -> Tensor:
    """``vector - sum_i coefficients_i vectors_i``, ``(b, n)``."""
    return torch.baddbmm(vector[:, None], coefficients[:, None], vectors, alpha=-1)[:, 0]


def _solve(triangle: Tensor, right: Tensor, upper: bool) -> Tensor:
    return torch.linalg.solve_triangular(triangle, right[:, :, None], upper=upper)[:, :, 0]


def _interpolated_shrinkage(value: Tensor, slope: Tensor, trial_value: Tensor) -> Tensor:
    """Where the parabola through the value, the slope and the trial value has its minimum, within [0.1, 0.5]."""
    shrinkage = -slope / (2 * (trial_value - value - slope))
    return shrinkage.nan_to_num(0.1, 0.1, 0.1).clamp(0.1, 0.5)
