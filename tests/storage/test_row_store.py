"""Some rows of many: written in any order, by any number of runs, and read as they lie."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dmt.storage.checked_rows import CheckedRows
from dmt.storage.row_store import RowStore

laws = settings(deadline=None, max_examples=30, derandomize=True)
SIZE = 5


def rows(n: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """Numbers that float16 holds exactly, so that equality can be asked for."""
    return np.random.default_rng(seed).integers(-1000, 1000, (n, size)).astype(np.float32) / 16


def of(features: np.ndarray, positions: list[int]) -> Tensor:
    return torch.from_numpy(features[positions])


@laws
@given(
    batches=st.lists(st.lists(st.integers(0, 11), max_size=6), max_size=5),
    broken=st.sets(st.integers(0, 11)),
    asked=st.lists(st.integers(0, 11), max_size=15),
)
def test_what_was_written_is_read_in_the_order_it_is_asked_for(tmp_path_factory, batches, broken, asked):
    features, folder = rows(12), tmp_path_factory.mktemp("store")
    store = RowStore(folder, 12, SIZE)
    store.mark_broken(sorted(broken))
    there: set[int] = set()
    for batch in batches:
        good = [position for position in batch if position not in broken]
        store.write(good, of(features, good))
        there.update(good)
    kept = [position for position in asked if position in there]
    for reader in (store, RowStore(folder, 12, SIZE)):
        assert reader.missing(asked) == [position for position in asked if position not in there | broken]
        found, positions = reader.read(asked)
        assert positions == kept
        np.testing.assert_array_equal(found.numpy(), features[kept].astype(np.float16))


def test_numbers_keep_eleven_bits_and_stay_finite(tmp_path):
    features = np.random.default_rng(0).uniform(0.01, 10, (3, 40)).astype(np.float32)
    features[1, :2] = 70_000, -1e30
    store = RowStore(tmp_path, 9, 40)
    store.write([4, 0, 8], torch.from_numpy(features))
    found, positions = store.read([8, 4])
    assert found.dtype == torch.float16
    assert positions == [8, 4]
    expected = np.clip(features, -65504, 65504).astype(np.float16)  # float16's largest number
    np.testing.assert_array_equal(found.numpy(), expected[[2, 0]])
    np.testing.assert_array_equal(store.read([0])[0].numpy(), expected[[1]])


@pytest.mark.parametrize("form", ["transposed", "double", "half"])
def test_rows_may_lie_in_memory_as_they_like(tmp_path, form):
    features = rows(3)
    given_as = {
        "transposed": torch.from_numpy(features.T.copy()).T,
        "double": torch.from_numpy(features).double(),
        "half": torch.from_numpy(features).half(),
    }
    store = RowStore(tmp_path, 3, SIZE)
    store.write([2, 1, 0], given_as[form])
    np.testing.assert_array_equal(store.read([2, 1, 0])[0].numpy(), features)


def test_a_new_store_holds_nothing(tmp_path):
    store = RowStore(tmp_path / "to" / "be made", 4, SIZE)
    assert store.missing([3, 1, 3]) == [3, 1, 3]
    found, positions = store.read([3, 1])
    assert found.shape == (0, SIZE)
    assert positions == []


def test_a_row_is_part_of_no_answer_once_it_is_broken_and_is_there_again_once_it_is_written(tmp_path):
    features = rows(3)
    store = RowStore(tmp_path, 3, SIZE)
    store.mark_broken([1])
    assert store.missing([0, 1, 2]) == [0, 2]
    assert store.read([0, 1, 2])[1] == []
    store.write([1], of(features, [1]))  # the picture was mended
    np.testing.assert_array_equal(store.read([1])[0].numpy(), features[[1]])


def test_a_row_that_a_killed_run_wrote_without_a_mark_is_written_again(tmp_path, monkeypatch):
    features = rows(6)
    store = RowStore(tmp_path, 6, SIZE)
    store.write([5], of(features, [5]))

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(CheckedRows, "_write_sums", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write([2, 3], of(features[::-1].copy(), [2, 3]))  # other numbers: as if only in part
    monkeypatch.undo()
    again = RowStore(tmp_path, 6, SIZE)
    assert again.missing([2, 3, 5]) == [2, 3]
    assert again.read([2, 3, 5])[1] == [5]
    again.write([3, 2], of(features, [3, 2]))
    np.testing.assert_array_equal(again.read([2, 3, 5])[0].numpy(), features[[2, 3, 5]])


def test_no_row_is_marked_before_it_lies_in_the_file(tmp_path, monkeypatch):
    features = rows(4)
    store = RowStore(tmp_path, 4, SIZE)
    seen = []
    note = CheckedRows._write_sums

    def watched(self, sums):
        content = np.fromfile(tmp_path / "some.f16", np.float16).reshape(-1, SIZE)
        seen.extend(np.array_equal(content[position], features[position]) for position in sums)
        note(self, sums)

    monkeypatch.setattr(CheckedRows, "_write_sums", watched)
    store.write([3, 0], of(features, [3, 0]))
    assert seen == [True, True]


def test_two_writers_side_by_side_keep_each_others_rows(tmp_path):
    features = rows(9)
    one, other = RowStore(tmp_path, 9, SIZE), RowStore(tmp_path, 9, SIZE)
    for writer, positions in ((one, [8, 2]), (other, [0, 3, 7]), (one, [1, 4]), (other, [2, 8, 5])):
        writer.write(positions, of(features, positions))
    other.mark_broken([6])
    for reader in (one, other):
        assert reader.missing(range(9)) == []
        found, positions = reader.read([5, 8, 0, 6, 2])
        assert positions == [5, 8, 0, 2]
        np.testing.assert_array_equal(found.numpy(), features[positions])


def test_writers_at_once_lose_nothing(tmp_path):
    n, features = 60, rows(60, 300)
    order = np.random.default_rng(0).permutation(n).tolist()

    def write(positions: list[int]) -> None:
        store = RowStore(tmp_path, n, 300)
        for start in range(0, len(positions), 3):
            store.write(positions[start : start + 3], of(features, positions[start : start + 3]))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(write, (order[:40], order[20:], order[10:50])))
    found, positions = RowStore(tmp_path, n, 300).read(order)
    assert positions == order
    np.testing.assert_array_equal(found.numpy(), features[order])


def test_a_few_rows_far_apart_take_the_space_of_a_few(tmp_path):
    n, size = 20_000, 1000
    store = RowStore(tmp_path, n, size)
    features = rows(3, size)
    store.write([n - 1, 7, n // 2], torch.from_numpy(features))
    np.testing.assert_array_equal(store.read([7, n // 2, n - 1])[0].numpy(), features[[1, 2, 0]])
    taken = sum(path.stat().st_blocks * 512 for path in tmp_path.iterdir())
    assert taken < n * size * 2 / 100


@pytest.mark.parametrize("position", [4, 100])
def test_a_row_that_there_cannot_be_is_an_error(tmp_path, position):
    store = RowStore(tmp_path, 4, SIZE)
    with pytest.raises(IndexError):
        store.read([position])
    with pytest.raises(IndexError):
        store.missing([position])
