"""The space of places: whose points there are, against the network read picture by picture, and what is realised."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from dmt.data import ClassTask, Folder, PictureView, Sets
from dmt.data.images import desaturated
from dmt.errors import UserError
from dmt.manifolds import LocalSpace, Places, Points, SetFit
from tests.manifolds.world import BROKEN, SIZE, World, break_pictures

CATS_TO_DOGS = ClassTask("cat", "dog")
FEW = Places(channels=3, points=40)  # of 25 a picture


@pytest.fixture
def world(tmp_path, save_picture, quiet_trainer):
    return World(tmp_path, save_picture, quiet_trainer)


def space_of(world: World, places: Places = FEW, task=CATS_TO_DOGS, **options) -> tuple[LocalSpace, Sets]:
    """The space, and which pictures the sides have; one cat is edited."""
    data = world.data(task, images=["cat/01.png"])
    found = SetFit(world.catalog_features(data=data, **options), places)(data)
    assert isinstance(found, LocalSpace)
    return found, Sets(data.source, data.target)


def places_of(space: LocalSpace, images: Tensor) -> np.ndarray:
    """All places of each picture, ``(n, 25, K)``, straight from the network."""
    with torch.no_grad():
        return space.manifold.points(space.extractor(images)).reshape(len(images), 25, -1).numpy()


def owners_of(side: Points, places: np.ndarray) -> list[int]:
    """Which picture the points of each thing are places of, each of another place."""
    found = []
    for thing in range(side.n_things):
        own = side.z[side.owner == thing].numpy()
        distances = np.abs(places[:, :, None] - own[None, None]).max(axis=-1)  # (pictures, places, points)
        nearest = distances.min(axis=1).max(axis=1)
        found.append(int(nearest.argmin()))
        assert nearest.min() < 0.02, "features are kept in 16 bits"
        assert np.sort(nearest)[1] > 0.05
        assert len(set(distances[found[-1]].argmin(axis=0))) == len(own)
    return found


# Whose points there are


def test_each_sides_points_are_places_of_its_own_pictures_in_their_order(world):
    space, sets = space_of(world)
    places = places_of(space, world.images())
    for side, members in ((space.source, sets.source), (space.target, sets.target)):
        assert side.n_things == len(members)
        assert torch.bincount(side.owner).tolist() == [-(-40 // len(members))] * len(members)
        assert side.z.dtype == torch.float64
        assert owners_of(side, places) == members.tolist()
    assert Folder(world.pictures).files.index("cat/01.png") not in sets.source


def test_the_members_of_an_edit_are_the_points_of_both_sides_and_the_catalogs_pictures_have_none_of_one_each(world):
    space, sets = space_of(world)
    members = space.members(sets)
    assert (members.source, members.target) == (space.source, space.target)
    assert space.catalog_points() is None


def test_lambda_means_what_the_manifold_says(world):
    assert space_of(world)[0].unit == FEW.unit
    assert space_of(world, Places(channels=3, points=40, unit=0.7))[0].unit == 0.7


def test_of_many_pictures_a_few_are_taken_evenly_spaced(world):
    space, sets = space_of(world, Places(channels=3, points=40, pictures=4))
    assert (len(sets.source), len(sets.target)) == (10, 12)
    places = places_of(space, world.images())
    assert owners_of(space.source, places) == sets.source[[0, 3, 6, 9]].tolist()
    assert owners_of(space.target, places) == sets.target[[0, 4, 7, 11]].tolist()
    assert torch.bincount(space.source.owner).tolist() == [10] * 4


def test_no_picture_has_more_points_than_places(world):
    space, _ = space_of(world, Places(channels=3, points=10_000))
    assert torch.bincount(space.source.owner).tolist() == [25] * 10


def test_the_same_pictures_make_the_same_space_in_batches_of_any_size(world, tmp_path):
    first, _ = space_of(world)
    again, _ = space_of(world, cache=tmp_path / "other", batch_size=3)
    assert again.source.z.equal(first.source.z)
    assert again.target.z.equal(first.target.z)
    assert again.source.owner.equal(first.source.owner)


def test_the_layers_are_fitted_to_the_places_of_both_sides(world):
    space, _ = space_of(world, Places(channels=32, points=10_000, position=0))
    both = torch.cat([space.source.z, space.target.z])
    torch.testing.assert_close(both.mean(dim=0), torch.zeros(14).double(), atol=1e-4, rtol=0)
    variances = both.var(dim=0, correction=0)
    assert variances[:6].sum() == pytest.approx(1, abs=1e-4)
    assert variances[6:].sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("keep", [True, False])
def test_broken_pictures_are_left_out(world, keep):
    break_pictures(world)
    space, sets = space_of(world, keep=keep)
    files = Folder(world.pictures).files
    good = [i for i, file in enumerate(files) if file not in BROKEN]
    places = places_of(space, world.images([files[i] for i in good]))
    for side, members in ((space.source, sets.source), (space.target, sets.target)):
        assert [good[i] for i in owners_of(side, places)] == [i for i in members if i in good]


def test_a_side_of_which_no_picture_decodes_is_an_error_in_one_line(world):
    for file in (world.pictures / "dog").iterdir():
        file.write_text("no picture")
    with pytest.raises(UserError, match="none of the pictures of the target decodes"):
        space_of(world)


@dataclass(frozen=True)
class Greyed(ClassTask):
    source_view: ClassVar[PictureView] = staticmethod(desaturated)


def test_the_sources_pictures_are_viewed_as_the_task_says_and_the_targets_are_not(world):
    space, sets = space_of(world, task=Greyed("cat", "dog"))
    grey = torch.stack([desaturated(image) for image in world.images()])
    assert owners_of(space.source, places_of(space, grey)) == sets.source.tolist()
    assert owners_of(space.target, places_of(space, world.images())) == sets.target.tolist()


def test_the_space_of_the_same_sets_is_found_again_whatever_is_edited(world):
    data = world.data(CATS_TO_DOGS, images=["cat/01.png", "cat/05.png"])
    fit = SetFit(world.catalog_features(data=data), FEW)
    sets = Sets(data.source, data.target)
    first = fit(data.part(["cat/01.png"], sets))
    assert fit(data.part(["cat/05.png"], sets)) is first
    assert fit(data.part(["cat/01.png"], Sets(data.source[1:], data.target))) is not first


# Pictures and changes


@pytest.fixture
def encoded(world):
    """A space, three pictures in it, and a displacement of the points of the first and the last."""
    space, _ = space_of(world)
    found = space.encode(world.images()[:3])
    delta = torch.randn(found.points.z.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    delta[25:50] = 0
    return space, found, delta


def test_a_picture_has_a_point_for_each_place(world, encoded):
    space, found, _ = encoded
    assert (found.points.n_things, found.points.owner.tolist()) == (3, [i for i in range(3) for _ in range(25)])
    np.testing.assert_allclose(found.points.z, places_of(space, world.images()[:3]).reshape(75, -1), atol=1e-5)
    assert found.points.z.dtype == torch.float64
    assert space.coordinates(world.images()[:3]).equal(found.points.z)
    with torch.no_grad():
        vectors = space.extractor.vectors(world.images()[:3])
    torch.testing.assert_close(found.features, vectors)


def test_targets_are_the_activations_and_the_change_that_the_places_ask_for(encoded):
    space, found, delta = encoded
    targets = space.targets(found, delta)
    own = found.layout.unpack(found.features)
    changes = space.manifold.changes(delta.float(), found.layout.shapes)
    for layer, target in targets.items():
        torch.testing.assert_close(target - own[layer], changes[layer], atol=1e-4, rtol=1e-4)
        assert target[1].equal(own[layer][1])


def test_the_whole_of_the_change_asked_for_has_a_share_of_one_and_half_of_it_a_half(encoded):
    space, found, delta = encoded
    targets, along = space.targets(found, delta), space.along(found, delta)
    own = found.layout.unpack(found.features)
    for factor in (1.0, 0.5, 0.0, -1.0):
        changes = {layer: factor * (targets[layer] - own[layer]) for layer in targets}
        shares = sum((along[layer] * changes[layer]).flatten(1).sum(dim=1) for layer in targets)
        np.testing.assert_allclose(shares, [factor, 0, factor], atol=1e-4)


def test_a_picture_that_is_not_displaced_is_asked_for_nothing(encoded):
    space, found, delta = encoded
    along = space.along(found, delta)
    assert all(not value[1].any() and value[0].any() and value.isfinite().all() for value in along.values())
    assert all(not value.any() for value in space.along(found, 0 * delta).values())


def test_projected_targets_are_refused(encoded):
    space, found, delta = encoded
    with pytest.raises(UserError, match="target_features must be residual with manifold=local, got 'projected'"):
        space.targets(found, delta, "projected")


def test_larger_pictures_have_points_on_the_same_grid(world, encoded):
    space, _, _ = encoded
    larger = torch.nn.functional.interpolate(world.images()[:2], 2 * SIZE)
    found = space.encode(larger)
    assert found.points.z.shape == (50, space.source.z.shape[1])
    changes = space.manifold.changes(torch.zeros(found.points.z.shape), found.layout.shapes)
    assert {layer: tuple(value.shape[1:]) for layer, value in changes.items()} == found.layout.shapes
