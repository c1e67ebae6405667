"""Where pictures are points: the PCA of all of them, the span of some, and files of either that are read back."""

import errno
import json
import logging
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, save_file
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dmt.data import ClassTask, Folder, Sets, read_image
from dmt.data.images import desaturated
from dmt.errors import UserError
from dmt.manifolds import ExactPCA, IncrementalPCA, SetFit, Span
from dmt.manifolds.space import read_space
from dmt.networks import digits_network
from dmt.networks.extractor import FeatureExtractor
from dmt.storage.limits import Limits, limited
from tests.manifolds.world import BROKEN, LAYERS, N_IMAGES, SIZE, World, break_pictures, pooled_by_hand


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
    manifold = world.fit(IncrementalPCA(N_IMAGES - 1)).space.manifold
    reference = PCA(N_IMAGES - 1).fit(world.features())
    np.testing.assert_allclose(manifold.mean, reference.mean_, atol=1e-3)
    np.testing.assert_allclose(manifold.singular_values, reference.singular_values_, rtol=5e-3)
    overlap = np.linalg.svd(manifold.components.numpy() @ reference.components_.T)[1]
    np.testing.assert_allclose(overlap, 1, atol=1e-3)


def test_the_coordinates_are_those_of_every_picture(world):
    space = world.fit(IncrementalPCA(5)).space
    expected = space.manifold.encode(torch.from_numpy(world.features()))
    torch.testing.assert_close(space.target, expected, atol=0.05, rtol=1e-3)
    assert space.source is space.target
    torch.testing.assert_close(space.coordinates(world.images()), expected.double(), atol=0.05, rtol=1e-3)


def test_what_was_computed_is_found_again(world, caplog):
    caplog.set_level("INFO")
    first = world.fit(IncrementalPCA(5)).space
    times = {file: file.stat().st_mtime_ns for file in world.cache.rglob("*") if file.is_file()}
    world.looked_at = 0
    caplog.clear()

    again = world.fit(IncrementalPCA(5)).space
    assert again.target.equal(first.target)
    assert again.manifold.components.equal(first.manifold.components)
    assert again.extractor.fingerprint == first.extractor.fingerprint
    assert world.looked_at == 0
    assert {file: file.stat().st_mtime_ns for file in world.cache.rglob("*") if file.is_file()} == times
    assert "manifold: found" in caplog.text
    assert "coordinates: found" in caplog.text


def test_another_limit_on_the_components_of_a_share_makes_another_manifold(world):
    few, many = (world.fit(IncrementalPCA(0.99, most=most)).space.manifold for most in (3, 20))
    assert len(few.components) <= 3 < len(many.components)


def test_a_share_of_the_variance_is_reached_by_the_fewest_components(world):
    manifold = world.fit(IncrementalPCA(0.5)).space.manifold
    reached = np.cumsum(PCA().fit(world.features()).explained_variance_ratio_)
    assert len(manifold.components) == np.flatnonzero(reached >= 0.5)[0] + 1


@pytest.mark.parametrize("rows_left", [0, 3.5, 9, N_IMAGES - 0.01])
def test_a_run_that_was_killed_half_way_goes_on_to_the_same_result(world, rows_left):
    complete = world.fit(IncrementalPCA(5)).space
    rows = world.rows_file.read_bytes()
    world.file("manifolds").unlink()
    world.file("codes").unlink()
    world.rows_file.write_bytes(rows[: int(len(rows) * rows_left / N_IMAGES)])
    world.looked_at = 0

    resumed = world.fit(IncrementalPCA(5)).space
    assert world.looked_at == N_IMAGES - int(rows_left)
    both = (np.frombuffer(content, np.float16) for content in (world.rows_file.read_bytes(), rows))
    np.testing.assert_allclose(*both, atol=2e-3, rtol=2e-3)
    assert_same_manifold(resumed.manifold, complete.manifold, atol=1e-3)
    torch.testing.assert_close(resumed.target.abs(), complete.target.abs(), atol=0.02, rtol=1e-2)


