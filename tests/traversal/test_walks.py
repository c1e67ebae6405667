"""Traversal against its stationarity equation, its closed form for a linear kernel, and SciPy."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, nan

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from dmt.errors import UserError
from dmt.manifolds import Points
from dmt.solvers import LBFGS, Solution
from dmt.traversal.kernels import RBF, Laplacian, Linear, Polynomial, RationalQuadratic
from dmt.traversal.walks import (
    MANY,
    Limits,
    LinearInterpolation,
    Traversal,
    Walk,
    WitnessDescent,
    check_lambda,
    lambda_path,
    walked,
)
from dmt.traversal.witness import Witness, WitnessBatch

EXACT = LBFGS(iterations=1000, tolerance=0.0, gradient_tolerance=1e-7)
CONFIGURED = LBFGS(iterations=200, history=5, tolerance=1e-6)  # conf/solver/lbfgs.yaml

laws = settings(deadline=None, max_examples=15, derandomize=True)


def normal(n: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def descend(z0: torch.Tensor, witness: Witness, lam: float, solver: LBFGS) -> Traversal:
    """One witness and one lambda for all points, each of a thing of its own."""
    lams = torch.full((len(z0),), lam, dtype=torch.float64)
    return WitnessDescent(solver)(Points.one_each(z0), WitnessBatch.of_one(witness, len(z0)), lams)


def two_sets(seed: int = 0, k: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Source and target, one standard deviation apart in every coordinate, and four points on the source's side."""
    return normal(30, k, seed), 1 + normal(40, k, seed + 1), normal(4, k, seed + 2)


@laws
@given(seed=st.integers(0, 1000), lam=st.sampled_from([0.05, 0.15, 0.3, 1.0, 10.0]))
def test_the_solution_fulfils_the_stationarity_equation(seed, lam):
    source, target, z0 = two_sets(seed)
    sigma2 = 4.0
    result = descend(z0, Witness(RBF(sigma2), source, target), lam, EXACT)
    assert all(result.solution.converged)
    for z, delta in zip(result.z, result.delta, strict=True):
        k_source = torch.exp(-(source - z).square().sum(1) / (2 * sigma2))
        k_target = torch.exp(-(target - z).square().sum(1) / (2 * sigma2))
        m_source, m_target = k_source @ source / k_source.sum(), k_target @ target / k_target.sum()
        pull = k_target.mean() * m_target - k_source.mean() * m_source - (k_target.mean() - k_source.mean()) * z
        torch.testing.assert_close(delta, pull / lam, rtol=0, atol=1e-6 * float(delta.norm()))


@pytest.mark.parametrize("lam", [0.03, 0.5, 20.0])
@pytest.mark.parametrize("weighting", ["mean", "sum"])
def test_a_linear_kernel_moves_along_the_difference_of_the_means(lam, weighting):
    source, target, z0 = two_sets()
    result = descend(z0, Witness(Linear(2.5), source, target, weighting), lam, EXACT)
    reduce = torch.mean if weighting == "mean" else torch.sum
    expected = (reduce(target, 0) - reduce(source, 0)) / (2 * lam)
    torch.testing.assert_close(result.delta, expected.expand_as(z0), rtol=1e-7, atol=0)


@pytest.mark.parametrize("kernel", [RBF(), Laplacian(), RationalQuadratic(), Linear(), Polynomial()])
def test_an_infinite_lambda_leaves_every_point_where_it_was(kernel):
    source, target, z0 = two_sets()
    result = descend(z0, Witness(kernel, source, target), inf, EXACT)
    assert torch.equal(result.z, z0)
    assert result.solution.iterations.tolist() == [0, 0, 0, 0]
    assert all(result.solution.converged)
    torch.testing.assert_close(result.solution.objective, result.witness_before)


@pytest.mark.parametrize("kernel", [RBF(), Laplacian(), RationalQuadratic(), Linear(), Polynomial()])
def test_a_huge_lambda_moves_next_to_nothing(kernel):
    source, target, z0 = two_sets()
    result = descend(z0, Witness(kernel, source, target), 1e9, LBFGS())
    assert result.length.max() < 1e-6 * z0.norm(dim=1).min()
    assert result.length.min() > 0


