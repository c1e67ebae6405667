"""StreamingPCA against scikit-learn's PCA and IncrementalPCA, and against scikit-learn's rules for estimators."""

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import sklearn.decomposition
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import Tensor

from dmt.manifolds.estimator import StreamingPCA

PAGE = Path(__file__).resolve().parents[2] / "docs/streaming_pca.md"
ATTRIBUTES = ["components_", "mean_", "explained_variance_", "explained_variance_ratio_", "singular_values_"]

laws = settings(deadline=None, max_examples=15, derandomize=True)


def decaying(n: int, d: int, seed: int = 0, rank: int | None = None) -> np.ndarray:
    """Rows around a mean far from 0, with variances that fall fast, none alike."""
    random = np.random.default_rng(seed)
    rank = min(n, d) if rank is None else rank
    directions = np.linalg.qr(random.normal(size=(d, rank)))[0]
    return (random.normal(size=(n, rank)) * 0.8 ** np.arange(rank)) @ directions.T + 3 + random.normal(size=d)


def flat(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Rows whose variances fall as slowly as those of network features: as 1 / (i + 1)."""
    random = np.random.default_rng(seed)
    directions = np.linalg.qr(random.normal(size=(d, d)))[0]
    return random.normal(size=(n, d)) / np.sqrt(np.arange(1, d + 1)) @ directions + 1


def assert_same(ours: StreamingPCA, theirs: sklearn.decomposition.PCA, tolerance: float = 1e-7) -> None:
    """As far as theirs goes: the same numbers, signs included."""
    for name in ATTRIBUTES:
        expected, found = getattr(theirs, name), np.asarray(getattr(ours, name))
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=name)
        assert found.shape == expected.shape
    assert ours.n_components_ == theirs.n_components_
    assert ours.n_features_in_ == theirs.n_features_in_


@parametrize_with_checks([StreamingPCA(), StreamingPCA(2), StreamingPCA(0.9)])
def test_scikit_learns_rules_are_kept(estimator, check):  # none has to be excepted
    check(estimator)


@pytest.mark.parametrize(("n", "d"), [(200, 12), (40, 60)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-6), (np.float32, 1e-3)])
@pytest.mark.parametrize("container", [np.asarray, torch.from_numpy])
def test_with_room_for_every_direction_it_is_scikit_learns_pca(n, d, dtype, tolerance, container):
    data = decaying(n, d).astype(dtype)
    theirs = sklearn.decomposition.PCA(5, svd_solver="full").fit(data.astype(np.float64))
    ours = StreamingPCA(5, oversampling=12).fit(container(data))
    assert_same(ours, theirs, tolerance)
    assert ours.n_samples_seen_ == n
    new = decaying(7, d, seed=1)
    codes = theirs.transform(new)
    np.testing.assert_allclose(ours.transform(container(new.astype(dtype))), codes, atol=10 * tolerance)
    back = ours.inverse_transform(container(codes.astype(dtype)))
    np.testing.assert_allclose(back, theirs.inverse_transform(codes), atol=10 * tolerance)


@pytest.mark.parametrize("rows", [36, 90])
def test_where_directions_are_cut_off_it_is_close_and_closer_than_incremental_pca(rows):
    data, k = flat(900, 200), 12
    exact = sklearn.decomposition.PCA(k, svd_solver="full").fit(data)
    theirs = sklearn.decomposition.IncrementalPCA(k, batch_size=rows).fit(data)
    ours = StreamingPCA(k, oversampling=3, batch_size=rows).fit(data)

    def lost(pca) -> float:
        """Of the variance that k components can have."""
        return 1 - pca.transform(data).var(axis=0, ddof=1).sum() / exact.explained_variance_.sum()

    def wrong(pca) -> float:
        """The largest relative error of a component's variance."""
        return np.abs(pca.explained_variance_ / exact.explained_variance_ - 1).max()

    assert 0 < lost(ours) < 2e-3
    assert lost(ours) < lost(theirs) / 5
    assert wrong(ours) < 0.02
    assert wrong(ours) < wrong(theirs) / 5
    np.testing.assert_allclose(ours.mean_, exact.mean_, atol=1e-12)
    # the subspace: cosines of the angles between the leading halves and the other's whole
    for one, other in ((ours, exact), (exact, ours)):
        cosines = np.linalg.svd(one.components_[: k // 2] @ other.components_.T, compute_uv=False)
        assert cosines.min() > 0.99


def test_by_default_few_components_of_few_features_are_exact():
    data = flat(1000, 100)
    exact = sklearn.decomposition.PCA(3, svd_solver="full").fit(data)
    assert_same(StreamingPCA(3).fit(data), exact, 1e-6)


@laws
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    batch_size=st.integers(1, 100),
    oversampling=st.sampled_from([1, 3, None]),
)
def test_any_batches_give_the_same_to_the_last_bit(sizes, batch_size, oversampling):
    data = decaying(sum(sizes) + 4, 25)
    whole = StreamingPCA(4, oversampling=oversampling, batch_size=batch_size).fit(data)
    parts = StreamingPCA(4, oversampling=oversampling)
    for batch in np.split(data, np.cumsum([4, *sizes])[:-1]):
        parts.partial_fit(batch)
    for name in ATTRIBUTES:
        assert np.array_equal(getattr(parts, name), getattr(whole, name)), name
    assert parts.n_samples_seen_ == whole.n_samples_seen_ == len(data)


@laws
@given(looks=st.lists(st.booleans(), min_size=12, max_size=12), oversampling=st.sampled_from([1, 3]))
def test_looking_at_a_fit_does_not_change_how_it_goes_on(looks, oversampling):
    batches = np.split(decaying(60, 25), 12)
    watched, unwatched = (StreamingPCA(4, oversampling=oversampling) for _ in range(2))
    for batch, look in zip(batches, looks, strict=True):
        watched.partial_fit(batch)
        unwatched.partial_fit(batch)
        if look:
            until_now = np.concatenate(batches)[: watched.n_samples_seen_]
            np.testing.assert_allclose(watched.mean_, until_now.mean(axis=0), atol=1e-12)
            np.testing.assert_allclose(
                watched.transform(until_now).var(axis=0, ddof=1), watched.explained_variance_, rtol=1e-9
            )
            watched.components_[:] = 0  # nor does a user who writes into what came out
    for name in ATTRIBUTES:
        found = getattr(clone_of_fit(watched), name)
        assert np.array_equal(found, getattr(unwatched, name)), name


def clone_of_fit(estimator: StreamingPCA) -> StreamingPCA:
    """One that has forgotten what was finished, so that it is finished again."""
    other = copy.deepcopy(estimator)
    other._finished = None
    return other


def test_a_look_keeps_the_components_and_no_more():
    ours = StreamingPCA(4, oversampling=3)
    for batch in np.split(flat(100, 300), 5):
        ours.partial_fit(batch)
        assert ours.components_.shape == (4, 300)
        assert ours._finished.components.untyped_storage().nbytes() == 4 * 300 * 8
        assert ours._finished._rows.batches == ()
    fitted = StreamingPCA(4, oversampling=3).fit(flat(100, 300))
    assert fitted._finished is fitted._core
    assert fitted._core.components.untyped_storage().nbytes() == 4 * 300 * 8


def test_partial_fit_goes_on_after_fit():
    data = decaying(90, 12)
    theirs = sklearn.decomposition.PCA(12, svd_solver="full").fit(data)
    ours = StreamingPCA(12).fit(data[:50])
    before = ours.components_
    kept = before.copy()
    assert_same(ours.partial_fit(data[50:]), theirs, 1e-6)
    assert ours.n_samples_seen_ == 90
    assert np.array_equal(before, kept)
    assert ours.fit(data[:50]).n_samples_seen_ == 50  # and fit forgets
    assert np.array_equal(ours.components_, kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_tensors_in_tensors_out(dtype):
    data = torch.from_numpy(10 * decaying(50, 8)).to(dtype)
    kept = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    ours = StreamingPCA(3)
    codes = ours.fit_transform(data)
    assert codes.dtype == kept
    assert ours.inverse_transform(codes).dtype == kept
    theirs = sklearn.decomposition.PCA(3, svd_solver="full").fit(data.double().numpy())
    for name in ATTRIBUTES:
        found = getattr(ours, name)
        assert (found.dtype, found.device) == (kept, data.device)
        np.testing.assert_allclose(found, getattr(theirs, name), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours.inverse_transform(codes.double()).float(), ours.inverse_transform(codes).float())


def test_what_is_given_back_is_of_the_kind_of_what_was_given():
    data = decaying(50, 8)
    of_arrays, of_tensors = StreamingPCA(3).fit(data), StreamingPCA(3).fit(torch.from_numpy(data))
    assert isinstance(of_arrays.components_, np.ndarray)
    assert isinstance(of_tensors.components_, Tensor)
    for ours in (of_arrays, of_tensors):
        assert isinstance(ours.transform(data), np.ndarray)
        assert isinstance(ours.transform(torch.from_numpy(data)), Tensor)
        assert isinstance(ours.inverse_transform(np.zeros((1, 3))), np.ndarray)
        assert isinstance(ours.inverse_transform(torch.zeros(1, 3)), Tensor)
        assert ours.transform(data.astype(np.float32)).dtype == np.float32
        assert ours.transform(data.astype(np.float16)).dtype == np.float32
        assert ours.transform(np.ones((1, 8), dtype=np.uint8)).dtype == np.float64
    mixed = StreamingPCA(3).partial_fit(data[:25]).partial_fit(torch.from_numpy(data[25:]))
    assert np.array_equal(mixed.components_, of_arrays.components_)


def test_gradients_pass_through_but_not_into_the_fit():
    data = torch.from_numpy(decaying(50, 8)).requires_grad_()
    ours = StreamingPCA(3).fit(data)
    assert not ours.components_.requires_grad
    ours.inverse_transform(ours.transform(data)).sum().backward()
    projector = ours.components_.T @ ours.components_
    torch.testing.assert_close(data.grad, projector.sum(dim=1).expand_as(data))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_it_finds_the_same():
    data = decaying(300, 40).astype(np.float32)
    on_cpu = StreamingPCA(5, oversampling=3).fit(data)
    of_arrays = StreamingPCA(5, oversampling=3, device="cuda").fit(data)
    of_tensors = StreamingPCA(5, oversampling=3).fit(torch.from_numpy(data).cuda())
    assert of_tensors.components_.is_cuda
    assert of_tensors.transform(torch.from_numpy(data).cuda()).is_cuda
    assert not of_tensors.transform(torch.from_numpy(data)).is_cuda
    assert isinstance(of_arrays.components_, np.ndarray)
    assert of_arrays._core.mean.is_cuda
    for ours in (of_arrays, of_tensors):
        np.testing.assert_allclose(torch.as_tensor(ours.components_).cpu(), on_cpu.components_, atol=1e-3)
        np.testing.assert_allclose(ours.transform(data), on_cpu.transform(data), atol=1e-2)


@pytest.mark.parametrize("share", [0.3, 0.8, 0.95])
@pytest.mark.parametrize("kind", [float, np.float32])
def test_a_share_of_the_variance_keeps_as_many_components_as_scikit_learn(share, kind):
    data = decaying(50, 20)
    theirs = sklearn.decomposition.PCA(share, svd_solver="full").fit(data)
    ours = StreamingPCA(kind(share)).fit(data)
    assert_same(ours, theirs, 1e-6)
    assert StreamingPCA(0.999, most=2).fit(data).n_components_ == 2


@pytest.mark.parametrize(("n", "d"), [(30, 8), (8, 30)])
def test_without_a_number_it_finds_all_components_there_are(n, d):
    data = decaying(n, d)
    rank = min(n - 1, d)
    theirs = sklearn.decomposition.PCA(rank, svd_solver="full").fit(data)
    assert_same(StreamingPCA().fit(data), theirs, 1e-5)
    np.testing.assert_allclose(StreamingPCA().fit(data).explained_variance_ratio_.sum(), 1)
    assert StreamingPCA().partial_fit(data[:5]).partial_fit(data[5:]).n_components_ == 5


def test_components_past_the_rank_are_dropped():
    data = decaying(40, 30, rank=4)
    assert StreamingPCA(12).fit(data).components_.shape == (4, 30)
    alike = StreamingPCA(2).fit(np.ones((5, 3)))
    assert alike.transform(np.ones((2, 3))).shape == (2, 0)
    assert alike.inverse_transform(np.zeros((1, 0))).tolist() == [[1, 1, 1]]


def test_whole_numbers_of_numpy_are_numbers():
    assert StreamingPCA(np.int64(3), oversampling=np.int32(2)).fit(decaying(20, 8)).n_components_ == 3


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        *[({"n_components": value}, "n_components must be a whole number") for value in (0, -1, 1.5, 1.0, True, "mle")],
        ({"n_components": float("nan")}, "n_components must be a whole number"),
        ({"n_components": 9}, "n_components=9 must not be more than the n_features=8"),
        ({"n_components": 7}, "n_components=7 must not be more than the n_samples=6"),
        ({"oversampling": 0}, "oversampling must be a whole number from 1, got 0"),
        ({"oversampling": 1.5}, "oversampling must be a whole number from 1, got 1.5"),
        ({"most": None}, "most must be a whole number from 1, got None"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1, got 0"),
    ],
)
def test_a_parameter_out_of_its_range_is_a_value_error(parameters, message, kind):
    with pytest.raises(ValueError, match=message):
        StreamingPCA(**parameters).fit(kind(decaying(6, 8)))


def test_too_few_samples_are_not_a_fit_yet():
    data = decaying(20, 8)
    ours = StreamingPCA(5).partial_fit(data[:4])
    message = r"n_components=5 components need as many samples.*n_samples=4"
    for ask in (lambda: ours.components_, lambda: ours.transform(data), lambda: ours.inverse_transform(data[:, :5])):
        with pytest.raises(NotFittedError, match=message):
            ask()
    assert not hasattr(ours, "explained_variance_")
    ours.partial_fit(data[4:])
    assert_same(ours, sklearn.decomposition.PCA(5, svd_solver="full").fit(data), 1e-6)
    assert not hasattr(StreamingPCA(), "components_")
    with pytest.raises(NotFittedError):
        StreamingPCA().transform(torch.from_numpy(data))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((6,), "Expected 2D tensor, got 1D"),
        ((6, 2, 4), "Expected 2D tensor, got 3D.*flatten"),
        ((1, 8), "1 sample"),
        ((6, 0), r"0 feature\(s\)"),
    ],
)
def test_tensors_of_another_shape_are_a_value_error(shape, message):
    with pytest.raises(ValueError, match=message):
        StreamingPCA().fit(torch.zeros(shape))


