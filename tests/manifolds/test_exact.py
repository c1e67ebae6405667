"""The exact PCA against scikit-learn's PCA by a full singular value decomposition."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import sklearn.decomposition
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from dmt.errors import UserError
from dmt.manifolds import PCA, ExactPCA, IncrementalPCA
from dmt.manifolds.rows import COLUMNS, Rows

laws = settings(deadline=None, max_examples=15, derandomize=True)

SMALL = {torch.float64: 0, torch.float32: 1e-7}  # of the largest variance: the rounding of products
METADATA = {"network": "abc", "layers": "conv1,conv2"}


def decaying(n: int, d: int, seed: int = 0, rank: int | None = None) -> Tensor:
    """Rows around a mean far from 0, with variances that fall from direction to direction, none alike."""
    generator = torch.Generator().manual_seed(seed)
    rank = min(n, d) if rank is None else rank
    codes = torch.randn(n, rank, generator=generator, dtype=torch.float64) * 0.8 ** torch.arange(rank)
    directions = torch.linalg.qr(torch.randn(d, rank, generator=generator, dtype=torch.float64)).Q
    return codes @ directions.T + 3 + torch.randn(d, generator=generator, dtype=torch.float64)


def fitted(batches: list[Tensor], n_components: float) -> ExactPCA:
    manifold = ExactPCA(n_components)
    for batch in batches:
        manifold.partial_fit(batch)
    return manifold.finish()


def reference(data: Tensor, n_components: float) -> sklearn.decomposition.PCA:
    return sklearn.decomposition.PCA(n_components, svd_solver="full").fit(data.double().numpy())


def largest_sine(ours: Tensor, theirs: np.ndarray) -> float:
    """Of the angles between two subspaces."""
    return float(np.sin(scipy.linalg.subspace_angles(ours.double().numpy().T, theirs.T).max()))


def assert_same_decomposition(ours: PCA, theirs: sklearn.decomposition.PCA, tolerance: float) -> None:
    np.testing.assert_allclose(ours.mean, theirs.mean_, atol=tolerance)
    exact, small = theirs.explained_variance_, SMALL[ours.mean.dtype] * theirs.explained_variance_[0]
    np.testing.assert_allclose(ours.explained_variance, exact, rtol=tolerance, atol=small)
    shares = ours.explained_variance * theirs.explained_variance_ratio_[0] / exact[0]
    np.testing.assert_allclose(ours.explained_variance_ratio, shares, rtol=1e-5)
    assert largest_sine(ours.components, theirs.components_) < tolerance
    along = (ours.components.double() * torch.from_numpy(theirs.components_)).sum(dim=1).abs()
    np.testing.assert_allclose(along, 1, atol=tolerance)  # the same directions in the same order, up to their signs


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-7), (torch.float32, 1e-4), (torch.float16, 1e-4)])
@pytest.mark.parametrize(("n", "d", "k"), [(60, 25, 6), (60, 25, 24), (15, 60, 14), (40, 2 * COLUMNS + 300, 10)])
def test_it_equals_the_pca_of_scikit_learn(n, d, k, dtype, tolerance):
    data = decaying(n, d).to(dtype)
    assert_same_decomposition(fitted(list(data.split(17)), k), reference(data, k), tolerance)


def test_it_finds_what_the_streaming_pca_has_cut_off():
    # pairs of opposite rows along the axes, two directions kept: when the third pair comes, the second is dropped,
    # and so is the fourth, which is shorter than the third, too
    lengths = torch.tensor([[3.0, 0, 0], [0, 2, 0], [0, 0, 2.2], [0, 2, 0]])
    data = torch.stack([lengths, -lengths], dim=1).flatten(0, 1)
    streaming = IncrementalPCA(2, oversampling=1).partial_fit(data).finish()
    assert streaming.explained_variance.tolist() == pytest.approx([18 / 7, 9.68 / 7])
    exact = fitted([data], 2)
    assert exact.explained_variance.tolist() == pytest.approx([18 / 7, 16 / 7])
    torch.testing.assert_close(exact.components.abs(), torch.eye(3)[:2])


@laws
@given(sizes=st.lists(st.integers(0, 12), min_size=1, max_size=8), d=st.integers(1, 30), seed=st.integers(0, 1000))
def test_batches_of_any_size_give_the_same(sizes, d, seed):
    data = decaying(sum(sizes) + 2, d, seed)
    whole, parts = fitted([data], len(data)), fitted([*data.split([*sizes, 2])], len(data))
    assert parts.n_images == len(data)
    assert torch.equal(parts.mean, whole.mean)
    assert torch.equal(parts.components, whole.components)
    assert torch.equal(parts.explained_variance, whole.explained_variance)
    assert parts.total_variance == pytest.approx(float(data.var(dim=0).sum()))


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e4])
def test_components_are_orthonormal_to_1e_5_in_float32(spread):
    ours = fitted(list((spread * decaying(120, 200)).float().split(23)), 40)
    assert ours.components.dtype == torch.float32
    assert len(ours.components) == 30  # of variances 0.64^i, those above 1e-6 of the largest
    gram = (ours.components.double() @ ours.components.double().T).numpy()
    np.testing.assert_allclose(gram, np.eye(30), rtol=0, atol=1e-5)


def test_a_large_common_mean_costs_no_accuracy_in_float32():
    data = (decaying(60, 100) + 1000).float()
    assert_same_decomposition(fitted(list(data.split(11)), 20), reference(data, 20), 1e-4)


@pytest.mark.parametrize("share", [0.3, 0.8, 0.95, 0.999])
def test_a_share_of_the_variance_keeps_as_many_components_as_scikit_learn(share):
    data = decaying(50, 20)
    ours = fitted([data[:20], data[20:]], share)
    assert len(ours.singular_values) == reference(data, share).n_components_
    assert_same_decomposition(ours, reference(data, share), 1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_components", [12, 30, 0.9999999])
def test_directions_without_variance_are_dropped(dtype, n_components):
    data = decaying(40, 30, rank=4).to(dtype)
    ours = fitted(list(data.split(9)), n_components)
    assert len(ours.components) == len(ours.singular_values) == 4
    assert largest_sine(ours.components, reference(data, 4).components_) < 1e-5


def test_no_more_components_than_images_allow():
    assert fitted([decaying(8, 30)], 8).components.shape == (7, 30)
    assert fitted([decaying(1, 30)], 1).components.shape == (0, 30)


def test_images_that_are_all_alike_have_no_components():
    image = torch.tensor([[1.1, 2.2, 3.3]])
    ours = fitted([image.repeat(5, 1), image.repeat(3, 1)], 4)
    assert ours.components.shape == (0, 3)
    assert torch.equal(ours.mean, image[0])
    assert ours.encode(image).shape == (1, 0)
    assert ours.decode(torch.zeros(2, 0)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_codes_by_hand():
    # four points around (1, 1, 1): variances 2 * 9 / 3 along the first axis, 2 * 1 / 3 along the third
    ours = fitted([torch.tensor([[4.0, 1, 1], [-2, 1, 1], [1, 1, 2], [1, 1, 0]])], 2)
    assert ours.mean.tolist() == [1, 1, 1]
    assert ours.explained_variance.tolist() == pytest.approx([6, 2 / 3])
    assert ours.encode(torch.tensor([[6.0, 9, -1]])).abs().flatten().tolist() == pytest.approx([5, 2])


def test_distances_are_kept_where_no_direction_is_dropped():
    data = decaying(12, 50)
    codes = fitted([data], 12).encode(data)
    torch.testing.assert_close(torch.pdist(codes), torch.pdist(data))


def test_an_empty_batch_changes_nothing():
    data = decaying(10, 6)
    with_gap = fitted([torch.zeros(0, 0), data[:4], data[:0], data[4:]], 3)
    assert torch.equal(with_gap.components, fitted([data], 3).components)
    assert with_gap.n_images == 10


def test_what_becomes_of_a_batch_after_it_was_taken_in_changes_nothing():
    data = decaying(10, 6).float()
    ours, batch = ExactPCA(3), data.clone()
    ours.partial_fit(batch)
    assert torch.equal(batch, data)
    batch.zero_()
    assert torch.equal(ours.finish().components, fitted([data], 3).components)


@pytest.mark.parametrize(
    ("value", "kept_as"), [(0.5, torch.float16), (0.1, torch.float32), (1e6, torch.float32), (1e-9, torch.float32)]
)
def test_rows_are_kept_as_float16_where_that_is_exact(value, kept_as):
    (kept,) = Rows().plus(torch.full((2, 3), value)).batches
    assert kept.dtype == kept_as
    assert torch.equal(kept.float(), torch.full((2, 3), value))


def test_rows_of_both_kinds_are_fitted_together():
    data = torch.cat([decaying(10, 6).half().float(), decaying(10, 6, seed=1).float()])
    assert_same_decomposition(fitted(list(data.split(10)), 4), reference(data, 4), 1e-5)


def test_the_explained_variance_may_be_asked_for_during_the_fit():
    assert float(ExactPCA(3).partial_fit(decaying(10, 6)).explained_variance_ratio.sum()) == 0


def test_rows_given_after_a_fit_begin_another():
    first, second = decaying(10, 6), decaying(12, 6, seed=1)
    ours = fitted([first], 3).partial_fit(second).finish()
    assert ours.n_images == 12
    assert_same_decomposition(ours, reference(second, 3), 1e-7)


def test_fewer_images_than_components_is_a_user_error_that_names_a_number_that_works():
    with pytest.raises(UserError, match=r"9 images are fewer than the 10 components.*n_components=8"):
        fitted([decaying(9, 30)], 10)
    assert len(fitted([decaying(9, 30)], 8).components) == 8


def test_a_share_of_the_variance_of_no_images_is_a_user_error():
    with pytest.raises(UserError, match="images"):
        ExactPCA(0.5).finish()


@pytest.mark.parametrize("n_components", [0, -1, -0.5, 1.5, 100.1, float("nan"), float("inf"), "all", None])
def test_a_number_of_components_that_is_neither_whole_nor_a_share_is_a_user_error(n_components):
    with pytest.raises(UserError, match=f"n_components.*{n_components}"):
        ExactPCA(n_components)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[ExactPCA, Path]:
    ours = fitted(list(decaying(20, 15).float().split(6)), 5)
    path = tmp_path / "folder to be made" / "manifold.safetensors"
    ours.save(path, METADATA, {"scale.conv1": torch.tensor(2.5)})
    return ours, path


@pytest.mark.parametrize("kind", [ExactPCA, IncrementalPCA, PCA])
def test_a_saved_manifold_is_read_back_whole(saved, kind):
    ours, path = saved
    back = kind.load(path, METADATA)
    assert type(back) is kind
    assert torch.equal(back.mean, ours.mean)
    assert torch.equal(back.components, ours.components)
    assert torch.equal(back.explained_variance_ratio, ours.explained_variance_ratio)
    assert (back.n_images, back.n_components) == (20, 5)
    assert kind.load_extra(path, "scale.")["conv1"].item() == 2.5


def test_a_file_says_which_kind_of_manifold_it_holds_and_may_be_asked(saved):
    ExactPCA.load(saved[1], METADATA | {"kind": "ExactPCA"})
    with pytest.raises(UserError, match=r"another kind.*'ExactPCA'.*'IncrementalPCA'"):
        IncrementalPCA.load(saved[1], METADATA | {"kind": "IncrementalPCA"})


def test_a_file_holds_no_rows(saved):
    assert set(load_file(saved[1])) == {"mean", "components", "singular_values", "scale.conv1"}
