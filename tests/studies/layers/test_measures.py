"""Numbers of points whose answer is known: labels, noise, the evidence maximised directly, HSIC as it is written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, ortho_group

from dmt.studies.layers import alignment, centred_gram, log_evidence, neighbour_accuracies, probe_aucs
from dmt.studies.layers.measures import folds_by_group

laws = settings(deadline=None, max_examples=20, derandomize=True)


def two_sides(n: int) -> np.ndarray:
    return np.arange(n) % 2 == 1


def alone(n: int) -> list[str]:
    return [f"person_{i}" for i in range(n)]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# Who learns and who is held out


def test_every_point_is_held_out_once_and_nobody_is_on_both_sides():
    of_target = two_sides(60)
    people = np.array([f"person_{i // 4}" for i in range(60)])
    folds = folds_by_group(of_target, people.tolist(), 5)
    assert sorted(np.concatenate([tests for _, tests in folds])) == list(range(60))
    for learns, tests in folds:
        assert sorted([*learns, *tests]) == list(range(60))
        assert not set(people[learns]) & set(people[tests])
        assert of_target[tests].mean() == pytest.approx(0.5, abs=0.2)


# The probe and the neighbours


@pytest.mark.parametrize(("n", "d"), [(100, 8), (60, 200)])
def test_a_layer_that_is_the_label_tells_the_class(n, d):
    of_target = two_sides(n)
    points = np.where(of_target, 1.0, -1.0)[:, None] + 0.1 * noise(n, d)
    folds = folds_by_group(of_target, alone(n), 5)
    assert probe_aucs(points, of_target, folds).tolist() == [1] * 5
    assert neighbour_accuracies(points, of_target, folds).tolist() == [1] * 5


@pytest.mark.parametrize("d", [4, 500])
def test_a_layer_of_noise_tells_nothing(d):
    n, count = 1000, 5
    of_target = two_sides(n)
    folds = folds_by_group(of_target, alone(n), count)
    half = n / count / 2  # held-out points of either class in a fold
    error_of_auc = ((2 * half + 1) / (12 * half * half) / count) ** 0.5  # of Mann and Whitney's U without a difference
    assert probe_aucs(noise(n, d), of_target, folds).mean() == pytest.approx(0.5, abs=4 * error_of_auc)
    error_of_accuracy = 0.5 / n**0.5  # of a coin
    assert neighbour_accuracies(noise(n, d), of_target, folds).mean() == pytest.approx(0.5, abs=4 * error_of_accuracy)


def test_a_layer_that_knows_the_people_and_not_the_class_tells_nothing():
    """Each person has one class and a place of their own, so that only pictures of the same person give it away."""
    n_people, each = 200, 5
    people = np.repeat(np.arange(n_people), each)
    of_target = two_sides(n_people)[people]
    points = noise(n_people, 50)[people] + 0.01 * noise(n_people * each, 50, seed=1)
    by_person = folds_by_group(of_target, [f"person_{i}" for i in people], 5)
    by_picture = folds_by_group(of_target, alone(len(people)), 5)
    error = ((n_people / 5 + 1) / (12 * (n_people / 10) ** 2) / 5) ** 0.5  # people are what is independent
    assert probe_aucs(points, of_target, by_person).mean() == pytest.approx(0.5, abs=4 * error)
    assert neighbour_accuracies(points, of_target, by_picture, k=3).mean() > 0.99
    assert neighbour_accuracies(points, of_target, by_person, k=3).mean() < 0.65


def test_neighbours_are_counted_by_direction_whatever_the_length_and_classes_alike_whatever_their_size():
    of_target = np.arange(100) < 80
    points = np.where(of_target[:, None], [1.0, 0.2], [0.2, 1.0]) * np.random.default_rng(0).uniform(0.1, 9, (100, 1))
    folds = folds_by_group(of_target, alone(100), 5)
    assert neighbour_accuracies(points, of_target, folds).tolist() == [1] * 5
    assert neighbour_accuracies(np.ones((100, 2)), of_target, folds).tolist() == [0.5] * 5, "the larger class always"


# LogME


def evidence_maximised_directly(points: np.ndarray, label: np.ndarray) -> float:
    """The most of the density of a label under ``N(0, F F^T / alpha + 1 / beta)``, by a search over both."""
    n = len(points)

    def negative(logs: np.ndarray) -> float:
        alpha, beta = np.exp(logs)
        return -multivariate_normal.logpdf(label, cov=points @ points.T / alpha + np.eye(n) / beta) / n

    bounds, starts = [(-12, 30), (-12, 12)], ([0, 0], [3, 0], [0, 3])
    return -min(minimize(negative, start, method="Nelder-Mead", bounds=bounds, tol=1e-9).fun for start in starts)


@pytest.mark.parametrize(("n", "d", "rank"), [(40, 5, 5), (30, 60, 60), (30, 10, 4)])
def test_logme_is_the_evidence_at_its_maximum(n, d, rank):
    points = noise(n, rank) @ noise(rank, d, seed=1)
    of_target = points[:, 0] + 2 * noise(n, seed=2) * points[:, 0].std() > 0
    labels = np.stack([~of_target, of_target], axis=1).astype(float)
    expected = np.mean([evidence_maximised_directly(points, label) for label in labels.T])
    assert log_evidence(points, labels) == pytest.approx(expected, abs=1e-6)


def test_logme_is_higher_the_more_of_the_label_the_points_carry_and_the_scale_of_points_does_not_matter():
    of_target = two_sides(200)
    labels = np.stack([~of_target, of_target], axis=1)
    found = [
        log_evidence(strength * of_target[:, None] + noise(200, 20), labels) for strength in (0.0, 0.5, 1.0, 2.0, 4.0)
    ]
    assert found == sorted(found)
    points = of_target[:, None] + noise(200, 20)
    assert log_evidence(1000 * points, labels) == pytest.approx(log_evidence(points, labels), abs=1e-6)


def test_logme_of_the_label_itself_is_finite_and_where_there_is_nothing_that_of_noise():
    of_target = two_sides(50)
    labels = np.stack([~of_target, of_target], axis=1)
    assert 1 < log_evidence(labels.astype(float), labels) < 100
    of_noise = multivariate_normal.logpdf(of_target.astype(float), cov=np.eye(50) / 2) / 50  # half of them are 1
    unrelated = np.stack([np.where(np.arange(50) // 2 % 2, 1.0, -1.0)], axis=1)[:48]
    assert log_evidence(np.zeros((50, 3)), labels) == pytest.approx(of_noise)
    assert log_evidence(unrelated, labels[:48]) == pytest.approx(of_noise)


# CKA


def naive_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al., equations 2 and 3, as they are written."""
    n = len(x)
    centring = np.eye(n) - np.full((n, n), 1 / n)

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        return np.trace(k @ centring @ m @ centring) / (n - 1) ** 2

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def cka(x: np.ndarray, y: np.ndarray) -> float:
    return alignment(centred_gram(x), centred_gram(y))


@laws
@given(n=st.integers(3, 20), d=st.integers(2, 30), seed=st.integers(0, 99), scale=st.floats(0.01, 100))
def test_cka_does_not_change_under_a_turn_a_scale_and_a_shift(n, d, seed, scale):
    x = noise(n, d, seed=seed)
    turned = scale * x @ ortho_group.rvs(d, random_state=seed) + noise(d, seed=seed + 1)
    assert cka(x, turned) == pytest.approx(1)
    y = noise(n, 7, seed=seed + 2)
    assert cka(turned, y) == pytest.approx(cka(x, y)) == pytest.approx(cka(y, x))


@laws
@given(n=st.integers(3, 20), d=st.integers(1, 30), other=st.integers(1, 30), seed=st.integers(0, 99))
def test_cka_is_that_of_hsic_as_it_is_written(n, d, other, seed):
    x, y = noise(n, d, seed=seed), 3 + noise(n, other, seed=seed + 1)
    assert cka(x, y) == pytest.approx(naive_cka(x, y))
    assert 0 <= cka(x, y) <= 1 + 1e-12


def test_cka_with_points_that_are_all_the_same_is_none():
    assert np.isnan(cka(np.ones((5, 2)), noise(5, 2)))
