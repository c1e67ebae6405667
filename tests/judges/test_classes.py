"""A judge that a run teaches: what it learns from, that the edit does not see it, and what it says of classes."""

import logging
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dmt.data import AttributeTask, ClassTask, ColorizeTask, EditData, ImageError, PictureView
from dmt.data.images import desaturated
from dmt.errors import UserError
from dmt.judges import ClassesJudge, Judge, LearnsFromData, PooledFeatures
from dmt.networks import LayeredNetwork

SIZE = 4
CAT_TO_DOG = ClassTask("cat", "dog")


def pixels_network() -> LayeredNetwork:
    """A network whose only layer is the picture."""
    convolution = nn.Conv2d(3, 3, 1, bias=False)
    nn.init.dirac_(convolution.weight)
    return LayeredNetwork(nn.Identity(), {"pixels": convolution})


class Animals:
    """Pictures of one colour; a dog is redder than a cat by ``apart`` times what they vary."""

    title = "animals"
    labels = ("cat", "dog")
    is_validation = None
    kinds: dict = {}  # noqa: RUF012

    def __init__(self, cats: int = 60, dogs: int = 50, apart: float = 4.0, broken=(), seed: int = 0):
        random = np.random.default_rng(seed)
        self.is_dog = np.arange(cats + dogs) >= cats
        self.colours = 0.5 + 0.05 * random.standard_normal((len(self.is_dog), 3))
        self.colours[self.is_dog, 0] += 0.05 * apart
        self.names = [f"animal_{i}" for i in range(len(self.is_dog))]
        self.groups = self.names
        self.broken = set(broken)
        self.fingerprint = f"animals {cats} {dogs} {apart} {seed}"
        self.read_count = 0

    def read(self, index, size):
        if index in self.broken:
            raise ImageError(f"{self.names[index]} does not decode")
        self.read_count += 1
        return torch.tensor(self.colours[index], dtype=torch.float32)[:, None, None].expand(3, size, size).clamp(0, 1)

    def read_named(self, name, size):
        return self.read(self.names.index(name), size)

    def index(self, name):
        return self.names.index(name) if name in self.names else None

    def group(self, name):
        return name

    def scores(self, label):
        return np.where(self.is_dog == (label == "dog"), 1.0, -1.0)


def data_of(catalog: Animals, task=CAT_TO_DOG, images=("animal_0",), **options) -> EditData:
    return EditData(catalog, task, images=list(images), image_size=SIZE, **options)


def judge_of(size: int = SIZE, **options) -> ClassesJudge:
    return ClassesJudge(PooledFeatures(pixels_network(), ["pixels"], grid=1), size=size, **options)


def colour(red: float, green: float = 0.5, blue: float = 0.5, size: int = SIZE) -> Tensor:
    return torch.tensor([red, green, blue])[:, None, None].expand(3, size, size)


# What it learns from


@pytest.mark.parametrize(("share", "expected"), [(0.3, (18, 15)), (0.5, (30, 25))])
def test_a_share_of_either_side_is_learnt_from_evenly_spaced_and_is_then_in_neither_set(share, expected, caplog):
    caplog.set_level(logging.INFO)
    data = data_of(Animals())
    _, left = judge_of(share=share).taught(data)
    learnt = set(range(1, 110)) - {*left.source, *left.target}
    cats, dogs = (sorted(i for i in learnt if (i >= 60) == is_dog) for is_dog in (False, True))
    assert (len(cats), len(dogs)) == expected
    assert cats == np.linspace(1, 59, len(cats)).round().astype(int).tolist()
    assert dogs == np.linspace(60, 109, len(dogs)).round().astype(int).tolist()
    assert not [
        side[positions] for side in left.pool.sides for positions in [sorted(learnt)] if (side[positions] > 0).any()
    ]
    assert left.pool.confident.source is left.source
    assert left.inputs == data.inputs == ["animal_0"]
    assert f"learnt from {len(cats)} + {len(dogs)} pictures that the edit does not see" in caplog.text