@pytest.mark.parametrize("kernel", [RBF(), Laplacian(), RationalQuadratic(), Linear(), Polynomial()])
def test_a_batch_equals_one_at_a_time(kernel):
    source, target, z0 = two_sets()
    witness = Witness(kernel, source, target)
    batch = descend(z0, witness, 0.5, EXACT)
    for row, point in enumerate(z0):
        alone = descend(point[None], witness, 0.5, EXACT)
        torch.testing.assert_close(batch.delta[row], alone.delta[0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("lam", [0.1, 0.3, 1.0])
def test_the_objective_is_no_worse_than_that_of_scipy(lam):
    source, target, z0 = (points.numpy() for points in two_sets())
    sigma2 = 4.0

    def objective(delta: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray]:
        to_source, to_target = source - z - delta, target - z - delta
        k_source = np.exp(-(to_source**2).sum(1) / (2 * sigma2)) / len(source)
        k_target = np.exp(-(to_target**2).sum(1) / (2 * sigma2)) / len(target)
        weight = lam / (2 * sigma2)
        gradient = (k_source @ to_source - k_target @ to_target) / sigma2 + 2 * weight * delta
        return k_source.sum() - k_target.sum() + weight * delta @ delta, gradient

    witness = Witness(RBF(sigma2), *(torch.from_numpy(points) for points in (source, target)))
    result = descend(torch.from_numpy(z0), witness, lam, EXACT)
    for row, z in enumerate(z0):
        options = {"gtol": 1e-10, "ftol": 1e-15}
        theirs = minimize(objective, np.zeros_like(z), (z,), "L-BFGS-B", jac=True, options=options)
        ours = objective(result.delta[row].numpy(), z)[0]
        assert ours <= theirs.fun + 1e-9
        assert float(result.solution.objective[row]) == pytest.approx(ours, abs=1e-12)


def decaying_sets(seed: int, k: int = 24) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Source, target and five points of the source whose variances fall as those of faces do."""
    scales = torch.arange(1, k + 1, dtype=torch.float64) ** -0.4
    shift = 0.5 * normal(1, k, seed + 3)
    return scales * normal(60, k, seed), scales * (shift + normal(80, k, seed + 1)), scales * normal(5, k, seed + 2)


@laws
@given(seed=st.integers(0, 1000), lam=st.sampled_from([0.03, 0.1, 0.3, 1.0]))
@pytest.mark.parametrize("kernel", [RBF(), Laplacian(), RationalQuadratic()])
def test_the_solver_as_configured_gets_as_low_as_a_descent_to_a_tolerance_of_1e10(kernel, seed, lam):
    """Plain gradients by autograd, steps in units of z, to the end: the way it was done before."""
    source, target, z0 = decaying_sets(seed)
    witness = Witness(kernel, source, target)
    weight = lam / (2 * witness.kernel.sigma2)

    def objective(delta: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        delta = delta.detach().requires_grad_()
        to_source, to_target = (witness.kernel(z0[rows] + delta, side).mean(dim=1) for side in (source, target))
        values = to_source - to_target + weight * delta.square().sum(dim=1)
        return values.detach(), torch.autograd.grad(values.sum(), delta)[0]

    plain = LBFGS(iterations=1000, tolerance=1e-10, gradient_tolerance=1e-10)
    expected = plain.minimise(objective, torch.zeros_like(z0)).objective
    result = descend(z0, witness, lam, CONFIGURED)
    assert all(result.solution.converged)
    assert (result.solution.objective <= expected + 1e-9 * expected.abs()).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("lam", [0.03, 0.3, 3.0])
def test_few_evaluations_are_enough_whatever_the_unit(lam, scale):
    source, target, z0 = (scale * points for points in decaying_sets(0))
    solution = descend(z0, Witness(RBF(), source, target), lam, CONFIGURED).solution
    assert solution.evaluations.max() <= 20


@pytest.mark.parametrize("lam", [0.05, 0.3])
def test_what_is_left_of_the_gradient_lies_along_the_directions_that_are_kept(lam):
    source, target, z0 = decaying_sets(1)
    kept = torch.linalg.qr(normal(z0.shape[1], 3, seed=9)).Q.T
    sigma2 = 4.0
    result = descend(z0, Witness(RBF(sigma2), source, target, kept=kept), lam, EXACT)
    torch.testing.assert_close(result.delta @ kept.T, torch.zeros(5, 3).double(), rtol=0, atol=1e-12)
    for z, delta in zip(result.z, result.delta, strict=True):
        pulls = [
            torch.exp(-(side - z).square().sum(1) / (2 * sigma2)) @ (side - z) / len(side) for side in (source, target)
        ]
        gradient = (pulls[0] - pulls[1] + lam * delta) / sigma2
        assert (gradient - (gradient @ kept.T) @ kept).norm() < 1e-6 * delta.norm()
        assert (gradient @ kept.T).norm() > 1e-3 * delta.norm()


@pytest.mark.parametrize("n_points", [MANY - 1, MANY])
def test_only_many_points_go_to_a_gpu_and_what_became_of_them_comes_back(n_points, monkeypatch):
    """The GPU is played by the processor."""
    moves: list[str] = []

    def to(kind: type) -> Callable[..., object]:
        original = kind.to

        def moved(one: object, device: torch.device | str) -> object:
            if not isinstance(device, torch.device | str):
                return original(one, device)
            moves.append(f"{kind.__name__} to {torch.device(device).type}")
            return one

        return moved

    for kind in (Points, WitnessBatch, Traversal):
        monkeypatch.setattr(kind, "to", to(kind))
    monkeypatch.setattr(torch.Tensor, "to", to(torch.Tensor))
    source, target, _ = two_sets()
    start = Points(normal(n_points, 6, 5), torch.arange(n_points) // 20, -(-n_points // 20))
    witnesses = WitnessBatch.of_one(Witness(RBF(4.0), source, target), start.n_things)
    lam = torch.full((start.n_things,), 0.5, dtype=torch.float64)
    found = walked(WitnessDescent(CONFIGURED), start, witnesses, lam, torch.device("cuda"))
    there = ["Points to cuda", "WitnessBatch to cuda", "Tensor to cuda"]
    assert moves == ([*there, "Traversal to cpu"] if n_points == MANY else [])
    assert found.delta.shape == (n_points, 6)


def test_a_walk_that_was_moved_says_the_same():
    source, target, z0 = two_sets()
    kept = torch.eye(6, dtype=torch.float64)[:1]
    given = WitnessBatch.of_one(Witness(RBF(4.0), source, target, "sum", kept, unit=0.3), 2)
    start = Points(z0, torch.tensor([0, 0, 0, 1]), 2)
    lam = torch.tensor([0.5, 1.0], dtype=torch.float64)
    expected = WitnessDescent(EXACT)(start, given, lam)
    found = WitnessDescent(EXACT)(start.to("cpu"), given.to("cpu"), lam).to("cpu")
    torch.testing.assert_close(found.delta, expected.delta)
    for name in ("witness_before", "witness_after", "length", "shrinkage", "iterations"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))
    assert found.converged == expected.converged == [True, True]
    torch.testing.assert_close(found.solution.objective, expected.solution.objective)


def test_all_of_a_walk_and_of_its_witnesses_is_moved():
    """To a device without memory, which every machine has."""
    source, target, z0 = two_sets()
    witness = Witness(RBF(4.0), source, target, kept=torch.eye(6, dtype=torch.float64)[:1])
    walk = descend(z0, witness, 0.5, CONFIGURED).to("meta")
    moved = witness.to("meta")
    tensors = [walk.start.z, walk.start.owner, walk.delta, walk.lam, walk.before, walk.after]
    tensors += [walk.solution.value, walk.solution.objective, moved.source, moved.target, moved.kept]
    tensors += [moved(z0.to("meta")), WitnessBatch.of_one(witness, 2).to("meta").index]
    assert [tensor.device.type for tensor in tensors] == ["meta"] * len(tensors)


def test_a_path_of_lambdas_is_what_each_gives_alone():
    source, target, z0 = decaying_sets(2)
    start = Points.one_each(z0)
    sides = [Witness(RBF(), source, target), Witness(RBF(), source[:20], target)]
    witnesses = WitnessBatch(sides, torch.tensor([0, 0, 0, 1, 1]))
    lams = torch.tensor([[0.5], [0.1], [0.03], [inf]]).double() * torch.linspace(1, 2, 5).double()
    walk = WitnessDescent(EXACT)
    path = lambda_path(start, witnesses, lams, walk)
    assert len(path) == 4
    for delta, each in zip(path, lams, strict=True):
        torch.testing.assert_close(delta, walk(start, witnesses, each).delta, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("first", [None, 0.1])
def test_within_limits_a_linear_kernel_moves_each_coordinate_by_its_price_as_far_as_it_may(first):
    # <m, d> / 2 sigma^2 falls, lambda' sum (price d)^2 / 2 sigma^2 grows: d = m / (2 lambda' price^2), clamped
    source, target, z0 = two_sets()
    price = torch.linspace(0.5, 2, 6).double().expand(4, 6)
    lower, upper = -normal(4, 6, seed=8).abs(), normal(4, 6, seed=9).abs()
    limits = Limits(lower, upper, price, None if first is None else torch.full_like(z0, first).clamp(lower, upper))
    witnesses, lams = WitnessBatch.of_one(Witness(Linear(2.5), source, target), 4), torch.full((4,), 0.4).double()
    found = WitnessDescent(EXACT, limits=limits)(Points.one_each(z0), witnesses, lams)
    expected = ((target.mean(0) - source.mean(0)) / (2 * 0.4 * price.square())).clamp(lower, upper)
    torch.testing.assert_close(found.delta, expected, rtol=1e-5, atol=1e-7)


def test_a_smaller_lambda_goes_further_and_deeper():
    source, target, z0 = two_sets()
    witness = Witness(RBF(), source, target)
    results = [descend(z0, witness, lam, EXACT) for lam in (10.0, 1.0, 0.3, 0.1, 0.03)]
    for stricter, freer in pairwise(results):
        assert (freer.length > stricter.length).all()
        assert (freer.witness_after < stricter.witness_after).all()


@laws
@given(seed=st.integers(0, 1000), factor=st.sampled_from([1e-3, 0.5, 20.0]))
def test_lambda_means_the_same_whatever_the_unit_and_the_origin_of_the_points(seed, factor):
    source, target, z0 = two_sets(seed)
    shift = 3 * normal(1, z0.shape[1], seed + 7)
    first = descend(z0, Witness(RBF(), source, target), 0.5, EXACT)
    moved = [factor * points + shift for points in (z0, source, target)]
    second = descend(moved[0], Witness(RBF(), *moved[1:]), 0.5, EXACT)
    torch.testing.assert_close(
        second.delta, factor * first.delta, rtol=0, atol=1e-5 * float(factor * first.length.max())
    )


def test_the_result_reports_the_witness_at_both_ends():
    source, target, z0 = two_sets()
    witness = Witness(RBF(4.0), source, target)
    result = descend(z0, witness, 0.2, EXACT)
    torch.testing.assert_close(result.witness_before, witness(z0))
    torch.testing.assert_close(result.witness_after, witness(z0 + result.delta))
    paid = 0.2 / (2 * 4.0) * result.length**2
    assert (result.witness_after + paid < result.witness_before).all()


def test_length_and_shrinkage_by_hand():
    z0, delta = torch.tensor([[2.0, 0.0], [3.0, 4.0], [0.0, 0.0]]), torch.tensor([[-1.0, 5.0], [3.0, 4.0], [3.0, 4.0]])
    zeros = torch.zeros(3)
    solution = Solution(delta, zeros, zeros.long(), zeros.long(), ["converged"] * 3)
    result = Traversal(Points.one_each(z0), delta, zeros + 0.3, zeros, zeros, solution)
    assert result.z.tolist() == [[1, 5], [6, 8], [3, 4]]
    assert result.length.tolist() == pytest.approx([26**0.5, 5, 5])
    assert result.shrinkage.tolist() == pytest.approx([0.5, -1, 0])


def test_a_witness_that_falls_without_bound_is_reported_as_not_converged():
    source, target = -torch.ones(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    witness = Witness(Polynomial(0.5, degree=3, offset=0.0), source, target)  # -2 z^3
    result = descend(torch.ones_like(source), witness, 0.1, LBFGS())
    assert result.solution.converged == [False]


@pytest.mark.parametrize("value", [0, -1, -0.5, nan, -inf, "0.3", "large", None, True, False, [0.3]])
def test_a_lambda_that_is_no_number_above_zero_is_a_user_error_that_names_it(value):
    with pytest.raises(UserError, match="lambda must be a number above 0"):
        check_lambda(value)


@pytest.mark.parametrize(("value", "remedy"), [("Infinity", "infinity is .inf in a YAML file"), (-1, "smaller edits")])
def test_the_remedy_is_for_what_was_given(value, remedy):
    with pytest.raises(UserError, match=remedy):
        check_lambda(value)


@pytest.mark.parametrize("value", [1, 0.3, 1e-300, inf, np.float64(0.3)])
def test_a_number_above_zero_is_returned_as_a_float(value):
    assert check_lambda(value) == value
    assert type(check_lambda(value)) is float


# Things of several points


@dataclass(frozen=True)
class Things:
    """Things of several points with witnesses of their own, one of them infinitely dear to move."""

    start: Points
    witnesses: WitnessBatch
    lams: torch.Tensor

    def alone(self, walk: Walk, point: int) -> Traversal:
        """One point moved by itself, with the witness and lambda of its thing."""
        thing = int(self.start.owner[point])
        witness = self.witnesses.distinct[int(self.witnesses.index[thing])]
        return walk(
            Points.one_each(self.start.z[point : point + 1]),
            WitnessBatch.of_one(witness, 1),
            self.lams[thing : thing + 1],
        )


def things(counts: list[int], seed: int = 0, infinite: bool = True) -> Things:
    """As many things as counts, each of so many points; the first is never to move if ``infinite``."""
    source, target, _ = two_sets(seed)
    kept = torch.linalg.qr(normal(6, 2, seed + 3)).Q.T
    distinct = [Witness(RBF(6.0), source, target, kept=kept), Witness(RBF(3.0), target, source)]
    owner = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    lams = torch.linspace(0.2, 2, len(counts)).double()
    if infinite:
        lams[0] = inf
    index = torch.arange(len(counts)) % 2
    return Things(Points(normal(len(owner), 6, seed + 4), owner, len(counts)), WitnessBatch(distinct, index), lams)


WALKS = [WitnessDescent(EXACT), LinearInterpolation(), LinearInterpolation(-0.4)]


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("counts", [[3, 1, 2], [1, 1, 4, 2, 1]])
def test_points_of_one_thing_go_where_each_goes_by_itself_with_the_things_witness_and_lambda(walk, counts):
    given_things = things(counts)
    together = walk(given_things.start, given_things.witnesses, given_things.lams)
    alone = [given_things.alone(walk, point) for point in range(sum(counts))]
    assert together.delta.shape == (sum(counts), 6)
    for name in ("z", "delta", "before", "after"):
        expected = torch.cat([getattr(part, name) for part in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-5, atol=1e-8)
    expected = torch.cat([part.solution.objective for part in alone])
    torch.testing.assert_close(together.solution.objective, expected, rtol=1e-5, atol=1e-8)
    assert together.solution.reasons == [part.solution.reasons[0] for part in alone]
    assert torch.equal(together.lam, given_things.lams)


@pytest.mark.parametrize("walk", WALKS[:2])
def test_a_thing_whose_lambda_is_infinite_stays_with_all_of_its_points_and_no_other_does(walk):
    given_things = things([3, 1, 2])
    result = walk(given_things.start, given_things.witnesses, given_things.lams)
    assert torch.equal(result.z[:3], given_things.start.z[:3])
    assert result.delta[3:].norm(dim=1).min() > 0.01
    assert result.length[0] == 0
    assert result.iterations[0] == 0
    torch.testing.assert_close(result.witness_after[0], result.witness_before[0])


@laws
@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=5), seed=st.integers(0, 1000))
def test_what_a_traversal_says_of_a_thing_is_what_a_loop_over_its_points_says(counts, seed):
    rng = np.random.default_rng(seed)
    n = sum(counts)
    z, delta = rng.normal(size=(2, n, 3))
    before, after = rng.normal(size=(2, n))
    iterations, reasons = rng.integers(0, 20, n), rng.choice(["converged", "200 iterations"], n, p=[0.8, 0.2]).tolist()
    owner = np.repeat(np.arange(len(counts)), counts)
    solution = Solution(
        torch.from_numpy(delta), torch.from_numpy(after), torch.from_numpy(iterations), torch.zeros(n).long(), reasons
    )
    result = Traversal(
        Points(torch.from_numpy(z), torch.from_numpy(owner), len(counts)),
        torch.from_numpy(delta),
        torch.ones(len(counts)).double(),
        torch.from_numpy(before),
        torch.from_numpy(after),
        solution,
    )
    own = [[point for point in range(n) if owner[point] == thing] for thing in range(len(counts))]
    lengths = [np.linalg.norm(delta[mine]) for mine in own]
    shares = [-np.vdot(delta[mine], z[mine]) / np.linalg.norm(z[mine]) ** 2 for mine in own]
    np.testing.assert_allclose(result.length, lengths, rtol=1e-12)
    np.testing.assert_allclose(result.shrinkage, shares, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.witness_before, [before[mine].mean() for mine in own], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.witness_after, [after[mine].mean() for mine in own], rtol=1e-9, atol=1e-12)
    assert result.converged == [all(reasons[point] == "converged" for point in mine) for mine in own]
    assert result.iterations.tolist() == [max(iterations[mine]) for mine in own]
    np.testing.assert_allclose(result.z, z + delta)


def test_what_a_traversal_says_of_two_things_by_hand():
    z = torch.tensor([[3.0, 4.0], [0.0, 5.0], [1.0, 0.0]])
    delta = torch.tensor([[3.0, 0.0], [0.0, -4.0], [-1.0, 0.0]])
    counts = torch.tensor([7, 2, 4])
    solution = Solution(delta, torch.zeros(3), counts, counts, ["converged", "200 iterations", "converged"])
    start = Points(z, torch.tensor([0, 0, 1]), 2)
    result = Traversal(
        start, delta, torch.tensor([0.3, 1.0]), torch.tensor([2.0, 4.0, 7.0]), torch.tensor([1.0, -3.0, 5.0]), solution
    )
    assert result.length.tolist() == [5, 1]
    assert result.shrinkage.tolist() == pytest.approx([(20 - 9) / 50, 1])
    assert result.witness_before.tolist() == [3, 7]
    assert result.witness_after.tolist() == [-1, 5]
    assert result.converged == [False, True]
    assert result.iterations.tolist() == [7, 4]


@pytest.mark.parametrize("walk", WALKS[:2])
def test_a_path_of_lambdas_of_things_of_several_points_is_what_each_lambda_gives_alone(walk):
    given_things = things([3, 1, 2], infinite=False)
    lams = torch.tensor([[inf, 2.0, 0.5], [0.3, inf, 0.2]]).double()
    path = lambda_path(given_things.start, given_things.witnesses, lams, walk)
    assert [delta.shape for delta in path] == [(6, 6), (6, 6)]
    for delta, each in zip(path, lams, strict=True):
        expected = torch.cat([replace(given_things, lams=each).alone(walk, point).delta for point in range(6)])
        torch.testing.assert_close(delta, expected, rtol=1e-5, atol=1e-8)
    assert not path[0][:3].any()
    assert not path[1][3].any()


@pytest.mark.parametrize("lam", [0.3, 2.0, inf])
def test_within_limits_a_linear_witness_is_minimised_coordinate_by_coordinate(lam):
    z0, source, target = two_sets()
    n, k = z0.shape
    rng = np.random.default_rng(1)
    price = torch.from_numpy(rng.uniform(0.5, 2.0, (n, k)))
    lower, upper = -torch.from_numpy(rng.uniform(0, 1, (n, k))), torch.from_numpy(rng.uniform(0, 1, (n, k)))
    lower[:, 0] = upper[:, 0] = 0
    witness = Witness(Linear(), source, target)
    walk = WitnessDescent(LBFGS(200, tolerance=1e-10), limits=Limits(lower, upper, price))
    lams = torch.full((n,), lam, dtype=torch.float64)
    found = walk(Points.one_each(z0), WitnessBatch.of_one(witness, n), lams)
    # of slope . delta + lam sum (price delta)^2, all divided by 2 sigma^2
    slope = source.mean(dim=0) - target.mean(dim=0)
    expected = torch.zeros_like(z0) if lam == inf else (-slope / (2 * lam * price**2)).clamp(lower, upper)
    torch.testing.assert_close(found.delta, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.after, witness(z0 + found.delta), rtol=1e-8, atol=1e-8)


def test_limits_that_nothing_reaches_change_nothing():
    z0, source, target = two_sets()
    witnesses = WitnessBatch.of_one(Witness(RBF(), source, target), len(z0))
    far = torch.full_like(z0, 100.0)
    lams = torch.full((len(z0),), 0.3, dtype=torch.float64)
    solver = LBFGS(300, tolerance=1e-12)
    free = WitnessDescent(solver)(Points.one_each(z0), witnesses, lams)
    held = WitnessDescent(solver, limits=Limits(-far, far, torch.ones_like(z0)))(Points.one_each(z0), witnesses, lams)
    torch.testing.assert_close(held.delta, free.delta, rtol=1e-4, atol=1e-5)
