"""How far points lie from the data, against scikit-learn; and walks that are kept within."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from dmt.errors import UserError
from dmt.manifolds import Points
from dmt.manifolds.representation import Members
from dmt.solvers import LBFGS
from dmt.traversal.cloud import Cloud
from dmt.traversal.kernels import RBF
from dmt.traversal.walks import WitnessDescent
from dmt.traversal.witness import Witness, WitnessBatch

EXACT = LBFGS(iterations=1000, tolerance=0.0, gradient_tolerance=1e-7)


def normal(n: int, k: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SOURCE, TARGET = normal(40), normal(50, seed=1) + 4


def test_farness_is_the_nearest_distance_in_units_of_the_datas_own():
    points = torch.cat([SOURCE, TARGET]).numpy()
    search = NearestNeighbors(n_neighbors=2).fit(points)
    unit = np.median(search.kneighbors(points)[0][:, 1])
    z = 3 * normal(7, seed=2)
    expected = search.kneighbors(z.numpy())[0][:, 0] / unit
    cloud = Witness(RBF(), SOURCE, TARGET).cloud
    np.testing.assert_allclose(cloud.farness(z).numpy(), expected, rtol=1e-9)
    assert cloud.farness(SOURCE[:1]).item() == pytest.approx(0, abs=1e-9)


def test_of_pictures_with_many_points_the_unit_leaves_their_own_out():
    """Twice the same picture, each with points close together: the nearest of the other is as far as they are."""
    source = Points(torch.tensor([[0.0], [0.1], [5.0], [5.1]]).double(), torch.tensor([0, 0, 1, 1]), 2)
    target = Points(torch.tensor([[20.0], [20.1]]).double(), torch.tensor([0, 0]), 1)
    assert Cloud.of(Members(source, target)).unit == pytest.approx(5.0, rel=1e-6)


def test_far_from_0_distances_keep_their_digits():
    shift = 1e6
    here, there = (Cloud.of(Members(*map(Points.one_each, sides))) for sides in
                   ((SOURCE, TARGET), (SOURCE + shift, TARGET + shift)))  # fmt: skip
    torch.testing.assert_close(there.farness(normal(5) + shift), here.farness(normal(5)), rtol=1e-6, atol=1e-6)


def test_what_lies_beyond_has_the_gradient_of_its_value():
    cloud = Witness(RBF(), SOURCE, TARGET).cloud
    z, within = (5 * normal(6, seed=3)).requires_grad_(), torch.full((6,), 1.2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: _Excess.apply(z, cloud, within), (z,))
    values, gradients = cloud.excess(SOURCE, within[:1].expand(40))
    assert not values.any()
    assert not gradients.any()


class _Excess(torch.autograd.Function):
    """The closed form, so that ``gradcheck`` can look at it."""

    @staticmethod
    def forward(ctx, z, cloud, within):
        values, gradients = cloud.excess(z.detach(), within)
        ctx.save_for_backward(gradients)
        return values

    @staticmethod
    def backward(ctx, upstream):
        (gradients,) = ctx.saved_tensors
        return upstream[:, None] * gradients, None, None


@pytest.mark.parametrize("within", [None, 1.0, 1.5])
def test_a_walk_that_is_kept_within_ends_there_and_elsewhere_is_as_before(within):
    """Between two heaps lies nothing: a strong edit ends in the gap or beyond, unless it is kept."""
    z0 = SOURCE[:8] + 0.1
    lams = torch.full((8,), 0.9, dtype=torch.float64)
    witness = Witness(RBF(), SOURCE, TARGET)
    start, witnesses = Points.one_each(z0), WitnessBatch.of_one(witness, 8)
    free = WitnessDescent(EXACT)(start, witnesses, lams)
    ends = witness.cloud.farness(free.z)
    assert ends.max() > 1.6
    found = WitnessDescent(EXACT, within)(start, witnesses, lams)
    torch.testing.assert_close(found.after, witness(found.z))
    if within is None:
        torch.testing.assert_close(found.delta, free.delta)
        return
    assert witness.cloud.farness(found.z).max() < within + 0.1
    inside = ends < within
    torch.testing.assert_close(found.delta[inside], free.delta[inside], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("within", [0, -1, float("inf"), float("nan"), "near", True])
def test_how_far_is_a_number_above_0(within):
    with pytest.raises(UserError, match=r"within must be a number above 0, such as 1\.1"):
        WitnessDescent(EXACT, within)
