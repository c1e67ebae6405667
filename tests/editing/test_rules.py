"""What is typical of the target, and the lambda that takes an image there, against loops and closed forms."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dmt.editing.rules import GivenBudgets, TypicalOfTarget
from dmt.errors import UserError
from dmt.solvers import LBFGS
from dmt.traversal.kernels import RBF, Laplacian, Linear, Polynomial, RationalQuadratic
from dmt.traversal.walks import LinearInterpolation, WitnessDescent
from dmt.traversal.witness import Witness

STRAIGHT = LinearInterpolation()
DESCENT = WitnessDescent(LBFGS(iterations=200, tolerance=0.0, gradient_tolerance=1e-6))


def normal(n: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def two_sets(seed: int = 0, k: int = 6, apart: float = 1.0):
    """Source, target with an odd number of points, and four inputs on the source's side."""
    return normal(30, k, seed), apart + normal(41, k, seed + 1), normal(4, k, seed + 2)


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


# GivenBudgets


def test_given_budgets_are_those_of_the_inputs_asked_for():
    rule = GivenBudgets(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert torch.equal(rule([3, 1], normal(2, 1), [], STRAIGHT), torch.tensor([0.4, 0.2]))


# TypicalOfTarget


def median_of_the_witness(source, target, kernel):
    """By leaving out one at a time."""
    rest = [torch.cat([target[:i], target[i + 1 :]]) for i in range(len(target))]
    return np.median([Witness(kernel, source, r)(target[i : i + 1]).item() for i, r in enumerate(rest)])


def found(rule: TypicalOfTarget, z0, witnesses, walk) -> torch.Tensor:
    return rule(list(range(len(z0))), z0, witnesses, walk)


@pytest.mark.parametrize(("walk", "lowest"), [(STRAIGHT, 0.3), (DESCENT, 0.05)])
def test_at_lambda_the_witness_is_as_low_as_is_typical_and_at_a_slightly_larger_one_it_is_not(walk, lowest):
    source, target, z0 = two_sets(apart=1.5)
    z0 = z0[:3]
    kernel = RBF(8.0)
    witness = Witness(kernel, source, target)
    typical = median_of_the_witness(source, target, kernel)
    rule = TypicalOfTarget(lowest=lowest, highest=5.0, steps=14)
    budgets = found(rule, z0, [witness] * 3, walk)
    assert (budgets > lowest).all()
    assert (budgets < 5).all()
    reached = walk(z0, [witness] * 3, budgets).witness_after
    beyond = walk(z0, [witness] * 3, 1.001 * budgets).witness_after
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
    budgets = found(
        TypicalOfTarget(lowest=0.01, highest=100, steps=40), z0, [Witness(kernel, source, target)] * 4, STRAIGHT
    )
    torch.testing.assert_close(budgets, expected, rtol=1e-6, atol=0)


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
    budgets = found(rule, z0, [Witness(RBF(), source, target)] * 4, STRAIGHT)
    np.testing.assert_allclose(budgets, expected, rtol=1e-3)


@pytest.mark.parametrize("of", ["witness", "classifier"])
def test_a_point_that_is_there_already_gets_the_largest_lambda(of):
    source, target, z0 = two_sets()
    z0 = torch.cat([3 * target.mean(0, keepdim=True), z0[:1]])
    budgets = found(TypicalOfTarget(of, highest=3.0), z0, [Witness(Linear(1.0), source, target)] * 2, STRAIGHT)
    assert budgets[0] == 3.0
    assert budgets[1] < 3.0


@pytest.mark.parametrize("of", ["witness", "classifier"])
def test_a_point_that_never_gets_there_gets_the_smallest_lambda(of):
    source, target, z0 = two_sets()
    far = -1000 * (target.mean(0, keepdim=True) - source.mean(0))
    z0 = torch.cat([z0[:1], far])
    budgets = found(TypicalOfTarget(of, lowest=0.03), z0, [Witness(Linear(1.0), source, target)] * 2, STRAIGHT)
    assert budgets[1] == 0.03
    assert budgets[0] > 0.03


@pytest.mark.parametrize("of", ["witness", "classifier"])
@pytest.mark.parametrize("walk", [STRAIGHT, DESCENT])
def test_each_image_gets_the_lambda_that_it_gets_alone(of, walk):
    source, target, z0 = two_sets()
    near, far = Witness(RBF(8.0), source, target), Witness(RBF(8.0), source, target + 1)
    z0, witnesses = z0[:3], [near, far, near]
    rule = TypicalOfTarget(of, lowest=0.3 if walk is STRAIGHT else 0.02, highest=5.0, steps=6)
    budgets = found(rule, z0, witnesses, walk)
    alone = torch.cat([rule([i], z0[i : i + 1], [witnesses[i]], walk) for i in range(3)])
    torch.testing.assert_close(budgets, alone, rtol=1e-9, atol=0)
    assert len(set(budgets.tolist())) == 3


def test_lambda_grows_as_an_image_begins_nearer_to_the_target():
    source, target, _ = two_sets()
    way = target.mean(0) - source.mean(0)
    z0 = source.mean(0) + torch.tensor([[-1.0], [0.0], [0.3]], dtype=torch.float64) * way
    for of in ("witness", "classifier"):
        budgets = found(TypicalOfTarget(of, 0.01, 50.0), z0, [Witness(Linear(2.0), source, target)] * 3, STRAIGHT)
        assert (budgets.diff() > 0).all()


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
    found(TypicalOfTarget(), z0, [witness] * 4, STRAIGHT)
    assert witness.calls == 1


@pytest.mark.parametrize("of", ["judge", "", None])
def test_another_value_is_an_error_that_names_both(of):
    with pytest.raises(UserError, match=rf"auto\.of must be witness or classifier, got {of!r}"):
        TypicalOfTarget(of)