@pytest.mark.parametrize("keep", [True, False])
def test_broken_pictures_are_left_out_of_the_fit_and_have_no_coordinates(world, keep):
    break_pictures(world)
    good = [file for file in Folder(world.pictures).files if file not in BROKEN]
    reference = PCA().fit(world.features(good))

    space = world.fit(IncrementalPCA(N_IMAGES - 5), keep=keep).space
    assert space.manifold.n_images == N_IMAGES - 4
    np.testing.assert_allclose(space.manifold.mean, reference.mean_, atol=1e-3)
    np.testing.assert_allclose(space.manifold.singular_values, reference.singular_values_[:-1], rtol=5e-3)

    is_nan = space.target.isnan()
    missing = [file in BROKEN for file in Folder(world.pictures).files]
    assert is_nan.all(dim=1).tolist() == is_nan.any(dim=1).tolist() == missing


def test_broken_pictures_stay_left_out_where_a_killed_run_goes_on(world):
    break_pictures(world)
    complete = world.fit(IncrementalPCA(5)).space
    world.file("manifolds").unlink()
    rows = world.rows_file.read_bytes()
    world.rows_file.write_bytes(rows[: len(rows) * 10 // N_IMAGES - 1])
    resumed = world.fit(IncrementalPCA(5)).space
    assert resumed.manifold.n_images == N_IMAGES - 4
    assert_same_manifold(resumed.manifold, complete.manifold, atol=1e-3)


def test_without_kept_features_the_manifold_and_the_coordinates_are_the_same(world, tmp_path):
    first = world.fit(IncrementalPCA(N_IMAGES - 1)).space
    second = world.fit(IncrementalPCA(N_IMAGES - 1), keep=False, cache=tmp_path / "other").space
    assert_same_manifold(first.manifold, second.manifold, atol=2e-3)
    expected = second.manifold.encode(torch.from_numpy(world.features()))
    torch.testing.assert_close(second.target, expected, atol=1e-3, rtol=1e-3)
    assert not (tmp_path / "other/features").exists()


def test_a_manifold_given_by_path_is_the_one_that_was_saved(world, tmp_path, save_picture):
    fitted = world.fit(IncrementalPCA(5)).space
    for i in range(6):
        save_picture(tmp_path / f"others/bird/{i}.png", seed=50 + i, side=SIZE)

    elsewhere = {"pictures": tmp_path / "others", "cache": tmp_path / "empty"}
    given = world.fit(IncrementalPCA(512), world.file("manifolds"), **elsewhere).space
    assert given.manifold.components.equal(fitted.manifold.components)
    assert given.extractor.fingerprint == fitted.extractor.fingerprint
    images = torch.stack([read_image(tmp_path / f"others/bird/{i}.png", SIZE) for i in range(6)])
    expected = fitted.manifold.encode(fitted.extractor.vectors(images))
    torch.testing.assert_close(given.target, expected, atol=0.05, rtol=1e-3)


def test_a_manifold_of_another_network_is_an_error_that_names_both(world):
    _ = world.fit(IncrementalPCA(5)).space
    path = world.file("manifolds")
    ours, theirs = (FeatureExtractor(world.network(seed), ["high"]).fingerprint["network"] for seed in (0, 1))
    with pytest.raises(UserError, match=rf"{path}.*another network.*{ours}.*{theirs}"):
        _ = world.fit(IncrementalPCA(5), path, backbone=world.network(seed=1)).space


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["high"]}, "another layers.*'low,high'.*'high'"),
        ({"size": 16}, "another image_size.*'12'.*'16'"),
    ],
)
def test_a_manifold_of_other_layers_or_size_is_an_error_that_names_both(world, options, message):
    _ = world.fit(IncrementalPCA(5)).space
    path = world.file("manifolds")
    with pytest.raises(UserError, match=message) as caught:
        _ = world.fit(IncrementalPCA(5), path, **options).space
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
        _ = world.fit(IncrementalPCA(5), path).space


