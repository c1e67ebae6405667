"""Many bounded minimisation problems at once: (B, n) starting points -> (B, n) minimisers, by limited-memory BFGS."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from dmt.ranges import Count, History, NotNegative

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

    def gone_on(self, rows: Tensor, further: "Solution") -> Self:
        """These, some of which ``rows (b,)`` were gone on with: counts add up."""
        value, objective, reasons = self.value.clone(), self.objective.clone(), list(self.reasons)
        iterations, evaluations = self.iterations.clone(), self.evaluations.clone()
        value[rows], objective[rows] = further.value, further.objective
        iterations[rows.cpu()] += further.iterations
        evaluations[rows.cpu()] += further.evaluations
        for row, reason in zip(rows.tolist(), further.reasons, strict=True):
            reasons[row] = reason
        return type(self)(value, objective, iterations, evaluations, reasons)

    def part(self, rows: slice) -> Self:
        """Those of some of the problems."""
        return type(self)(
            self.value[rows], self.objective[rows], self.iterations[rows], self.evaluations[rows], self.reasons[rows]
        )


@dataclass(frozen=True)
class Progress:
    """Where a solver is: handed to its callback after every iteration.

    Args:
        iteration: how many have been made, from 1.
        most_iterations: the most there will be.
        running: how many problems have not ended yet.
        objective: the sum over all problems, those that ended too.
        problems: how many there are in the batch.
        expected_iterations: how many there will be, by how fast the decrease of each problem has died away so far;
            ``None``: too early to say.
    """

    iteration: int
    most_iterations: int
    running: int
    objective: float
    problems: int = 0
    expected_iterations: float | None = None


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

    iterations: Count = 200
    history: History = 10
    tolerance: NotNegative = 1e-3
    window: Count = 5
    gradient_tolerance: NotNegative = 1e-6
    most_trials: Count = 20

    def minimise(
        self,
        objective: Objective,
        start: Tensor,
        lower: float | Tensor = -math.inf,
        upper: float | Tensor = math.inf,
        *,
        callback: Callable[[Progress], None] | None = None,
        at_start: tuple[Tensor, Tensor] | None = None,
        noise: float = 0.0,
        known_curvature: Diagonal | None = None,
    ) -> Solution:
        """Minimise ``objective`` from ``start (B, n)`` within ``lower <= x <= upper``.

        The objective's values must be finite at ``start``, projected into the bounds; where a trial step gives NaN
        or +infinity the step is shortened.

        Args:
            objective: gives values ``(b,)`` and gradients ``(b, n)``.
            start: ``(B, n)``.
            lower: a number, or a tensor that broadcasts to ``(B, n)``.
            upper: likewise.
            callback: told the progress after every iteration.
            at_start: values ``(B,)`` and gradients ``(B, n)`` at ``start``, which must then lie within the bounds,
                where they are known already.
            noise: the relative error of the objective's values: where a step changes them by no more, its slope
                decides (the approximate Wolfe conditions of Hager and Zhang, SIAM J. Optim. 2005, whose error is
                absolute).
            known_curvature: gives the diagonal of the Hessian of a part of the objective.
        """
        problems = _Problems.of(start, objective, lower, upper, noise, known_curvature or _nothing)
        found = _Results(start)
        state = self._first_state(problems, start, at_start)
        for iteration in range(1, self.iterations + 1):
            state = self._finish(state, found, _is_stationary(problems, state, self.gradient_tolerance), CONVERGED)
            if len(state) == 0:
                break
            state, moved = self._step(problems, state)
            state = self._finish(state, found, ~moved, "no descent along the search direction")
            if iteration >= self.window:
                state = self._finish(state, found, self._has_stalled(state), CONVERGED)
            if callback is not None:
                total, expected = found.objective_sum(state), self._expected_iterations(state, iteration)
                callback(Progress(iteration, self.iterations, len(state), total, len(start), expected))
        everything = torch.ones(len(state), dtype=torch.bool, device=start.device)
        self._finish(state, found, everything, f"stopped after {self.iterations} iterations")
        return found.solution()

    def _first_state(self, problems: "_Problems", start: Tensor, at_start: tuple[Tensor, Tensor] | None) -> "_State":
        rows = torch.arange(len(start), device=start.device)
        x = problems.within_bounds(start, rows)
        values, gradients = problems.objective(x, rows) if at_start is None else at_start
        recent = values.new_full((len(x), self.window), torch.inf)
        return _State(
            rows=rows,
            x=x,
            value=values,
            gradient=gradients,
            history=_History.empty(x, self.history, problems.known_curvature(x, rows)),
            course=_Course(values, gradients.abs().amax(dim=1), recent),
            iterations=torch.zeros_like(rows),
            evaluations=torch.ones_like(rows),
        )

    def _step(self, problems: "_Problems", state: "_State") -> tuple["_State", Tensor]:
        direction = _search_direction(problems, state)
        has_history = state.history.products.diagonal(dim1=1, dim2=2).any(dim=1)
        unit = 1 / direction.norm(dim=1).clamp_min(torch.finfo(direction.dtype).tiny)
        length = torch.where(has_history, torch.ones_like(unit), unit)
        shortest, longest = torch.zeros_like(length), torch.full_like(length, math.inf)

        x, value, gradient = state.x.clone(), state.value.clone(), state.gradient.clone()
        evaluations = state.evaluations.clone()
        moved = torch.zeros(len(state), dtype=torch.bool, device=x.device)
        searching = torch.arange(len(state), device=x.device)
        for _ in range(self.most_trials):
            rows = state.rows[searching]
            trial = state.x[searching] + length[searching, None] * direction[searching]
            trial = problems.within_bounds(trial, rows)
            trial_value, trial_gradient = problems.objective(trial, rows)
            evaluations[searching] += 1
            step = trial - state.x[searching]
            slope = (state.gradient[searching] * step).sum(dim=1)
            trial_slope = (trial_gradient * step).sum(dim=1)
            is_level = trial_value <= state.value[searching] + problems.noise * state.value[searching].abs()
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
        return state.advanced(x, value, gradient, evaluations, problems.known_curvature(x, state.rows)), moved

    def _has_stalled(self, state: "_State") -> Tensor:
        course = state.course
        lately = course.recent[:, 0] - state.value
        return lately.isfinite() & (lately <= self.tolerance * (course.first_value - state.value))

    def _expected_iterations(self, state: "_State", iteration: int) -> float | None:
        """When the slowest problem will have stalled, if what a window brings goes on to fall geometrically (ours)."""
        if len(state) == 0:
            return float(iteration)
        if iteration <= self.window or not 0 < self.tolerance < 1:
            return None
        course = state.course
        share = (course.recent[:, 0] - state.value) / (course.first_value - state.value)  # it was 1 after one window
        pace = share.log() / (iteration - self.window)
        more = (math.log(self.tolerance) / pace).where(pace < 0, math.inf)
        return min(float(self.iterations), max(float(iteration), self.window + float(more.max())))

    @staticmethod
    def _finish(state: "_State", found: "_Results", done: Tensor, reason: str) -> "_State":
        if not done.any():
            return state
        found.record(state.select(done), reason)
        return state.select(~done)


@dataclass(frozen=True)
class _Problems:
    """What is minimised, where; bounds that are tensors are ``(B, n)``."""

    objective: Objective
    lower: float | Tensor
    upper: float | Tensor
    noise: float
    known_curvature: Diagonal

    @classmethod
    def of(
        cls,
        start: Tensor,
        objective: Objective,
        lower: float | Tensor,
        upper: float | Tensor,
        noise: float,
        known_curvature: Diagonal,
    ) -> Self:
        if isinstance(lower, Tensor) or isinstance(upper, Tensor):  # clamp takes two numbers or two tensors
            lower = torch.as_tensor(lower, dtype=start.dtype, device=start.device).expand_as(start)
            upper = torch.as_tensor(upper, dtype=start.dtype, device=start.device).expand_as(start)
        return cls(objective, lower, upper, noise, known_curvature)

    def within_bounds(self, x: Tensor, rows: Tensor) -> Tensor:
        return x.clamp(*self._bounds(rows))

    def resting(self, state: "_State") -> Tensor:
        """Coordinates ``(b, n)`` that lie on a bound and would leave it downhill."""
        lower, upper = self._bounds(state.rows)
        return ((state.x <= lower) & (state.gradient > 0)) | ((state.x >= upper) & (state.gradient < 0))

    def _bounds(self, rows: Tensor) -> tuple[Any, Any]:
        """Two numbers, or two tensors ``(b, n)``."""
        if isinstance(self.lower, Tensor) and isinstance(self.upper, Tensor):
            return self.lower[rows], self.upper[rows]
        return self.lower, self.upper


@dataclass(frozen=True)
class _History:
    """What the last steps say of the Hessian.

    The history is a ring for each problem: ``next_slot (b,)`` says where its next step will be written, ``products``
    are the inner products ``steps_i . changes_j``, ``(b, history, history)``. An empty slot is zero. The first guess of
    the Hessian is ``known_curvature (b, n)`` on its diagonal plus ``other_curvature (b,)``.
    """

    steps: Tensor
    changes: Tensor
    products: Tensor
    known_curvature: Tensor
    other_curvature: Tensor
    next_slot: Tensor

    @classmethod
    def empty(cls, x: Tensor, size: int, known_curvature: Tensor) -> Self:
        """Of no step yet, at points ``x (b, n)``, with room for ``size`` steps."""
        zeros = x.new_zeros(len(x), size, x.shape[1])
        products = x.new_zeros(len(x), size, size)
        next_slot = torch.zeros(len(x), dtype=torch.long, device=x.device)
        return cls(zeros, zeros.clone(), products, known_curvature, x.new_ones(len(x)), next_slot)

    def plus(self, step: Tensor, change: Tensor, known_curvature: Tensor) -> Self:
        """Write a step ``(b, n)`` and the gradient's change over the oldest, in place, if its curvature is good."""
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
        return replace(self, known_curvature=known_curvature)


