import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.decomposition import PCA
from torch import nn

from dmt.data import AttributeSplits, Folder, read_image
from dmt.errors import UserError
from dmt.manifolds import ExactPCA, IncrementalPCA
from dmt.manifolds.preparation import Preparation
from dmt.networks import LayeredNetwork
from dmt.networks.extractor import FeatureExtractor

N_IMAGES, SIZE = 23, 12


class World:
    """A small folder, a small network, and a count of the pictures that the network has looked at."""

    def __init__(self, root, save_picture, trainer):
        self.pictures, self.cache, self.trainer = root / "pictures", root / "cache", trainer
        for i in range(N_IMAGES):
            save_picture(self.pictures / ("cat" if i % 2 else "dog") / f"{i:02d}.png", seed=i, side=SIZE)
        self.looked_at = 0

    def network(self, seed=0):
        torch.manual_seed(seed)
        low = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU())
        high = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2), nn.ReLU())
        network = LayeredNetwork(nn.Identity(), {"low": low, "high": high})
        network.register_forward_hook(self._count)
        return network

    def _count(self, module, inputs, output):
        if inputs[0].any():  # all zero: only asked for the shapes
            self.looked_at += len(inputs[0])

    def preparation(self, backbone=None, pictures=None, size=SIZE, cache=None, **options):
        data = AttributeSplits(Folder(pictures or self.pictures), None, image_size=size, batch_size=4)
        settings = {"layers": ["low", "high"], "normalization": "layer", "fit_batch_size": 7} | options
        settings |= {"cache": cache or self.cache, "trainer": self.trainer}
        return Preparation(data, backbone or self.network(), **settings)

    def file(self, kind):
        """The only file of a kind in the cache."""
        (file,) = self.cache.glob(f"{kind}/*.safetensors")
        return file

    @property
    def rows_file(self):
        (file,) = self.cache.glob("features/*/features.f16")
        return file

    def features(self, names=None):
        """Feature vectors, each layer over its mean activation, straight from the network."""
        catalog = Folder(self.pictures)
        images = torch.stack([read_image(self.pictures / file, SIZE) for file in names or catalog.files])
        with torch.no_grad():
            found = self.network()(images, ["low", "high"])
        return torch.cat([(found[layer] / found[layer].mean()).flatten(1) for layer in found], dim=1).numpy()


@pytest.fixture
def world(tmp_path, save_picture, quiet_trainer):
    return World(tmp_path, save_picture, quiet_trainer)


def assert_same_manifold(first, second, atol=1e-5):
    """The same mean and subspace, and the same variances along it."""
    torch.testing.assert_close(first.mean, second.mean, atol=atol, rtol=0)
    torch.testing.assert_close(first.singular_values, second.singular_values, rtol=1e-3, atol=0)
    projections = [m.components.T @ m.components for m in (first, second)]
    torch.testing.assert_close(*projections, atol=100 * atol, rtol=0)


def test_the_manifold_is_the_pca_of_the_pictures_normalised_features(world):
    prepared = world.preparation().manifold(IncrementalPCA(N_IMAGES - 1))
    reference = PCA(N_IMAGES - 1).fit(world.features())
    np.testing.assert_allclose(prepared.manifold.mean, reference.mean_, atol=1e-3)
    np.testing.assert_allclose(prepared.manifold.singular_values, reference.singular_values_, rtol=5e-3)
    overlap = np.linalg.svd(prepared.manifold.components.numpy() @ reference.components_.T)[1]
    np.testing.assert_allclose(overlap, 1, atol=1e-3)


def test_the_coordinates_are_those_of_every_picture(world):
    preparation = world.preparation()
    prepared = preparation.manifold(IncrementalPCA(5))
    expected = prepared.manifold.encode(torch.from_numpy(world.features()))
    torch.testing.assert_close(preparation.codes(prepared), expected, atol=0.05, rtol=1e-3)


def test_each_picture_is_looked_at_once_for_the_scales_and_once_for_the_features(world):
    preparation = world.preparation()
    preparation.codes(preparation.manifold(IncrementalPCA(5)))
    assert world.looked_at == 2 * N_IMAGES