@pytest.mark.parametrize("kind", ["scales", "manifolds", "codes"])
def test_a_damaged_file_in_the_cache_is_computed_again_with_a_line_that_says_so(world, kind, caplog):
    before = world.fit(IncrementalPCA(5)).space
    file = world.file(kind)
    whole = file.read_bytes()
    expected = load(whole)
    file.write_bytes(whole[:-10])
    after = world.fit(IncrementalPCA(5)).space
    assert f"{file} is damaged" in caplog.text
    assert all(expected[name].equal(tensor) for name, tensor in load_file(file).items())
    assert after.manifold.components.equal(before.manifold.components)
    assert after.target.equal(before.target)


def test_a_repaired_picture_is_taken_in(world, save_picture, caplog):
    caplog.set_level(logging.INFO)
    picture = world.pictures / "cat/03.png"
    fixed = Folder.times_count
    Folder.times_count = False  # as in data sets that are told by names and sizes
    try:
        whole = picture.read_bytes()
        picture.write_bytes(whole[:30] + bytes(len(whole) - 30))
        assert world.fit(IncrementalPCA(5)).space.target.isnan().any()
        picture.write_bytes(whole)
        assert not world.fit(IncrementalPCA(5)).space.target.isnan().any()
    finally:
        Folder.times_count = fixed
    assert "have been repaired" in caplog.text


@pytest.mark.parametrize("allows", [{"pixels": (SIZE + 2) ** 2}, {"picture_megabytes": 0.002}])
def test_a_picture_that_was_too_large_is_taken_in_once_the_limit_allows_it(world, save_picture, allows):
    save_picture(world.pictures / "cat/03.png", seed=3, side=SIZE + 2)
    size = (world.pictures / "cat/03.png").stat().st_size / 1e6
    others = max(file.stat().st_size for file in world.pictures.rglob("*.png") if file.name != "03.png") / 1e6
    assert others < size < 0.002
    refuses = {"pixels": SIZE**2} if "pixels" in allows else {"picture_megabytes": (size + others) / 2}
    is_missing = [file == "cat/03.png" for file in Folder(world.pictures).files]
    for _ in range(2):
        with limited(Limits(**refuses)):
            assert world.fit(IncrementalPCA(5)).space.target.isnan().any(dim=1).tolist() == is_missing
    with limited(Limits(**allows)):
        space = world.fit(IncrementalPCA(5)).space
    assert not space.target.isnan().any()
    assert space.manifold.n_images == N_IMAGES


def test_a_picture_that_cannot_be_read_ends_the_run_and_is_not_taken_for_broken(world, monkeypatch):
    read = Path.read_bytes

    def unreadable(path: Path) -> bytes:
        if path.name == "03.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", unreadable)
    with pytest.raises(UserError, match=r"03\.png could not be read \(Permission denied\)"):
        _ = world.fit(IncrementalPCA(5)).space
    monkeypatch.undo()
    assert not world.fit(IncrementalPCA(5)).space.target.isnan().any()


def test_fewer_pictures_than_components_is_an_error_before_any_feature_is_computed(world):
    with pytest.raises(UserError, match=f"{N_IMAGES} images .* 24 components .*; set n_components=22 or less"):
        _ = world.fit(IncrementalPCA(24)).space
    assert not (world.cache / "features").exists()


def test_fewer_whole_pictures_than_components_is_an_error(world):
    break_pictures(world)
    with pytest.raises(UserError, match=f"{N_IMAGES - 4} images .* 20 components"):
        _ = world.fit(IncrementalPCA(20)).space


def test_the_saved_manifold_holds_plain_tensors_and_the_scales_it_was_fitted_with(world):
    space, path = world.fit(IncrementalPCA(5)).space, world.file("manifolds")
    saved = load_file(path)
    assert set(saved) >= {"mean", "components", "scale.low", "scale.high"}
    assert saved["scale.low"].equal(space.extractor.scales["low"])
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    assert header["__metadata__"]["layers"] == "low,high"
    assert header["__metadata__"]["image_size"] == str(SIZE)


# The space of an edit


