"""How lambda is chosen, against loops, closed forms, a classifier fitted anew, and roots found by SciPy."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from dmt.editing.lambda_rules import (
    ConvincesJudge,
    FixedLambda,
    LeastChange,
    Trials,
    TypicalOfTarget,
    TypicalPicture,
    along_means,
)
from dmt.editing.records import EditedImage
from dmt.errors import UserError
from dmt.manifolds import Points
from dmt.solvers import LBFGS
from dmt.traversal.kernels import RBF, Laplacian, Linear, Polynomial, RationalQuadratic
from dmt.traversal.walks import LinearInterpolation, WitnessDescent
from dmt.traversal.witness import Witness, WitnessBatch

STRAIGHT = LinearInterpolation()
DESCENT = WitnessDescent(LBFGS(iterations=200, tolerance=0.0, gradient_tolerance=1e-6))


def normal(n: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def two_sets(seed: int = 0, k: int = 6, apart: float = 1.0):
    """Source, target with an odd number of points, and four inputs on the source's side."""
    return normal(30, k, seed), apart + normal(41, k, seed + 1), normal(4, k, seed + 2)


def nothing_of_the_kind(*_) -> None:
    pytest.fail("the rule looks at what it has no need of")


def trials(start: Points, witnesses: WitnessBatch, walk, **others: Callable) -> Trials:
    """What a rule may look at; whatever is not given here it may not."""
    return Trials(
        start,
        witnesses,
        walk,
        **{"edited": nothing_of_the_kind, "arrived": nothing_of_the_kind, "sides": nothing_of_the_kind} | others,
    )


# Witness.at_target


@pytest.mark.parametrize("weighting", ["mean", "sum"])
@pytest.mark.parametrize("kernel", [RBF(3.0), Laplacian(3.0), RationalQuadratic(3.0), Linear(3.0), Polynomial(3.0)])
def test_each_point_of_the_target_is_left_out_of_its_own_witness(kernel, weighting):
    source, target, _ = two_sets()
    expected = []
    for i, point in enumerate(target):
        others = torch.cat([target[:i], target[i + 1 :]])
        expected.append(Witness(kernel, source, others, weighting)(point[None]))
    torch.testing.assert_close(Witness(kernel, source, target, weighting).at_target(), torch.cat(expected))


def test_values_at_the_target_by_hand():
    kernel = RBF(0.5)  # exp(-d^2)
    source, target = normal(1, 1) * 0, torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    e1, e4 = np.exp(-1), np.exp(-4)
    assert Witness(kernel, source, target).at_target().tolist() == pytest.approx([e1 - e1, e4 - e1])


def test_the_bandwidth_is_that_of_the_whole_sets():
    source, target, _ = two_sets()
    witness = Witness(RBF("median"), source, target)
    fixed = Witness(RBF(witness.kernel.sigma2), source, target[1:])
    torch.testing.assert_close(witness.at_target()[:1], fixed(target[:1]))


def test_one_point_is_no_typical_target():
    with pytest.raises(UserError, match="at least two"):
        Witness(RBF(1.0), normal(3, 2), normal(1, 2)).at_target()


# FixedLambda


@pytest.mark.parametrize("value", [0.3, 2, math.inf])
def test_a_fixed_lambda_is_that_of_every_thing_and_takes_no_edit(value):
    start = Points(normal(5, 2), torch.tensor([0, 0, 1, 2, 2]), 3)
    lams, n_edits = FixedLambda(value).choose(trials(start, WitnessBatch([], torch.zeros(3).long()), STRAIGHT))
    assert lams.tolist() == [value] * 3
    assert lams.dtype == torch.float64
    assert n_edits == 0


@pytest.mark.parametrize("value", [0, -1.0, math.nan, "0.3", None, True])
def test_what_is_no_lambda_is_refused_before_any_work(value):
    with pytest.raises(UserError, match=f"lambda must be a number above 0 or auto, got {value}"):
        FixedLambda(value)


def test_infinity_as_a_text_is_told_how_it_is_written():
    with pytest.raises(UserError, match=r"got inf; infinity is \.inf in a YAML file and inf or \.inf on the command"):
        FixedLambda("inf")