@dataclass(frozen=True)
class _Course:
    """How the objective has fallen: first values and largest absolute gradients ``(b,)``, last values ``(b, w)``."""

    first_value: Tensor
    first_gradient: Tensor
    recent: Tensor


@dataclass(frozen=True)
class _State:
    """The problems still running."""

    rows: Tensor
    x: Tensor
    value: Tensor
    gradient: Tensor
    history: _History
    course: _Course
    iterations: Tensor
    evaluations: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, keep: Tensor) -> "_State":
        return _selected(self, keep)

    def advanced(
        self, x: Tensor, value: Tensor, gradient: Tensor, evaluations: Tensor, known_curvature: Tensor
    ) -> Self:
        recent = torch.cat([self.course.recent[:, 1:], self.value[:, None]], dim=1)
        return replace(
            self,
            x=x,
            value=value,
            gradient=gradient,
            history=self.history.plus(x - self.x, gradient - self.gradient, known_curvature),
            course=replace(self.course, recent=recent),
            iterations=self.iterations + 1,
            evaluations=evaluations,
        )


_Record = TypeVar("_Record", _State, _History, _Course)


def _selected(record: _Record, keep: Tensor) -> _Record:
    """Some of the problems, ``keep (b,)``, of every tensor in the record."""
    parts: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        parts[field.name] = value[keep] if isinstance(value, Tensor) else _selected(value, keep)
    return type(record)(**parts)


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


