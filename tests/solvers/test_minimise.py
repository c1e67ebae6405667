"""``minimise`` on problems with known minima, and against SciPy's L-BFGS-B."""

from math import inf, nan

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dmt.errors import UserError
from dmt.solvers import LBFGS, Progress, minimise

laws = settings(deadline=None, max_examples=15, derandomize=True)


def doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Known problems


def sphere(x):
    return (x - 0.25).square().sum(dim=1)


def rosenbrock(x):
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(dim=1)


def beale(x):
    a, b = x[:, 0], x[:, 1]
    return (1.5 - a + a * b) ** 2 + (2.25 - a + a * b**2) ** 2 + (2.625 - a + a * b**3) ** 2


def booth(x):
    return (x[:, 0] + 2 * x[:, 1] - 7) ** 2 + (2 * x[:, 0] + x[:, 1] - 5) ** 2


def matyas(x):
    return 0.26 * x.square().sum(dim=1) - 0.48 * x[:, 0] * x[:, 1]


def himmelblau(x):
    return (x[:, 0] ** 2 + x[:, 1] - 11) ** 2 + (x[:, 0] + x[:, 1] ** 2 - 7) ** 2


def styblinski_tang(x):
    return (x**4 - 16 * x**2 + 5 * x).sum(dim=1) / 2


def powell(x):
    a, b, c, d = x.unbind(dim=1)
    return (a + 10 * b) ** 2 + 5 * (c - d) ** 2 + (b - 2 * c) ** 4 + 10 * (a - d) ** 4


# function, start, minimum, and how far from it one may end: where the Hessian is singular, as Powell's, far
PROBLEMS = [
    (sphere, [3.0, -7.0, 11.0], [0.25, 0.25, 0.25], 1e-4),
    (rosenbrock, [-1.2, 1.0], [1.0, 1.0], 1e-4),
    (rosenbrock, [0.0] * 10, [1.0] * 10, 1e-4),
    (beale, [1.0, 1.0], [3.0, 0.5], 1e-4),
    (booth, [0.0, 0.0], [1.0, 3.0], 1e-4),
    (matyas, [8.0, -3.0], [0.0, 0.0], 1e-4),
    (himmelblau, [1.0, 1.0], [3.0, 2.0], 1e-4),
    (styblinski_tang, [-1.0, -2.0, -4.0], [-2.903534] * 3, 1e-4),
    (powell, [3.0, -1.0, 0.0, 1.0], [0.0] * 4, 0.05),
]


def scipys(function, start, bounds=None):
    """SciPy's L-BFGS-B with its own settings, gradients by autograd."""

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.tensor(x[None], requires_grad=True)
        value = function(point)[0]
        return value.item(), torch.autograd.grad(value, point)[0][0].numpy()

    return scipy.optimize.minimize(value_and_gradient, np.array(start), jac=True, method="L-BFGS-B", bounds=bounds)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("function", "start", "minimum", "tolerance"), PROBLEMS)
def test_known_minima_are_found(function, start, minimum, tolerance, dtype):
    solution = minimise(function, torch.tensor(start, dtype=dtype))
    assert solution.value.dtype == solution.objective.dtype == dtype
    torch.testing.assert_close(solution.value, torch.tensor(minimum, dtype=dtype), rtol=0, atol=tolerance)
    assert solution.converged == [True]


@pytest.mark.parametrize(("function", "start", "minimum", "tolerance"), PROBLEMS)
def test_the_objective_ends_where_scipys_does(function, start, minimum, tolerance):
    theirs = scipys(function, start)
    solution = minimise(function, doubles(start))
    assert float(solution.objective) <= theirs.fun + 1e-7


@laws
@given(seed=st.integers(0, 10_000), batch=st.integers(1, 5), n=st.integers(1, 10))
def test_bounds_of_every_coordinate_are_kept_and_quadratics_end_where_scipy_ends(seed, batch, n):
    factors = normal(batch, n, n, seed=seed)
    hessians = factors @ factors.mT / n + 0.1 * torch.eye(n, dtype=torch.float64)
    minima, middle = normal(batch, n, seed=seed + 1), normal(batch, n, seed=seed + 2)
    width = 0.5 * normal(batch, n, seed=seed + 3).abs()
    width[:, 0] = inf

    def quadratic(x: Tensor, rows: Tensor) -> Tensor:
        offset = x - minima[rows]
        return torch.einsum("bi,bij,bj->b", offset, hessians[rows], offset) / 2

    lower, upper = middle - width, middle + width
    solution = minimise(quadratic, normal(batch, n, seed=seed + 4), lower=lower, upper=upper, with_rows=True)
    assert (lower <= solution.value).all()
    assert (solution.value <= upper).all()
    assert all(solution.converged)
    for row in range(batch):
        row_of = torch.tensor([row])
        box = list(zip(lower[row].tolist(), upper[row].tolist(), strict=True))
        theirs = scipys(lambda x, row_of=row_of: quadratic(x, row_of), middle[row].tolist(), box)
        assert float(solution.objective[row]) <= theirs.fun + 1e-7
        np.testing.assert_allclose(solution.value[row], theirs.x, rtol=0, atol=2e-3)


