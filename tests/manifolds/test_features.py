"""Feature vectors of a catalog: those of the network itself, computed once and found again."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from dmt.data import Folder
from dmt.data.images import desaturated
from dmt.errors import UserError
from dmt.manifolds import ExactPCA, IncrementalPCA
from dmt.networks.extractor import FeatureExtractor
from tests.manifolds.world import BROKEN, LAYERS, N_IMAGES, SIZE, World, break_pictures, pooled_by_hand

ROUNDED = {"atol": 2e-3, "rtol": 2e-3}  # to float16


@pytest.fixture
def world(tmp_path, save_picture, quiet_trainer):
    return World(tmp_path, save_picture, quiet_trainer)


def test_the_features_of_the_catalog_are_those_of_the_network(world):
    features = world.catalog_features()
    found, positions = features.of_catalog(features.extractor()).read(0, N_IMAGES)
    assert positions == list(range(N_IMAGES))
    np.testing.assert_allclose(found, world.features(), **ROUNDED)


def test_each_picture_is_looked_at_once_for_the_scales_and_once_for_the_features(world):
    _ = world.fit(IncrementalPCA(5)).space
    assert world.looked_at == 2 * N_IMAGES


def test_another_number_of_components_takes_the_same_features(world):
    _ = world.fit(IncrementalPCA(5)).space
    world.looked_at = 0
    other = world.fit(IncrementalPCA(6)).space
    assert len(other.manifold.components) == 6
    assert world.looked_at == 0


def changed_pictures(world, save_picture):
    save_picture(world.pictures / "dog/new.png", seed=99, side=SIZE)
    return {}


@pytest.mark.parametrize(
    "change",
    [
        lambda world, save: {"normalization": "channel"},
        lambda world, save: {"size": 16},
        lambda world, save: {"backbone": world.network(seed=1)},
        changed_pictures,
    ],
)
def test_what_determines_the_features_makes_them_anew(world, save_picture, change):
    _ = world.fit(IncrementalPCA(5)).space
    first = world.file("manifolds")
    world.looked_at = 0
    _ = world.fit(IncrementalPCA(5), **change(world, save_picture)).space
    assert len(set(world.cache.glob("manifolds/*.safetensors")) - {first}) == 1
    assert world.looked_at >= N_IMAGES


@pytest.mark.parametrize("keep", [True, False])
def test_broken_pictures_are_named_in_a_warning(world, caplog, keep):
    break_pictures(world)
    _ = world.fit(IncrementalPCA(5), keep=keep).space
    assert "skipped 4 images" in caplog.text
    assert all(file in caplog.text for file in BROKEN)


def test_nothing_but_broken_pictures_is_an_error(tmp_path, world):
    (tmp_path / "all/one").mkdir(parents=True)
    for i in range(6):
        (tmp_path / f"all/one/{i}.png").write_text("no picture")
    with pytest.raises(UserError, match="no images"):
        _ = world.fit(IncrementalPCA(2), pictures=tmp_path / "all").space


def test_an_unknown_normalization_is_an_error_that_names_all(world):
    with pytest.raises(UserError, match="layer, channel or none, got 'batch'"):
        world.catalog_features(normalization="batch").extractor()


def test_without_normalization_the_activations_are_the_networks_own(world):
    extractor = world.catalog_features(normalization="none").extractor()
    images = torch.rand(2, 3, SIZE, SIZE)
    expected = world.network()(images, LAYERS)
    for layer, activation in extractor(images).items():
        torch.testing.assert_close(activation, expected[layer])


def test_pictures_too_small_for_the_network_are_an_error_before_any_work(world):
    with pytest.raises(UserError, match=r"images of 2 x 2 pixels do not fit the network; .*larger data\.image_size"):
        world.catalog_features(size=2).extractor()
    assert not world.cache.exists()


# Of some layers


@pytest.mark.parametrize("layer", LAYERS)
def test_features_of_some_layers_are_read_from_those_of_more(world, layer):
    _ = world.fit(IncrementalPCA(3)).space
    looked_at = world.looked_at
    space = world.fit(ExactPCA(3), layers=[layer]).space
    assert world.looked_at == looked_at
    both = world.features()
    n_low = both.shape[1] - FeatureExtractor(world.network(), ["high"]).layout(SIZE, SIZE).size
    own = both[:, :n_low] if layer == "low" else both[:, n_low:]
    reference = PCA(3).fit(own)
    np.testing.assert_allclose(space.manifold.mean, reference.mean_, atol=2e-3)
    np.testing.assert_allclose(space.manifold.explained_variance, reference.explained_variance_, rtol=5e-3)


def test_features_of_some_layers_are_not_read_from_an_incomplete_store(world):
    _ = world.fit(IncrementalPCA(3)).space
    rows = world.rows_file
    rows.write_bytes(rows.read_bytes()[: rows.stat().st_size // 2])
    looked_at = world.looked_at
    _ = world.fit(IncrementalPCA(3), layers=["high"]).space
    assert world.looked_at == looked_at + N_IMAGES


def test_the_same_for_other_layers_leaves_the_first_as_it_was(world):
    features = world.catalog_features()
    other = features.of_layers(["high"])
    assert (features.layers, other.layers) == (LAYERS, ["high"])
    assert other.extractor().layers == ("high",)
    assert (other.data, other.cache, other.keep) == (features.data, features.cache, features.keep)


# Of some pictures

POSITIONS = np.array([20, 3, 3, 11, 0, 7, 8, 9, 10])


def some(features, view=None, positions=POSITIONS):
    """What ``some`` hands on: feature vectors and their pictures' positions."""
    found, where = [], []

    def take(batch, own):
        found.append(batch)
        where.extend(own)

    features.some(features.extractor(), positions, take, view)
    return torch.cat(found), where


