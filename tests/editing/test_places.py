import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from dmt.editing.places import SetsMap, places_of
from dmt.manifolds import Points
from dmt.traversal.kernels import RBF
from dmt.traversal.witness import Witness, WitnessBatch


def test_a_map_lies_along_the_difference_of_the_means_and_the_largest_variance_across_it():
    rng = np.random.default_rng(0)
    source, target = (rng.normal(size=(200, 3)) * [1, 5, 2] + shift for shift in ([0, 0, 0], [30, 0, 0]))
    places = SetsMap.of(source, target)
    assert places(source.mean(axis=0)[None])[0] == pytest.approx([0, 0], abs=1e-9)
    assert places(target.mean(axis=0)[None])[0] == pytest.approx([1, 0], abs=1e-9)
    across, up = (direction / np.linalg.norm(direction) for direction in places.plane.T)
    assert across @ up == pytest.approx(0, abs=1e-9)
    difference = target.mean(axis=0) - source.mean(axis=0)
    across = difference / np.linalg.norm(difference)
    within = np.concatenate([source - source.mean(axis=0), target - target.mean(axis=0)])
    expected = PCA(1).fit(within - np.outer(within @ across, across)).components_[0]
    assert abs(up @ expected) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_a_map_of_one_dimension_or_of_equal_means_is_finite(shift):
    points = np.array([[0.0], [1.0], [2.0]])
    assert np.isfinite(SetsMap.of(points, points + shift)(points)).all()


def test_every_thing_has_its_place_among_its_own_sets():
    """Two witnesses, of sets far from each other; the first thing has two points."""
    sets = [(torch.tensor([[0.0, 0], [0, 2]]) + at, torch.tensor([[2.0, 0], [2, 2]]) + at) for at in (0.0, 100.0)]
    witnesses = WitnessBatch([Witness(RBF(), *(side.double() for side in own)) for own in sets], torch.tensor([1, 0]))
    start = Points(torch.tensor([[100.0, 101], [100, 101], [0, 1]]).double(), torch.tensor([0, 0, 1]), 2)
    walk = start.z + torch.tensor([[0.0, 0], [2, 0], [2, 0]])
    first, second = places_of(witnesses, start, walk, start.z)
    assert first.map is not second.map
    assert [place.start[0] for place in (first, second)] == pytest.approx([0, 0])
    assert [place.walk[0] for place in (first, second)] == pytest.approx([0.5, 1])
    assert [place.picture[0] for place in (first, second)] == pytest.approx([0, 0])