def test_the_data_that_were_handed_over_are_left_alone():
    data = data_of(Animals())
    source, sides = data.source.copy(), [side.copy() for side in data.pool.sides]
    judge_of().taught(data)
    assert data.source.tolist() == source.tolist()
    assert all((now == before).all() for now, before in zip(data.pool.sides, sides, strict=True))


def test_pictures_beyond_the_most_that_are_learnt_from_stay_in_the_sets(monkeypatch):
    monkeypatch.setattr("dmt.judges.classes.MOST", 12)
    data = data_of(Animals())
    _, left = judge_of(share=0.5).taught(data)
    assert (len(data.source) - len(left.source), len(data.target) - len(left.target)) == (12, 12)


@pytest.mark.parametrize("cats", [12, 32])
def test_of_few_pictures_all_are_learnt_from_and_stay_in_the_sets_and_this_is_said(cats, caplog):
    caplog.set_level(logging.INFO)
    data = data_of(Animals(cats=cats))  # three tenths of 31 are nine
    judge, left = judge_of().taught(data)
    assert left is data
    assert f"learnt from {cats - 1} + 50 pictures of its sets, for there are few" in caplog.text
    assert judge.auc > 0.95


def test_a_share_that_would_leave_nothing_to_edit_with_is_learnt_from_the_sets():
    data = data_of(Animals(cats=15, dogs=14))
    _, left = judge_of(share=0.95).taught(data)
    assert left is data


def test_inputs_are_not_learnt_from():
    catalog = Animals(apart=20.0)
    catalog.colours[0] = [5.0, 0.5, 0.5]  # a cat as red as no dog: one picture that would spoil all
    judge, _ = judge_of(strength=100.0).taught(data_of(catalog))
    assert judge.auc == 1.0


def test_broken_pictures_are_left_out():
    judge, _ = judge_of().taught(data_of(Animals(broken=range(1, 60, 2))))
    assert judge.auc > 0.95
    with pytest.raises(UserError, match=r"a side has fewer than 2 pictures .* leave out judges=classes"):
        judge_of().taught(data_of(Animals(broken=range(60, 110))))
    with pytest.raises(UserError, match="a side has fewer than 2 pictures"):
        judge_of().taught(data_of(Animals(broken=range(61, 110))))


def test_a_picture_is_read_once_for_the_same_catalog_and_again_for_another():
    catalog, judge = Animals(), judge_of()
    data = data_of(catalog)
    catalog.read_count = 0
    first, _ = judge.taught(data)
    assert catalog.read_count == 33
    again, _ = judge.taught(data)
    assert catalog.read_count == 33
    assert again.probe.weights.equal(first.probe.weights)
    other = Animals(apart=-4.0, seed=1)
    assert judge.taught(data_of(other))[0].probabilities([colour(0.9)]) < 0.5 < first.probabilities([colour(0.9)])


@dataclass(frozen=True)
class Greyed(ClassTask):
    source_view: ClassVar[PictureView] = staticmethod(desaturated)


def test_sources_are_learnt_from_as_the_task_views_them():
    catalog = Animals(apart=0.0)
    catalog.colours[:] = [0.9, 0.3, 0.3]
    catalog.colours += 0.01 * np.random.default_rng(0).standard_normal(catalog.colours.shape)
    judge, _ = judge_of(strength=1.0).taught(data_of(catalog, Greyed("cat", "dog")))
    assert judge.auc == 1.0
    before, after = judge.probabilities([desaturated(colour(0.9, 0.3, 0.3)), colour(0.9, 0.3, 0.3)])
    assert before < 0.2 < 0.8 < after


# What it says


