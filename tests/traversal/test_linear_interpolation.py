"""Deep Feature Interpolation against formulas, and traversal with a linear kernel, which is the same."""

from math import inf, nan

import pytest
import torch

from dmt.errors import UserError
from dmt.manifolds import Points
from dmt.solvers import LBFGS
from dmt.traversal.kernels import RBF, Linear
from dmt.traversal.walks import LinearInterpolation, Traversal, WitnessDescent
from dmt.traversal.witness import Witness, WitnessBatch

DESCENT = WitnessDescent(LBFGS(iterations=1000, tolerance=0.0, gradient_tolerance=1e-9))
STRAIGHT = LinearInterpolation()


def normal(n: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def two_sets(seed: int = 0, k: int = 6, apart: float = 1.0):
    """Source, target, and four points on the source's side."""
    return normal(30, k, seed), apart + normal(40, k, seed + 1), normal(4, k, seed + 2)


def lams(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def walked(walk, z0: torch.Tensor, witness: Witness, each: torch.Tensor) -> Traversal:
    """One point a thing, one witness for all."""
    return walk(Points.one_each(z0), WitnessBatch.of_one(witness, len(z0)), each)


@pytest.mark.parametrize("bandwidth", ["mean", "median", 0.4, 25.0])
@pytest.mark.parametrize("seed", [0, 10])
def test_traversal_with_a_linear_kernel_is_interpolation(bandwidth, seed):
    source, target, z0 = two_sets(seed)
    witness = Witness(Linear(bandwidth), source, target)
    each = lams(0.03, 0.3, 1.0, 20.0)
    descent, straight = (walked(walk, z0, witness, each) for walk in (DESCENT, STRAIGHT))
    torch.testing.assert_close(descent.delta, straight.delta, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(descent.witness_after, straight.witness_after, rtol=1e-4, atol=1e-4)
    assert all(descent.solution.converged)


def test_the_default_length_is_one_over_two_lambda():
    source, target, z0 = two_sets()
    each = lams(0.05, 0.5, 2.0, inf)
    result = walked(STRAIGHT, z0, Witness(RBF(), source, target), each)
    difference = target.mean(0) - source.mean(0)
    for row, alpha in enumerate((10, 1, 0.25, 0)):
        torch.testing.assert_close(result.z[row], z0[row] + alpha * difference)


@pytest.mark.parametrize("alpha", [0, 0.4, 1, -2.5])
def test_a_length_that_is_given_does_not_depend_on_lambda(alpha):
    source, target, z0 = two_sets()
    result = walked(LinearInterpolation(alpha), z0, Witness(RBF(), source, target), lams(0.1, 1, 10, inf))
    expected = alpha * (target.mean(0) - source.mean(0))
    torch.testing.assert_close(result.delta, expected.expand_as(z0))
    assert result.lam.tolist() == [0.1, 1, 10, inf]


@pytest.mark.parametrize("alpha", [inf, nan, "1", True, [1]])
def test_a_length_that_is_no_number_is_an_error_that_names_it(alpha):
    with pytest.raises(UserError, match=r"^alpha must be a number, or null"):
        LinearInterpolation(alpha)


def test_the_length_of_each_thing_is_the_one_given_or_one_over_two_lambda():
    each = lams(0.1, 2.0, inf)
    assert LinearInterpolation(0.4).length(each).tolist() == [0.4, 0.4, 0.4]
    assert STRAIGHT.length(each).tolist() == [5, 0.25, 0]


@pytest.mark.parametrize("walk", [STRAIGHT, DESCENT])
@pytest.mark.parametrize("kernel", [RBF(), Linear()])
def test_an_infinite_lambda_leaves_its_own_point_and_no_other(walk, kernel):
    source, target, z0 = two_sets()
    result = walked(walk, z0, Witness(kernel, source, target), lams(inf, 0.5, inf, 0.5))
    assert torch.equal(result.z[[0, 2]], z0[[0, 2]])
    assert result.length[[1, 3]].min() > 0.1
    torch.testing.assert_close(result.witness_after[[0, 2]], result.witness_before[[0, 2]])


@pytest.mark.parametrize("walk", [STRAIGHT, DESCENT])
def test_every_point_has_its_own_lambda(walk):
    source, target, z0 = two_sets()
    witness = Witness(RBF(6.0), source, target)
    each = lams(0.1, 1.0, 0.3, 10.0)
    together = walked(walk, z0, witness, each)
    for row in range(4):
        alone = walked(walk, z0[row : row + 1], witness, each[row : row + 1])
        torch.testing.assert_close(together.delta[row], alone.delta[0], rtol=1e-5, atol=1e-8)


def mixed(walk) -> tuple[Traversal, list[Traversal]]:
    """Four points with three witnesses, together and alone."""
    source, target, z0 = two_sets()
    near, far, back = (
        Witness(RBF(6.0), source, target),
        Witness(RBF(6.0), source, target + 2),
        Witness(RBF(3.0), target, source),
    )
    witnesses = WitnessBatch([near, far, back], torch.tensor([1, 0, 2, 0]))
    each = lams(0.2, 0.5, 1.0, 2.0)
    own = [far, near, back, near]
    alone = [walked(walk, z0[i : i + 1], own[i], each[i : i + 1]) for i in range(4)]
    return walk(Points.one_each(z0), witnesses, each), alone


@pytest.mark.parametrize("walk", [STRAIGHT, DESCENT])
def test_images_with_witnesses_of_their_own_go_where_they_go_alone(walk):
    together, alone = mixed(walk)
    torch.testing.assert_close(together.start.z, torch.cat([part.start.z for part in alone]))
    for name in ("delta", "lam", "before", "after", "witness_before", "witness_after"):
        expected = torch.cat([getattr(part, name) for part in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(together.solution.value, together.delta)
    assert together.solution.reasons == [part.solution.reasons[0] for part in alone]
    expected = torch.cat([part.solution.objective for part in alone])
    torch.testing.assert_close(together.solution.objective, expected, rtol=1e-5, atol=1e-8)


def test_interpolation_needs_no_iteration_and_says_so():
    source, target, z0 = two_sets()
    result = walked(STRAIGHT, z0, Witness(RBF(), source, target), lams(1, 1, 1, 1))
    assert result.solution.iterations.tolist() == [0, 0, 0, 0]
    assert result.solution.evaluations.tolist() == [0, 0, 0, 0]
    assert result.solution.converged == [True] * 4


@pytest.mark.parametrize("walk", [STRAIGHT, DESCENT])
def test_how_far_it_goes_is_said_by_lambda_unless_a_length_is_given(walk):
    assert walk.describe("lambda' 0.3") == "lambda' 0.3"
    assert LinearInterpolation(0.5).describe("lambda' 0.3") == "alpha 0.5"
