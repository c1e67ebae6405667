"""The Fréchet distance of sets against the closed form of Gaussians, SciPy's root and torchmetrics' formula."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import _compute_fid

from dmt.backbones import digits_network
from dmt.errors import UserError
from dmt.frechet import frechet_distance, pooled_features


def with_moments(mean: list[float], root: np.ndarray, count: int = 40, seed: int = 0) -> np.ndarray:
    """Points whose sample mean is exactly ``mean`` and whose sample covariance is exactly ``root^T root``."""
    points = np.random.default_rng(seed).normal(size=(count, len(mean)))
    centred = points - points.mean(axis=0)
    white = np.linalg.qr(centred)[0] * np.sqrt(count - 1)
    return np.array(mean) + white @ root


def test_the_distance_of_gaussians_with_aligned_axes_by_hand():
    first = with_moments([0, 1, 2], np.diag([1.0, 2.0, 3.0]))
    second = with_moments([3, 1, -2], np.diag([4.0, 2.0, 1.0]), count=57, seed=1)
    # 3^2 + 4^2 between the means, (1 - 4)^2 + 0 + (3 - 1)^2 between the deviations
    assert frechet_distance(first, second) == pytest.approx(25 + 13)
    assert frechet_distance(second, first) == pytest.approx(25 + 13)


def test_a_rotated_gaussian_is_as_far_as_its_covariance_says():
    turn = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2)
    first = with_moments([0, 0], np.diag([3.0, 1.0]))
    second = with_moments([0, 0], np.diag([3.0, 1.0]) @ turn.T, seed=1)
    # S_a = diag(9, 1), S_b = [[5, 4], [4, 5]]; for 2 x 2, tr root(M) is the root of tr M + 2 root det M
    fidelity = np.sqrt((45 + 5) + 2 * np.sqrt(9 * 9))
    assert frechet_distance(first, second) == pytest.approx(10 + 10 - 2 * fidelity)


def test_a_set_is_0_from_itself_and_never_below():
    points = np.random.default_rng(0).normal(1e3, 1, size=(30, 8))
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(points, points) >= 0
    assert frechet_distance(points, points + 2) == pytest.approx(8 * 4)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_torchmetrics_formula_and_scipys_root(seed):
    random = np.random.default_rng(seed)
    first = random.normal(size=(50, 6)) @ random.normal(size=(6, 6))
    second = random.gamma(2, size=(80, 6)) @ random.normal(size=(6, 6))
    means = [first.mean(axis=0), second.mean(axis=0)]
    covariances = [np.cov(first, rowvar=False), np.cov(second, rowvar=False)]
    moments = [torch.from_numpy(value) for pair in zip(means, covariances, strict=True) for value in pair]
    root = sqrtm(covariances[0] @ covariances[1]).real
    by_scipy = np.square(means[0] - means[1]).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(float(_compute_fid(*moments)), rel=1e-6)
    assert frechet_distance(first, second) == pytest.approx(by_scipy, rel=1e-6)


def test_sets_that_are_too_small_are_refused_with_their_numbers():
    random = np.random.default_rng(0)
    enough, few = random.normal(size=(9, 8)), random.normal(size=(8, 8))
    assert frechet_distance(enough, enough + 1) == pytest.approx(8)
    message = "in 8 features needs 9 pictures or more in each set, got 8; take more pictures"
    for pair in [(few, enough), (enough, few)]:
        with pytest.raises(UserError, match=message):
            frechet_distance(*pair)


def test_features_of_two_networks_are_refused():
    with pytest.raises(UserError, match=r"got \(9, 3\) and \(9, 4\)"):
        frechet_distance(np.zeros((9, 3)), np.zeros((9, 4)))


def test_features_are_channel_means_whatever_the_batches():
    network = digits_network(2)
    images = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = network(images, ["conv2"])["conv2"].flatten(2).mean(dim=2)
    assert expected.shape == (5, 4)
    for batches in ([images], images.split(2), [image[None] for image in images]):
        np.testing.assert_allclose(pooled_features(network, "conv2", batches), expected, rtol=1e-4, atol=1e-7)


def test_there_must_be_pictures_and_the_layer():
    with pytest.raises(UserError, match="no pictures"):
        pooled_features(digits_network(2), "conv2", [])
    with pytest.raises(UserError, match="no layer 'conv9'"):
        pooled_features(digits_network(2), "conv9", [torch.zeros(1, 3, 16, 16)])
