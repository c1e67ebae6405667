"""Probes of reserved people: who teaches and who tests, what they say, and when there can be none."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from dmt.data import AttributeTask, ClassTask, ColorizeTask, Digits, ImageError, PersonTask, Reserved
from dmt.errors import UserError
from dmt.judges import AttributesJudge, PooledFeatures, ProbeJudge, ReservedPictures
from dmt.judges.reserved import center
from dmt.networks import LayeredNetwork, digits_backbone


def pixels_network() -> LayeredNetwork:
    """A network whose only layer is the picture."""
    convolution = nn.Conv2d(3, 3, 1, bias=False)
    nn.init.dirac_(convolution.weight)
    return LayeredNetwork(nn.Identity(), {"pixels": convolution})


class Colours:
    """Pictures of one colour; the labels are what is bright, and one that is drawn by lot."""

    labels = ("Red", "Green", "Blue", "Luck")
    fingerprint = "colours"

    def __init__(self, count=1200, broken=(), seed=0):
        random = np.random.default_rng(seed)
        self.colours = random.uniform(0.1, 0.9, (count, 3))
        self.luck = random.choice([-1.0, 1.0], count)
        self.names = [f"picture_{i}" for i in range(count)]
        self.groups = [f"person_{i // 3}" for i in range(count)]
        self.broken = set(broken)

    def read(self, index, size):
        if index in self.broken:
            raise ImageError(f"{self.names[index]} does not decode")
        return torch.tensor(self.colours[index], dtype=torch.float32)[:, None, None].expand(3, size, size)

    def scores(self, label):
        return self.luck if label == "Luck" else self.colours[:, self.labels.index(label)] - 0.5


def pictures_of(catalog, folder, share=0.5) -> ReservedPictures:
    features = PooledFeatures(pixels_network(), ["pixels"], grid=1)
    return ReservedPictures(catalog, share, features=features, image_size=4, cache=folder)


def colour(red, green, blue) -> torch.Tensor:
    return torch.tensor([red, green, blue])[:, None, None].expand(3, 4, 4)


# Features


def test_features_are_the_means_of_the_cells_channel_by_channel():
    image = torch.arange(48.0).reshape(1, 3, 4, 4) / 48
    found = PooledFeatures(pixels_network(), ["pixels"], grid=2)(image)
    cells = np.arange(48).reshape(3, 2, 2, 2, 2).mean(axis=(2, 4)) / 48
    np.testing.assert_allclose(found[0], cells.ravel(), rtol=1e-6)


def test_the_crop_is_the_middle_enlarged():
    image = torch.zeros(1, 3, 8, 8)
    image[:, :, 2:6, 2:6] = torch.tensor([0.2, 0.4, 0.6])[:, None, None]
    found = PooledFeatures(pixels_network(), ["pixels"], grid=2, crop=0.5)(image)
    np.testing.assert_allclose(found[0], np.repeat([0.2, 0.4, 0.6], 4), rtol=1e-5)
    assert center(image, 0.5).shape == image.shape
    assert center(image, 1.0).equal(image)


def test_the_fingerprint_changes_with_whatever_changes_the_features():
    network = pixels_network()
    kinds = [
        PooledFeatures(network, ["pixels"]),
        PooledFeatures(network, ["pixels"], grid=2),
        PooledFeatures(network, ["pixels"], crop=0.5),
        PooledFeatures(LayeredNetwork(nn.Identity(), {"pixels": nn.Conv2d(3, 3, 1)}), ["pixels"]),
    ]
    assert len({str(kind.fingerprint) for kind in kinds}) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": 0}, "grid must be a whole number above 0, got 0"),
        ({"crop": 1.5}, "crop must be a number above 0 and at most 1, got 1.5"),
        ({"crop": "half"}, "crop .* got 'half'"),
        ({"layers": ["conv9"]}, "no layer 'conv9'"),
    ],
)
def test_a_bad_setting_is_an_error_that_names_it(settings, message):
    with pytest.raises(UserError, match=message):
        PooledFeatures(pixels_network(), **({"layers": ["pixels"]} | settings))


# Who teaches and who tests


def test_all_reserved_people_and_no_others_are_there_and_a_quarter_of_them_is_held_out(tmp_path):
    catalog = Colours()
    pictures = pictures_of(catalog, tmp_path)
    assert pictures.positions.tolist() == np.flatnonzero(Reserved(0.5).among(catalog.groups)).tolist()
    people = np.array(catalog.groups)[pictures.positions]
    assert not set(people[pictures.held_out]) & set(people[~pictures.held_out])
    assert pictures.held_out.mean() == pytest.approx(0.25, abs=0.1)
    np.testing.assert_allclose(pictures.points, catalog.colours[pictures.positions], rtol=1e-6)


def test_features_are_computed_once_for_the_same_pictures(tmp_path, monkeypatch):
    first = pictures_of(Colours(), tmp_path).points
    monkeypatch.setattr(PooledFeatures, "__call__", lambda *_: pytest.fail("computed again"))
    assert pictures_of(Colours(), tmp_path).points.equal(first)
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        _ = pictures_of(Colours(), tmp_path, share=0.4).points
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_pictures_that_do_not_decode_are_left_out(tmp_path, caplog):
    whole = pictures_of(Colours(), tmp_path / "whole")
    broken = set(whole.positions[5:45:2].tolist())
    left = pictures_of(Colours(broken=broken), tmp_path / "left")
    assert set(left.positions) == set(whole.positions) - broken
    kept = [position not in broken for position in whole.positions]
    assert left.points.equal(whole.points[kept])
    assert left.held_out.tolist() == whole.held_out[kept].tolist()
    assert caplog.text.count("skipped a picture") == 20


def test_without_reserved_people_there_is_no_probe(tmp_path):
    with pytest.raises(UserError, match=r"data.reserved=0.0 keeps none; set data.reserved=0.25"):
        pictures_of(Colours(), tmp_path, share=0.0)


# The task's probe


def test_the_probability_of_the_target_rises_with_what_makes_the_target(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    judge = ProbeJudge(pictures_of(Colours(), tmp_path), AttributeTask("Red", "less"), strength=1.0)
    reds = (0.1, 0.4, 0.6, 0.9)
    before, after = [colour(red, 0.2, 0.9) for red in reds], [colour(red, 0.9, 0.2) for red in reds[::-1]]
    columns = judge.columns("pale", before, after)
    assert list(columns) == ["pale_before", "pale_after"]
    assert (columns["pale_before"] > 0.5).tolist() == [True, True, False, False]
    assert (columns["pale_after"] > 0.5).tolist() == [False, False, True, True]
    assert columns["pale_before"][0] > 0.95
    assert judge.auc > 0.99
    assert "AUC 1.000" in caplog.text or "AUC 0.99" in caplog.text


def test_people_held_out_teach_nothing(tmp_path):
    class Lying(Colours):
        """The people held out have the opposite labels."""

        def scores(self, label):
            return super().scores(label) * np.where(Reserved(0.125).among(self.groups), -1, 1)

    honest = ProbeJudge(pictures_of(Colours(), tmp_path), AttributeTask("Red"))
    lied_to = ProbeJudge(pictures_of(Lying(), tmp_path), AttributeTask("Red"), floor=0)
    assert lied_to.probe.weights.equal(honest.probe.weights)
    assert lied_to.auc == pytest.approx(1 - honest.auc)
    assert lied_to.auc < 0.01


def test_the_auc_is_the_share_of_pairs_in_the_right_order(tmp_path):
    catalog = Colours()
    pictures = pictures_of(catalog, tmp_path)
    noisy = catalog.colours[:, 0] + np.random.default_rng(1).normal(0, 0.15, len(catalog.names))
    catalog.scores = lambda label: noisy - 0.5
    judge = ProbeJudge(pictures, AttributeTask("Red"))
    held = Reserved(0.125).among(catalog.groups)
    found = judge.columns("x", [catalog.read(i, 4) for i in np.flatnonzero(held)], [colour(0.0, 0.0, 0.0)])["x_before"]
    has, has_not = found[noisy[held] > 0.5], found[noisy[held] <= 0.5]
    assert judge.auc == pytest.approx((has[:, None] > has_not).mean(), abs=1e-9)
    assert 0.8 < judge.auc < 0.99
    assert judge.balanced_accuracy == pytest.approx(((has > 0.5).mean() + (has_not <= 0.5).mean()) / 2)


def test_a_probe_that_tells_nothing_is_an_error_with_its_auc_and_the_floor(tmp_path):
    with pytest.raises(UserError, match=r"AUC 0\.\d\d\d only, below floor=0.85; .*judges.probe.floor lower"):
        ProbeJudge(pictures_of(Colours(), tmp_path), AttributeTask("Luck"))


def test_what_is_of_both_sides_teaches_nothing(tmp_path):
    catalog = Colours()
    known = (catalog.colours[:, 0] > 0.5) ^ (catalog.colours[:, 1] > 0.5)
    judge = ProbeJudge(pictures_of(catalog, tmp_path), ClassTask("Red", "Green"))
    reserved = Reserved(0.5).among(catalog.groups)
    assert known[reserved].mean() == pytest.approx(0.5, abs=0.1)
    green_not_red, red_not_green = colour(0.2, 0.8, 0.5), colour(0.8, 0.2, 0.5)
    columns = judge.columns("x", [red_not_green, green_not_red], [green_not_red, red_not_green])
    assert (columns["x_before"] > 0.5).tolist() == [False, True]
    assert (columns["x_after"] > 0.5).tolist() == [True, False]


@pytest.mark.parametrize(
    ("task", "share", "message"),
    [
        (AttributeTask("Red"), 0.1, "fewer than 20 pictures .*set data.reserved higher"),
        (PersonTask("person_3", least=1), 0.5, "fewer than 20 pictures"),
        (ColorizeTask(), 0.5, "'grey to colour' edits what is made of them"),
    ],
)
def test_a_task_that_no_probe_can_learn_is_an_error_that_says_why(tmp_path, task, share, message):
    with pytest.raises(UserError, match=message):
        ProbeJudge(pictures_of(Colours(), tmp_path, share), task)


@pytest.mark.parametrize("judge", [ProbeJudge, AttributesJudge])
@pytest.mark.parametrize("floor", [-0.1, 1.1, "high"])
def test_a_floor_that_is_none_is_an_error_that_names_it(tmp_path, judge, floor):
    with pytest.raises(UserError, match=f"floor must be a number from 0 to 1, got {floor!r}"):
        judge(pictures_of(Colours(), tmp_path), AttributeTask("Red"), floor=floor)


# Side effects


def test_attributes_count_that_changed_and_are_neither_the_tasks_own_nor_luck(tmp_path):
    judge = AttributesJudge(pictures_of(Colours(), tmp_path), AttributeTask("red"))
    assert list(judge.probes) == ["Green", "Blue"]
    before = [colour(0.2, 0.2, 0.2)] * 4 + [colour(0.8, 0.8, 0.2)]
    after = [
        colour(0.2, 0.2, 0.2),
        colour(0.8, 0.2, 0.2),
        colour(0.2, 0.8, 0.2),
        colour(0.8, 0.8, 0.8),
        colour(0.8, 0.2, 0.8),
    ]
    columns = judge.columns("side", before, after)
    assert list(columns) == ["side_changed"]
    assert columns["side_changed"].tolist() == [0, 0, 1, 2, 2]


def test_no_attribute_that_can_be_told_is_an_error(tmp_path):
    catalog = Colours()
    catalog.labels = ("Red", "Luck")
    with pytest.raises(UserError, match=r"no attribute has a probe of AUC 0.85 or more"):
        AttributesJudge(pictures_of(catalog, tmp_path), AttributeTask("Red"))
    with pytest.raises(UserError, match="no attribute has a probe"):
        AttributesJudge(pictures_of(Colours(), tmp_path, share=0.05), AttributeTask("Red"))


# Real pictures and a trained network


def test_the_network_for_digits_tells_threes_from_eights(tmp_path):
    network = digits_backbone()
    features = PooledFeatures(network, ["conv3"], grid=2)
    digits = Digits()
    pictures = ReservedPictures(digits, 0.6, features=features, image_size=32, cache=tmp_path)
    judge = ProbeJudge(pictures, ClassTask("3", "8"))
    assert judge.auc > 0.95
    others = ~Reserved(0.6).among(digits.names)
    threes, eights = ([digits.read(i, 32) for i in np.flatnonzero(others & (digits.digits == d))] for d in (3, 8))
    columns = judge.columns("eight", threes, eights)
    assert (columns["eight_before"] < 0.5).mean() > 0.85
    assert (columns["eight_after"] > 0.5).mean() > 0.85
    changes = AttributesJudge(pictures, ClassTask("3", "8")).columns(
        "digits", threes, [digits.read(1, 32)] * len(threes)
    )
    assert digits.digits[1] == 1
    assert np.median(changes["digits_changed"]) >= 1
