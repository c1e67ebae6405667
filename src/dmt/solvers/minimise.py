"""A function of points, differentiable by autograd, and where to start -> a minimum of each of many problems."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dmt.errors import UserError, is_number
from dmt.solvers.lbfgs import LBFGS, Objective, Progress, Solution

PRECISE = LBFGS(iterations=1000, tolerance=1e-9, gradient_tolerance=1e-8)
"""What ``minimise`` uses by default: as close as SciPy's L-BFGS-B by default (ours: pictures need a thousandth)."""

Bound = float | Tensor | np.ndarray


def minimise(
    objective: Callable[..., Tensor | tuple[Tensor, Tensor]],
    start: Tensor | np.ndarray,
    *,
    lower: Bound = -math.inf,
    upper: Bound = math.inf,
    solver: LBFGS | None = None,
    callback: Callable[[Progress], None] | None = None,
    with_rows: bool = False,
) -> Solution:
    """Minimise a function from many starting points at once, each a problem of its own, within bounds.

    ``argmin_x f_i(x)`` subject to ``lower <= x <= upper`` for i = 1 ... B, by limited-memory BFGS (``LBFGS``, which
    names its sources). One evaluation of the objective serves all problems that still run; one that has ended leaves
    the batch, and what a problem does depends on no other. A problem that does not converge is no error:
    ``Solution.reasons`` says for each how it ended.

    Args:
        objective: ``points (b, n)`` -> ``values (b,)``, each computed from its own point alone by operations that
            autograd follows; or -> ``(values, gradients (b, n))``, where the gradients are known. b is B or less. The
            points require gradients: detach them for NumPy.
        start: ``(B, n)``, or ``(n,)`` for one problem, whose solution then has no leading dimension (the objective
            sees ``(1, n)`` all the same). float32 or float64, on any device; whole numbers become float64. It is
            projected into the bounds and not changed.
        lower: a number, or a tensor or an array that broadcasts to ``start``.
        upper: likewise.
        solver: how, and when to stop. By default it stops where five iterations brought less than 1e-9 of the whole
            decrease, where the projected gradient has fallen to 1e-8 of its first value, or after 1,000 iterations.
        callback: told the progress after every iteration.
        with_rows: call ``objective(points, rows)``; ``rows (b,)`` says which of the B problems are asked for.

    Returns:
        Tensors of ``start``'s type on its device. Points lie within the bounds and are no worse than where they began.

    Raises:
        UserError: ``start`` or a bound has the wrong type or shape, a lower bound lies above its upper one, or the
            objective's values or gradients have the wrong shape or do not depend on the points.

    Examples:
        Booth's function from three points, and from one within bounds:

        >>> import torch
        >>> from dmt.solvers import minimise
        >>> def booth(x):
        ...     return (x[:, 0] + 2 * x[:, 1] - 7) ** 2 + (2 * x[:, 0] + x[:, 1] - 5) ** 2
        >>> solution = minimise(booth, torch.tensor([[0.0, 0.0], [9.0, -9.0], [-50.0, 70.0]]))
        >>> [[round(value, 3) for value in point] for point in solution.value.tolist()]
        [[1.0, 3.0], [1.0, 3.0], [1.0, 3.0]]
        >>> solution.reasons
        ['converged', 'converged', 'converged']
        >>> [round(value, 3) for value in minimise(booth, torch.zeros(2), lower=0, upper=2).value.tolist()]
        [1.8, 2.0]

        A problem for each row, with numbers of its own:

        >>> goals = torch.tensor([[1.0, 2.0], [30.0, 40.0]])
        >>> def distance(x, rows):
        ...     return (x - goals[rows]).square().sum(dim=1)
        >>> minimise(distance, torch.zeros(2, 2), with_rows=True).value.round().tolist()
        [[1.0, 2.0], [30.0, 40.0]]
    """
    # Lightning, for one, predicts in inference mode, where autograd does not work
    with torch.inference_mode(False), torch.no_grad():
        given = _as_points(start)
        points = torch.atleast_2d(given)
        bounds = [_as_bound(name, bound, points) for name, bound in (("lower", lower), ("upper", upper))]
        crossed = torch.as_tensor(bounds[0]) > torch.as_tensor(bounds[1])
        if crossed.any():
            raise UserError(
                f"lower must not lie above upper, got {_first(bounds[0], crossed)} > {_first(bounds[1], crossed)}"
            )
        solution = (solver or PRECISE).minimise(
            _differentiated(objective, with_rows), points, bounds[0], bounds[1], callback=callback
        )
    return solution if given.ndim == 2 else _only(solution)


