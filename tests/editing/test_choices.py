"""The lambda whose finished picture is typical of the target, against a classifier fitted anew and a root by hand."""

import logging

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from dmt.editing.choices import PictureBudget, Trials
from dmt.errors import UserError

GENERATOR = np.random.default_rng(0)
SOURCE = torch.from_numpy(GENERATOR.normal(-1, 1, (60, 3)))
TARGET = torch.from_numpy(GENERATOR.normal(1, 1, (60, 3)))
STARTS = torch.tensor([[-1.0, -1.0, -1.0], [-2.0, 0.0, -1.0]], dtype=torch.float64)


def arrived(budgets: Tensor) -> Tensor:
    """The picture goes 0.2 / lambda along the diagonal."""
    return STARTS + 0.2 / budgets[:, None]


def trials(asked: list | None = None) -> Trials:
    def counted(budgets: Tensor) -> Tensor:
        if asked is not None:
            asked.append(budgets)
        return arrived(budgets)

    return Trials(len(STARTS), lambda budgets: [], counted, lambda: (SOURCE, TARGET))


def excess_by_scikit_learn(level: float):
    points, labels = np.concatenate([SOURCE, TARGET]), np.repeat([0, 1], 60)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
    held_out = cross_val_predict(model, points, labels, cv=5, method="decision_function")
    medians = [float(torch.from_numpy(held_out[labels == side]).median()) for side in (0, 1)]
    model.fit(points, labels)
    return lambda z: model.decision_function(z[None])[0] - (medians[0] + level * (medians[1] - medians[0]))


@pytest.mark.parametrize("level", [0.4, 1.0])
def test_the_largest_lambda_whose_picture_is_typical_enough(level):
    rule, n_tried = PictureBudget(level, 0.02, 2.0, steps=20).rule(trials())
    found = rule([0, 1], STARTS, [], None)
    excess = excess_by_scikit_learn(level)
    for start, budget in zip(STARTS.numpy(), found.tolist(), strict=True):
        expected = brentq(lambda value, start=start: excess(start + 0.2 / value), 0.02, 2.0)
        assert budget == pytest.approx(expected, rel=1e-4)
    assert n_tried == 22  # both ends and the bisection


def test_the_count_is_that_of_the_edits_made():
    asked: list[Tensor] = []
    _, n_tried = PictureBudget(steps=4).rule(trials(asked))
    assert n_tried == len(asked) == 6


def test_whoever_does_not_get_there_gets_the_smallest_lambda_and_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        rule, _ = PictureBudget(level=9.0, lowest=0.1).rule(trials())
    assert rule([0, 1], STARTS, [], None).tolist() == [0.1, 0.1]
    assert "2 of 2 images do not get there" in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": float("nan")}, "auto.level must be a number"),
        ({"lowest": 0.6}, "auto.lowest and auto.highest"),
        ({"steps": 0}, "auto.steps"),
    ],
)
def test_values_that_cannot_be_are_errors(options, said):
    with pytest.raises(UserError, match=said):
        PictureBudget(**options)
