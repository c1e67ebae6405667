"""Directions that go with labels, and edits that do not move along them."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from dmt.data import Digits, label_signs
from dmt.errors import UserError
from dmt.manifolds import Points
from dmt.solvers import LBFGS
from dmt.traversal.kept import kept_directions
from dmt.traversal.kernels import RBF, Linear
from dmt.traversal.walks import LinearInterpolation, WitnessDescent
from dmt.traversal.witness import Witness, WitnessBatch


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def signs(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).choice([-1.0, 1.0], size=shape))


def test_the_directions_are_those_that_the_points_were_made_with():
    has, contrast, wanted, other = signs(300, 2), signs(300, seed=1), normal(2, 6, seed=2), normal(6, seed=3)
    points = has @ wanted + contrast[:, None] * other + 5
    found = kept_directions(points, has, contrast)
    assert found.shape == (2, 6)
    torch.testing.assert_close(found @ found.T, torch.eye(2).double())
    torch.testing.assert_close((wanted @ found.T) @ found, wanted)  # they span the same
    assert float((other - (other @ found.T) @ found).norm()) > 0.1


def test_the_directions_are_partial_effects_as_scikit_learn_has_them():
    has, points = signs(200, 2), normal(200, 5, seed=2)
    contrast = torch.where(normal(200, seed=4) > 0, has[:, 0], -has[:, 0])  # hangs together with the first label
    model = LinearRegression().fit(torch.cat([has, contrast[:, None]], dim=1).numpy(), points.numpy())
    partial = torch.from_numpy(model.coef_[:, :2].T)
    found = kept_directions(points, has, contrast)
    torch.testing.assert_close((partial @ found.T) @ found, partial)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_the_points_does_not_matter(scale):
    has, points, contrast = signs(50, 2), normal(50, 4, seed=2), signs(50, seed=3)
    found, scaled = kept_directions(points, has, contrast), kept_directions(scale * points, has, contrast)
    torch.testing.assert_close(scaled.T @ scaled, found.T @ found)  # the projection onto what they span


def test_pictures_without_coordinates_do_not_count():
    has, points, contrast = signs(50, 1), normal(50, 4, seed=2), signs(50, seed=3)
    whole = kept_directions(points, has, contrast)
    with_broken = kept_directions(
        torch.cat([points, torch.full((3, 4), torch.nan)]),
        torch.cat([has, has[:3]]),
        torch.cat([contrast, contrast[:3]]),
    )
    torch.testing.assert_close(with_broken.abs(), whole.abs())


def test_a_label_that_all_have_and_one_given_twice_add_no_direction():
    has, points, contrast = signs(50, 1), normal(50, 4, seed=2), signs(50, seed=3)
    everybody = torch.ones(50, 1)
    assert kept_directions(points, torch.cat([has, has], dim=1), contrast).shape == (1, 4)
    assert kept_directions(points - points.mean(dim=0), torch.cat([has, everybody], dim=1), contrast).shape[0] <= 2


@pytest.mark.parametrize("walk", [WitnessDescent(LBFGS(200, tolerance=1e-10)), LinearInterpolation()])
def test_no_walk_moves_along_what_is_kept(walk):
    source, target, z0 = normal(30, 5), normal(30, 5, seed=1) + 1, normal(4, 5, seed=2)
    kept = torch.eye(5).double()[:2]
    witnesses = WitnessBatch.of_one(Witness(RBF(), source, target, kept=kept), 4)
    delta = walk(Points.one_each(z0), witnesses, torch.full((4,), 0.3).double()).delta
    torch.testing.assert_close(delta[:, :2], torch.zeros(4, 2).double(), atol=1e-9, rtol=0)
    assert float(delta[:, 2:].norm()) > 0.1


def test_the_descent_finds_the_minimum_among_what_is_allowed():
    """For a linear kernel delta = (mean of target - mean of source) / (2 lambda'), projected."""
    source, target, z0 = normal(30, 5), normal(30, 5, seed=1) + 1, normal(4, 5, seed=2)
    kept = torch.linalg.qr(normal(5, 2, seed=3)).Q.T
    lams = torch.tensor([0.3, 0.5, 1.0, torch.inf]).double()
    descent = WitnessDescent(LBFGS(200, tolerance=1e-12, gradient_tolerance=1e-12))
    witnesses = WitnessBatch.of_one(Witness(Linear(), source, target, kept=kept), 4)
    delta = descent(Points.one_each(z0), witnesses, lams).delta
    mean = target.mean(dim=0) - source.mean(dim=0)
    allowed = mean - kept.T @ (kept @ mean)
    torch.testing.assert_close(delta, (0.5 / lams)[:, None] * allowed, atol=1e-6, rtol=1e-5)


def test_labels_as_signs():
    digits = Digits()
    found = label_signs(digits, ["3", "8"], own_labels=["1"])
    assert found.shape == (len(digits.names), 2)
    assert (found[:, 0] > 0).tolist() == [digit == 3 for digit in digits.digits]


@pytest.mark.parametrize(("labels", "message"), [(["nine"], "no such label"), (["1"], "the task is there to change")])
def test_labels_that_cannot_be_kept_are_named(labels, message):
    with pytest.raises(UserError, match=message):
        label_signs(Digits(), labels, own_labels=["1", "2"])
