"""The streaming PCA against scikit-learn's PCA and IncrementalPCA."""

from pathlib import Path

import numpy as np
import pytest
import sklearn.decomposition
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from dmt.errors import UserError
from dmt.manifolds import IncrementalPCA
from dmt.manifolds.rows import COLUMNS

laws = settings(deadline=None, max_examples=15, derandomize=True)

METADATA = {"network": "abc", "layers": "conv1,conv2"}


def decaying(n: int, d: int, seed: int = 0, rank: int | None = None) -> Tensor:
    """Rows around a mean far from 0, with variances that fall from direction to direction, none alike."""
    generator = torch.Generator().manual_seed(seed)
    rank = min(n, d) if rank is None else rank
    codes = torch.randn(n, rank, generator=generator, dtype=torch.float64) * 0.8 ** torch.arange(rank)
    directions = torch.linalg.qr(torch.randn(d, rank, generator=generator, dtype=torch.float64)).Q
    return codes @ directions.T + 3 + torch.randn(d, generator=generator, dtype=torch.float64)


def fitted(batches: list[Tensor], n_components: float, **more: int) -> IncrementalPCA:
    manifold = IncrementalPCA(n_components, **more)
    for batch in batches:
        manifold.partial_fit(batch)
    return manifold.finish()


def projector(components: Tensor | np.ndarray) -> Tensor:
    """What a subspace is, whatever the signs and the order of its basis."""
    components = torch.as_tensor(components)
    return components.T @ components


def assert_same_decomposition(ours: IncrementalPCA, theirs, tolerance: float = 1e-7) -> None:
    np.testing.assert_allclose(ours.mean, theirs.mean_, atol=tolerance)
    np.testing.assert_allclose(ours.singular_values, theirs.singular_values_, rtol=tolerance)
    np.testing.assert_allclose(ours.explained_variance, theirs.explained_variance_, rtol=tolerance)
    np.testing.assert_allclose(ours.explained_variance_ratio, theirs.explained_variance_ratio_, rtol=tolerance)
    along = (ours.components * torch.from_numpy(theirs.components_)).sum(dim=1).abs()
    np.testing.assert_allclose(along, 1, atol=tolerance)  # the same directions, up to their signs


@pytest.mark.parametrize("oversampling", [1, 2, 5])
@pytest.mark.parametrize("sizes", [[20, 20, 20], [12, 31, 1, 16], [60]])
def test_truncated_fits_equal_those_of_scikit_learn_that_keep_and_merge_as_many(sizes, oversampling):
    data = decaying(60, 25)
    theirs = sklearn.decomposition.IncrementalPCA(4 * oversampling)
    for batch in data.split(4 * oversampling):
        theirs.partial_fit(batch.numpy())
    ours = fitted(list(data.split(sizes)), 4, oversampling=oversampling)
    np.testing.assert_allclose(ours.mean, theirs.mean_, atol=1e-9)
    overlap = (ours.components @ torch.from_numpy(theirs.components_[:4]).T).abs()
    np.testing.assert_allclose(overlap.max(dim=1).values, 1, atol=1e-9)  # the same, though perhaps in another order


@pytest.mark.parametrize("oversampling", [1, 2, 5])
def test_the_variance_explained_is_that_of_the_codes_though_some_was_cut_off(oversampling):
    data = flat(300, 40)
    ours = fitted([data], 4, oversampling=oversampling)
    np.testing.assert_allclose(ours.explained_variance, ours.encode(data).var(dim=0), rtol=1e-9)
    assert ours.total_variance == pytest.approx(float(data.var(dim=0).sum()))


def test_the_variance_of_more_dimensions_than_are_kept_apart_is_estimated_without_bias():
    data = (
        flat(400, 120)
        @ torch.linalg.qr(torch.randn(3 * COLUMNS, 120, generator=torch.Generator().manual_seed(1))).Q.double().T
    )
    ours = fitted([data], 20, oversampling=1)
    true = ours.encode(data).var(dim=0)
    errors = ours.explained_variance / true - 1
    assert abs(float(ours.explained_variance.sum() / true.sum()) - 1) < 1e-3
    assert errors.abs().max() < 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [[1] * 60, [59, 1], [7, 0, 13, 40]])
def test_any_batch_sizes_give_the_same_to_the_last_bit(sizes, dtype):
    data = decaying(60, 25).to(dtype)
    whole, parts = fitted([data], 3), fitted(list(data.split(sizes)), 3)
    assert whole.capacity < len(data)
    assert torch.equal(parts.mean, whole.mean)
    assert torch.equal(parts.components, whole.components)
    assert torch.equal(parts.explained_variance_ratio, whole.explained_variance_ratio)