@pytest.mark.parametrize("upper", [0.5, np.full(2, 0.5), doubles([0.5, inf]), np.float32(0.5)])
@pytest.mark.parametrize("lower", [-inf, -5, doubles([[-5.0, -5.0]])])
def test_bounds_are_numbers_or_tensors_or_arrays(lower, upper):
    # with x <= 1/2 Rosenbrock's minimum is at (1/2, 1/4), where f = 1/4
    solution = minimise(rosenbrock, doubles([[-1.2, 0.5], [0.0, 0.0]]), lower=lower, upper=upper)
    torch.testing.assert_close(solution.value, doubles([[0.5, 0.25]] * 2), rtol=0, atol=1e-4)
    torch.testing.assert_close(solution.objective, doubles([0.25, 0.25]))


def test_bounds_as_numbers_and_as_tensors_give_the_same_to_the_last_bit():
    start = normal(4, 3)
    numbers = minimise(rosenbrock, start, lower=-0.8, upper=0.9)
    tensors = minimise(rosenbrock, start, lower=doubles([-0.8] * 3), upper=0.9)
    assert torch.equal(numbers.value, tensors.value)
    assert torch.equal(numbers.evaluations, tensors.evaluations)


def test_a_coordinate_between_equal_bounds_stays():
    solution = minimise(booth, doubles([0.0, 0.0]), lower=doubles([-inf, 2.0]), upper=doubles([inf, 2.0]))
    assert float(solution.value[1]) == 2
    assert float(solution.value[0]) == pytest.approx(1.8)  # where (x - 3)^2 + (2 x - 3)^2 is least


def test_many_problems_of_very_different_scales_are_solved_at_once():
    scales = 10.0 ** torch.arange(-6, 7, dtype=torch.float64)
    starts = 2 * normal(len(scales), 2)

    def scaled(x: Tensor, rows: Tensor) -> Tensor:
        return scales[rows] * rosenbrock(x)

    solution = minimise(scaled, starts, with_rows=True)
    torch.testing.assert_close(solution.value, torch.ones_like(starts), rtol=0, atol=1e-4)
    assert all(solution.converged)


def test_a_problem_ends_the_same_in_any_company():
    starts = torch.cat([doubles([[1.0, 1.0]]), 2 * normal(5, 2)])
    together = minimise(rosenbrock, starts)
    for row, start in enumerate(starts):
        alone = minimise(rosenbrock, start)
        torch.testing.assert_close(alone.value, together.value[row], rtol=1e-6, atol=1e-9)
        assert alone.reasons == [together.reasons[row]]


def test_rows_say_which_problems_still_run():
    asked: list[list[int]] = []

    def objective(x: Tensor, rows: Tensor) -> Tensor:
        assert len(x) == len(rows)
        asked.append(rows.tolist())
        return rosenbrock(x)

    solution = minimise(objective, doubles([[-1.2, 1.0], [1.0, 1.0]]), with_rows=True)
    assert asked[0] == [0, 1]
    assert asked[1] == [0]  # the other began at its minimum
    assert sum(map(len, asked)) == int(solution.evaluations.sum())


@pytest.mark.parametrize("make", [doubles, lambda values: np.array(values)], ids=["tensor", "array"])
def test_one_problem_has_a_solution_without_a_leading_dimension(make):
    solution = minimise(booth, make([0.0, 0.0]))
    assert solution.value.shape == (2,)
    assert solution.objective.shape == solution.iterations.shape == solution.evaluations.shape == ()
    assert solution.reasons == ["converged"]
    torch.testing.assert_close(solution.value, doubles([1.0, 3.0]), rtol=0, atol=1e-5)