def test_other_numbers_of_columns_are_a_value_error():
    ours = StreamingPCA(2).fit(decaying(20, 8))
    for kind in (np.zeros, torch.zeros):
        with pytest.raises(ValueError, match="X has 7 features, but StreamingPCA is expecting 8 features as input"):
            ours.transform(kind((3, 7)))
        with pytest.raises(ValueError, match="X has 3 columns, but there are 2 components"):
            ours.inverse_transform(kind((1, 3)))
    with pytest.raises(ValueError, match="Complex data not supported"):
        ours.transform(torch.zeros(3, 8, dtype=torch.complex64))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_what_is_not_finite_is_a_value_error_and_leaves_the_fit_as_it_was(value, kind):
    data = decaying(30, 8)
    wrong = data[:10].copy()
    wrong[3, 3] = value
    ours, other = StreamingPCA(3).partial_fit(kind(data)), StreamingPCA(3).partial_fit(kind(data))
    for ask in (ours.fit, ours.partial_fit, ours.transform):
        with pytest.raises(ValueError, match="NaN or infinity"):
            ask(kind(wrong))
    assert ours.n_samples_seen_ == 30
    assert np.array_equal(ours.components_, other.components_)


def test_a_memory_map_of_halves_is_read_in_batches(tmp_path):
    data = decaying(60, 25).astype(np.float16)
    np.save(tmp_path / "rows.npy", data)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    ours = StreamingPCA(4, oversampling=2, batch_size=7)
    codes = ours.fit_transform(mapped)
    assert codes.dtype == ours.components_.dtype == np.float32
    plain = StreamingPCA(4, oversampling=2).fit(data.astype(np.float32))
    assert np.array_equal(ours.components_, plain.components_)