def test_what_was_computed_is_found_again(world, caplog):
    caplog.set_level("INFO")
    first = world.preparation()
    prepared = first.manifold(IncrementalPCA(5))
    codes = first.codes(prepared)
    times = {file: file.stat().st_mtime_ns for file in world.cache.rglob("*") if file.is_file()}
    world.looked_at = 0
    caplog.clear()

    second = world.preparation()
    again = second.manifold(IncrementalPCA(5))
    assert second.codes(again).equal(codes)
    assert again.manifold.components.equal(prepared.manifold.components)
    assert again.extractor.fingerprint == prepared.extractor.fingerprint
    assert world.looked_at == 0
    assert {file: file.stat().st_mtime_ns for file in world.cache.rglob("*") if file.is_file()} == times
    assert "manifold: found" in caplog.text
    assert "coordinates: found" in caplog.text


def test_another_number_of_components_takes_the_same_features(world):
    world.preparation().manifold(IncrementalPCA(5))
    world.looked_at = 0
    other = world.preparation().manifold(IncrementalPCA(6))
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
    first = world.preparation().manifold(IncrementalPCA(5))
    world.looked_at = 0
    second = world.preparation(**change(world, save_picture)).manifold(IncrementalPCA(5))
    assert second.path != first.path
    assert world.looked_at >= N_IMAGES


def test_another_limit_on_the_components_of_a_share_makes_another_manifold(world):
    few = world.preparation().manifold(IncrementalPCA(0.99, most=3))
    many = world.preparation().manifold(IncrementalPCA(0.99, most=20))
    assert len(few.manifold.components) <= 3 < len(many.manifold.components)


def test_a_share_of_the_variance_is_reached_by_the_fewest_components(world):
    manifold = world.preparation().manifold(IncrementalPCA(0.5)).manifold
    reached = np.cumsum(PCA().fit(world.features()).explained_variance_ratio_)
    assert len(manifold.components) == np.flatnonzero(reached >= 0.5)[0] + 1


@pytest.mark.parametrize("rows_left", [0, 3.5, 9, N_IMAGES - 0.01])
def test_a_run_that_was_killed_half_way_goes_on_to_the_same_result(world, rows_left):
    preparation = world.preparation()
    complete = preparation.manifold(IncrementalPCA(5))
    codes = preparation.codes(complete)
    rows = world.rows_file.read_bytes()
    complete.path.unlink()
    world.file("codes").unlink()
    world.rows_file.write_bytes(rows[: int(len(rows) * rows_left / N_IMAGES)])
    world.looked_at = 0

    preparation = world.preparation()
    resumed = preparation.manifold(IncrementalPCA(5))
    assert world.looked_at == N_IMAGES - int(rows_left)
    both = (np.frombuffer(content, np.float16) for content in (world.rows_file.read_bytes(), rows))
    np.testing.assert_allclose(*both, atol=2e-3, rtol=2e-3)
    assert_same_manifold(resumed.manifold, complete.manifold, atol=1e-3)
    torch.testing.assert_close(preparation.codes(resumed).abs(), codes.abs(), atol=0.02, rtol=1e-2)


BROKEN = ["cat/03.png", "dog/00.png", "dog/20.png", "dog/22.png"]


def break_pictures(world):
    for file in BROKEN:
        (world.pictures / file).write_text("no picture")


@pytest.mark.parametrize("keep_features", [True, False])
def test_broken_pictures_are_left_out_of_the_fit_and_have_no_coordinates(world, caplog, keep_features):
    break_pictures(world)
    good = [file for file in Folder(world.pictures).files if file not in BROKEN]
    reference = PCA().fit(world.features(good))

    preparation = world.preparation(keep_features=keep_features)
    prepared = preparation.manifold(IncrementalPCA(N_IMAGES - 5))
    assert prepared.manifold.n_images == N_IMAGES - 4
    np.testing.assert_allclose(prepared.manifold.mean, reference.mean_, atol=1e-3)
    np.testing.assert_allclose(prepared.manifold.singular_values, reference.singular_values_[:-1], rtol=5e-3)

    codes = preparation.codes(prepared)
    missing = [file in BROKEN for file in Folder(world.pictures).files]
    assert codes.isnan().all(dim=1).tolist() == codes.isnan().any(dim=1).tolist() == missing


