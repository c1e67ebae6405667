"""The witness against hand-computed values and the closed form of its gradient."""

from math import exp

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmt.errors import UserError
from dmt.manifolds import Points
from dmt.traversal.kernels import RBF, Laplacian, Linear, Polynomial, RationalQuadratic
from dmt.traversal.witness import Witness, WitnessBatch

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


# The witnesses of a batch


def three_witnesses() -> list[Witness]:
    """Of different sets and kernels; one keeps a direction."""
    source, target = normal(9, 3), 1 + normal(8, 3, seed=1)
    kept = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    return [
        Witness(RBF(2.0), source, target),
        Witness(Laplacian(1.0), target, source),
        Witness(RBF(0.5), source[:4], target, kept=kept),
    ]


@pytest.mark.parametrize("index", [[0, 1, 2, 1, 0], [2, 2, 2], [1, 0]])
def test_each_point_of_a_batch_has_its_own_witness(index):
    witnesses, z = three_witnesses(), normal(len(index), 3, seed=5)
    batch = WitnessBatch(witnesses, torch.tensor(index))
    values, gradients = batch.allowed_gradients(z)
    assert len(batch) == len(index)
    for row, which in enumerate(index):
        point = z[row : row + 1].clone().requires_grad_()
        value = witnesses[which](point)
        (gradient,) = torch.autograd.grad(value.sum(), point)
        if which == 2:
            gradient[:, 1] = 0
        torch.testing.assert_close(values[row], value[0].detach())
        torch.testing.assert_close(gradients[row], gradient[0])
    torch.testing.assert_close(batch.values(z), values)


def test_a_batch_tells_who_shares_a_witness_and_leaves_out_what_nobody_has():
    witnesses = three_witnesses()
    shared = list(WitnessBatch(witnesses, torch.tensor([2, 0, 2, 2])).shared())
    assert [(witness, rows.tolist()) for witness, rows in shared] == [(witnesses[0], [1]), (witnesses[2], [0, 2, 3])]


def test_a_part_of_a_batch_has_the_witnesses_of_its_rows():
    witnesses = three_witnesses()
    part = WitnessBatch(witnesses, torch.tensor([2, 0, 1]))[torch.tensor([2, 2, 0])]
    assert [part.distinct[i] for i in part.index.tolist()] == [witnesses[1], witnesses[1], witnesses[2]]
    one = WitnessBatch.of_one(witnesses[1], 4)
    assert len(one) == 4
    assert [(witness, rows.tolist()) for witness, rows in one.shared()] == [(witnesses[1], [0, 1, 2, 3])]


# Pictures of many points


def crowd(counts: list[int], seed: int = 0, shift: float = 0.0) -> Points:
    """Pictures that have as many points each."""
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return Points(shift + normal(len(owner), 3, seed), owner, len(counts))


@pytest.mark.parametrize("weighting", ["mean", "sum"])
@pytest.mark.parametrize("kernel", [RBF(3.0), Laplacian(3.0), RationalQuadratic(3.0), Linear(3.0), Polynomial(3.0)])
def test_each_picture_is_left_out_of_the_values_of_all_of_its_points(kernel, weighting):
    source, target = crowd([2, 5, 1]), crowd([3, 1, 4, 2], seed=1, shift=1.0)
    expected = []
    for picture in range(4):
        is_own = target.owner == picture
        others = Witness(kernel, source.z, target.z[~is_own], weighting)
        expected.append(others(target.z[is_own]).mean())
    found = Witness(kernel, source, target, weighting).at_target()
    torch.testing.assert_close(found, torch.stack(expected))


@pytest.mark.parametrize("weighting", ["mean", "sum"])
def test_whose_points_are_whose_is_no_matter_to_the_values_themselves(weighting):
    source, target, z = crowd([2, 5, 1]), crowd([3, 1, 4, 2], seed=1, shift=1.0), normal(6, 3, seed=2)
    owned, plain = Witness(RBF(), source, target, weighting), Witness(RBF(), source.z, target.z, weighting)
    assert owned(z).equal(plain(z))
    assert owned.members.source is source
    assert plain.members.target.owner.tolist() == list(range(10))


def test_of_two_targets_each_is_seen_by_the_other_alone():
    found = Witness(RBF(0.5), column(0), column(1, 3)).at_target()  # exp(-d^2)
    assert found.tolist() == pytest.approx([exp(-1) - exp(-4), exp(-9) - exp(-4)])


def test_many_points_of_one_picture_are_no_typical_target():
    with pytest.raises(UserError, match="at least two"):
        Witness(RBF(1.0), crowd([2, 2]), crowd([5])).at_target()


def test_pictures_are_counted_on_both_sides_not_points():
    with pytest.raises(UserError, match="needs images on both sides, got 2 and 0"):
        Witness(RBF(1.0), crowd([3, 3]), Points(normal(0, 3), torch.zeros(0, dtype=torch.long), 0))


@pytest.mark.parametrize("unit", [1.0, 0.3, 2.0])
def test_lambda_is_multiplied_by_the_unit(unit):
    witness = Witness(RBF(2.0), normal(4, 3), 1 + normal(4, 3, seed=1), unit=unit)
    lams = torch.tensor([0.5, 2.0, float("inf")], dtype=torch.float64)
    assert witness.lambda_weight(lams).tolist() == pytest.approx([unit * 0.5 / 4, unit * 2 / 4, float("inf")])
