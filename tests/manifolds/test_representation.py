"""Whose points are whose, and what displaced points are in activations, by loops and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dmt.manifolds import PCA, Points, Space, Span
from dmt.networks import LayeredNetwork
from dmt.networks.extractor import FeatureExtractor

laws = settings(deadline=None, max_examples=50, derandomize=True)


def points_of(counts: list[int], k: int = 2, seed: int = 0) -> Points:
    """Things that have as many points each."""
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    z = torch.randn(len(owner), k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Points(z, owner, len(counts))


crowds = st.lists(st.integers(1, 4), min_size=1, max_size=5)


def values_for(points: Points, seed: int) -> Tensor:
    return torch.randn(len(points.owner), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Points


def test_one_point_each_is_each_things_own():
    z = torch.arange(6.0).reshape(3, 2)
    points = Points.one_each(z)
    assert points.z is z
    assert points.owner.tolist() == [0, 1, 2]
    assert points.n_things == 3
    assert points.sum(torch.tensor([5.0, 6.0, 7.0])).tolist() == [5, 6, 7]
    assert points.mean(torch.tensor([5.0, 6.0, 7.0])).tolist() == [5, 6, 7]


def test_nothing_has_no_points():
    points = Points.one_each(torch.zeros(0, 4))
    assert (points.n_things, points.owner.tolist()) == (0, [])
    assert points.sum(torch.zeros(0)).tolist() == []


def test_sums_and_means_by_hand():
    points = Points(torch.zeros(5, 1), torch.tensor([0, 0, 1, 2, 2]), 3)
    values = torch.tensor([1.0, 2.0, 10.0, 5.0, -1.0])
    assert points.sum(values).tolist() == [3, 10, 4]
    assert points.mean(values).tolist() == [1.5, 10, 2]


@laws
@given(crowds, st.integers(0, 100))
def test_sums_and_means_are_loops_over_the_owners(counts, seed):
    points = points_of(counts)
    values = values_for(points, seed)
    own = [
        [float(value) for value, owner in zip(values, points.owner, strict=True) if owner == i]
        for i in range(len(counts))
    ]
    np.testing.assert_allclose(points.sum(values), [sum(mine) for mine in own], atol=1e-12)
    np.testing.assert_allclose(points.mean(values), [sum(mine) / len(mine) for mine in own], atol=1e-12)


@laws
@given(crowds, st.integers(0, 100))
def test_sums_and_means_of_rows_are_those_of_each_column(counts, seed):
    points = points_of(counts, k=3, seed=seed)
    for of_rows, by_column in ((points.sum(points.z), points.sum), (points.mean(points.z), points.mean)):
        assert of_rows.shape == (len(counts), 3)
        assert of_rows.dtype == torch.float64
        torch.testing.assert_close(of_rows, torch.stack([by_column(column) for column in points.z.T], dim=1))


@laws
@given(crowds, st.integers(1, 4), st.integers(0, 100))
def test_repeated_points_are_those_of_other_things(counts, n, seed):
    points = points_of(counts)
    more = points.repeated(n)
    assert more.n_things == n * points.n_things
    for i, part in enumerate(more.z.chunk(n)):
        assert part.equal(points.z)
        assert more.owner.chunk(n)[i].tolist() == [int(owner) + i * points.n_things for owner in points.owner]
    assert (more.owner.diff() >= 0).all(), "owners ascend"
    values = values_for(more, seed)
    torch.testing.assert_close(more.sum(values), torch.cat([points.sum(part) for part in values.chunk(n)]))


@laws
@given(st.lists(crowds, min_size=1, max_size=4), st.integers(0, 100))
def test_joined_points_are_those_of_one_part_after_the_other(parts, seed):
    batches = [points_of(counts, seed=i) for i, counts in enumerate(parts)]
    joined = Points.joined(batches)
    assert joined.n_things == sum(map(len, parts))
    assert joined.z.equal(torch.cat([batch.z for batch in batches]))
    assert joined.owner.tolist() == points_of([count for counts in parts for count in counts]).owner.tolist()
    values = values_for(joined, seed)
    sums = [batch.sum(part) for batch, part in zip(batches, values.split([len(b.z) for b in batches]), strict=True)]
    torch.testing.assert_close(joined.sum(values), torch.cat(sums))


@laws
@given(crowds, st.integers(1, 4))
def test_the_same_points_joined_are_repeated_ones(counts, n):
    points = points_of(counts)
    joined, repeated = Points.joined([points] * n), points.repeated(n)
    assert joined.z.equal(repeated.z)
    assert joined.owner.equal(repeated.owner)
    assert joined.n_things == repeated.n_things


def test_points_move_to_another_device_with_their_owners():
    moved = points_of([2, 1]).to("meta")
    assert (moved.z.device.type, moved.owner.device.type, moved.n_things) == ("meta", "meta", 2)


# A space with numbers that can be checked by hand

IMAGES = torch.tensor([[[[0.1, 0.2]], [[0.3, 0.4]], [[0.5, 0.6]]], [[[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 1.0]]]])
# of each picture its three channels at two places, then the sum of the channels, which is divided by its scale of 2
FEATURES = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.45, 0.6], [1, 0, 0, 1, 1, 1, 1, 1]]
MEAN = [0.0, 0.1, 0.2, 0.2, 0.2, 0.1, 0.4, 0.1]
COMPONENTS = [[0.6, 0.8, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.8, 0, 0.6]]  # orthonormal
# 0.6 (0.1 - 0.0) + 0.8 (0.2 - 0.1) and 0.8 (0.6 - 0.1) + 0.6 (0.6 - 0.1); the same of the second
Z = [[0.14, 0.7], [0.52, 1.26]]


def by_hand() -> Space:
    colour, grey = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 1, 1, bias=False)
    nn.init.dirac_(colour.weight)
    nn.init.ones_(grey.weight)
    network = LayeredNetwork(nn.Identity(), {"colour": colour, "sum": grey})
    manifold = PCA(2)
    manifold.mean, manifold.components = torch.tensor(MEAN), torch.tensor(COMPONENTS)
    nowhere = torch.zeros(0, 2)
    return Space(FeatureExtractor(network, ["colour", "sum"], {"sum": torch.tensor(2.0)}), manifold, nowhere, nowhere)


def test_pictures_are_points_on_the_manifold():
    encoded = by_hand().encode(IMAGES)
    np.testing.assert_allclose(encoded.features, FEATURES, rtol=1e-6)
    np.testing.assert_allclose(encoded.points.z, Z, rtol=1e-6)
    assert encoded.points.z.dtype == torch.float64
    assert encoded.points.owner.tolist() == [0, 1]
    assert dict(encoded.layout.shapes) == {"colour": (3, 1, 2), "sum": (1, 1, 2)}
    assert by_hand().coordinates(IMAGES).equal(encoded.points.z)


DELTA = [[1.0, -0.5], [0.0, 2.0]]


def test_the_residual_target_is_what_the_picture_is_and_the_displacement():
    space = by_hand()
    targets = space.targets(space.encode(IMAGES), torch.tensor(DELTA, dtype=torch.float64))
    assert list(targets) == ["colour", "sum"]
    # 0.1 + 0.6, 0.2 + 0.8, 0.3, 0.4, 0.5, 0.6 - 0.4 and 0.45, 0.6 - 0.3; 1 + 1.6 and 1 + 1.2 at the end of the second
    np.testing.assert_allclose(targets["colour"][0], [[[0.7, 1.0]], [[0.3, 0.4]], [[0.5, 0.2]]], rtol=1e-5)
    np.testing.assert_allclose(targets["sum"][0], [[[0.45, 0.3]]], rtol=1e-5)
    np.testing.assert_allclose(targets["colour"][1], [[[1, 0]], [[0, 1]], [[1, 2.6]]], rtol=1e-5)
    np.testing.assert_allclose(targets["sum"][1], [[[1, 2.2]]], rtol=1e-5)


def test_the_projected_target_is_on_the_manifold():
    space = by_hand()
    targets = space.targets(space.encode(IMAGES), torch.tensor(DELTA, dtype=torch.float64), "projected")
    # the mean and 1.14 times the first component and 0.2 times the second; then 0.52 and 3.26 times
    np.testing.assert_allclose(targets["colour"][0], [[[0.684, 1.012]], [[0.2, 0.2]], [[0.2, 0.26]]], rtol=1e-5)
    np.testing.assert_allclose(targets["sum"][0], [[[0.4, 0.22]]], rtol=1e-5)
    np.testing.assert_allclose(targets["colour"][1], [[[0.312, 0.516]], [[0.2, 0.2]], [[0.2, 2.708]]], rtol=1e-5)
    np.testing.assert_allclose(targets["sum"][1], [[[0.4, 2.056]]], rtol=1e-5)


def test_who_stays_keeps_every_bit_of_the_activations():
    space = by_hand()
    targets = space.targets(space.encode(IMAGES), torch.zeros(2, 2).double())
    activations = space.extractor(IMAGES)
    assert all(targets[layer].equal(activations[layer]) for layer in activations)


def test_both_forms_differ_by_what_the_manifold_does_not_hold_however_far_a_walk_goes():
    space = by_hand()
    encoded = space.encode(IMAGES)
    outside = []
    for far in (0, 1, 30):
        delta = far * torch.tensor(DELTA, dtype=torch.float64)
        both = [encoded.layout.pack(space.targets(encoded, delta, form)) for form in ("residual", "projected")]
        outside.append(both[0] - both[1])
    torch.testing.assert_close(outside[1], outside[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(outside[2], outside[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(outside[0] @ torch.tensor(COMPONENTS).T, torch.zeros(2, 2), atol=1e-6, rtol=0)


@pytest.mark.parametrize("far", [0.0, 0.5, 1.0])
def test_in_a_span_a_walk_between_two_of_its_pictures_is_their_mixture_in_either_form(far):
    space = by_hand()
    pictures = torch.rand(5, 3, 1, 2, generator=torch.Generator().manual_seed(0))
    span = Span().partial_fit(space.extractor.vectors(pictures)).finish()
    space = Space(space.extractor, span, span.codes, span.codes)
    encoded = space.encode(pictures[:1])
    delta = far * (space.coordinates(pictures[1:2]) - encoded.points.z)
    first, second = (space.extractor.vectors(pictures[i : i + 1]) for i in (0, 1))
    for form in ("residual", "projected"):
        found = encoded.layout.pack(space.targets(encoded, delta, form))
        torch.testing.assert_close(found, (1 - far) * first + far * second, atol=1e-5, rtol=0)


def test_the_share_of_a_displacement_is_that_of_the_coordinates():
    torch.manual_seed(0)
    network = LayeredNetwork(nn.Identity(), {"pixels": nn.Identity()})
    extractor = FeatureExtractor(network, ["pixels"])
    rows = torch.rand(9, 3, 4, 4)
    for manifold in (Span(), Span(z_score=True)):
        manifold.partial_fit(rows.flatten(1)).finish()
        space = Space(extractor, manifold, torch.zeros(0), torch.zeros(0))
        images, changed = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
        encoded = space.encode(images)
        delta = torch.randn(encoded.points.z.shape, dtype=torch.float64)
        delta[1] = 0
        along = space.along(encoded, delta)["pixels"]
        found = (along * (changed - images)).sum(dim=(1, 2, 3))
        moved = space.coordinates(changed) - encoded.points.z
        expected = (moved[0] * delta[0]).sum() / delta[0].square().sum()
        torch.testing.assert_close(found.double()[0], expected, rtol=1e-3, atol=1e-4)
        assert not along[1].any()