@dataclass(frozen=True)
class GreyTask(ClassTask):
    """From grey cats to dogs."""

    source_view = staticmethod(desaturated)


def cats_to_dogs(world, task=None, **options):
    """The data of an edit of two cats."""
    return world.data(task or ClassTask("cat", "dog"), images=["cat/05.png", "cat/03.png"], set_size=7, **options)


def test_one_manifold_serves_every_edit_with_the_same_space(world):
    fit = world.fit(IncrementalPCA(5))
    assert fit(cats_to_dogs(world)) is fit.space
    assert fit(world.data(ClassTask("dog", "cat"), images=2)) is fit.space


def test_sources_that_are_seen_another_way_have_coordinates_of_what_is_seen(world):
    fit = world.fit(IncrementalPCA(5))
    data = cats_to_dogs(world, GreyTask("cat", "dog"))
    space = fit(data)
    assert space.target is fit.space.target
    assert space.manifold is fit.space.manifold
    expected = space.manifold.encode(torch.from_numpy(world.features(view=desaturated)[data.source]))
    torch.testing.assert_close(space.source[data.source], expected, atol=0.05, rtol=1e-3)
    assert (space.source[data.source] - space.target[data.source]).norm(dim=1).min() > 0.1
    unasked = np.setdiff1d(np.arange(N_IMAGES), data.source)
    assert space.source[unasked].isnan().all()


@pytest.mark.parametrize("view", [None, desaturated])
def test_distances_in_the_span_of_the_sets_are_those_of_feature_vectors(world, view):
    data = cats_to_dogs(world, None if view is None else GreyTask("cat", "dog"))
    space = SetFit(world.catalog_features(), Span())(data)
    ours = torch.cat([space.source[data.source], space.target[data.target]]).double()
    every, seen = world.features(), world.features(view=view)
    theirs = torch.from_numpy(np.concatenate([seen[data.source], every[data.target]])).double()
    torch.testing.assert_close(torch.pdist(ours), torch.pdist(theirs), rtol=5e-3, atol=0)
    inputs = torch.stack([batch for part in data.predict_dataloader() for batch in part.images])
    to_sets = torch.cdist(space.coordinates(inputs), ours)
    positions = [data.catalog.index(name) for name in data.inputs]
    torch.testing.assert_close(
        to_sets, torch.cdist(torch.from_numpy(seen[positions]).double(), theirs), rtol=5e-3, atol=0
    )


@pytest.mark.parametrize("view", [None, desaturated])
def test_only_the_pictures_of_the_sets_lie_in_their_span(world, view):
    data = cats_to_dogs(world, None if view is None else GreyTask("cat", "dog"))
    space = SetFit(world.catalog_features(), Span())(data)
    both = np.concatenate([data.source, data.target])  # what is seen in one way has one point
    source, target = (both, both) if view is None else (data.source, data.target)
    for points, members in ((space.source, source), (space.target, target)):
        assert (~points.isnan().any(dim=1)).nonzero()[:, 0].tolist() == sorted(members.tolist())
        assert points.isnan().all(dim=1).sum() == N_IMAGES - len(members)
    assert space.manifold.n_images == len(data.source) + len(data.target) + len(data.inputs)


def test_a_span_with_z_scores_has_distances_of_z_scores(world):
    data = cats_to_dogs(world)
    plain, scored = (SetFit(world.catalog_features(), Span(z_score))(data) for z_score in (False, True))
    rows = [*data.source, *data.target, *(data.catalog.index(name) for name in data.inputs)]
    features = world.features().astype(np.float16).astype(float)  # as they are stored
    deviation = features[rows].std(axis=0)
    theirs = torch.from_numpy(features[data.source] / np.where(deviation > 0, deviation, 1))
    torch.testing.assert_close(torch.pdist(scored.source[data.source]).double(), torch.pdist(theirs), rtol=1e-3, atol=0)
    assert not torch.allclose(torch.pdist(plain.source[data.source]).double(), torch.pdist(theirs), rtol=0.2)