@pytest.mark.parametrize("keep_features", [True, False])
def test_broken_pictures_are_named_in_a_warning(world, caplog, keep_features):
    break_pictures(world)
    world.preparation(keep_features=keep_features).manifold(IncrementalPCA(5))
    assert "skipped 4 images" in caplog.text
    assert all(file in caplog.text for file in BROKEN)


def test_broken_pictures_stay_left_out_where_a_killed_run_goes_on(world):
    break_pictures(world)
    preparation = world.preparation()
    complete = preparation.manifold(IncrementalPCA(5))
    complete.path.unlink()
    rows = world.rows_file.read_bytes()
    world.rows_file.write_bytes(rows[: len(rows) * 10 // N_IMAGES - 1])
    resumed = world.preparation().manifold(IncrementalPCA(5))
    assert resumed.manifold.n_images == N_IMAGES - 4
    assert_same_manifold(resumed.manifold, complete.manifold, atol=1e-3)


def test_nothing_but_broken_pictures_is_an_error(tmp_path, world):
    (tmp_path / "all/one").mkdir(parents=True)
    for i in range(6):
        (tmp_path / f"all/one/{i}.png").write_text("no picture")
    with pytest.raises(UserError, match="no images"):
        world.preparation(pictures=tmp_path / "all").manifold(IncrementalPCA(2))


def test_without_kept_features_the_manifold_and_the_coordinates_are_the_same(world, tmp_path):
    kept, passing = world.preparation(), world.preparation(keep_features=False, cache=tmp_path / "other")
    first, second = (p.manifold(IncrementalPCA(N_IMAGES - 1)) for p in (kept, passing))
    assert_same_manifold(first.manifold, second.manifold, atol=2e-3)
    codes = passing.codes(second)
    expected = second.manifold.encode(torch.from_numpy(world.features()))
    torch.testing.assert_close(codes, expected, atol=1e-3, rtol=1e-3)
    assert not (tmp_path / "other/features").exists()


def test_a_manifold_given_by_path_is_the_one_that_was_saved(world, tmp_path, save_picture):
    fitted = world.preparation().manifold(IncrementalPCA(5))
    for i in range(6):
        save_picture(tmp_path / f"others/bird/{i}.png", seed=50 + i, side=SIZE)

    preparation = world.preparation(pictures=tmp_path / "others", cache=tmp_path / "empty")
    given = preparation.manifold(IncrementalPCA(512), fitted.path)
    assert given.manifold.components.equal(fitted.manifold.components)
    assert given.extractor.fingerprint == fitted.extractor.fingerprint
    images = torch.stack([read_image(tmp_path / f"others/bird/{i}.png", SIZE) for i in range(6)])
    expected = fitted.manifold.encode(fitted.extractor.vectors(images))
    torch.testing.assert_close(preparation.codes(given), expected, atol=0.05, rtol=1e-3)


def test_a_manifold_of_another_network_is_an_error_that_names_both(world):
    path = world.preparation().manifold(IncrementalPCA(5)).path
    ours, theirs = (FeatureExtractor(world.network(seed), ["high"]).fingerprint["network"] for seed in (0, 1))
    with pytest.raises(UserError, match=rf"{path}.*another network.*{ours}.*{theirs}"):
        world.preparation(backbone=world.network(seed=1)).manifold(IncrementalPCA(5), path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["high"]}, "another layers.*'low,high'.*'high'"),
        ({"size": 16}, "another image_size.*'12'.*'16'"),
    ],
)
def test_a_manifold_of_other_layers_or_size_is_an_error_that_names_both(world, options, message):
    path = world.preparation().manifold(IncrementalPCA(5)).path
    with pytest.raises(UserError, match=message) as caught:
        world.preparation(**options).manifold(IncrementalPCA(5), path)
    assert "train.py" in str(caught.value)
    assert "\n" not in str(caught.value)


