"""The batched L-BFGS on problems with known minima, and against SciPy's L-BFGS-B."""

from collections.abc import Callable
from math import inf, log10, nan

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from dmt.solvers import LBFGS, Objective, Progress, Solution

EXACT = LBFGS(iterations=1000, tolerance=0.0, gradient_tolerance=1e-8)

laws = settings(deadline=None, max_examples=25, derandomize=True)
seeds = st.integers(0, 10_000)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def differentiated(function: Callable[[Tensor], Tensor]) -> Objective:
    """An objective from ``(b, n) -> (b,)`` that is the same for every problem."""

    def objective(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            values = function(points)
            (gradients,) = torch.autograd.grad(values.sum(), points)
        return values.detach(), gradients

    return objective


def quadratics(hessians: Tensor, minima: Tensor) -> Objective:
    """``(x - m)^T H (x - m) / 2`` with another H ``(n, n)`` and m ``(n,)`` for every problem."""

    def objective(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        offset = points - minima[rows]
        gradients = torch.einsum("bij,bj->bi", hessians[rows], offset)
        return (offset * gradients).sum(dim=1) / 2, gradients

    return objective


def random_quadratics(batch: int, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    factors = normal(batch, n, n, seed=seed)
    hessians = factors @ factors.transpose(1, 2) / n + 0.1 * torch.eye(n, dtype=torch.float64)
    return hessians, normal(batch, n, seed=seed + 1)


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(dim=1)


def gauss(x: Tensor) -> Tensor:
    """Negative curvature wherever ``|x|^2 > 1/2``; the minimum is at 0."""
    return -torch.exp(-x.square().sum(dim=1))


@laws
@given(seed=seeds, batch=st.integers(1, 5), n=st.integers(1, 12))
def test_quadratics_end_at_their_minima(seed, batch, n):
    hessians, minima = random_quadratics(batch, n, seed)
    solution = EXACT.minimise(quadratics(hessians, minima), normal(batch, n, seed=seed + 2))
    torch.testing.assert_close(solution.value, minima, rtol=0, atol=1e-5)
    assert solution.objective.abs().max() < 1e-9
    assert all(solution.converged)


@laws
@given(seed=seeds, batch=st.integers(1, 5), n=st.integers(1, 12), width=st.sampled_from([0.1, 0.5, 2.0]))
def test_bounded_quadratics_end_where_scipy_ends(seed, batch, n, width):
    hessians, minima = random_quadratics(batch, n, seed)
    lower, upper = -width, 0.7 * width
    start = normal(batch, n, seed=seed + 2)
    solution = EXACT.minimise(quadratics(hessians, minima), start, lower, upper)
    assert all(solution.converged)
    assert lower <= solution.value.min()
    assert solution.value.max() <= upper
    for row in range(batch):
        hessian, minimum = hessians[row].numpy(), minima[row].numpy()

        def objective(x, hessian=hessian, minimum=minimum):
            return (x - minimum) @ hessian @ (x - minimum) / 2, hessian @ (x - minimum)

        options = {"ftol": 1e-15, "gtol": 1e-10}
        theirs = minimize(objective, np.zeros(n), jac=True, bounds=[(lower, upper)] * n, options=options)
        np.testing.assert_allclose(solution.value[row], theirs.x, rtol=0, atol=1e-4)
        assert float(solution.objective[row]) <= theirs.fun + 1e-8


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
def test_rosenbrock_ends_at_ones(n):
    solution = EXACT.minimise(differentiated(rosenbrock), torch.zeros(1, n, dtype=torch.float64))
    torch.testing.assert_close(solution.value, torch.ones(1, n, dtype=torch.float64), rtol=0, atol=1e-5)
    assert solution.converged == [True]


def test_rosenbrock_with_a_bound_ends_at_the_bounded_minimum():
    # with x <= 1/2 the minimum is at (1/2, 1/4), where f = 1/4
    solution = EXACT.minimise(differentiated(rosenbrock), doubles([[-1.2, 0.5]]), upper=0.5)
    torch.testing.assert_close(solution.value, doubles([[0.5, 0.25]]), rtol=0, atol=1e-6)
    assert float(solution.objective[0]) == pytest.approx(0.25)


@pytest.mark.parametrize("bounds", [(-inf, inf), (-0.8, 0.9)])
def test_a_batch_equals_one_at_a_time(bounds):
    starts = torch.cat([torch.zeros(1, 4), torch.full((1, 4), 0.9), 0.5 * normal(3, 4)]).double()
    objective, solver = differentiated(rosenbrock), LBFGS(iterations=60)
    batch = solver.minimise(objective, starts, *bounds)
    for row, start in enumerate(starts):
        alone = solver.minimise(objective, start[None], *bounds)
        torch.testing.assert_close(batch.value[row], alone.value[0], rtol=1e-6, atol=1e-9)
        assert batch.iterations[row] == alone.iterations[0]
        assert batch.evaluations[row] == alone.evaluations[0]
        assert batch.reasons[row] == alone.reasons[0]


def test_every_row_keeps_its_own_problem_when_others_leave_the_batch():
    minima = doubles([[0.0], [3.0], [-50.0], [1000.0]])
    curvatures = doubles([1.0, 100.0, 0.01, 7.0])
    asked: list[list[int]] = []

    def objective(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(rows.tolist())
        offset = points - minima[rows]
        return (curvatures[rows, None] * offset**4).sum(dim=1), 4 * curvatures[rows, None] * offset**3

    solution = EXACT.minimise(objective, torch.zeros_like(minima))
    torch.testing.assert_close(solution.value, minima, rtol=2e-2, atol=1e-6)  # the gradient at 1e-8 of its first value
    assert 0 not in asked[1]  # the first problem starts at its minimum


def test_a_problem_that_starts_at_its_minimum_costs_one_evaluation():
    hessians, minima = random_quadratics(2, 3)
    solution = LBFGS().minimise(quadratics(hessians, minima), minima.clone())
    assert torch.equal(solution.value, minima)
    assert solution.evaluations.tolist() == [1, 1]
    assert solution.iterations.tolist() == [0, 0]
    assert solution.reasons == ["converged", "converged"]


def test_a_problem_whose_minimum_lies_beyond_the_corner_it_starts_in_stays_there():
    objective = quadratics(torch.eye(3, dtype=torch.float64)[None], doubles([[5, -5, 7]]))
    corner = doubles([[1.0, 0.0, 1.0]])
    solution = LBFGS().minimise(objective, corner, 0.0, 1.0)
    assert torch.equal(solution.value, corner)
    assert solution.reasons == ["converged"]
    assert solution.evaluations.tolist() == [1]


def test_a_start_outside_the_bounds_is_projected_before_it_is_evaluated():
    seen: list[Tensor] = []

    def objective(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(points.clone())
        return (points - 0.4).square().sum(dim=1), 2 * (points - 0.4)

    solution = EXACT.minimise(objective, doubles([[7.0, -7.0]]), 0.0, 1.0)
    assert seen[0].tolist() == [[1, 0]]
    assert 0 <= torch.cat(seen).min() <= torch.cat(seen).max() <= 1
    torch.testing.assert_close(solution.value, doubles([[0.4, 0.4]]), rtol=0, atol=1e-6)


def test_the_start_is_left_alone():
    start = doubles([[2.0, 2.0]])
    LBFGS().minimise(differentiated(rosenbrock), start, 0.0, 1.0)
    assert start.tolist() == [[2, 2]]


@pytest.mark.parametrize("solver", [LBFGS(), LBFGS(iterations=3), LBFGS(iterations=50, most_trials=2)])
def test_the_counts_of_evaluations_are_true(solver):
    counts = torch.zeros(6, dtype=torch.long)

    def objective(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        assert len(set(rows.tolist())) == len(rows)
        counts[rows] += 1
        return differentiated(rosenbrock)(points, rows)

    solution = solver.minimise(objective, torch.cat([torch.ones(1, 3).double(), normal(5, 3)]))
    assert torch.equal(solution.evaluations, counts)
    assert (solution.iterations < counts).all()


def test_the_iteration_limit_is_the_reason_where_it_ends_the_search():
    solution = LBFGS(iterations=4).minimise(differentiated(rosenbrock), doubles([[-1.2, 1.0], [1.0, 1.0]]))
    assert solution.reasons == ["stopped after 4 iterations", "converged"]
    assert solution.converged == [False, True]
    assert solution.iterations.tolist() == [4, 0]


def test_the_best_point_found_is_returned_when_the_limit_ends_the_search():
    start = doubles([[-1.2, 1.0]])
    values = [float(rosenbrock(start))]
    for iterations in (1, 2, 5, 10):
        solution = LBFGS(iterations=iterations).minimise(differentiated(rosenbrock), start)
        assert float(rosenbrock(solution.value)) == float(solution.objective) < values[-1]
        values.append(float(solution.objective))


@laws
@given(exponent=st.sampled_from([-60, -20, 20, 60]), offset=st.sampled_from([0.0, -3.0, 1000.0]))
def test_neither_the_scale_nor_the_offset_of_the_objective_matters(exponent, offset):
    start = doubles([[-1.2, 1.0, 0.5], [0.0, 0.0, 0.0]])
    scale = 2.0**exponent  # a power of two: the same digits
    plain = LBFGS().minimise(differentiated(lambda x: rosenbrock(x) + offset), start)
    scaled = LBFGS().minimise(differentiated(lambda x: scale * (rosenbrock(x) + offset)), start)
    torch.testing.assert_close(scaled.value, plain.value, rtol=1e-9, atol=1e-12)
    assert scaled.reasons == plain.reasons
    shifted_error = rosenbrock(plain.value).max()
    assert shifted_error < 1e-3  # of 24.2 and 2 at the start


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_start_in_negative_curvature_still_ends_at_the_minimum(n):
    starts = torch.stack([torch.full((n,), distance / n**0.5) for distance in (0.8, 1.5, 3.0, 5.0)]).double()
    solution = EXACT.minimise(differentiated(gauss), starts)
    torch.testing.assert_close(solution.value, torch.zeros_like(starts), rtol=0, atol=1e-6)
    torch.testing.assert_close(solution.objective, -torch.ones(4, dtype=torch.float64))
    assert all(solution.converged)


@pytest.mark.parametrize("beyond", [nan, inf])
@pytest.mark.parametrize("radius2", [0.01, 4.0])
def test_a_region_without_values_is_stayed_out_of(radius2, beyond):
    # x - log(r^2 - x^2) is smallest at x = 1 - sqrt(1 + r^2)
    def function(x: Tensor) -> Tensor:
        room = radius2 - x.square()
        inside = x - torch.log(room.clamp_min(1e-300))
        return torch.where(room > 0, inside, torch.full_like(x, beyond)).sum(dim=1)

    solution = EXACT.minimise(differentiated(function), doubles([[0.95 * radius2**0.5]]))
    assert float(solution.value) == pytest.approx(1 - (1 + radius2) ** 0.5, abs=1e-6)
    assert solution.converged == [True]


@pytest.mark.parametrize("value", [nan, inf])
def test_an_objective_without_a_value_at_the_start_is_reported_as_not_converged(value):
    solution = LBFGS().minimise(lambda x, rows: (x[:, 0] * 0 + value, x * 0 + nan), torch.ones(1, 2))
    assert solution.converged == [False]
    assert solution.value.tolist() == [[1, 1]]


@pytest.mark.parametrize(
    "function",
    [lambda x: -x, lambda x: -(x**2), lambda x: -(x**3), lambda x: -torch.exp(x), lambda x: torch.log(x)],
    ids=["-x", "-x^2", "-x^3", "-exp x", "log x"],
)
def test_an_unbounded_objective_is_reported_as_not_converged(function):
    solver = LBFGS(iterations=30)
    solution = solver.minimise(differentiated(lambda x: function(x).sum(dim=1)), doubles([[1.5]]))
    assert solution.converged == [False]


def test_an_unbounded_objective_within_bounds_ends_on_the_bound():
    solution = LBFGS().minimise(differentiated(lambda x: -(x**3).sum(dim=1)), doubles([[1.0, 0.5]]), -5, 40)
    assert solution.value.tolist() == [[40, 40]]
    assert solution.converged == [True]


def test_a_gradient_that_points_uphill_is_reported_as_no_descent():
    solution = LBFGS().minimise(lambda x, rows: (x.square().sum(dim=1), -2 * x), doubles([[1, 1]]))
    assert solution.reasons == ["no descent along the search direction"]
    assert solution.value.tolist() == [[1, 1]]


@pytest.mark.parametrize("bounds", [(-inf, inf), (0.0, 0.8)])
def test_float32_comes_as_close_as_float32_can(bounds):
    hessians, minima = random_quadratics(3, 8)
    exact = EXACT.minimise(quadratics(hessians, minima), torch.zeros_like(minima), *bounds)
    solver = LBFGS(iterations=500, tolerance=1e-6)
    found = solver.minimise(quadratics(hessians.float(), minima.float()), torch.zeros_like(minima).float(), *bounds)
    assert found.value.dtype == found.objective.dtype == torch.float32
    assert all(found.converged)
    torch.testing.assert_close(found.value.double(), exact.value, rtol=0, atol=5e-3)
    torch.testing.assert_close(found.objective.double(), exact.objective, rtol=1e-4, atol=1e-5)


def test_a_looser_tolerance_stops_earlier_and_still_reports_convergence():
    start = doubles([[-1.2, 1.0, -0.5, 0.8, 0.0]])
    strict, loose = (LBFGS(tolerance=t).minimise(differentiated(rosenbrock), start) for t in (1e-9, 0.1))
    assert loose.iterations < strict.iterations
    assert strict.objective < loose.objective
    assert loose.converged == strict.converged == [True]


def test_the_callback_hears_of_every_iteration():
    heard: list[Progress] = []
    starts = doubles([[-1.2, 1.0], [1.0, 1.0], [0.5, 0.5]])
    solution = LBFGS(iterations=100).minimise(differentiated(rosenbrock), starts, callback=heard.append)
    assert [progress.iteration for progress in heard] == list(range(1, int(solution.iterations.max()) + 1))
    assert {progress.most_iterations for progress in heard} == {100}
    assert heard[0].running == 2  # one starts at its minimum
    assert heard[-1].running == 0
    objectives = [progress.objective for progress in heard]
    assert objectives == sorted(objectives, reverse=True)
    assert objectives[-1] == pytest.approx(float(solution.objective.sum()))


@pytest.mark.parametrize(("condition", "tolerance"), [(1e2, 1e-3), (1e2, 1e-6), (1e4, 1e-6)])
def test_half_way_it_is_told_about_when_the_solver_will_end(condition, tolerance):
    scale = torch.logspace(0, log10(condition), 100, dtype=torch.float64)
    starts = torch.randn(3, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    heard: list[Progress] = []
    solver = LBFGS(iterations=500, tolerance=tolerance)
    solver.minimise(lambda x, rows: ((scale * x**2).sum(dim=1) / 2, scale * x), starts, callback=heard.append)
    n = len(heard)
    told = [progress.expected_iterations for progress in heard]
    assert told[: solver.window] == [None] * solver.window
    assert all(0.6 * n < expected < 1.3 * n for expected in told[n // 2 :])
    assert told[-1] == n


def test_what_is_known_at_the_start_is_not_asked_for_again():
    asked: list[Tensor] = []
    plain = differentiated(rosenbrock)

    def objective(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(points)
        return plain(points, rows)

    starts = doubles([[-1.2, 1.0], [0.5, 0.5]])
    expected = LBFGS().minimise(plain, starts)
    solution = LBFGS().minimise(objective, starts, at_start=plain(starts, torch.arange(2)))
    assert torch.equal(solution.value, expected.value)
    assert solution.evaluations.tolist() == expected.evaluations.tolist()
    assert not torch.equal(asked[0], starts)


def test_where_some_problems_are_gone_on_with_their_counts_add_up():
    first = Solution(
        doubles([[1], [2], [3]]), doubles([1, 2, 3]), *torch.tensor([[4, 5, 6], [7, 8, 9]]), ["a", "b", "c"]
    )
    further = Solution(doubles([[30], [10]]), doubles([0.3, 0.1]), *torch.tensor([[1, 2], [3, 4]]), ["d", "e"])
    found = first.gone_on(torch.tensor([2, 0]), further)
    assert found.value.tolist() == [[10], [2], [30]]
    assert found.objective.tolist() == [0.1, 2, 0.3]
    assert found.iterations.tolist() == [6, 5, 7]
    assert found.evaluations.tolist() == [11, 8, 12]
    assert found.reasons == ["e", "b", "d"]
    assert first.iterations.tolist() == [4, 5, 6]


def test_an_empty_batch_has_an_empty_solution():
    solution = LBFGS().minimise(differentiated(rosenbrock), torch.zeros(0, 3))
    assert solution.value.shape == (0, 3)
    assert solution.reasons == []


def test_an_objective_that_fell_to_minus_infinity_has_not_converged():
    # the fall happens at iteration 1, which is the whole window here
    solution = LBFGS(window=1).minimise(differentiated(lambda x: -torch.exp(x).sum(dim=1)), doubles([[1.5]]))
    assert solution.converged == [False]


def noisy_quadratics(hessians: Tensor, minima: Tensor, noise: float):
    """Quadratics above 1000 whose values, not their gradients, are wrong by up to ``noise`` of them."""
    exact = quadratics(hessians, minima)

    def objective(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = exact(points, rows)
        wrong = noise * torch.sin(1e6 * points.sum(dim=1))
        return (1000 + values) * (1 + wrong), gradients

    return objective


def test_noise_that_is_known_does_not_stop_the_search_nor_cost_evaluations():
    hessians, minima = random_quadratics(5, 12, 0)
    objective = noisy_quadratics(hessians, minima, 1e-4)
    solver = LBFGS(iterations=100, tolerance=0.0, gradient_tolerance=1e-6, window=100)
    start = minima + normal(5, 12, seed=1)
    known = solver.minimise(objective, start, noise=3e-4)
    unknown = solver.minimise(objective, start)
    torch.testing.assert_close(known.value, minima, rtol=0, atol=1e-4)
    assert all(known.converged)
    assert not all(unknown.converged)
    assert known.evaluations.sum() < unknown.evaluations.sum() / 2
    assert (known.evaluations <= 1.5 * known.iterations + 2).all()


def test_a_curvature_that_is_known_spares_the_search_for_it():
    known = torch.logspace(0, 4, 24, dtype=torch.float64).repeat(5, 1) * (1 + normal(5, 24).abs())
    hessians, minima = random_quadratics(5, 24, 0)
    objective = quadratics(hessians + known.diag_embed(), minima)
    start = minima + normal(5, 24, seed=3)
    blind = EXACT.minimise(objective, start)
    seeing = EXACT.minimise(objective, start, known_curvature=lambda points, rows: known[rows])
    for solution in (blind, seeing):
        torch.testing.assert_close(solution.value, minima, rtol=0, atol=1e-4)
    assert all(seeing.converged)
    assert seeing.evaluations.sum() < blind.evaluations.sum() / 2


def test_every_row_knows_its_own_curvature():
    known = torch.logspace(0, 4, 12, dtype=torch.float64) * normal(4, 12).abs()
    hessians, minima = random_quadratics(4, 12, 0)
    full = hessians + known.diag_embed()
    start = minima + normal(4, 12, seed=1)
    start[2] = minima[2]  # leaves the batch at once
    together = EXACT.minimise(quadratics(full, minima), start, known_curvature=lambda points, rows: known[rows])
    for i in range(4):
        one = slice(i, i + 1)
        curvature = known[one]
        alone = EXACT.minimise(
            quadratics(full[one], minima[one]), start[one], known_curvature=lambda points, rows, c=curvature: c[rows]
        )
        torch.testing.assert_close(together.value[one], alone.value)
        assert together.evaluations[i] == alone.evaluations[0]
