"""The witness against hand-computed values and the closed form of its gradient."""

from math import exp

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmt.errors import UserError
from dmt.traversal.kernels import RBF, Laplacian, Linear, Polynomial, RationalQuadratic
from dmt.traversal.witness import Witness

KERNELS = [RBF(), Laplacian("median"), RationalQuadratic(2.0), Linear(1.0), Polynomial(1.0)]

laws = settings(deadline=None, max_examples=20, derandomize=True)


def normal(n: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_values_by_hand():
    kernel = RBF(0.5)  # exp(-d^2)
    source, target, z = column(0, 2), column(1), column(0, 1)
    by_mean = [(1 + exp(-4)) / 2 - exp(-1), exp(-1) - 1]
    by_sum = [1 + exp(-4) - exp(-1), 2 * exp(-1) - 1]
    assert Witness(kernel, source, target)(z).tolist() == pytest.approx(by_mean)
    assert Witness(kernel, source, target, "sum")(z).tolist() == pytest.approx(by_sum)


@laws
@given(seed=st.integers(0, 10_000), n=st.integers(1, 8), m=st.integers(2, 8))
@pytest.mark.parametrize("weighting", ["mean", "sum"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_swapped_sets_flip_the_sign(kernel, weighting, seed, n, m):
    source, target, z = normal(n, 3, seed), 1 + normal(m, 3, seed + 1), normal(4, 3, seed + 2)
    there, back = Witness(kernel, source, target, weighting), Witness(kernel, target, source, weighting)
    torch.testing.assert_close(there(z), -back(z), rtol=1e-9, atol=1e-12)


@laws
@given(seed=st.integers(0, 10_000), copies=st.integers(2, 4))
@pytest.mark.parametrize("kernel", KERNELS)
def test_duplicates_of_a_whole_set_leave_the_mean_alone_and_multiply_the_sum(kernel, seed, copies):
    source, target, z = normal(5, 3, seed), 1 + normal(7, 3, seed + 1), normal(4, 3, seed + 2)
    kernel = kernel.fit(torch.cat([source, target]))
    many = source.repeat(copies, 1)
    torch.testing.assert_close(Witness(kernel, many, target)(z), Witness(kernel, source, target)(z))
    added = Witness(kernel, many, target, "sum")(z) - Witness(kernel, source, target, "sum")(z)
    torch.testing.assert_close(added, (copies - 1) * kernel(z, source).sum(dim=1))


def test_the_same_set_on_both_sides_gives_zero():
    points = normal(6, 3)
    assert Witness(RBF(), points, points)(normal(4, 3, seed=1)).tolist() == pytest.approx([0] * 4, abs=1e-15)


def test_it_is_positive_at_the_source_and_negative_at_the_target():
    source, target = normal(20, 3), 5 + normal(20, 3, seed=1)
    witness = Witness(RBF(), source, target)
    assert witness(source).min() > 0
    assert witness(target).max() < 0


def test_the_gradient_for_rbf_is_the_closed_form():
    sigma2 = 1.3
    source, target, z = normal(5, 3), normal(7, 3, seed=1), normal(4, 3, seed=2).requires_grad_()
    (found,) = torch.autograd.grad(Witness(RBF(sigma2), source, target)(z).sum(), z)
    for point, gradient in zip(z.detach(), found, strict=True):
        to_source, to_target = source - point, target - point
        k_source = torch.exp(-to_source.square().sum(1) / (2 * sigma2))
        k_target = torch.exp(-to_target.square().sum(1) / (2 * sigma2))
        pull = (k_source[:, None] * to_source).mean(0) - (k_target[:, None] * to_target).mean(0)
        torch.testing.assert_close(gradient, pull / sigma2)


def test_the_bandwidth_rule_looks_at_both_sets():
    source, target = column(0, 1), column(10)
    # squared distances 1, 81, 100: the median is 81
    assert Witness(RBF("median"), source, target).kernel.sigma2 == pytest.approx(81 / 2)


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0)])
def test_an_empty_set_is_a_user_error_with_both_counts(n, m):
    with pytest.raises(UserError, match=f"{n} and {m}"):
        Witness(RBF(), normal(n, 2), normal(m, 2))


def test_an_unknown_weighting_is_a_user_error():
    with pytest.raises(UserError, match=r"weighting.*median"):
        Witness(RBF(), normal(2, 2), normal(2, 2), "median")