def test_arrays_may_lie_in_memory_as_they_like():
    data = decaying(40, 8)
    expected = StreamingPCA(3).fit(data).components_
    backwards = np.ascontiguousarray(data[::-1])[::-1]
    for same in (np.asfortranarray(data), backwards, data.astype(">f8"), data.tolist()):
        assert np.array_equal(StreamingPCA(3).fit(same).components_, expected)


def test_it_fits_into_pipelines_and_can_be_copied_and_pickled():
    data = decaying(60, 8)
    theirs = make_pipeline(StandardScaler(), sklearn.decomposition.PCA(3, svd_solver="full"))
    ours = make_pipeline(StandardScaler(), StreamingPCA(3))
    np.testing.assert_allclose(ours.fit_transform(data), theirs.fit_transform(data), atol=1e-6)
    assert ours.get_feature_names_out().tolist() == ["streamingpca0", "streamingpca1", "streamingpca2"]
    begun = StreamingPCA(3, oversampling=1).partial_fit(data[:30])
    resumed, begun = pickle.loads(pickle.dumps(begun)), begun.partial_fit(data[30:])
    assert np.array_equal(resumed.partial_fit(data[30:]).components_, begun.components_)
    assert not hasattr(clone(begun), "components_")


def test_the_pages_example_runs(capsys):
    code, printed = re.findall(r"```python\n(.*?)```\s+prints\s+```\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    exec(code, {})
    assert capsys.readouterr().out == printed