def test_the_last_span_is_kept_for_edits_of_the_same_sets_and_inputs(world):
    fit = SetFit(world.catalog_features(), Span())
    first = fit(cats_to_dogs(world))
    world.looked_at = 0
    assert fit(cats_to_dogs(world)) is first
    assert world.looked_at == 0
    others = [
        world.data(ClassTask("cat", "dog"), images=["cat/05.png"], set_size=7),
        world.data(ClassTask("dog", "cat")),
    ]
    for data in others:
        assert fit(data) is not first


def test_pictures_that_are_handed_over_one_after_the_other_have_a_span_each(world):
    fit = SetFit(world.catalog_features(), Span())
    spaces = [
        fit(world.data(ClassTask("cat", "dog"), images=[torch.full((3, SIZE, SIZE), grey)], set_size=7))
        for grey in (0.2, 0.8)
    ]
    assert spaces[0] is not spaces[1]


class ByTurns:
    """By labels every second input gets the same pictures; keeps what it was told of the inputs."""

    def __init__(self, *labels):
        self.labels, self.own = labels, {}

    def by_labels(self, pool, names, own_scores):
        self.own = {name: own_scores(name, self.labels) for name in names}
        pairs = [Sets(pool.confident.source[i::2].copy(), pool.confident.target[i::2].copy()) for i in (0, 1, 0)]
        return [pairs[i % 3] for i in range(len(names))]


def test_inputs_with_the_same_pictures_to_choose_from_are_one_part(world):
    names = ["cat/05.png", "cat/03.png", "cat/07.png", "cat/09.png"]
    data = world.data(ClassTask("cat", "dog"), images=names, set_size=6)
    first, second = SetFit(world.catalog_features(), Span()).parts(data, ByTurns())
    assert (first.inputs, second.inputs) == ([names[0], names[2], names[3]], [names[1]])
    for part, start in ((first, 0), (second, 1)):
        np.testing.assert_array_equal(part.source, data.source[start::2])
        np.testing.assert_array_equal(part.target, data.target[start::2])
        assert part.pool.confident.source is part.source
        for scores, members in zip(part.pool.sides, (part.source, part.target), strict=True):
            assert np.flatnonzero(scores > 0).tolist() == sorted(members.tolist())
        assert [name for batch in part.predict_dataloader() for name in batch.names] == part.inputs
        assert part.task is data.task
    assert data.inputs == names  # as it was
    assert len(data.source) == 6


def test_inputs_have_their_own_labels_and_those_that_nobody_labelled_what_their_features_say(world, tmp_path):
    elsewhere = shutil.copy(world.pictures / "cat/05.png", tmp_path / "mine.png")
    data = world.data(ClassTask("cat", "dog"), images=["cat/03.png", str(elsewhere)], set_size=6)
    selection = ByTurns("dog", "cat")
    SetFit(world.catalog_features(), Span()).parts(data, selection)
    catalog = Folder(world.pictures)
    scores = np.stack([catalog.scores(label) for label in selection.labels], axis=1)
    np.testing.assert_array_equal(selection.own["cat/03.png"], scores[catalog.index("cat/03.png")])
    points = pooled_by_hand(world).double()
    ridge = make_pipeline(StandardScaler(), Ridge(points.shape[1])).fit(points, scores)
    expected = ridge.predict(points[[catalog.index("cat/05.png")]])[0]
    np.testing.assert_allclose(selection.own[str(elsewhere)], expected, atol=1e-4)


# Files of spaces


def refused(name):
    pytest.fail(f"asked for the network {name!r}")