def _as_points(start: Tensor | np.ndarray) -> Tensor:
    """``start`` as a tensor of its own that autograd does not follow, ``(B, n)`` or ``(n,)``."""
    points = torch.as_tensor(start)
    if not (points.is_floating_point() or points.is_complex() or points.dtype == torch.bool):
        points = points.double()
    if points.dtype not in (torch.float32, torch.float64):
        raise UserError(
            f"start must be float32 or float64, got {points.dtype}; convert it, or start from whole numbers"
        )
    if points.ndim not in (1, 2) or points.shape[-1] == 0:
        raise UserError(
            f"start must be (B, n), or (n,) for one problem, with n of 1 or more, got {tuple(points.shape)}; "
            "flatten what a point consists of: start.flatten(1)"
        )
    return points.detach().clone()


def _as_bound(name: str, bound: Bound, points: Tensor) -> float | Tensor:
    """A number, or a tensor that broadcasts to ``points (B, n)``, of its type and on its device."""
    if is_number(bound):
        if math.isnan(bound):
            raise UserError(f"{name} must be a number, got nan; leave it out where there is no bound")
        return float(bound)
    values = torch.as_tensor(bound, dtype=points.dtype, device=points.device)
    if values.isnan().any():
        raise UserError(f"{name} has nan among its numbers; give infinities where there is no bound")
    try:
        return values.expand_as(points)
    except RuntimeError as error:
        raise UserError(
            f"{name} must be a number or broadcast to start, {tuple(points.shape)}, got {tuple(values.shape)}"
        ) from error


def _first(bound: float | Tensor, where: Tensor) -> float:
    return float(torch.as_tensor(bound).expand_as(where)[where][0])


def _differentiated(objective: Callable[..., Tensor | tuple[Tensor, Tensor]], with_rows: bool) -> Objective:
    """What the solver asks: values and gradients, checked, which autograd does not follow any further."""

    def evaluated(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            found = objective(points, rows) if with_rows else objective(points)
            if isinstance(found, tuple):
                values, gradients = (torch.as_tensor(part).detach().to(points) for part in found)
                _check_shape("gradients", gradients, points.shape)
                _check_shape("values", values, points.shape[:1])
                return values, gradients
            _check_shape("values", found, points.shape[:1])
            gradient = torch.autograd.grad(found.sum(), points, allow_unused=True)[0] if found.requires_grad else None
        if gradient is None:
            raise UserError(
                "the objective's values do not depend on its points by operations that autograd follows; compute them "
                "in PyTorch, without detach() or no_grad(), or return (values, gradients)"
            )
        return found.detach().to(points), gradient

    return evaluated


def _check_shape(what: str, found: object, shape: torch.Size) -> None:
    if not isinstance(found, Tensor):
        raise UserError(f"the objective must return a tensor of values, got {type(found).__name__}")
    if found.shape != shape:
        raise UserError(
            f"the objective's {what} must be {tuple(shape)}, one for each point, got {tuple(found.shape)}"
            + ("; sum over a point's own dimensions alone: .sum(dim=1)" if what == "values" else "")
        )


def _only(solution: Solution) -> Solution:
    """The solution of a single problem, without the leading dimension; ``reasons`` stays a list, of one."""
    return replace(
        solution,
        value=solution.value[0],
        objective=solution.objective[0],
        iterations=solution.iterations[0],
        evaluations=solution.evaluations[0],
    )