@pytest.mark.parametrize(
    ("rule", "title"),
    [
        (FixedLambda(0.25), "lambda' 0.25"),
        (TypicalOfTarget("classifier"), "lambda' by the classifier"),
        (TypicalPicture(0.7), "lambda' by the finished picture, level 0.7"),
        (ConvincesJudge("happy"), "lambda' by the judge of happy"),
        (LeastChange("happy"), "the least change that convinces the judge of happy"),
    ],
)
def test_a_rule_says_what_it_goes_by(rule, title):
    assert rule.title == title


@pytest.mark.parametrize("rule", [FixedLambda(1.0), TypicalOfTarget(), TypicalPicture()])
def test_rules_that_ask_no_judge_need_none(rule):
    rule.require([])


# TypicalOfTarget


def median_of_the_witness(source, target, kernel):
    """By leaving out one at a time."""
    rest = [torch.cat([target[:i], target[i + 1 :]]) for i in range(len(target))]
    return np.median([Witness(kernel, source, r)(target[i : i + 1]).item() for i, r in enumerate(rest)])


def found(rule: TypicalOfTarget, z0, witnesses: WitnessBatch | Witness, walk) -> torch.Tensor:
    """One point a thing, whose witnesses these are; nothing is edited."""
    if not isinstance(witnesses, WitnessBatch):
        witnesses = WitnessBatch.of_one(witnesses, len(z0))
    lams, n_edits = rule.choose(trials(Points.one_each(z0), witnesses, walk))
    assert n_edits == 0
    return lams


@pytest.mark.parametrize(("walk", "lowest"), [(STRAIGHT, 0.3), (DESCENT, 0.05)])
def test_at_lambda_the_witness_is_as_low_as_is_typical_and_at_a_slightly_larger_one_it_is_not(walk, lowest):
    source, target, z0 = two_sets(apart=1.5)
    z0 = z0[:3]
    kernel = RBF(8.0)
    witness = Witness(kernel, source, target)
    typical = median_of_the_witness(source, target, kernel)
    rule = TypicalOfTarget(lowest=lowest, highest=5.0, steps=14)
    lams = found(rule, z0, witness, walk)
    assert (lams > lowest).all()
    assert (lams < 5).all()
    start, witnesses = Points.one_each(z0), WitnessBatch.of_one(witness, 3)
    reached = walk(start, witnesses, lams).witness_after
    beyond = walk(start, witnesses, 1.001 * lams).witness_after
    assert (reached <= typical).all()
    assert (beyond > typical).all()


def test_for_a_linear_kernel_lambda_has_a_closed_form():
    source, target, z0 = two_sets()
    kernel = Linear(2.5)
    typical = median_of_the_witness(source, target, kernel)
    difference = target.mean(0) - source.mean(0)
    # along z0 + difference / (2 lambda) the witness, -<z, difference> / 5, falls by |difference|^2 / (10 lambda)
    before = -(z0 @ difference) / 5
    expected = difference.square().sum() / (10 * (before - typical))
    lams = found(TypicalOfTarget(lowest=0.01, highest=100, steps=40), z0, Witness(kernel, source, target), STRAIGHT)
    torch.testing.assert_close(lams, expected, rtol=1e-6, atol=0)


def test_for_a_classifier_on_a_straight_way_lambda_has_a_closed_form():
    source, target, z0 = two_sets()
    points = torch.cat([source, target]).numpy()
    regression = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
    classifier = make_pipeline(StandardScaler(), regression).fit(points, [0] * 30 + [1] * 41)

    def logits(z):
        return classifier.decision_function(z.numpy())

    difference = target.mean(0) - source.mean(0)
    gained = logits(z0 + difference) - logits(z0)
    untrained = make_pipeline(StandardScaler(), regression)
    held_out = cross_val_predict(untrained, points, [0] * 30 + [1] * 41, cv=5, method="decision_function")
    expected = gained / (2 * (np.median(held_out[30:]) - logits(z0)))
    rule = TypicalOfTarget(of="classifier", lowest=0.01, highest=100, steps=40)
    lams = found(rule, z0, Witness(RBF(), source, target), STRAIGHT)
    np.testing.assert_allclose(lams, expected, rtol=1e-3)