def _search_direction(problems: _Problems, state: _State) -> Tensor:
    """The quasi-Newton direction over the coordinates that are free to move, or steepest descent if it ascends."""
    resting = problems.resting(state)
    downhill = -state.gradient.masked_fill(resting, 0)
    direction = _inverse_hessian_product(state.history, downhill).masked_fill(resting, 0)
    descends = (direction * state.gradient).sum(dim=1) < 0
    return torch.where(descends[:, None], direction, downhill)


def _is_stationary(problems: _Problems, state: _State, tolerance: float) -> Tensor:
    projected = state.gradient.masked_fill(problems.resting(state), 0)
    return projected.abs().amax(dim=1) <= tolerance * state.course.first_gradient


def _inverse_hessian_product(past: _History, vector: Tensor) -> Tensor:
    """The two-loop recursion of Nocedal and Wright, algorithm 7.4, whose loops are two triangular systems.

    With S and Y the steps and changes by age and R the upper triangle of ``S^T Y``, the first loop is
    ``a = R^-1 S^T v``, the second ``b = R^-T (diag(R) a - Y^T H0 (v - Y a))``, and the result ``H0 (v - Y a) + S b``.
    """
    history = past.steps.shape[1]
    order = (past.next_slot[:, None] + torch.arange(history, device=vector.device)) % history  # the oldest first
    products = past.products.gather(1, order[:, :, None].expand(-1, -1, history))
    products = products.gather(2, order[:, None].expand(-1, history, -1))
    curvature = products.diagonal(dim1=1, dim2=2)
    triangle = products.triu() + (curvature == 0).to(products).diag_embed()
    newest_first = order.argsort(dim=1)
    first = _solve(triangle, _products(past.steps, vector).gather(1, order), upper=True)
    guess = past.known_curvature + past.other_curvature[:, None]
    rest = _minus(vector, past.changes, first.gather(1, newest_first)) / guess
    second = curvature * first - _products(past.changes, rest).gather(1, order)
    second = _solve(triangle.mT, second, upper=False)
    return _minus(rest, past.steps, -second.gather(1, newest_first))


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