def test_the_probability_rises_towards_the_target():
    judge, _ = judge_of(strength=1.0).taught(data_of(Animals()))
    columns = judge.columns("classes", [colour(0.4), colour(0.5)], [colour(0.7), colour(0.9)])
    assert list(columns) == ["classes_before", "classes_after"]
    assert (columns["classes_before"] < 0.5).all()
    assert (columns["classes_after"] > 0.5).all()
    assert (np.diff(np.concatenate([columns["classes_before"], columns["classes_after"]])) > 0).all()
    back, _ = judge_of(strength=1.0).taught(data_of(Animals(), ClassTask("dog", "cat"), images=["animal_99"]))
    np.testing.assert_allclose(back.probabilities([colour(0.4)]), 1 - columns["classes_before"][:1], atol=0.05)


def test_both_classes_weigh_alike_however_many_pictures_they_have():
    judge, _ = judge_of(strength=1.0).taught(data_of(Animals(cats=600, dogs=40)))
    middle = judge.probabilities([colour(0.5 + 0.05 * 2.0)])
    assert 0.3 < middle < 0.8, "by their numbers, 180 and 12, it would be a sixteenth"


def test_pictures_of_any_size_are_brought_to_the_judges():
    judge, _ = judge_of(size=8).taught(data_of(Animals()))
    small, large = judge.probabilities([colour(0.7)]), judge.probabilities([colour(0.7, size=32)])
    np.testing.assert_allclose(small, large, atol=1e-5)
    assert judge.probabilities([colour(0.7)] * 40).shape == (40,)


@pytest.mark.parametrize(("apart", "low", "high"), [(40.0, 1.0, 1.0), (0.0, 0.2, 0.75)])
def test_the_area_under_the_curve_is_one_of_classes_apart_and_about_a_half_of_one_class(apart, low, high, caplog):
    judge, _ = judge_of().taught(data_of(Animals(cats=200, dogs=200, apart=apart)))
    assert low <= judge.auc <= high
    assert ("these classes hardly separate" in caplog.text) == (apart == 0)


@pytest.mark.parametrize(("auc", "is_said"), [(0.74, True), (0.76, False)])
def test_that_classes_hardly_separate_is_a_warning_with_the_number(auc, is_said, monkeypatch, caplog):
    monkeypatch.setattr("dmt.judges.classes.roc_auc_score", lambda labels, logits: auc)
    judge_of().taught(data_of(Animals()))
    assert (f"hardly separate in this network: AUC {auc}, where 0.5 is chance" in caplog.text) == is_said


def test_the_judge_learns_and_what_it_has_learnt_is_a_judge():
    judge: Judge | LearnsFromData = judge_of()
    assert isinstance(judge, LearnsFromData)
    taught, _ = judge.taught(data_of(Animals()))
    assert not isinstance(taught, LearnsFromData)
    with pytest.raises(UserError, match="judges=classes learns from the sets of an edit"):
        judge.columns("classes", [colour(0.4)], [colour(0.7)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "judges.classes.size must be a whole number above 0, got 0"),
        ({"share": 0}, "judges.classes.share must be a number between 0 and 1, got 0"),
        ({"share": 1.0}, "judges.classes.share .* got 1.0"),
        ({"share": "half"}, "judges.classes.share .* got 'half'"),
        ({"share": True}, "judges.classes.share .* got True"),
        ({"strength": 0}, "judges.classes.strength must be a number above 0, got 0"),
        ({"strength": "weak"}, "judges.classes.strength .* got 'weak'"),
    ],
)
def test_a_bad_setting_is_an_error_that_names_it(options, message):
    with pytest.raises(UserError, match=message):
        judge_of(**options)


def test_colour_itself_may_be_the_class():
    """Of pictures that are grey and in colour, which the task makes of the same ones."""
    catalog = Animals(cats=80, dogs=0)
    catalog.colours[:] = [0.9, 0.3, 0.3]
    catalog.colours += 0.02 * np.random.default_rng(0).standard_normal(catalog.colours.shape)
    judge, _ = judge_of(strength=1.0).taught(EditData(catalog, ColorizeTask(30, 30), images=2, image_size=SIZE))
    assert judge.auc == 1.0
    assert AttributeTask("x").source_view is None