def contents(path):
    """What a file says of itself, and the bytes of its tensors."""
    with safe_open(path, "numpy") as file:
        return file.metadata(), {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("kind", [IncrementalPCA, ExactPCA])
def test_a_space_that_is_read_back_is_the_same(world, kind, tmp_path):
    break_pictures(world)
    space = world.fit(kind(5)).space
    space.save(tmp_path / "new/folder/space.safetensors")
    again = read_space(tmp_path / "new/folder/space.safetensors", refused, world.network())
    images = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert again.coordinates(images).equal(space.coordinates(images))
    for ours, theirs in ((again.source, space.source), (again.target, space.target)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    assert type(again.manifold) is kind
    assert again.manifold.n_images == space.manifold.n_images == N_IMAGES - 4
    assert again.manifold.explained_variance_ratio.equal(space.manifold.explained_variance_ratio)
    delta = torch.randn(4, 5, generator=torch.Generator().manual_seed(1)).double()
    for form in ("residual", "projected"):
        ours, theirs = (one.targets(one.encode(images), delta, form) for one in (again, space))
        assert list(ours) == LAYERS
        assert all(ours[layer].equal(theirs[layer]) for layer in LAYERS)
    assert again.extractor.fingerprint == space.extractor.fingerprint
    assert again.fitted_with == space.fitted_with
    again.save(tmp_path / "again.safetensors")
    first, second = (contents(tmp_path / name) for name in ("new/folder/space.safetensors", "again.safetensors"))
    assert first == second


@pytest.fixture
def saved(world, tmp_path):
    """A file of a space that does not name its network."""
    world.fit(IncrementalPCA(5)).space.save(tmp_path / "space.safetensors")
    return tmp_path / "space.safetensors"


def test_the_network_is_made_by_the_name_that_the_file_or_the_user_says(world, tmp_path):
    space = world.fit(IncrementalPCA(5)).space
    replace(space, fitted_with={**space.fitted_with, "backbone": "small"}).save(tmp_path / "space.safetensors")
    made = []

    def make(name):
        made.append(name)
        return world.network()

    for given, name in ((None, "small"), ("other", "other")):
        again = read_space(tmp_path / "space.safetensors", make, given)
        assert made[-1] == name
        assert again.target.equal(space.target)
    assert len(made) == 2


def test_a_file_that_names_no_network_says_how_to_give_one(saved):
    with pytest.raises(UserError, match=rf"{saved} does not say which network .*load_space\(path, backbone=\.\.\.\)"):
        read_space(saved, refused)


def test_a_space_of_another_network_is_refused_and_both_are_named(world, saved):
    ours, theirs = (FeatureExtractor(world.network(seed), LAYERS).fingerprint["network"] for seed in (0, 1))
    with pytest.raises(UserError, match=rf"{saved} belongs to another network: .*{ours}.*{theirs}"):
        read_space(saved, refused, world.network(seed=1))


def test_a_network_without_the_layers_is_refused(saved):
    with pytest.raises(UserError, match="no layer 'low'"):
        read_space(saved, refused, digits_network(4))


def halved(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def missing(path):
    path.unlink()


@pytest.mark.parametrize("damage", [halved, missing, text, other_tensors])
def test_a_file_that_holds_no_whole_space_is_refused_by_name(world, saved, damage):
    damage(saved)
    with pytest.raises(UserError, match=re.escape(str(saved))) as caught:
        read_space(saved, refused, world.network())
    assert "\n" not in str(caught.value)


def test_a_manifold_without_the_points_of_pictures_is_no_space_and_the_file_is_named(world):
    _ = world.fit(IncrementalPCA(5)).space
    path = world.file("manifolds")
    with pytest.raises(UserError, match=rf"{path} holds a manifold .*manifold_path"):
        read_space(path, refused, world.network())


def test_the_span_of_an_edit_is_refused_and_nothing_is_written(world, tmp_path):
    space = SetFit(world.catalog_features(), Span())(cats_to_dogs(world))
    with pytest.raises(UserError, match="manifold=span is fitted anew for every edit; there is nothing to save"):
        space.save(tmp_path / "space.safetensors")
    assert not (tmp_path / "space.safetensors").exists()


def test_a_saved_space_serves_as_a_manifold_given_by_path(world, saved, tmp_path):
    given = world.fit(IncrementalPCA(512), saved, cache=tmp_path / "empty").space
    images = world.images()
    assert given.coordinates(images).equal(read_space(saved, refused, world.network()).coordinates(images))
