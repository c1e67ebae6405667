"""Edits that leave traces are told from photographs, others are not; the AUC and its error against other ways."""

import logging

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dmt.errors import UserError
from dmt.judges.metrics import central_square
from dmt.judges.realism import REGIONS, RealismJudge, grouped_auc, realism, realism_scores, shown

SIDE = 32


def photographs(count: int = 40, seed: int = 0) -> list[torch.Tensor]:
    """Smooth noise, 8 x 8 places enlarged."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return list(torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear").clamp(0, 1))


def people(count: int) -> list[str]:
    return [f"person {number}" for number in range(count)]


def textures(images: torch.Tensor) -> torch.Tensor:
    """Stands for a network: mean absolute differences of neighbours and mean colours in the cells of a grid."""
    across = (images[..., :, 1:] - images[..., :, :-1]).abs()
    down = (images[..., 1:, :] - images[..., :-1, :]).abs()
    return torch.cat(
        [torch.nn.functional.adaptive_avg_pool2d(part, 4).flatten(1) for part in (images, across, down)], 1
    )


def checkered(image: torch.Tensor, where: np.ndarray | None = None, strength: float = 0.1) -> torch.Tensor:
    """With a chequerboard of single pixels, as a transposed convolution leaves one."""
    board = (torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2 * 2.0 - 1
    if where is not None:
        board = board * torch.from_numpy(where)
    return (image + strength * board).clamp(0, 1)


INSIDE = central_square(SIDE, SIDE)


@pytest.mark.parametrize("region", REGIONS)
def test_equal_pictures_cannot_be_told_apart(region):
    before = photographs()
    found = realism(before, before, people(40), textures, region)
    assert found.auc == 0.5
    assert found.error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("where", "regions"),
    [(None, {"frame", "inside", "outside"}), (INSIDE, {"frame", "inside"}), (~INSIDE, {"frame", "outside"})],
)
def test_traces_are_seen_where_they_are_and_nowhere_else(where, regions):
    before = photographs()
    after = [checkered(image, where) for image in before]
    for region in REGIONS:
        found = realism(before, after, people(40), textures, region)
        if region in regions:
            assert found.auc > 0.98
        else:
            assert found.auc == 0.5


def test_other_pictures_of_the_same_kind_are_within_its_error_of_chance():
    found = realism(photographs(60), photographs(60, seed=1), people(60), textures)
    assert 0 < found.error < 0.1
    assert abs(found.auc - 0.5) < 3 * found.error


def test_photographs_and_edits_exchanged_are_told_apart_as_well():
    before = photographs()
    after = [checkered(image, strength=0.003) for image in before]
    one, other = (realism(*pair, people(40), textures) for pair in ((before, after), (after, before)))
    assert 0.6 < one.auc < 1
    assert one.auc == pytest.approx(other.auc)
    assert one.error == pytest.approx(other.error)


def test_scores_are_probabilities_of_being_an_edit():
    before = photographs()
    scores = realism_scores(before, [checkered(image) for image in before], people(40), textures)
    assert scores.shape == (2, 40)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores[0].max() < 0.5 < scores[1].min()


def brightness_of_the_corner(images: torch.Tensor) -> torch.Tensor:
    return images[:, :, :8, :8].mean(dim=(1, 2, 3))[:, None]


def test_a_person_is_judged_by_what_others_taught():
    """One person's edits have a mark that nobody else's has, so that no probe knows it; split, they would be known."""
    before = photographs(30)
    who = [*["marked"] * 10, *people(20)]
    mark = torch.zeros(3, SIDE, SIDE)
    mark[:, :8, :8] = 0.3
    after = [image + mark if number < 10 else image for number, image in enumerate(before)]
    together = realism_scores(before, after, who, brightness_of_the_corner)
    np.testing.assert_allclose(together[:, :10], 0.5, atol=1e-6)
    apart = realism_scores(before, after, people(30), brightness_of_the_corner)
    assert (apart[1, :10] > apart[0, :10]).all()


def test_a_region_hides_the_rest():
    images = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    inside = torch.from_numpy(central_square(20, 30))
    assert (shown(images, "frame") == images).all()
    assert (shown(images, "inside")[..., inside] == images[..., inside]).all()
    assert (shown(images, "inside")[..., ~inside] == 0.5).all()
    assert (shown(images, "outside")[..., ~inside] == images[..., ~inside]).all()
    assert (shown(images, "outside")[..., inside] == 0.5).all()


def test_pictures_may_be_of_several_sizes():
    before = photographs(20)
    before = [image[:, :24] if number % 2 else image for number, image in enumerate(before)]
    assert realism(before, [1 - (1 - image) ** 3 for image in before], people(20), textures).auc > 0.9


@pytest.mark.parametrize("ties", [False, True])
def test_the_auc_is_scikit_learns(ties):
    scores = np.random.default_rng(0).normal(size=(2, 30)) + np.array([[0], [0.7]])
    scores = scores.round(0 if ties else 9)
    expected = roc_auc_score([0] * 30 + [1] * 30, scores.ravel())
    assert grouped_auc(scores, people(30))[0] == pytest.approx(expected)


def test_four_scores_by_hand():
    """Two negatives 1 and 3, two positives 2 and 4: three of four pairs are in order.

    Shares in order: of the negatives 1 and 1/2, of the positives 1/2 and 1. Less .75 each, summed over a group, halved:
    for 1 with 2 and 3 with 4, (.25 - .25) / 2 = 0 both; for 1 with 4 and 3 with 2, .25 and -.25.
    """
    assert grouped_auc(np.array([[1, 3], [2, 4]]), ["a", "b"]) == pytest.approx((0.75, 0))
    assert grouped_auc(np.array([[1, 3], [4, 2]]), ["a", "b"]) == pytest.approx((0.75, (2 * 2 * 0.0625) ** 0.5))


@pytest.mark.parametrize("shared", [0, 1.5, -0.6])
def test_the_error_is_the_spread_of_repeated_draws(shared):
    """Groups of three pairs, whose scores hang together by a draw that the group shares."""
    rng = np.random.default_rng(1)
    who = np.repeat(people(25), 3)

    def drawn() -> tuple[float, float]:
        of_group = np.repeat(rng.normal(size=25), 3)
        effects = np.stack([abs(shared) * of_group, shared * of_group + 0.8])
        return grouped_auc(rng.normal(size=(2, 75)) + effects, who)

    aucs, errors = np.array([drawn() for _ in range(600)]).T
    assert np.sqrt((errors**2).mean()) == pytest.approx(aucs.std(), rel=0.12)


def test_a_judge_says_it_of_every_picture_and_logs_the_auc(caplog):
    before = photographs()
    after = [checkered(image, INSIDE) for image in before]
    judge = RealismJudge(textures, region="inside")
    with caplog.at_level(logging.INFO, "dmt"):
        columns = judge.columns("realism", before, after)
    assert list(columns) == ["realism_before", "realism_after"]
    expected = realism_scores(before, after, people(40), textures, "inside")
    # groups of one pair each, in another order of names, are divided otherwise
    assert roc_auc_score([0] * 40 + [1] * 40, np.concatenate(list(columns.values()))) > 0.98
    assert columns["realism_after"].shape == expected[1].shape
    assert "realism, edits told from photographs with AUC" in caplog.text
    assert judge.realism(before, after).auc > 0.98
    assert RealismJudge(textures, region="outside").realism(before, after).auc == 0.5


def test_fewer_than_20_pictures_are_nan_and_it_is_said(caplog):
    few = photographs(19)
    with caplog.at_level(logging.WARNING, "dmt"):
        columns = RealismJudge(textures).columns("realism", few, few)
    assert all(np.isnan(values).all() and values.shape == (19,) for values in columns.values())
    assert "realism needs 20 pictures or more and has 19" in caplog.text
    assert np.isnan(RealismJudge(textures).realism(few, few).auc)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"region": "face"}, "one of frame, inside, outside, got region='face'"),
        ({"strength": 0}, "strength of a probe must be a number above 0, got 0"),
        ({"folds": 1}, "folds must be a whole number above 1, got 1"),
    ],
)
def test_settings_out_of_range_are_errors(given, message):
    with pytest.raises(UserError, match=message):
        RealismJudge(textures, **given)
    with pytest.raises(UserError, match=message):
        realism(photographs(2), photographs(2), people(2), textures, **given)


def test_it_needs_pairs_and_two_people():
    with pytest.raises(UserError, match="got 3 before, 2 after and 3 people"):
        realism(photographs(3), photographs(2), people(3), textures)
    with pytest.raises(UserError, match="two people or more"):
        realism(photographs(3), photographs(3), ["one"] * 3, textures)