@pytest.mark.parametrize("of", ["witness", "classifier"])
def test_a_point_that_is_there_already_gets_the_largest_lambda(of):
    source, target, z0 = two_sets()
    z0 = torch.cat([3 * target.mean(0, keepdim=True), z0[:1]])
    lams = found(TypicalOfTarget(of, highest=3.0), z0, Witness(Linear(1.0), source, target), STRAIGHT)
    assert lams[0] == 3.0
    assert lams[1] < 3.0


@pytest.mark.parametrize("of", ["witness", "classifier"])
def test_a_point_that_never_gets_there_gets_the_smallest_lambda(of):
    source, target, z0 = two_sets()
    far = -1000 * (target.mean(0, keepdim=True) - source.mean(0))
    z0 = torch.cat([z0[:1], far])
    lams = found(TypicalOfTarget(of, lowest=0.03), z0, Witness(Linear(1.0), source, target), STRAIGHT)
    assert lams[1] == 0.03
    assert lams[0] > 0.03


@pytest.mark.parametrize("of", ["witness", "classifier"])
@pytest.mark.parametrize("walk", [STRAIGHT, DESCENT])
def test_each_image_gets_the_lambda_that_it_gets_alone(of, walk):
    source, target, z0 = two_sets()
    near, far = Witness(RBF(8.0), source, target), Witness(RBF(8.0), source, target + 1)
    z0, witnesses = z0[:3], WitnessBatch([far, near], torch.tensor([1, 0, 1]))
    rule = TypicalOfTarget(of, lowest=0.3 if walk is STRAIGHT else 0.02, highest=5.0, steps=6)
    lams = found(rule, z0, witnesses, walk)
    alone = torch.cat([found(rule, z0[i : i + 1], (near, far, near)[i], walk) for i in range(3)])
    torch.testing.assert_close(lams, alone, rtol=1e-9, atol=0)
    assert len(set(lams.tolist())) == 3


def test_lambda_grows_as_an_image_begins_nearer_to_the_target():
    source, target, _ = two_sets()
    way = target.mean(0) - source.mean(0)
    z0 = source.mean(0) + torch.tensor([[-1.0], [0.0], [0.3]], dtype=torch.float64) * way
    for of in ("witness", "classifier"):
        lams = found(TypicalOfTarget(of, 0.01, 50.0), z0, Witness(Linear(2.0), source, target), STRAIGHT)
        assert (lams.diff() > 0).all()


def test_what_is_typical_is_worked_out_once_for_images_that_share_their_sets():
    @dataclass
    class Counting:
        witness: Witness
        calls: int = 0

        def __getattr__(self, name):
            return getattr(self.witness, name)

        def __call__(self, z):
            return self.witness(z)

        def at_target(self):
            self.calls += 1
            return self.witness.at_target()

    source, target, z0 = two_sets()
    witness = Counting(Witness(Linear(1.0), source, target))
    found(TypicalOfTarget(), z0, WitnessBatch.of_one(witness, 4), STRAIGHT)
    assert witness.calls == 1


def test_the_lambda_of_a_thing_of_several_points_is_that_of_their_mean_witness():
    source, target, z = two_sets()
    kernel = Linear(2.5)
    typical = median_of_the_witness(source, target, kernel)
    difference = target.mean(0) - source.mean(0)
    start = Points(z, torch.tensor([0, 0, 0, 1]), 2)
    before = -(torch.stack([z[:3].mean(0), z[3]]) @ difference) / 5
    expected = difference.square().sum() / (10 * (before - typical))  # as for one point above
    witnesses = WitnessBatch.of_one(Witness(kernel, source, target), 2)
    rule = TypicalOfTarget(lowest=0.01, highest=100, steps=40)
    lams, _ = rule.choose(trials(start, witnesses, STRAIGHT))
    torch.testing.assert_close(lams, expected, rtol=1e-6, atol=0)