def flat(n: int, d: int) -> Tensor:
    """Rows whose variances fall as slowly as those of network features: as 1 / (i + 1)."""
    generator = torch.Generator().manual_seed(0)
    codes, directions = (torch.randn(*shape, generator=generator).double() for shape in [(n, d), (d, d)])
    return codes * torch.arange(1.0, d + 1).rsqrt() @ torch.linalg.qr(directions).Q


def test_more_directions_kept_lose_less_of_the_variance():
    data = flat(1500, 400)
    exact = np.linalg.svd((data - data.mean(dim=0)).numpy(), compute_uv=False)[:20] ** 2
    lost = [
        1 - float(fitted([data], 20, oversampling=m).singular_values.square().sum()) / exact.sum() for m in (1, 2, 3)
    ]
    assert lost[0] > 2 * lost[1] > 4 * lost[2] > 0


def test_memory_is_bounded_by_what_is_kept():
    ours = IncrementalPCA(2)
    for batch in flat(100, 30).split(8):
        ours.partial_fit(batch)
        assert len(ours.components) <= ours.capacity
        assert len(ours._rows) < ours.capacity


def test_float16_rows_are_fitted_in_float32():
    data = decaying(50, 200).half()
    theirs = sklearn.decomposition.PCA(5, svd_solver="full").fit(data.double().numpy())
    ours = fitted(list(data.split(9)), 5, oversampling=10)
    assert ours.components.dtype == ours.mean.dtype == torch.float32
    np.testing.assert_allclose(ours.explained_variance, theirs.explained_variance_, rtol=1e-5)
    along = (ours.components.double() * torch.from_numpy(theirs.components_)).sum(dim=1).abs()
    np.testing.assert_allclose(along, 1, atol=1e-5)


def test_components_are_orthonormal_though_all_past_the_rank_are_wanted():
    data = torch.cat([decaying(90, 500, rank=12).half(), torch.zeros(90, 500, dtype=torch.float16)])
    ours = fitted(list(data.split(16)), 60)
    gram = ours.components.double() @ ours.components.double().T
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("n", "d"), [(40, 12), (15, 60)])
def test_with_room_for_every_direction_it_is_the_exact_pca(n, d):
    data = decaying(n, d)
    rank = min(n - 1, d)
    theirs = sklearn.decomposition.PCA(rank, svd_solver="full").fit(data.numpy())
    ours = fitted(list(data.split(7)), min(n, d))
    assert len(ours.components) == rank
    assert_same_decomposition(ours, theirs, 1e-5)
    assert ours.total_variance == pytest.approx(np.var(data.numpy(), axis=0, ddof=1).sum())


@laws
@given(sizes=st.lists(st.integers(0, 12), min_size=1, max_size=8), d=st.integers(1, 30), seed=st.integers(0, 1000))
def test_any_batch_sizes_give_the_same_result_where_nothing_is_truncated(sizes, d, seed):
    data = decaying(sum(sizes) + 2, d, seed)
    batches = [*data.split([*sizes, 2])]
    whole, parts = fitted([data], len(data)), fitted(batches, len(data))
    assert parts.n_images == len(data)
    torch.testing.assert_close(parts.mean, data.mean(dim=0), rtol=1e-10, atol=0)
    torch.testing.assert_close(parts.singular_values, whole.singular_values, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(projector(parts.components), projector(whole.components), rtol=0, atol=1e-5)
    assert parts.total_variance == pytest.approx(float(data.var(dim=0).sum()))


def test_columns_beyond_one_block_are_treated_alike():
    data = decaying(9, COLUMNS + 300)
    theirs = sklearn.decomposition.PCA(5, svd_solver="full").fit(data.numpy())
    ours = fitted([data], 9)
    np.testing.assert_allclose(ours.singular_values[:5], theirs.singular_values_, rtol=1e-7)
    along = (ours.components[:5] * torch.from_numpy(theirs.components_)).sum(dim=1).abs()
    np.testing.assert_allclose(along, 1, atol=1e-7)


def test_batches_of_one_image_are_enough():
    data = decaying(10, 6)
    theirs = sklearn.decomposition.PCA(6, svd_solver="full").fit(data.numpy())
    assert_same_decomposition(fitted(list(data.split(1)), 6), theirs, 1e-5)


def test_an_empty_batch_changes_nothing():
    data = decaying(10, 6)
    with_gap = fitted([data[:0], data[:4], data[:0], data[4:]], 3)
    without = fitted([data[:4], data[4:]], 3)
    assert torch.equal(with_gap.components, without.components)
    assert with_gap.n_images == 10


@pytest.mark.parametrize("share", [0.3, 0.8, 0.95, 0.999])
def test_a_share_of_the_variance_keeps_as_many_components_as_scikit_learn(share):
    data = decaying(50, 20)
    theirs = sklearn.decomposition.PCA(share, svd_solver="full").fit(data.numpy())
    ours = fitted([data[:20], data[20:]], share)
    assert len(ours.components) == len(ours.singular_values) == theirs.n_components_
    assert float(ours.explained_variance_ratio.sum()) >= share
    assert float(ours.explained_variance_ratio[:-1].sum()) < share


def test_one_component_is_one_and_not_the_whole_of_the_variance():
    ours = fitted([decaying(30, 12)], 1)
    assert len(ours.components) == len(ours.explained_variance) == 1


def test_a_share_that_is_out_of_reach_keeps_the_most_components_allowed():
    assert len(fitted([decaying(50, 20)], 0.999, most=4).components) == 4


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e4])
def test_components_are_orthonormal_to_1e_5_in_float32(spread):
    data = spread * decaying(120, 200).float()
    ours = fitted(list(data.split(23)), 30)
    assert ours.components.dtype == torch.float32
    gram = (ours.components.double() @ ours.components.double().T).numpy()
    np.testing.assert_allclose(gram, np.eye(len(gram)), rtol=0, atol=1e-5)


