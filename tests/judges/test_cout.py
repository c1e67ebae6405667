"""COUT with judges whose areas can be worked out by hand."""

import numpy as np
import pytest
import torch

from dmt.errors import UserError
from dmt.judges import OutputJudge
from dmt.judges.cout import CoutJudge, cout, transition


def brightness(images) -> np.ndarray:
    """P(bright): the mean of the picture."""
    return np.array([float(image.mean()) for image in images])


def flat(value: float) -> torch.Tensor:
    return torch.full((3, 10, 10), value)


@pytest.mark.parametrize("steps", [1, 2, 4, 10, 100])
def test_a_probability_that_rises_evenly_has_the_area_of_a_trapezoid(steps):
    area = (0.2 + 0.9) / 2
    assert cout(flat(0.2), flat(0.9), brightness, steps) == pytest.approx(area - (1 - area), abs=1e-6)


def test_the_bounds_are_reached_by_a_judge_that_never_changes_its_mind():
    always, never = (lambda images: np.ones(len(images))), (lambda images: np.zeros(len(images)))
    assert cout(flat(0.2), flat(0.9), always) == 1
    assert cout(flat(0.2), flat(0.9), never) == -1


def two_regions() -> tuple[torch.Tensor, torch.Tensor]:
    """A fifth of the pixels rises by 1, the last of them first; the others by a quarter."""
    before, after = flat(0.0), flat(0.25)
    after[:, 8:] = 1
    return before, after


def test_what_changes_most_is_pasted_first_so_that_the_area_is_larger():
    # the mean is .2 after a fifth of the pixels, then rises to .2 + .8 / 4 = .4
    area = 0.2 * 0.2 / 2 + 0.8 * (0.2 + 0.4) / 2
    found = cout(*two_regions(), brightness, steps=10)
    assert found == pytest.approx(2 * area - 1, abs=1e-6)
    assert found > 2 * (0.4 / 2) - 1  # what pasting in any order would have


def test_the_trapezoids_of_two_steps_by_hand():
    # after half of the pixels: the 20 that rise by 1 and 30 that rise by a quarter, of 100
    half = (20 + 30 / 4) / 100
    area = 0.5 * (0 + half) / 2 + 0.5 * (half + 0.4) / 2
    assert cout(*two_regions(), brightness, steps=2) == pytest.approx(2 * area - 1, abs=1e-6)


def test_the_order_is_that_of_the_mean_over_channels_of_falls_and_rises_alike():
    before, after = flat(0.5), flat(0.5)
    after[:, 0, 0] = torch.tensor([0.6, 0.6, 0.6])  # .1
    after[:, 5, 5] = torch.tensor([0.5, 0.0, 0.5])  # .17, a fall in one channel
    after[:, 9, 9] = torch.tensor([0.5, 0.9, 0.5])  # .13, the largest of all channels that rise
    changed = [(0, 0), (5, 5), (9, 9)]
    pictures = transition(before, after, steps=100)  # pixel by pixel
    assert [[bool((p[:, y, x] == after[:, y, x]).all()) for y, x in changed] for p in pictures[:4]] == [
        [False, False, False],
        [False, True, False],
        [False, True, True],
        [True, True, True],
    ]


@pytest.mark.parametrize("steps", [1, 3, 7, 40])
def test_the_way_goes_from_the_input_to_the_result_and_leaves_both_alone(steps):
    before, after = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    copies = before.clone(), after.clone()
    pictures = transition(before, after, steps)
    assert len(pictures) == steps + 1
    assert pictures[0].equal(copies[0])
    assert pictures[-1].equal(copies[1])
    assert before.equal(copies[0])
    assert after.equal(copies[1])
    pasted = [int((picture != before).any(dim=0).sum()) for picture in pictures]
    assert pasted == [round(20 * step / steps) for step in range(steps + 1)]


class Means:
    """Stands for an ONNX network: the mean of the picture and what is no probability."""

    def output(self, images, name):
        assert images
        return {"p": brightness(images), "years": 40 + brightness(images)}[name]


@pytest.mark.parametrize(("beyond", "sign"), [("above", 1), ("below", -1)])
def test_the_judge_reads_the_side_of_the_target(beyond, sign):
    before, after = [flat(0.2), flat(0.5)], [flat(0.9), flat(0.5)]
    judge = CoutJudge(OutputJudge(Means(), "p"), beyond, steps=5)
    columns = judge.columns("cout", before, after)
    assert list(columns) == ["cout"]
    np.testing.assert_allclose(columns["cout"], [sign * 0.1, 0], atol=1e-6)  # 2 (.2 + .9) / 2 - 1


def test_what_is_no_probability_is_an_error_that_says_so():
    with pytest.raises(UserError, match=r"COUT needs a judge of probabilities, this one says 40\.2"):
        CoutJudge(OutputJudge(Means(), "years"), "above").columns("cout", [flat(0.2)], [flat(0.9)])


@pytest.mark.parametrize(("options", "message"), [(("over",), "beyond must be"), (("above", 0), "steps must be a")])
def test_settings_that_mean_nothing_are_errors(options, message):
    with pytest.raises(UserError, match=message):
        CoutJudge(OutputJudge(Means(), "p"), *options)


def test_no_steps_are_an_error():
    with pytest.raises(UserError, match="steps must be a whole number above 0, got 0"):
        cout(flat(0.2), flat(0.9), brightness, steps=0)