def test_who_becomes_typical_at_no_lambda_is_told(caplog):
    source, target, z0 = two_sets()
    far = -1000 * (target.mean(0, keepdim=True) - source.mean(0))
    with caplog.at_level(logging.WARNING):
        found(TypicalOfTarget(), torch.cat([z0, far]), Witness(Linear(1.0), source, target), STRAIGHT)
    assert "1 of 5 images become typical of the target at no lambda above 0.03" in caplog.text


@pytest.mark.parametrize("of", ["judge", "", None])
def test_another_value_is_an_error_that_names_both(of):
    with pytest.raises(UserError, match=rf"^of must be witness or classifier, got {of!r}"):
        TypicalOfTarget(of)


@pytest.mark.parametrize(
    "rule", [TypicalOfTarget, TypicalPicture, lambda **options: ConvincesJudge("happy", **options)]
)
@pytest.mark.parametrize("options", [{"lowest": 9.0}, {"highest": "3"}, {"lowest": 0}])
def test_an_impossible_range_is_an_error_that_names_both_ends(rule, options):
    with pytest.raises(UserError, match=r"^lowest and highest must be numbers above 0, the first below the second"):
        rule(**options)


@pytest.mark.parametrize("rule", [TypicalOfTarget, TypicalPicture])
@pytest.mark.parametrize("steps", [0, 2.5])
def test_a_number_of_steps_that_cannot_be_is_an_error_that_names_it(rule, steps):
    with pytest.raises(UserError, match=f"^steps must be a whole number above 0, got {steps}"):
        rule(steps=steps)


# TypicalPicture


GENERATOR = np.random.default_rng(0)
SOURCE = torch.from_numpy(GENERATOR.normal(-1, 1, (60, 3)))
TARGET = torch.from_numpy(GENERATOR.normal(1, 1, (60, 3)))
STARTS = torch.tensor([[-1.0, -1.0, -1.0], [-2.0, 0.0, -1.0]], dtype=torch.float64)


def arrived(lams: Tensor) -> Tensor:
    """The picture goes 0.2 / lambda along the diagonal."""
    return STARTS + 0.2 / lams[:, None]


def of_pictures(asked: list | None = None) -> Trials:
    """Where the finished pictures lie, and nothing else."""

    def counted(lams: Tensor) -> Tensor:
        if asked is not None:
            asked.append(lams)
        return arrived(lams)

    witnesses = WitnessBatch([], torch.zeros(2, dtype=torch.long))
    return trials(Points.one_each(STARTS), witnesses, None, arrived=counted, sides=lambda: (SOURCE, TARGET))


def along_by_leaving_out(source: np.ndarray, target: np.ndarray) -> tuple[list[float], list[float]]:
    """How far each point lies along the difference of the means, of which its own side's is that of the others."""
    of_source = [
        one @ (target.mean(axis=0) - np.delete(source, i, axis=0).mean(axis=0)) for i, one in enumerate(source)
    ]
    return of_source, [
        one @ (np.delete(target, i, axis=0).mean(axis=0) - source.mean(axis=0)) for i, one in enumerate(target)
    ]


@pytest.mark.parametrize(("n", "m"), [(2, 2), (7, 4), (3, 30)])
def test_each_point_is_left_out_of_the_mean_of_its_own_side(n, m):
    source, target = normal(n, 5), 1 + normal(m, 5, seed=1)
    found = along_means(source, target)
    for values, expected in zip(found, along_by_leaving_out(source.numpy(), target.numpy()), strict=True):
        np.testing.assert_allclose(values, expected, atol=1e-12)


def test_in_many_dimensions_noise_has_two_sides_that_do_not_lie_apart():
    source, target = normal(40, 5000), normal(40, 5000, seed=1)
    of_source, of_target = along_means(source, target)
    spread = float(torch.cat([of_source, of_target]).std())
    assert abs(float(of_source.mean() - of_target.mean())) < spread
    direction = target.mean(dim=0) - source.mean(dim=0)
    assert float((target @ direction).mean() - (source @ direction).mean()) > 10 * spread, "as they do by their means"