def nothing(path):
    pass


def text(path):
    path.write_text("no manifold")


def other_tensors(path):
    save_file({"a": torch.zeros(2)}, path)


@pytest.mark.parametrize("make", [nothing, text, other_tensors])
def test_a_path_to_no_manifold_is_an_error_that_names_it(world, tmp_path, make):
    path = tmp_path / "manifold.safetensors"
    make(path)
    with pytest.raises(UserError, match=r"manifold\.safetensors"):
        world.preparation().manifold(IncrementalPCA(5), path)


@pytest.mark.parametrize("kind", ["scales", "manifolds", "codes"])
def test_a_damaged_file_in_the_cache_is_an_error_that_says_to_delete_it(world, kind):
    preparation = world.preparation()
    preparation.codes(preparation.manifold(IncrementalPCA(5)))
    file = world.file(kind)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(UserError, match=f"{file}.*delete"):
        preparation.codes(world.preparation().manifold(IncrementalPCA(5)))


def test_fewer_pictures_than_components_is_an_error_before_any_feature_is_computed(world):
    with pytest.raises(UserError, match=f"{N_IMAGES} images .* 24 components .*manifold.n_components=22"):
        world.preparation().manifold(IncrementalPCA(24))
    assert not (world.cache / "features").exists()


def test_fewer_whole_pictures_than_components_is_an_error(world):
    break_pictures(world)
    with pytest.raises(UserError, match=f"{N_IMAGES - 4} images .* 20 components"):
        world.preparation().manifold(IncrementalPCA(20))


def test_an_unknown_normalization_is_an_error_that_names_all(world):
    with pytest.raises(UserError, match="layer, channel or none, got 'batch'"):
        world.preparation(normalization="batch").manifold(IncrementalPCA(5))


def test_without_normalization_the_activations_are_the_networks_own(world):
    extractor = world.preparation(normalization="none").manifold(IncrementalPCA(5)).extractor
    images = torch.rand(2, 3, SIZE, SIZE)
    expected = world.network()(images, ["low", "high"])
    for layer, activation in extractor(images).items():
        torch.testing.assert_close(activation, expected[layer])


def test_the_saved_manifold_holds_plain_tensors_and_the_scales_it_was_fitted_with(world):
    prepared = world.preparation().manifold(IncrementalPCA(5))
    saved = load_file(prepared.path)
    assert set(saved) >= {"mean", "components", "scale.low", "scale.high"}
    assert saved["scale.low"].equal(prepared.extractor.scales["low"])
    with prepared.path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    assert header["__metadata__"]["layers"] == "low,high"
    assert header["__metadata__"]["image_size"] == str(SIZE)


@pytest.mark.parametrize("layer", ["low", "high"])
def test_features_of_some_layers_are_read_from_those_of_more(world, layer):
    world.preparation().manifold(IncrementalPCA(3))
    looked_at = world.looked_at
    prepared = world.preparation(layers=[layer]).manifold(ExactPCA(3))
    assert world.looked_at == looked_at
    both = world.features()
    n_low = both.shape[1] - FeatureExtractor(world.network(), ["high"]).layout(SIZE, SIZE).size
    own = both[:, :n_low] if layer == "low" else both[:, n_low:]
    reference = PCA(3).fit(own)
    np.testing.assert_allclose(prepared.manifold.mean, reference.mean_, atol=2e-3)
    np.testing.assert_allclose(prepared.manifold.explained_variance, reference.explained_variance_, rtol=5e-3)


def test_features_of_some_layers_are_not_read_from_an_incomplete_store(world):
    world.preparation().manifold(IncrementalPCA(3))
    rows = world.rows_file
    rows.write_bytes(rows.read_bytes()[: rows.stat().st_size // 2])
    looked_at = world.looked_at
    world.preparation(layers=["high"]).manifold(IncrementalPCA(3))
    assert world.looked_at == looked_at + N_IMAGES
