"""Kernels against scikit-learn's, and the bandwidth rules against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist
from sklearn.gaussian_process import kernels as gaussian_process
from sklearn.metrics import pairwise

from dmt.errors import UserError
from dmt.traversal.kernels import RBF, Kernel, Laplacian, Linear, Polynomial, RationalQuadratic, squared_distances

SIGMA2 = 1.7
SIGMA = SIGMA2**0.5

# (kernel, the same function by scikit-learn, the error that our definition allows)
REFERENCES = {
    "rbf": (RBF(SIGMA2), gaussian_process.RBF(SIGMA), 1e-12),
    "laplacian": (Laplacian(SIGMA2), gaussian_process.Matern(SIGMA, nu=0.5), 2e-6),  # 1e-6 sigma under the root
    "rational quadratic": (
        RationalQuadratic(SIGMA2),
        gaussian_process.RationalQuadratic(SIGMA, alpha=1.0),
        1e-12,
    ),
    "rational quadratic, alpha 2.5": (
        RationalQuadratic(SIGMA2, alpha=2.5),
        gaussian_process.RationalQuadratic(SIGMA, alpha=2.5),
        1e-12,
    ),
    "linear": (Linear(SIGMA2), lambda x, y: pairwise.linear_kernel(x, y) / (2 * SIGMA2), 1e-12),
    "polynomial": (
        Polynomial(SIGMA2, degree=3, offset=0.5),
        lambda x, y: pairwise.polynomial_kernel(x, y, degree=3, gamma=1 / (2 * SIGMA2), coef0=0.5),
        1e-11,
    ),
}
KERNELS = [kernel for kernel, _, _ in REFERENCES.values()]
OF_DISTANCE = [kernel for kernel in KERNELS if not isinstance(kernel, Linear | Polynomial)]
OF_PRODUCT = [Linear(), Polynomial()]

laws = settings(deadline=None, max_examples=25, derandomize=True)
seeds = st.integers(0, 10_000)


def normal(n: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("kernel", "reference", "error"), REFERENCES.values(), ids=REFERENCES)
def test_values_are_those_of_scikit_learn(kernel, reference, error):
    x, y = normal(7, 4), normal(5, 4, seed=1)
    y[0] = x[0]  # a pair at distance 0 as well
    np.testing.assert_allclose(kernel(x, y).numpy(), reference(x.numpy(), y.numpy()), rtol=0, atol=error)


@laws
@given(seed=seeds, n=st.integers(2, 12), k=st.integers(1, 6), spread=st.sampled_from([0.01, 1.0, 100.0]))
@pytest.mark.parametrize("kernel", KERNELS, ids=REFERENCES)
def test_a_gram_matrix_is_symmetric_and_positive_semidefinite(kernel, seed, n, k, spread):
    points = spread * normal(n, k, seed)
    gram = kernel(points, points)
    scale = gram.abs().max()
    assert (gram - gram.T).abs().max() <= 1e-12 * scale
    assert torch.linalg.eigvalsh((gram + gram.T) / 2).min() >= -1e-10 * scale


@pytest.mark.parametrize("kernel", KERNELS, ids=REFERENCES)
def test_gradients_are_those_of_finite_differences(kernel):
    x, y = normal(3, 2).requires_grad_(), normal(4, 2, seed=1)
    assert torch.autograd.gradcheck(lambda x: kernel(x, y), x)


@pytest.mark.parametrize("kernel", OF_DISTANCE)
def test_the_gradient_at_a_point_of_the_set_is_zero(kernel):
    x = torch.ones(1, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(kernel(x, torch.ones(1, 3, dtype=torch.float64)).sum(), x)
    assert gradient.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("kernel", OF_DISTANCE)
def test_a_large_common_mean_costs_no_accuracy_in_float32(kernel):
    points = normal(40, 8).float() + 1000
    reference = kernel(points.double() - 1000, points.double() - 1000)
    # the distance of a point from itself is rounded to about 1e-6, of which the Laplacian takes the root
    tolerance = 2e-3 if isinstance(kernel, Laplacian) else 1e-5
    torch.testing.assert_close(kernel(points, points).double(), reference, rtol=0, atol=tolerance)


@laws
@given(seed=seeds, n=st.integers(1, 12))
@pytest.mark.parametrize("kernel", KERNELS, ids=REFERENCES)
def test_an_expansion_is_the_weighted_sum_of_kernel_values(kernel, seed, n):
    points, weights, z = normal(n, 3, seed), normal(n, 1, seed + 1)[:, 0], normal(4, 3, seed + 2)
    expected = sum(weight * kernel(z, point[None])[:, 0] for weight, point in zip(weights, points, strict=True))
    expansion = kernel.expansion(points, weights)
    torch.testing.assert_close(expansion(z), expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(expansion.with_gradient(z)[0], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kernel", "mean"), [(kernel, 0) for kernel in KERNELS] + [(k, 1e3) for k in OF_DISTANCE])
def test_the_gradient_of_an_expansion_is_that_of_finite_differences(kernel, mean):
    points, weights, z = mean + normal(9, 3), normal(9, 1, seed=1)[:, 0], mean + normal(4, 3, seed=2)
    expansion = kernel.expansion(points, weights)
    step = 1e-5 * torch.eye(3, dtype=torch.float64)
    differences = [(expansion(z + along) - expansion(z - along)) / 2e-5 for along in step]
    torch.testing.assert_close(expansion.with_gradient(z)[1], torch.stack(differences, dim=1), rtol=1e-6, atol=1e-8)


def test_squared_distances_are_those_of_scipy_and_never_negative():
    x, y = 1e-4 * normal(6, 300) + 5, 1e-4 * normal(9, 300, seed=1) + 5
    y[:3] = x[:3]
    found = squared_distances(x, y)
    np.testing.assert_allclose(found, cdist(x, y, "sqeuclidean"), rtol=1e-9, atol=1e-18)
    assert found.min() >= 0


@pytest.mark.parametrize(
    ("kernel", "reference"),
    [
        (RBF(), lambda sigma: gaussian_process.RBF(sigma)),
        (Laplacian(), lambda sigma: gaussian_process.Matern(sigma, nu=0.5)),
        (RationalQuadratic(alpha=0.5), lambda sigma: gaussian_process.RationalQuadratic(sigma, alpha=0.5)),
    ],
    ids=["rbf", "laplacian", "rational quadratic"],
)
@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e4])
def test_the_mean_rule_makes_the_mean_kernel_value_over_pairs_a_half(kernel, reference, spread):
    points = spread * torch.cat([normal(20, 5), 3 + 0.1 * normal(20, 5, seed=1)])
    sigma = kernel.fit(points).sigma2 ** 0.5
    gram = reference(sigma)(points.numpy())
    assert gram[np.triu_indices(40, 1)].mean() == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("kernel", [RBF("median"), Laplacian("median"), *OF_PRODUCT])
def test_the_median_rule_makes_two_sigma_squared_the_median_squared_distance(kernel):
    points = normal(11, 3)  # 55 pairs, an odd number: the median is one of them
    assert 2 * kernel.fit(points).sigma2 == pytest.approx(np.median(pdist(points, "sqeuclidean")), rel=1e-9)


def test_a_rule_looks_at_the_whole_range_of_many_points():
    near, far = normal(500, 3), 10 * normal(500, 3, seed=1)
    points = torch.cat([near, far])
    sample = RBF().fit(points, most=200)
    whole = gaussian_process.RBF(sample.sigma2**0.5)(points.numpy())
    assert whole[np.triu_indices(1000, 1)].mean() == pytest.approx(0.5, abs=0.03)


def test_fitting_leaves_the_first_kernel_and_a_given_bandwidth_alone():
    rule, given_number = RBF("mean"), RationalQuadratic(3.0, alpha=2.0)
    rule.fit(normal(5, 2))
    assert rule.bandwidth == "mean"
    assert given_number.fit(normal(5, 2)) == given_number
    assert RationalQuadratic("median", alpha=2.0).fit(normal(5, 2)).alpha == 2.0


def test_lambda_is_the_dimensionless_lambda_over_two_sigma_squared():
    assert RBF(2.0).lambda_weight(torch.tensor([0.4, 8.0, torch.inf])).tolist() == pytest.approx(
        [0.1, 2.0, float("inf")]
    )


@pytest.mark.parametrize("kernel", [RBF, Laplacian, RationalQuadratic, Linear, Polynomial])
@pytest.mark.parametrize("bandwidth", [0, -1.0, float("nan"), "medain", "1.0"])
def test_a_bad_bandwidth_is_a_user_error_that_names_it(kernel: type[Kernel], bandwidth):
    with pytest.raises(UserError, match=f"bandwidth.*{bandwidth}"):
        kernel(bandwidth).fit(normal(5, 2))


@pytest.mark.parametrize("rule", ["mean", "median"])
@pytest.mark.parametrize("points", [torch.ones(5, 2), torch.ones(1, 2)], ids=["five alike", "one"])
def test_points_that_are_all_alike_have_no_bandwidth(rule, points):
    with pytest.raises(UserError, match=r"kernel\.bandwidth"):
        RBF(rule).fit(points)


@pytest.mark.parametrize("bandwidth", [float("inf"), None, [1.0], True])
def test_a_bandwidth_that_is_no_positive_finite_number_is_a_user_error(bandwidth):
    with pytest.raises(UserError, match="bandwidth"):
        RBF(bandwidth).fit(normal(5, 2))
