"""The linear probe against scikit-learn's pipeline, and laws of standardisation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dmt.networks.probe import LinearProbe, fit_label_probes, fit_probe, predicted_scores

laws = settings(deadline=None, max_examples=15, derandomize=True)


def two_sets(seed: int = 0, n: int = 40, m: int = 60, k: int = 5, apart: float = 1.0):
    """Two clouds whose coordinates have very different means and spreads."""
    random = np.random.default_rng(seed)
    spread, mean = np.logspace(-2, 2, k), np.linspace(-50, 50, k)
    source, target = (mean + spread * (random.normal(size=(count, k)) + shift) for count, shift in ((n, 0), (m, apart)))
    return torch.from_numpy(source), torch.from_numpy(target)


def pipeline(source, target, strength):
    """Scikit-learn's own scaling and regression."""
    points = torch.cat([source, target]).numpy()
    regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000, tol=1e-8)
    return make_pipeline(StandardScaler(), regression).fit(points, [0] * len(source) + [1] * len(target))


def test_logits_by_hand():
    probe = LinearProbe(torch.tensor([2.0, -1.0]), 0.5)
    assert probe(torch.tensor([[1.0, 1.0], [0.0, 3.0]])).tolist() == [1.5, -2.5]


def test_what_can_be_told_apart_is():
    source, target = two_sets(apart=6)
    probe = fit_probe(source, target)
    assert (probe(source) < 0).all()
    assert (probe(target) > 0).all()


@laws
@given(seed=st.integers(0, 1000), m=st.sampled_from([7, 40, 200]), strength=st.sampled_from([0.001, 0.01, 1.0]))
def test_logits_are_those_of_a_scikit_learn_pipeline(seed, m, strength):
    source, target = two_sets(seed, m=m)
    points = torch.cat([source, target])
    expected = pipeline(source, target, strength).decision_function(points.numpy())
    np.testing.assert_allclose(fit_probe(source, target, strength)(points), expected, atol=2e-3 * np.ptp(expected))


@laws
@given(seed=st.integers(0, 1000), factor=st.sampled_from([0.01, 3.0, 500.0]))
def test_the_unit_and_the_origin_of_every_coordinate_do_not_matter(seed, factor):
    source, target = two_sets(seed)
    shift = 10 * torch.randn(source.shape[1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    scale = factor * torch.linspace(0.1, 10, source.shape[1], dtype=torch.float64)
    moved = fit_probe(scale * source + shift, scale * target + shift)
    torch.testing.assert_close(moved(scale * target + shift), fit_probe(source, target)(target), rtol=1e-4, atol=1e-4)


def test_swapped_sets_flip_the_sign():
    source, target = two_sets()
    torch.testing.assert_close(fit_probe(target, source)(source), -fit_probe(source, target)(source), rtol=0, atol=1e-4)


def test_sets_of_unequal_sizes_weigh_alike():
    source, target = two_sets(apart=2.0)
    few, many = fit_probe(source, target), fit_probe(source.repeat(9, 1), target, strength=0.01 / 5)
    middle = torch.cat([source, target]).mean(dim=0, keepdim=True)
    assert abs(float(few(source).mean() + few(target).mean())) < 0.2 * float(few(target).mean())
    assert abs(float(many(source).mean() + many(target).mean())) < 0.2 * float(many(target).mean())
    assert abs(float(few(middle))) < float(few(target).mean())


def test_a_coordinate_that_never_changes_says_nothing():
    source, target = two_sets()
    constant = torch.full((1, 1), 7.3, dtype=torch.float64)
    wide = [torch.cat([points, constant.expand(len(points), 1)], dim=1) for points in (source, target)]
    probe = fit_probe(*wide)
    assert float(probe.weights[-1]) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(probe(wide[1]), fit_probe(source, target)(target), rtol=1e-3, atol=1e-4)


def test_points_in_single_precision_keep_theirs():
    source, target = two_sets()
    probe = fit_probe(source.float(), target.float())
    assert probe(target.float()).dtype == torch.float32
    torch.testing.assert_close(probe(target), fit_probe(source, target)(target), rtol=0, atol=1e-2)


@laws
@given(st.integers(0, 1000), st.integers(3, 30), st.floats(0.1, 10))
def test_label_probes_are_ridge_regressions_with_the_boundary_midway(seed, k, penalty):
    """Against the normal equations, for fewer coordinates than points and for more."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(20, k)) * np.logspace(-1, 1, k) + 5
    has = random.permuted(np.tile(np.arange(20)[:, None] < 6, (1, 3)), axis=0)
    probes = fit_label_probes(torch.from_numpy(points), torch.from_numpy(has), penalty)
    standard = (points - points.mean(axis=0)) / points.std(axis=0)
    signs = np.where(has, 1.0, -1.0)
    expected = np.linalg.solve(
        standard.T @ standard + penalty * k * np.eye(k), standard.T @ (signs - signs.mean(axis=0))
    )
    for column, probe in enumerate(probes):
        values = standard @ expected[:, column]
        middle = (values[has[:, column]].mean() + values[~has[:, column]].mean()) / 2
        np.testing.assert_allclose(probe(torch.from_numpy(points)), values - middle, rtol=1e-6, atol=1e-9)


def test_label_probes_tell_what_is_rare_as_well_as_what_is_common():
    source, target = two_sets(n=300, m=15, apart=3.0)
    points = torch.cat([source, target])
    is_target = torch.arange(315) >= 300
    rare, common = fit_label_probes(points, torch.stack([is_target, ~is_target], dim=1))
    assert ((rare(points) > 0) == is_target).double().mean() > 0.97
    assert torch.allclose(rare(points), -common(points))


def test_predicted_scores_are_ridge_regression_on_standardised_points():
    rng = np.random.default_rng(0)
    points, scores, others = rng.normal(2, 3, (30, 6)), rng.normal(0, 1, (30, 2)), rng.normal(2, 3, (4, 6))
    mean, deviation = points.mean(axis=0), points.std(axis=0)
    design, centred = (points - mean) / deviation, scores - scores.mean(axis=0)
    weights = np.linalg.solve(design.T @ design + 0.5 * 6 * np.eye(6), design.T @ centred)
    expected = (others - mean) / deviation @ weights + scores.mean(axis=0)
    found = predicted_scores(*map(torch.from_numpy, (points, scores, others)), penalty=0.5)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    one = predicted_scores(torch.from_numpy(points), torch.from_numpy(scores[:, :1]), torch.from_numpy(others), 0.5)
    np.testing.assert_allclose(one, expected[:, :1], atol=1e-9)