def test_float32_finds_the_leading_directions_of_float64():
    data = decaying(80, 200)
    theirs = sklearn.decomposition.PCA(10, svd_solver="full").fit(data.numpy())
    ours = fitted(list(data.float().split(16)), 40)
    np.testing.assert_allclose(ours.singular_values[:10], theirs.singular_values_, rtol=1e-4)
    along = (ours.components[:10].double() * torch.from_numpy(theirs.components_)).sum(dim=1).abs()
    np.testing.assert_allclose(along, 1, atol=1e-4)


def test_a_large_common_mean_costs_no_accuracy_in_float32():
    data = (decaying(60, 100) + 1000).float()
    theirs = sklearn.decomposition.PCA(5, svd_solver="full").fit(data.double().numpy())
    ours = fitted(list(data.split(11)), 20)
    np.testing.assert_allclose(ours.singular_values[:5], theirs.singular_values_, rtol=1e-3)
    along = (ours.components[:5].double() * torch.from_numpy(theirs.components_)).sum(dim=1).abs()
    np.testing.assert_allclose(along, 1, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_directions_without_variance_are_dropped(dtype):
    data = decaying(40, 30, rank=4)
    ours = fitted(list(data.to(dtype).split(9)), 12)
    theirs = sklearn.decomposition.PCA(4, svd_solver="full").fit(data.numpy())
    assert len(ours.components) == 4
    torch.testing.assert_close(projector(ours.components).double(), projector(theirs.components_), rtol=0, atol=1e-5)


def test_images_that_are_all_alike_have_no_components():
    image = torch.tensor([[1.0, 2.0, 3.0]])
    ours = fitted([image.repeat(5, 1), image.repeat(3, 1)], 4)
    assert ours.components.shape == (0, 3)
    assert ours.mean.tolist() == [1, 2, 3]
    assert ours.encode(image).shape == (1, 0)
    assert ours.decode(torch.zeros(2, 0)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_codes_by_hand():
    # four points around (1, 1, 1): variances 2 * 9 / 3 along the first axis, 2 * 1 / 3 along the third
    data = torch.tensor([[4.0, 1, 1], [-2, 1, 1], [1, 1, 2], [1, 1, 0]])
    ours = fitted([data], 2)
    assert ours.mean.tolist() == [1, 1, 1]
    assert ours.explained_variance.tolist() == pytest.approx([6, 2 / 3])
    assert ours.encode(torch.tensor([[6.0, 9, -1]])).abs().flatten().tolist() == pytest.approx([5, 2])
    assert ours.encode(ours.mean[None]).tolist() == [[0, 0]]


def test_decoding_undoes_encoding_within_the_span_and_leaves_out_the_mean():
    data = decaying(20, 30, rank=6)
    ours = fitted([data], 10)
    torch.testing.assert_close(ours.mean + ours.decode(ours.encode(data)), data)
    codes = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(ours.encode(ours.mean + ours.decode(codes)), codes)
    assert ours.decode(torch.zeros(1, 6)).abs().max() == 0


def test_distances_are_kept_where_no_direction_is_dropped():
    data = decaying(12, 50)
    codes = fitted([data], 12).encode(data)
    torch.testing.assert_close(torch.pdist(codes), torch.pdist(data))


def test_fitting_does_not_write_into_its_batches():
    data = decaying(10, 6)
    before = data.clone()
    fitted([data], 3)
    assert torch.equal(data, before)


def test_fewer_images_than_components_is_a_user_error_that_names_a_number_that_works():
    with pytest.raises(UserError, match=r"9 images are fewer than the 10 components.*n_components=8"):
        fitted([decaying(9, 30)], 10)
    assert len(fitted([decaying(9, 30)], 8).components) == 8


@pytest.mark.parametrize("n_components", [0, -1, -0.5, 1.5, 100.1])
def test_a_number_of_components_that_is_neither_whole_nor_a_share_is_a_user_error(n_components):
    with pytest.raises(UserError, match=f"n_components.*{n_components}"):
        IncrementalPCA(n_components)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[IncrementalPCA, Path]:
    ours = fitted(list(decaying(20, 15).float().split(6)), 5)
    path = tmp_path / "folder to be made" / "manifold.safetensors"
    ours.save(path, METADATA, {"scale.conv1": torch.tensor(2.5), "scale.conv2": torch.ones(3, 1, 1)})
    return ours, path


def test_a_saved_manifold_is_read_back_whole(saved):
    ours, path = saved
    back = IncrementalPCA.load(path, METADATA)
    assert torch.equal(back.mean, ours.mean)
    assert torch.equal(back.components, ours.components)
    assert torch.equal(back.explained_variance, ours.explained_variance)
    assert torch.equal(back.explained_variance_ratio, ours.explained_variance_ratio)
    assert (back.n_images, back.n_components) == (20, 5)


def test_a_fit_can_go_on_after_it_was_read_back(saved):
    ours, path = saved
    back, more = IncrementalPCA.load(path, {}), decaying(9, 15, seed=1).float()
    before = back.components
    assert torch.equal(back.partial_fit(more).finish().components, ours.partial_fit(more).finish().components)
    assert back.n_images == 29
    assert not torch.equal(back.components, before)


def test_rows_that_wait_are_saved_in_the_components(tmp_path):
    data = decaying(12, 15)
    begun = IncrementalPCA(5).partial_fit(data[:8])
    begun.save(tmp_path / "begun.safetensors", {})
    resumed = IncrementalPCA.load(tmp_path / "begun.safetensors", {}).partial_fit(data[8:]).finish()
    assert resumed.n_images == 12
    theirs = sklearn.decomposition.PCA(5, svd_solver="full").fit(data.numpy())
    assert_same_decomposition(resumed, theirs, 1e-6)


def test_the_variance_explained_by_a_resumed_fit_is_that_of_the_codes_of_all_it_has_seen(tmp_path):
    first, second = decaying(30, 25, rank=4), flat(300, 25)  # nothing of the first half is cut off, much of the second
    begun = IncrementalPCA(4).partial_fit(first)
    begun.save(tmp_path / "begun.safetensors", {})
    resumed = IncrementalPCA.load(tmp_path / "begun.safetensors", {})
    assert resumed.capacity < 25
    resumed.partial_fit(second).finish()
    codes = resumed.encode(torch.cat([first, second]))
    np.testing.assert_allclose(resumed.explained_variance, codes.var(dim=0), rtol=1e-9)


def test_the_variance_explained_during_a_fit_is_that_of_the_components_wanted():
    ours = IncrementalPCA(3).partial_fit(decaying(9, 20))
    assert len(ours.components) > len(ours.explained_variance_ratio) == 3


def test_further_tensors_are_read_back_without_their_prefix(saved):
    extra = IncrementalPCA.load_extra(saved[1], "scale.")
    assert {name: value.tolist() for name, value in extra.items()} == {"conv1": 2.5, "conv2": [[[1]], [[1]], [[1]]]}


def test_saving_leaves_nothing_but_the_file(saved):
    assert [path.name for path in saved[1].parent.iterdir()] == ["manifold.safetensors"]


@pytest.mark.parametrize("expected", [{"network": "xyz"}, {"network": "abc", "image_size": "125"}])
def test_a_manifold_of_something_else_is_refused_and_both_sides_are_named(saved, expected):
    key, value = list(expected.items())[-1]
    with pytest.raises(UserError) as caught:
        IncrementalPCA.load(saved[1], expected)
    for part in (str(saved[1]), key, repr(METADATA.get(key)), repr(value)):
        assert part in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "missing", "another kind"])
def test_a_file_that_is_no_manifold_is_a_user_error_that_names_it(saved, damage):
    path = saved[1]
    content = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "garbage":
        path.write_bytes(b"no tensors here")
    elif damage == "another kind":
        save_file({"weight": torch.zeros(2)}, path)
    for read in (lambda: IncrementalPCA.load(path, {}), lambda: IncrementalPCA.load_extra(path, "scale.")):
        with pytest.raises(UserError, match=r"manifold\.safetensors.*train\.py"):
            read()


@pytest.mark.parametrize("n_components", [float("nan"), float("inf"), "all", None])
def test_components_that_are_no_number_are_a_user_error(n_components):
    with pytest.raises(UserError, match=f"n_components.*{n_components}"):
        IncrementalPCA(n_components)


def test_a_share_of_the_variance_of_no_images_is_a_user_error():
    with pytest.raises(UserError, match="images"):
        IncrementalPCA(0.5).finish()