@pytest.mark.parametrize("level", [0.4, 1.0])
def test_the_largest_lambda_whose_picture_is_typical_enough(level):
    lams, n_tried = TypicalPicture(level, 0.02, 2.0, steps=20).choose(of_pictures())
    of_source, of_target = along_by_leaving_out(SOURCE.numpy(), TARGET.numpy())
    low, high = (float(torch.tensor(values).median()) for values in (of_source, of_target))  # the lower of two middles
    wanted = low + level * (high - low)
    direction = TARGET.mean(dim=0) - SOURCE.mean(dim=0)
    expected = 0.2 * direction.sum() / (wanted - STARTS @ direction)  # as far as 0.2 / lambda along the diagonal
    assert ((expected > 0.02) & (expected < 2)).all()
    np.testing.assert_allclose(lams, expected, rtol=1e-4)
    assert n_tried == 22  # both ends and the bisection


def test_the_count_is_that_of_the_edits_made():
    asked: list[Tensor] = []
    _, n_tried = TypicalPicture(steps=4).choose(of_pictures(asked))
    assert n_tried == len(asked) == 6


def test_whoever_does_not_get_there_gets_the_smallest_lambda_and_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        lams, _ = TypicalPicture(level=9.0, lowest=0.1).choose(of_pictures())
    assert lams.tolist() == [0.1, 0.1]
    assert "2 of 2 images do not get there" in caplog.text


@pytest.mark.parametrize("level", [math.nan, math.inf, "high", True])
def test_a_level_that_is_no_number_is_an_error_that_names_it(level):
    with pytest.raises(UserError, match=f"^level must be a number, such as 0.7, got {level!r}"):
        TypicalPicture(level)


# ConvincesJudge


def of_a_judge(crossings: list[float], asked: list | None = None, sign: int = 1) -> Trials:
    """The change is 1 / lambda, and what the judge says passes 0.5 where lambda falls below the image's crossing."""

    def edited(lams: Tensor, rows: Tensor) -> list[EditedImage]:
        if asked is not None:
            asked.append(lams)
        empty = torch.zeros(3, 1, 1)
        said = [
            0.5 + sign * 0.5 * math.tanh(math.log(crossings[row] / lam))
            for lam, row in zip(lams.tolist(), rows.tolist(), strict=True)
        ]
        return [
            EditedImage(f"image_{row}", empty, empty, {"change": 1 / float(lam), "happy_after": happy, "like": 0.9})
            for lam, row, happy in zip(lams, rows.tolist(), said, strict=True)
        ]

    witnesses = WitnessBatch([], torch.zeros(len(crossings), dtype=torch.long))
    return trials(Points.one_each(normal(len(crossings), 2)), witnesses, None, edited=edited)


@pytest.mark.parametrize(("beyond", "sign"), [("above", 1), ("below", -1)])
def test_the_least_change_that_convinces_the_judge_is_found_for_each_image(beyond, sign):
    pytest.importorskip("optuna", minversion="5.0")
    crossings, asked = [0.08, 0.3, 0.7], []
    lams, n_tried = ConvincesJudge("happy", beyond=beyond).choose(of_a_judge(crossings, asked, sign))
    for lam, crossing in zip(lams.tolist(), crossings, strict=True):
        assert 0.95 * crossing <= lam <= crossing * (1 + 1e-12)
    assert n_tried == len(asked) == 8
    assert all(0.05 <= float(lam) <= 1 for lams in asked for lam in lams)


def test_another_threshold_is_reached_at_another_lambda():
    pytest.importorskip("optuna", minversion="5.0")
    crossing = 0.4
    lams, _ = ConvincesJudge("happy", threshold=0.75, trials=10).choose(of_a_judge([crossing]))
    expected = crossing * math.exp(-math.atanh(0.5))
    assert 0.95 * expected <= float(lams) <= expected * (1 + 1e-12)


def test_a_judge_that_is_not_convinced_is_told_and_gets_the_smallest_lambda(caplog):
    pytest.importorskip("optuna", minversion="5.0")
    with caplog.at_level(logging.WARNING):
        lams, _ = ConvincesJudge("happy", trials=4).choose(of_a_judge([0.01, 0.4]))
    assert lams[0] == 0.05
    assert lams[1] > 0.05
    assert "1 of 2 images convinced the judge at no lambda tried" in caplog.text


