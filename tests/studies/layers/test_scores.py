"""Scores of layers: which pictures they are of, what they say of layers whose answer is known, and what is picked."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from dmt.data import AttributeTask, EditData, ImageBatch, ImageError, Reserved, Serving
from dmt.errors import UserError
from dmt.networks import LayeredNetwork
from dmt.networks.extractor import FeatureExtractor, PooledExtractor
from dmt.solvers import LBFGS
from dmt.studies.layers import LayerScore, LayerScores, choose_layers, score_table
from dmt.studies.layers.edits import blurred, reconstruction_psnrs
from dmt.studies.layers.pictures import task_sets, view_pictures


def network() -> LayeredNetwork:
    """Two layers: ``picture``, all channels, and ``blue``, the last."""
    picture = nn.Conv2d(3, 3, 1, bias=False)
    nn.init.dirac_(picture.weight)
    blue = nn.Conv2d(3, 1, 1, bias=False)
    blue.weight.data = torch.tensor([0.0, 0.0, 1.0]).reshape(1, 3, 1, 1)
    return LayeredNetwork(nn.Identity(), {"picture": picture, "blue": blue})


class Colours:
    """Pictures of one colour, three of each person; the labels are what is bright."""

    labels = ("Red", "Green", "Blue", "Everybody")
    title = fingerprint = "colours"
    is_validation = None
    kinds: dict = {}  # noqa: RUF012

    def __init__(self, count=600, broken=()):
        self.colours = np.random.default_rng(0).uniform(0.1, 0.9, (count, 3))
        self.names = [f"picture_{i}" for i in range(count)]
        self.groups = [f"person_{i // 3}" for i in range(count)]
        self.broken = set(broken)

    def read(self, index, size):
        if index in self.broken:
            raise ImageError(f"{self.names[index]} does not decode")
        return torch.tensor(self.colours[index], dtype=torch.float32)[:, None, None].expand(3, size, size)

    def scores(self, label):
        if label == "Everybody":
            return np.ones(len(self.names))
        return self.colours[:, self.labels.index(label)] - 0.5


def splits(catalog=None, **options) -> EditData:
    return EditData(catalog or Colours(), image_size=8, **options)


RED = AttributeTask("Red")


# Which pictures


def test_the_pictures_are_the_most_confident_of_both_sides():
    data = splits()
    sets = task_sets(data, RED, 50, least=5)
    red = data.catalog.catalog.colours[:, 0]
    np.testing.assert_array_equal(np.sort(red[sets.target]), np.sort(red)[-50:])
    np.testing.assert_array_equal(np.sort(red[sets.source]), np.sort(red)[:50])


def test_a_task_that_balances_has_as_many_of_each_label_on_both_sides():
    catalog = Colours()
    catalog.colours[:, 2] = catalog.colours[:, 0]  # what is red is blue, but for some
    catalog.colours[::5, 2] = 1 - catalog.colours[::5, 0]
    sets = task_sets(splits(catalog), replace(RED, balance=["Blue"]), 60, least=5)
    blue = catalog.scores("Blue") > 0
    assert blue[sets.source].sum() == blue[sets.target].sum() > 0


def test_people_whom_judges_learn_from_are_left_out():
    kept = Reserved(0.3, spared=["person_0"])
    data = splits(reserved=kept)
    sets = task_sets(data, RED, 1000, least=5)
    reserved = kept.among(data.catalog.groups)
    assert 0.2 < reserved.mean() < 0.4
    assert set(sets.source) | set(sets.target) == set(np.flatnonzero(~reserved))


@pytest.mark.parametrize(("task", "side"), [(AttributeTask("Everybody"), "source"), (RED, "source")])
def test_one_class_or_too_few_people_is_an_error_that_names_the_side(task, side):
    catalog = Colours(12) if task is RED else Colours()
    with pytest.raises(UserError, match=rf"hold people out, and the {side} of 'more .*\(layers=\[...\]\)"):
        task_sets(splits(catalog), task, 50, least=5)


# How layers see them


def test_the_points_of_a_layer_are_means_of_the_cells_and_a_small_layer_has_as_many_as_it_has_places():
    image = torch.arange(48.0).reshape(1, 3, 4, 4)
    cells = np.arange(48).reshape(3, 2, 2, 2, 2).mean(axis=(2, 4))
    found = PooledExtractor(network(), ["picture", "blue"], grid=2)(image)
    np.testing.assert_allclose(found["picture"][0], cells)
    np.testing.assert_allclose(found["blue"][0], cells[2:])
    assert PooledExtractor(network(), ["picture"], grid=9)(image)["picture"].equal(image)


def test_all_layers_see_the_same_pictures_and_a_broken_one_is_passed_over(quiet_trainer, caplog):
    catalog = Colours(60, broken=[7])
    data = splits(catalog, serving=Serving(batch_size=8))
    sets = task_sets(data, RED, 100, least=5)
    viewed = view_pictures(PooledExtractor(network(), ["picture", "blue"], 1), data, RED, sets, quiet_trainer)
    shown = [i for i in [*sets.source, *sets.target] if i != 7]
    np.testing.assert_allclose(viewed.layers["picture"], catalog.colours[shown], rtol=1e-6)
    np.testing.assert_allclose(viewed.layers["blue"], catalog.colours[shown, 2:], rtol=1e-6)
    np.testing.assert_array_equal(viewed.of_target, catalog.colours[shown, 0] > 0.5)
    assert viewed.groups == [catalog.groups[i] for i in shown]
    assert "picture_7 does not decode" in caplog.text


def test_the_source_is_seen_as_the_task_makes_it(quiet_trainer):
    class Darkened(AttributeTask):
        source_view = staticmethod(lambda image: image / 2)

    data, task = splits(Colours(60)), Darkened("Red")
    sets = task_sets(data, task, 100, least=5)
    viewed = view_pictures(PooledExtractor(network(), ["picture"], 1), data, task, sets, quiet_trainer)
    expected = np.concatenate(
        [data.catalog.catalog.colours[sets.source] / 2, data.catalog.catalog.colours[sets.target]]
    )
    np.testing.assert_allclose(viewed.layers["picture"], expected, rtol=1e-6)


# Scores


def test_a_layer_that_shows_the_class_scores_higher_than_one_that_does_not(tmp_path, quiet_trainer):
    picture, blue = LayerScores(RED).measure(network(), splits(), quiet_trainer, tmp_path)
    assert (picture.layer, picture.shape, picture.size) == ("picture", (3, 8, 8), 192)
    assert (blue.layer, blue.shape, blue.size) == ("blue", (1, 8, 8), 64)
    assert picture.auc > 0.999
    assert picture.knn > 0.8  # the direction of a colour does not tell how bright it is
    assert blue.auc == pytest.approx(0.5, abs=4 * (601 / 12) ** 0.5 / 300)  # Mann and Whitney's U
    assert 0 < blue.auc_error < 0.1
    assert picture.logme > blue.logme


def test_scores_are_computed_once_for_all_that_determines_them(tmp_path, quiet_trainer, monkeypatch):
    scores = LayerScores(RED, set_size=100)
    first = scores.measure(network(), splits(), quiet_trainer, tmp_path)
    monkeypatch.setattr("dmt.studies.layers.scores.view_pictures", lambda *_: pytest.fail("computed again"))
    assert scores.measure(network(), splits(), quiet_trainer, tmp_path) == first
    assert replace(scores, margin=0.5).measure(network(), splits(), quiet_trainer, tmp_path) == first
    others = [{"set_size": 99}, {"grid": 2}, {"folds": 4}, {"neighbours": 9}, {"layers": ["blue"]}]
    others += [{"task": AttributeTask("Green")}, {"task": AttributeTask("Red", "less")}]
    for other in others:
        with pytest.raises(pytest.fail.Exception, match="computed again"):
            replace(scores, **other).measure(network(), splits(), quiet_trainer, tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": ["blu"]}, "no layer 'blu'; did you mean 'blue'"),
        ({"layers": []}, "scores.layers is empty"),
        ({"layers": "blue"}, r"scores.layers must be a list, such as \[blue\]"),
        ({"set_size": 1}, "scores.set_size must be a whole number, 2 or more, got 1"),
        ({"grid": 0}, "scores.grid must be .* got 0"),
        ({"folds": 1}, "scores.folds must be .* got 1"),
        ({"neighbours": 0}, "scores.neighbours must be .* got 0"),
        ({"neighbours": 500}, "scores.neighbours is 500, but there are 4[78][0-9] pictures"),
        ({"margin": -1}, "scores.margin must be .* got -1"),
        ({"folds": 250}, "of the 250 needed"),
    ],
)
def test_a_bad_setting_is_an_error_that_names_it(tmp_path, quiet_trainer, settings, message):
    with pytest.raises(UserError, match=message):
        LayerScores(RED, **settings).measure(network(), splits(), quiet_trainer, tmp_path)


# The rule


def scored(**aucs: tuple[int, float]) -> list[LayerScore]:
    """Layer -> its side and its AUC."""
    return [LayerScore(name, (1, side, side), auc, 0.0, 0.0, 0.0) for name, (side, auc) in aucs.items()]


RISING = {"a1": (32, 0.6), "b1": (16, 0.8), "b2": (16, 0.7), "c1": (8, 0.85), "c2": (8, 0.9), "d1": (4, 0.95)}


@pytest.mark.parametrize(
    ("change", "picks"),
    [
        ({}, ["b1", "c2", "d1"]),
        ({"c1": (8, 0.92)}, ["b1", "c1", "d1"]),  # the best of its depth
        ({"c1": (8, 0.96)}, ["b1", "c1", "d1"]),  # better than the last, but within the margin
        ({"c1": (8, 0.99)}, ["a1", "b1", "c1"]),  # the last tells the class less well
        ({"a1": (32, 0.99)}, ["a1"]),
        ({"pool": (4, 0.99), "d1": (4, 0.98)}, ["b1", "c2", "d1"]),  # a pooling is not picked
    ],
)
def test_the_picks_are_the_best_of_the_highest_depth_that_tells_the_class_and_of_the_two_below(change, picks):
    assert choose_layers(scored(**RISING | change), margin=0.02) == picks


def test_fewer_depths_give_fewer_layers_and_poolings_alone_are_better_than_nothing():
    assert choose_layers(scored(a=(8, 0.7), b=(8, 0.9))) == ["b"]
    assert choose_layers(scored(pool1=(8, 0.7), pool2=(4, 0.9))) == ["pool1", "pool2"]


def test_the_table_has_a_row_per_layer_and_marks_the_picks():
    rows = score_table(scored(a=(8, 0.7), b=(4, 0.9)), ["b"])
    assert [(row["layer"], row["auc"], row["numbers"], row["auto"]) for row in rows] == [
        ("a", 0.7, 64, ""),
        ("b", 0.9, 16, "*"),
    ]


# What an edit says


def test_the_start_of_a_reconstruction_has_the_means_of_cells_and_no_detail():
    flat = torch.full((1, 3, 32, 24), 0.3)
    assert torch.allclose(blurred(flat), flat)
    stripes = (torch.arange(32) % 2).float().expand(1, 3, 32, 32)
    assert torch.allclose(blurred(stripes), torch.full((1, 3, 32, 32), 0.5))
    assert blurred(torch.rand(1, 3, 5, 5)).shape == (1, 3, 5, 5)


def test_a_picture_comes_back_from_a_layer_that_has_it_and_not_from_one_that_has_a_channel_of_it():
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    data = SimpleNamespace(predict_dataloader=lambda: [ImageBatch(images, [0, 1, 2], ["a", "b", "c"], [])])
    solver = LBFGS(iterations=50, tolerance=0)
    whole, part = (
        reconstruction_psnrs(FeatureExtractor(network(), [layer]), data, solver) for layer in ("picture", "blue")
    )
    assert len(whole) == len(part) == 3
    assert min(whole) > 60
    red_and_green = (blurred(images) - images)[:, :2].square().flatten(1).sum(dim=1) / images[0].numel()
    assert part == pytest.approx((-10 * red_and_green.log10()).tolist(), abs=0.1)  # blue is right, the rest as it began