def test_arrays_and_whole_numbers_are_starts():
    arrays = minimise(booth, np.array([[0.0, 0.0], [5.0, 5.0]], dtype=np.float32))
    assert arrays.value.dtype == torch.float32
    whole = minimise(booth, torch.tensor([0, 0]))
    assert whole.value.dtype == torch.float64
    for value in (*arrays.value.double(), whole.value):
        torch.testing.assert_close(value, doubles([1.0, 3.0]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shared", [np.zeros((2, 2)), torch.zeros(2, 2), torch.zeros(2, 2, requires_grad=True)])
def test_the_start_is_left_alone(shared):
    solution = minimise(booth, shared, lower=0.5)
    assert not shared.any()
    assert not solution.value.requires_grad


def test_gradients_that_are_known_are_used():
    def objective(points: Tensor) -> tuple[Tensor, Tensor]:
        x = points.detach()
        first, second = x[:, 0] + 2 * x[:, 1] - 7, 2 * x[:, 0] + x[:, 1] - 5
        return first**2 + second**2, torch.stack([2 * first + 4 * second, 4 * first + 2 * second], dim=1)

    starts = normal(3, 2)
    known, derived = minimise(objective, starts), minimise(booth, starts)
    torch.testing.assert_close(known.value, derived.value, rtol=1e-9, atol=1e-9)
    assert torch.equal(known.evaluations, derived.evaluations)


def test_a_numpy_function_with_its_gradient_is_an_objective():
    def objective(points: Tensor) -> tuple[np.ndarray, np.ndarray]:
        x = points.detach().numpy()
        return ((x - 2) ** 2).sum(axis=1), 2 * (x - 2)

    solution = minimise(objective, np.zeros((2, 3)))
    torch.testing.assert_close(solution.value, torch.full((2, 3), 2.0).double())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_autograd_is_off(mode):
    with mode():
        solution = minimise(booth, torch.zeros(1, 2))
    torch.testing.assert_close(solution.value, torch.tensor([[1.0, 3.0]]), rtol=0, atol=1e-4)


def test_what_did_not_converge_is_reported_and_no_error():
    solution = minimise(lambda x: -(x**2).sum(dim=1), doubles([[1.0], [2.0]]), solver=LBFGS(iterations=20))
    assert solution.converged == [False, False]
    short = minimise(rosenbrock, doubles([[-1.2, 1.0], [1.0, 1.0]]), solver=LBFGS(iterations=3))
    assert short.reasons == ["stopped after 3 iterations", "converged"]
    without_value = minimise(lambda x: x.sum(dim=1) * nan, torch.ones(1, 2))
    assert without_value.converged == [False]
    assert without_value.value.tolist() == [[1, 1]]


def test_the_callback_hears_how_many_problems_there_are_and_how_many_run():
    heard: list[Progress] = []
    minimise(rosenbrock, doubles([[-1.2, 1.0], [1.0, 1.0], [0.5, 0.5]]), callback=heard.append)
    assert {progress.problems for progress in heard} == {3}
    running = [progress.running for progress in heard]
    assert running[0] == 2  # one began at its minimum
    assert running == sorted(running, reverse=True)
    assert [progress.iteration for progress in heard] == list(range(1, len(heard) + 1))


def test_no_problems_have_no_solutions():
    solution = minimise(booth, torch.zeros(0, 2))
    assert solution.value.shape == (0, 2)
    assert solution.reasons == []


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (torch.zeros(2, 3, 4), r"start must be \(B, n\).*\(2, 3, 4\).*flatten"),
        (torch.tensor(1.0), r"start must be \(B, n\).*\(\)"),
        (torch.zeros(4, 0), r"start must be \(B, n\).*\(4, 0\)"),
        (torch.zeros(2, dtype=torch.float16), "start must be float32 or float64.*float16"),
        (torch.zeros(2, dtype=torch.complex64), "start must be float32 or float64.*complex64"),
        (torch.zeros(2, dtype=torch.bool), "start must be float32 or float64.*bool"),
    ],
)
def test_a_start_that_is_none_is_a_user_error(start, message):
    with pytest.raises(UserError, match=message):
        minimise(sphere, start)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"lower": 1, "upper": 0}, "lower must not lie above upper, got 1.0 > 0.0"),
        ({"lower": torch.tensor([0.0, 3.0]), "upper": 2}, "lower must not lie above upper, got 3.0 > 2.0"),
        ({"lower": nan}, "lower must be a number, got nan"),
        ({"upper": torch.tensor([1.0, nan])}, "upper has nan"),
        ({"upper": torch.zeros(3)}, r"upper must be a number or broadcast to start, \(1, 2\), got \(3,\)"),
    ],
)
def test_bounds_that_are_none_are_a_user_error(bounds, message):
    with pytest.raises(UserError, match=message):
        minimise(booth, torch.zeros(2), **bounds)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda x: x.square().sum(), r"values must be \(3,\), one for each point, got \(\).*sum\(dim=1\)"),
        (lambda x: x.square(), r"values must be \(3,\).*got \(3, 2\)"),
        (lambda x: (x.square().sum(dim=1), x[0]), r"gradients must be \(3, 2\).*got \(2,\)"),
        (lambda x: x.detach().sum(dim=1), "do not depend on its points.*detach"),
        (lambda x: torch.ones(3, requires_grad=True) * 2, "do not depend on its points"),
        (lambda x: 3.0, "must return a tensor of values, got float"),
    ],
)
def test_an_objective_that_is_none_is_a_user_error(objective, message):
    with pytest.raises(UserError, match=message):
        minimise(objective, torch.ones(3, 2))