def test_the_judge_must_be_there_before_any_work():
    pytest.importorskip("optuna", minversion="5.0")
    rule = ConvincesJudge("happi")
    with pytest.raises(UserError, match=r"lambda by a judge needs a judge 'happi'; did you mean 'happy'.*judges=faces"):
        rule.require(["happy", "identity"])
    ConvincesJudge("happy").require(["happy", "identity"])


def test_a_judge_that_gives_no_number_of_a_picture_will_not_do():
    pytest.importorskip("optuna", minversion="5.0")
    with pytest.raises(UserError, match="the judge 'like' compares pictures; lambda needs one that gives a number"):
        ConvincesJudge("like").choose(of_a_judge([0.4]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beyond": "over"}, "beyond must be above or below, got 'over'"),
        ({"threshold": "half"}, "threshold must be a number, got 'half'"),
    ],
)
def test_what_no_judge_can_be_asked_is_an_error_that_names_it(options, message):
    with pytest.raises(UserError, match=f"^{message}"):
        ConvincesJudge("happy", **options)


# LeastChange


@pytest.mark.parametrize(("beyond", "sign"), [("above", 1), ("below", -1)])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_answer_lies_below_the_crossing_by_what_the_bisections_leave(beyond, sign, steps):
    crossings, asked = [0.08, 0.3, 0.7, 4.0], []
    rule = LeastChange("happy", beyond=beyond, steps=steps)
    lams, n_tried = rule.choose(of_a_judge(crossings, asked, sign))
    for lam, crossing in zip(lams.tolist(), crossings, strict=True):
        assert lam < crossing <= lam * 2 ** (2.0**-steps) * (1 + 1e-12), "what lies at the threshold is not beyond it"
    assert n_tried == len(asked)
    assert len(asked[0]) == 4
    assert len(asked[-1]) == 1, "the others are settled"


def test_a_higher_threshold_takes_a_larger_change():
    lams, _ = LeastChange("happy", threshold=0.75, steps=8).choose(of_a_judge([0.9]))
    assert float(lams) == pytest.approx(0.9 * math.exp(-math.atanh(0.5)), rel=0.01)


def test_whoever_convinces_nobody_gets_the_largest_change_and_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        lams, _ = LeastChange("happy", lowest=0.2).choose(of_a_judge([0.01, 0.9, 0.1]))
    assert lams.tolist()[::2] == [0.2, 0.2]
    assert lams[1] > 0.7
    assert "2 of 3 images convinced the judge at no lambda down to 0.2" in caplog.text


def test_whoever_is_convinced_by_the_least_edit_gets_it(caplog):
    lams, n_tried = LeastChange("happy", first=1.0, highest=6.0).choose(of_a_judge([50.0]))
    assert lams.tolist() == [6.0]
    assert n_tried == 4  # at 1, 2, 4 and 6
    assert not caplog.text


def test_the_judge_of_the_least_change_must_be_there_and_give_a_number():
    with pytest.raises(UserError, match="lambda by a judge needs a judge 'happi'; did you mean 'happy'"):
        LeastChange("happi").require(["happy"])
    LeastChange("happy").require(["happy"])
    with pytest.raises(UserError, match="the judge 'like' compares pictures; lambda needs one that gives a number"):
        LeastChange("like").choose(of_a_judge([0.4]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beyond": "over"}, "beyond must be above or below, got 'over'"),
        ({"threshold": "half"}, "threshold must be a number, got 'half'"),
        ({"first": 9.0}, "first and highest must be numbers above 0, the first below the second, got 9.0 and 6.0"),
        ({"lowest": 0.7}, "lowest and first must be numbers above 0, the first below the second, got 0.7 and 0.7"),
        ({"steps": 0}, "steps must be a whole number above 0, got 0"),
    ],
)
def test_what_no_search_can_be_is_an_error_that_names_it(options, message):
    with pytest.raises(UserError, match=f"^{message}"):
        LeastChange("happy", **options)