@pytest.mark.parametrize("keep", [True, False])
def test_features_of_some_pictures_are_computed_where_there_are_no_others(world, keep):
    features = world.catalog_features(keep=keep)
    found, positions = some(features)
    n_read = len(set(POSITIONS)) if keep else len(POSITIONS)
    assert world.looked_at == N_IMAGES + n_read  # all of them for the scales
    assert positions == POSITIONS.tolist()
    np.testing.assert_allclose(found, world.features()[POSITIONS], **ROUNDED)
    assert not list(world.cache.glob("features/*/features.f16"))


def test_features_of_some_pictures_are_kept_and_only_others_computed(world):
    found, _ = some(world.catalog_features())
    world.looked_at = 0
    again, positions = some(world.catalog_features())
    assert world.looked_at == 0
    assert positions == POSITIONS.tolist()
    assert again.equal(found)

    features = world.catalog_features()
    more, where = some(features, positions=np.array([11, 12, 20, 13]))
    assert world.looked_at == 2
    assert where == [11, 12, 20, 13]
    np.testing.assert_allclose(more, world.features()[where], **ROUNDED)


def test_features_of_some_pictures_that_were_damaged_are_computed_again(world):
    found, _ = some(world.catalog_features())
    (file,) = world.cache.glob("features/*/some.f16")
    content = bytearray(file.read_bytes())
    content[0] ^= 1  # of one row
    file.write_bytes(content)
    world.looked_at = 0
    again, _ = some(world.catalog_features())
    assert world.looked_at == 4  # those of its batch, so that it is the same to the last bit
    assert again.equal(found)


def test_of_pictures_that_were_broken_when_some_were_read_nobody_asks_again(world, caplog):
    break_pictures(world)
    first = some(world.catalog_features())[1]
    assert "skipped" in caplog.text
    caplog.clear()
    world.looked_at = 0
    assert some(world.catalog_features())[1] == first
    assert world.looked_at == 0
    assert "skipped" not in caplog.text


def test_some_features_do_not_stand_in_the_way_of_all(world):
    features = world.catalog_features()
    some(features)
    found, positions = features.of_catalog(features.extractor()).read(0, N_IMAGES)
    assert positions == list(range(N_IMAGES))
    np.testing.assert_allclose(found, world.features(), **ROUNDED)


def test_features_of_some_pictures_are_read_where_all_are_stored(world):
    features = world.catalog_features()
    features.of_catalog(features.extractor())
    computed = some(world.catalog_features(keep=False))[0]
    world.looked_at = 0
    found, positions = some(features)
    assert world.looked_at == 0
    assert positions == POSITIONS.tolist()
    np.testing.assert_allclose(found, world.features()[POSITIONS], **ROUNDED)
    torch.testing.assert_close(found, computed, **ROUNDED)  # both are rounded to float16


def test_features_of_what_is_made_of_pictures_are_computed_whatever_is_stored(world):
    features = world.catalog_features()
    features.of_catalog(features.extractor())
    world.looked_at = 0
    found, positions = some(features, desaturated)
    assert world.looked_at == len(positions) == len(POSITIONS)
    np.testing.assert_allclose(found, world.features(view=desaturated)[POSITIONS], **ROUNDED)


@pytest.mark.parametrize("stored", [True, False])
def test_some_pictures_that_do_not_decode_are_left_out(world, stored):
    break_pictures(world)
    features = world.catalog_features()
    if stored:
        features.of_catalog(features.extractor())
    files = Folder(world.pictures).files
    good = [position for position in POSITIONS.tolist() if files[position] not in BROKEN]
    assert len(good) < len(POSITIONS)
    assert some(features)[1] == good


# Pooled


def test_pooled_features_are_the_means_of_cells_of_a_sample_and_of_a_picture(world):
    features = world.catalog_features()
    files = Folder(world.pictures).files
    picture = world.images([files[7]])[0]
    points, positions, own = features.pooled(picture)
    assert sorted(positions) == list(range(N_IMAGES))  # fewer than a sample has
    torch.testing.assert_close(points, pooled_by_hand(world)[positions], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(own, pooled_by_hand(world, [files[7]]), atol=1e-5, rtol=1e-4)


def test_the_sample_of_pooled_features_is_looked_at_once(world):
    features = world.catalog_features()
    features.extractor()
    features.pooled(torch.rand(3, SIZE, SIZE))
    assert world.looked_at == N_IMAGES + 1
    world.catalog_features().pooled(torch.rand(3, SIZE, SIZE))
    assert world.looked_at == N_IMAGES + 2


def test_pictures_that_do_not_decode_are_not_in_the_pooled_sample(world):
    break_pictures(world)
    points, positions, _ = world.catalog_features().pooled(torch.rand(3, SIZE, SIZE))
    good = [i for i, file in enumerate(Folder(world.pictures).files) if file not in BROKEN]
    assert sorted(positions) == good
    assert len(points) == len(good)
