"""The span of feature vectors against distances, differences and NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dmt.errors import UserError
from dmt.manifolds import PCA, ExactPCA, IncrementalPCA, Manifold, Points, Span
from dmt.manifolds.rows import COLUMNS
from dmt.solvers import LBFGS
from dmt.traversal.kernels import RBF
from dmt.traversal.walks import WitnessDescent
from dmt.traversal.witness import Witness, WitnessBatch

laws = settings(deadline=None, max_examples=15, derandomize=True)


def features(n: int, d: int, seed: int = 0, rank: int | None = None) -> Tensor:
    """Feature-like rows: dimensions of very different deviations around a mean that is not 0."""
    generator = torch.Generator().manual_seed(seed)
    rank = min(n, d) if rank is None else rank
    codes, loadings = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in [(n, rank), (rank, d)]
    )
    return (codes @ loadings + 5) * 10 ** torch.linspace(-1, 1, d, dtype=torch.float64)


def fitted(data: Tensor, z_score: bool = False, batch_size: int = 7) -> Span:
    manifold = Span(z_score)
    for batch in data.split(batch_size):
        manifold.partial_fit(batch)
    return manifold.finish()


def scaled(data: Tensor, z_score: bool) -> Tensor:
    return torch.from_numpy(data.numpy() / data.numpy().std(axis=0)) if z_score else data


@pytest.mark.parametrize("z_score", [False, True])
@pytest.mark.parametrize(("n", "d"), [(20, 50), (30, 8), (9, 2 * COLUMNS + 300)])
def test_distances_of_codes_are_those_of_the_scaled_features(n, d, z_score):
    data = features(n, d)
    codes = fitted(data, z_score).codes
    assert codes.shape == (n, min(n - 1, d))
    torch.testing.assert_close(torch.pdist(codes), torch.pdist(scaled(data, z_score)), rtol=1e-9, atol=0)


def test_float32_and_float16_keep_distances_to_their_rounding():
    data = features(40, 300).half()
    expected = torch.pdist(data.double())
    for rows in (data, data.float()):
        codes = fitted(rows).codes
        assert codes.dtype == torch.float32
        torch.testing.assert_close(torch.pdist(codes.double()), expected, rtol=1e-6, atol=0)


def test_small_variances_beside_large_ones_are_kept_in_float32():
    data = torch.randn(30, 200, generator=torch.Generator().manual_seed(0))
    data[:, 0] += 1e5 * torch.arange(30)
    squares = np.linalg.svd(data.double().numpy() - data.double().numpy().mean(axis=0), compute_uv=False)[:29] ** 2
    np.testing.assert_allclose(fitted(data).explained_variance_ratio, squares / squares.sum(), rtol=1e-4)


@pytest.mark.parametrize("z_score", [False, True])
def test_codes_are_what_the_rows_are_encoded_to(z_score):
    data = features(20, 50).float()
    ours = fitted(data, z_score)
    torch.testing.assert_close(ours.encode(data), ours.codes, rtol=1e-5, atol=1e-5 * float(ours.codes.abs().max()))


@pytest.mark.parametrize("z_score", [False, True])
def test_decoding_undoes_encoding_of_differences_of_rows(z_score):
    data = features(20, 50)
    ours = fitted(data, z_score)
    differences = data[:5] - data[5:10]
    torch.testing.assert_close(
        ours.decode(ours.encode(data[:5]) - ours.encode(data[5:10])), differences, rtol=1e-8, atol=1e-8
    )
    torch.testing.assert_close(ours.decode(ours.codes[:5] - ours.codes[5:10]), differences, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("z_score", [False, True])
def test_other_features_are_projected_orthogonally(z_score):
    data, others = features(10, 50), features(4, 50, seed=1)
    ours = fitted(data, z_score)
    deviation = data.numpy().std(axis=0) if z_score else np.ones(50)
    centred = (data.numpy() - data.numpy().mean(axis=0)) / deviation
    beta, *_ = np.linalg.lstsq(centred.T, ((others - data.mean(dim=0)).numpy() / deviation).T, rcond=1e-10)
    np.testing.assert_allclose(ours.decode(ours.encode(others)), beta.T @ centred * deviation, atol=1e-8)


@pytest.mark.parametrize("z_score", [False, True])
def test_encoding_undoes_decoding(z_score):
    ours = fitted(features(10, 50), z_score)
    codes = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(ours.encode(ours.mean + ours.decode(codes)), codes)
    assert ours.decode(torch.zeros(1, 9)).abs().max() == 0


def test_z_scoring_is_fitting_rows_divided_by_their_deviation():
    data = features(20, 50)
    z_scored, plain = fitted(data, z_score=True), fitted(scaled(data, True))
    torch.testing.assert_close(z_scored.explained_variance_ratio, plain.explained_variance_ratio)
    torch.testing.assert_close(z_scored.codes @ z_scored.codes.T, plain.codes @ plain.codes.T)
    torch.testing.assert_close(z_scored.mean, data.mean(dim=0))


@pytest.mark.parametrize("nearly", [0.0, 1e-7])
def test_constant_dimensions_are_not_scaled(nearly):
    data = features(20, 10)
    data[:, 3] = 1000 + nearly * torch.arange(20)
    data[:, 4] = 0
    ours = fitted(data, z_score=True)
    without = fitted(data[:, [0, 1, 2, *range(5, 10)]], z_score=True)
    torch.testing.assert_close(torch.pdist(ours.codes), torch.pdist(without.codes))
    assert ours.decode(ours.codes)[:, 3].abs().max() <= 20 * nearly + 1e-9


@pytest.mark.parametrize("z_score", [False, True])
def test_the_variance_shares_are_those_of_the_singular_values(z_score):
    data = features(20, 50)
    centred = scaled(data - data.mean(dim=0), z_score)
    squares = np.linalg.svd(centred.numpy(), compute_uv=False)[:19] ** 2
    ratio = fitted(data, z_score).explained_variance_ratio
    np.testing.assert_allclose(ratio, squares / squares.sum())
    assert float(ratio.sum()) == pytest.approx(1)


@laws
@given(n=st.integers(2, 20), d=st.integers(1, 30), batch_size=st.integers(1, 20), seed=st.integers(0, 1000))
def test_batches_of_any_size_give_the_same(n, d, batch_size, seed):
    data = features(n, d, seed)
    whole, parts = fitted(data, batch_size=n), fitted(data, batch_size=batch_size)
    assert torch.equal(parts.codes, whole.codes)
    assert torch.equal(parts.encode(data[:2]), whole.encode(data[:2]))
    assert parts.n_images == n


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_directions_past_the_rank_are_dropped(dtype):
    data = features(20, 50, rank=4).to(dtype)
    codes = fitted(data).codes
    assert codes.shape == (20, 4)
    torch.testing.assert_close(torch.pdist(codes), torch.pdist(data), rtol=1e-5, atol=0)


def test_images_that_are_all_alike_span_nothing():
    ours = fitted(torch.tensor([[1.1, 2.2, 3.3]]).repeat(5, 1), z_score=True)
    assert ours.codes.shape == (5, 0)
    assert ours.explained_variance_ratio.shape == (0,)
    assert ours.decode(torch.zeros(2, 0)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_by_hand():
    # around (1, 1, 1), along the axes: lengths 3, 3 and 1, 1
    ours = fitted(torch.tensor([[4.0, 1, 1], [-2, 1, 1], [1, 1, 2], [1, 1, 0]]))
    assert ours.mean.tolist() == [1, 1, 1]
    assert ours.explained_variance_ratio.tolist() == pytest.approx([0.9, 0.1])
    assert ours.encode(torch.tensor([[6.0, 9, -1]])).abs().flatten().tolist() == pytest.approx([5, 2])
    np.testing.assert_allclose(ours.codes.abs(), [[3, 0], [3, 0], [0, 1], [0, 1]], atol=1e-6)


def test_an_empty_batch_changes_nothing():
    data = features(10, 6)
    with_gap = Span().partial_fit(torch.zeros(0, 0)).partial_fit(data).partial_fit(data[:0]).finish()
    assert torch.equal(with_gap.codes, fitted(data).codes)


def test_a_fit_can_go_on_after_it_was_finished():
    data = features(10, 6)
    assert torch.equal(fitted(data[:4]).partial_fit(data[4:]).finish().codes, fitted(data).codes)


def test_no_images_are_a_user_error():
    with pytest.raises(UserError, match=r"0 images.*at least 2"):
        Span().finish()


@pytest.mark.parametrize("kind", [Span, ExactPCA, IncrementalPCA])
def test_every_manifold_offers_what_the_protocol_asks_for(kind):
    ours = kind(4) if issubclass(kind, PCA) else kind()
    data = features(5, 20).float()
    assert ours.partial_fit(data[:3]).partial_fit(data[3:]).finish() is ours
    for name in Manifold.__annotations__.keys() | {name for name in vars(Manifold) if name[0] != "_"}:
        assert hasattr(ours, name)
    assert ours.mean.shape == (20,)
    assert ours.n_images == 5
    assert ours.explained_variance_ratio.shape == (4,)
    assert ours.encode(data[:2]).shape == (2, 4)
    assert ours.decode(torch.zeros(3, 4)).shape == (3, 20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lam", [0.1, 0.5])
def test_with_every_component_kept_pca_and_span_give_the_same_traversal(dtype, lam):
    data = torch.cat([features(25, 80), 1.1 * features(25, 80, seed=1)]).to(dtype)
    inputs = 4

    def displacement(manifold: Manifold) -> Tensor:
        codes = manifold.partial_fit(data).finish().encode(data).double()
        witnesses = WitnessBatch.of_one(Witness(RBF(), codes[:25], codes[25:]), inputs)
        walk = WitnessDescent(LBFGS(iterations=1000, tolerance=0.0, gradient_tolerance=1e-7))
        lams = torch.full((inputs,), lam, dtype=torch.float64)
        moved = walk(Points.one_each(codes[:inputs]), witnesses, lams)
        return manifold.decode(moved.delta)

    ours, theirs = displacement(Span()), displacement(ExactPCA(50))
    assert (theirs.norm(dim=1) > 0.1 * torch.pdist(data).median()).all()
    assert ((ours - theirs).norm(dim=1) < 1e-3 * theirs.norm(dim=1)).all()


@pytest.mark.parametrize("z_score", [False, True])
def test_the_adjoint_has_the_scalar_products_of_coordinates(z_score):
    data = features(12, 40)
    span = fitted(data, z_score)
    coordinates, change = features(3, 11, seed=1), features(3, 40, seed=2)
    moved = span.encode(span.mean + change)
    torch.testing.assert_close(
        (span.adjoint(coordinates) * change).sum(dim=1), (coordinates * moved).sum(dim=1), rtol=1e-8, atol=1e-8
    )
