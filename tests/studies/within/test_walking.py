"""Who is whose neighbour, and what is made on the way: by brute force, and where the answer is known."""

import math

import numpy as np
import pytest
import torch

import dmt
from dmt.manifolds import Points
from dmt.networks import digits_backbone
from dmt.networks.extractor import FeatureExtractor
from dmt.solvers import LBFGS
from dmt.studies.within.walking import neighbours_within, walked, witnesses_within
from dmt.traversal.walks import WitnessDescent
from dmt.traversal.witness import WitnessBatch


@pytest.fixture(scope="module")
def editor():
    return dmt.Editor.default("digits", "manifold=span", "solver=quick", "realise=null", "progress=false")


@pytest.fixture(scope="module")
def pictures(editor):
    catalog = editor.data(None).catalog
    positions = [int(i) for digit in "38" for i in np.flatnonzero(catalog.scores(digit) > 0)[:4]]
    return torch.stack([catalog.read(i, 32) for i in positions]), torch.tensor([0] * 4 + [1] * 4)


def made(editor, pictures, lam):
    extractor = FeatureExtractor(digits_backbone(), ["conv2", "conv3"])
    return walked(*pictures, editor=editor, extractor=extractor, k=2, lam=lam, batch_size=16)


def test_neighbours_are_the_nearest_of_the_same_class():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(40, 5)), rng.permutation(np.repeat([0, 1, 2, 3], 10))
    found = neighbours_within(torch.from_numpy(z), torch.from_numpy(labels), 3).numpy()
    for i in range(40):
        distances = np.linalg.norm(z - z[i], axis=1)
        own = [j for j in np.argsort(distances) if labels[j] == labels[i] and j != i]
        assert found[i].tolist() == own[:3]


def test_twins_are_neighbours_and_nobody_is_his_own():
    z = torch.tensor([[0.0], [0.0], [5.0]])
    assert neighbours_within(z, torch.zeros(3), 1)[:2].tolist() == [[1], [0]]


def test_the_witness_of_a_walk_has_the_neighbour_before_it_and_the_rest_of_its_class_behind(editor):
    z, labels = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 0, 1])
    witness = witnesses_within(z, labels, editor)[2]
    assert torch.equal(witness.target, z[[2]])
    assert torch.equal(witness.source, z[[0, 4]])


def test_between_the_only_two_of_a_class_the_walk_is_straight(editor):
    z = torch.tensor([[1.0, 2.0, 0.0], [3.0, -1.0, 2.0]], dtype=torch.float64)
    witnesses = WitnessBatch(witnesses_within(z, torch.zeros(2), editor), torch.tensor([1, 0]))
    lams = torch.ones(2, dtype=torch.float64)
    delta = WitnessDescent(LBFGS(200, tolerance=1e-9))(Points.one_each(z), witnesses, lams).delta
    way = z.flip(0) - z
    share = (delta * way).sum(dim=1) / way.square().sum(dim=1)
    torch.testing.assert_close(delta, share[:, None] * way)
    assert ((share > 0) & (share < 1)).all()


def test_an_infinite_lambda_gives_the_pictures_back(editor, pictures):
    there = made(editor, pictures, math.inf)
    assert there.first.tolist() == [i for i in range(8) for _ in range(2)]
    torch.testing.assert_close(there.images, pictures[0][there.first])
    torch.testing.assert_close(there.share, torch.zeros(16, dtype=there.share.dtype), atol=1e-3, rtol=0)
    torch.testing.assert_close(there.mixed(pictures[0]), pictures[0][there.first], atol=1e-3, rtol=0)


def test_what_is_made_lies_between_two_pictures_of_one_class(editor, pictures):
    images, labels = pictures
    there = made(editor, pictures, 1.0)
    assert torch.equal(labels[there.first], labels[there.second])
    assert (there.first != there.second).all()
    assert ((there.share > 0.1) & (there.share < 1)).all()
    assert there.images.min() >= 0
    assert there.images.max() <= 1
    before, after = (
        (one - images[there.second]).square().mean(dim=(1, 2, 3)) for one in (images[there.first], there.images)
    )
    assert (after < before).all()
