"""Deep Feature Interpolation against formulas, and traversal with a linear kernel, which is the same."""

from math import inf, nan

import pytest
import torch

from dmt.errors import UserError
from dmt.solvers import LBFGS
from dmt.traversal.kernels import RBF, Linear
from dmt.traversal.walks import LinearInterpolation, Traversal, WitnessDescent, interpolation_length
from dmt.traversal.witness import Witness

DESCENT = WitnessDescent(LBFGS(iterations=1000, tolerance=0.0, gradient_tolerance=1e-9))
STRAIGHT = LinearInterpolation()


def normal(n: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def two_sets(seed: int = 0, k: int = 6, apart: float = 1.0):
    """Source, target, and four points on the source's side."""
    return normal(30, k, seed), apart + normal(40, k, seed + 1), normal(4, k, seed + 2)


def budgets(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("bandwidth", ["mean", "median", 0.4, 25.0])
@pytest.mark.parametrize("seed", [0, 10])
def test_traversal_with_a_linear_kernel_is_interpolation(bandwidth, seed):
    source, target, z0 = two_sets(seed)
    witness = Witness(Linear(bandwidth), source, target)
    each = budgets(0.03, 0.3, 1.0, 20.0)
    descent, straight = (walk(z0, [witness] * 4, each) for walk in (DESCENT, STRAIGHT))
    torch.testing.assert_close(descent.delta, straight.delta, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(descent.witness_after, straight.witness_after, rtol=1e-4, atol=1e-4)
    assert all(descent.solution.converged)


def test_the_default_length_is_one_over_two_lambda():
    source, target, z0 = two_sets()
    each = budgets(0.05, 0.5, 2.0, inf)
    result = STRAIGHT(z0, [Witness(RBF(), source, target)] * 4, each)
    difference = target.mean(0) - source.mean(0)
    for row, alpha in enumerate((10, 1, 0.25, 0)):
        torch.testing.assert_close(result.z[row], z0[row] + alpha * difference)


@pytest.mark.parametrize("alpha", [0, 0.4, 1, -2.5])
def test_a_length_that_is_given_does_not_depend_on_lambda(alpha):
    source, target, z0 = two_sets()
    result = LinearInterpolation(alpha)(z0, [Witness(RBF(), source, target)] * 4, budgets(0.1, 1, 10, inf))
    expected = alpha * (target.mean(0) - source.mean(0))
    torch.testing.assert_close(result.delta, expected.expand_as(z0))
    assert result.budget.tolist() == [0.1, 1, 10, inf]


@pytest.mark.parametrize("alpha", [inf, nan, "1", True, [1]])
def test_a_length_that_is_no_number_is_an_error_that_names_it(alpha):
    with pytest.raises(UserError, match=r"method\.alpha must be a number, or null"):
        interpolation_length(alpha, budgets(1.0))


@pytest.mark.parametrize("walk", [STRAIGHT, DESCENT])
@pytest.mark.parametrize("kernel", [RBF(), Linear()])
def test_an_infinite_budget_leaves_its_own_point_and_no_other(walk, kernel):
    source, target, z0 = two_sets()
    result = walk(z0, [Witness(kernel, source, target)] * 4, budgets(inf, 0.5, inf, 0.5))
    assert torch.equal(result.z[[0, 2]], z0[[0, 2]])
    assert result.length[[1, 3]].min() > 0.1
    torch.testing.assert_close(result.witness_after[[0, 2]], result.witness_before[[0, 2]])


@pytest.mark.parametrize("walk", [STRAIGHT, DESCENT])
def test_every_point_has_its_own_budget(walk):
    source, target, z0 = two_sets()
    witness = Witness(RBF(6.0), source, target)
    each = budgets(0.1, 1.0, 0.3, 10.0)
    together = walk(z0, [witness] * 4, each)
    for row in range(4):
        alone = walk(z0[row : row + 1], [witness], each[row : row + 1])
        torch.testing.assert_close(together.delta[row], alone.delta[0], rtol=1e-5, atol=1e-8)


def mixed(walk) -> tuple[Traversal, list[Traversal]]:
    """Four points with three witnesses, together and alone."""
    source, target, z0 = two_sets()
    near, far, back = (
        Witness(RBF(6.0), source, target),
        Witness(RBF(6.0), source, target + 2),
        Witness(RBF(3.0), target, source),
    )
    witnesses, each = [far, near, back, near], budgets(0.2, 0.5, 1.0, 2.0)
    alone = [walk(z0[i : i + 1], [witnesses[i]], each[i : i + 1]) for i in range(4)]
    return walk(z0, witnesses, each), alone


@pytest.mark.parametrize("walk", [STRAIGHT, DESCENT])
def test_images_with_witnesses_of_their_own_go_where_they_go_alone(walk):
    together, alone = mixed(walk)
    for name in ("z0", "delta", "budget", "witness_before", "witness_after"):
        expected = torch.cat([getattr(part, name) for part in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(together.solution.value, together.delta)
    assert together.solution.reasons == [part.solution.reasons[0] for part in alone]
    expected = torch.cat([part.solution.objective for part in alone])
    torch.testing.assert_close(together.solution.objective, expected, rtol=1e-5, atol=1e-8)


def test_interpolation_needs_no_iteration_and_says_so():
    source, target, z0 = two_sets()
    result = STRAIGHT(z0, [Witness(RBF(), source, target)] * 4, budgets(1, 1, 1, 1))
    assert result.solution.iterations.tolist() == [0, 0, 0, 0]
    assert result.solution.evaluations.tolist() == [0, 0, 0, 0]
    assert result.solution.converged == [True] * 4
