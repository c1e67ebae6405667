"""Feature vectors on disk: what is read is what was written, also after a run was killed."""

from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dmt.errors import UserError
from dmt.storage.feature_store import FeatureStore

laws = settings(deadline=None, max_examples=20, derandomize=True)


def rows(n: int, size: int = 5, seed: int = 0) -> Tensor:
    """Numbers that float16 holds exactly, so that equality can be asked for."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-1000, 1000, (n, size), generator=generator).float() / 16


def append(store: FeatureStore, features: Tensor) -> None:
    first = store.n_done
    store.append(features, range(first, first + len(features)), len(features))


@laws
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6), batch_size=st.integers(1, 9))
def test_rows_are_read_as_they_were_written_whatever_the_batches(tmp_path_factory, sizes, batch_size):
    features = rows(sum(sizes))
    store = FeatureStore(tmp_path_factory.mktemp("store"), len(features), 5)
    for part in features.split(sizes):
        append(store, part)
    found = list(store.batches(batch_size))
    assert torch.equal(torch.cat([batch for batch, _ in found]), features)
    assert [position for _, positions in found for position in positions] == list(range(len(features)))
    assert all(len(batch) == len(positions) <= batch_size for batch, positions in found)


def test_numbers_keep_eleven_bits(tmp_path):
    features = torch.rand(20, 30, generator=torch.Generator().manual_seed(0)) * 10 + 0.01
    store = FeatureStore(tmp_path, 20, 30)
    append(store, features)
    found, _ = store.read(0, 20)
    assert found.dtype == torch.float32
    assert ((found - features).abs() / features).max() <= 2**-11


def test_a_store_says_how_much_of_it_is_there(tmp_path):
    store = FeatureStore(tmp_path / "to" / "be made", 5, 5)
    assert (store.n_done, store.complete) == (0, False)
    append(store, rows(3))
    assert (store.n_done, store.complete) == (3, False)
    append(store, rows(2))
    assert (store.n_done, store.complete) == (5, True)


def test_a_killed_run_goes_on_at_the_first_row_that_is_not_whole(tmp_path):
    features = rows(6)
    append(FeatureStore(tmp_path, 6, 5), features[:4])
    file = tmp_path / "features.f16"
    with file.open("r+b") as written:
        written.truncate(file.stat().st_size - 3)  # the fourth row ends in the middle of a number
    store = FeatureStore(tmp_path, 6, 5)
    assert store.n_done == 3
    append(store, features[3:])
    assert store.complete
    assert torch.equal(store.read(0, 6)[0], features)


def test_a_part_is_read_from_its_start_to_its_stop_or_the_end(tmp_path):
    features = rows(6)
    store = FeatureStore(tmp_path, 6, 5)
    append(store, features)
    middle, positions = store.read(2, 4)
    assert torch.equal(middle, features[2:4])
    assert positions == [2, 3]
    end, positions = store.read(4, 100)
    assert torch.equal(end, features[4:])
    assert positions == [4, 5]


def test_broken_rows_are_left_out_and_remembered(tmp_path):
    features = rows(3)
    store = FeatureStore(tmp_path, 7, 5)
    store.append(features[:2], [0, 3], 4)
    store.append(features[2:], [5], 3)
    assert store.complete
    for reader in (store, FeatureStore(tmp_path, 7, 5)):
        assert reader.broken == {1, 2, 4, 6}
        found, positions = reader.read(0, 7)
        assert torch.equal(found, features)
        assert positions == [0, 3, 5]
        found, positions = reader.read(1, 4)
        assert torch.equal(found, features[1:2])
        assert positions == [3]


def test_a_batch_without_a_single_picture_that_decodes_is_no_obstacle(tmp_path):
    store = FeatureStore(tmp_path, 2, 5)
    store.append(torch.zeros(0, 5), [], 2)
    found, positions = store.read(0, 2)
    assert store.complete
    assert found.shape == (0, 5)
    assert positions == []


@laws
@given(
    whole=st.integers(0, 9),
    writers=st.lists(st.tuples(st.integers(1, 4), st.lists(st.integers(0, 9), min_size=4, max_size=4)), max_size=3),
    broken=st.sets(st.integers(0, 8)),
    tail=st.integers(0, 9),
)
def test_writers_side_by_side_fill_a_store_whatever_killed_ones_left(tmp_path_factory, whole, writers, broken, tail):
    """Each run has some writers, and each of them gets some rows further before all are killed."""
    features, folder = rows(9), tmp_path_factory.mktemp("store")
    kept = [row for row in range(9) if row not in broken]

    def write(store: FeatureStore, first: int, stop: int) -> None:
        for row in range(first + store.n_done, stop):
            present = [] if row in broken else [row - first]
            store.append(features[[row]][: len(present)], present, 1)

    write(FeatureStore(folder, 9, 5), 0, whole)
    for n, progress in writers:
        store = FeatureStore(folder, 9, 5)
        for part, steps in zip(store.missing(n), progress, strict=False):
            target = store if n == 1 else store.part(part)
            first = 0 if n == 1 else part.start
            write(target, first, min(part.start + steps, part.stop) if n > 1 else min(store.n_done + steps, 9))
            with (target.folder / "features.f16").open("ab") as file:
                file.write(b"x" * tail)  # of a row that was not finished
    store = FeatureStore(folder, 9, 5)
    for part in store.missing(2):
        write(store.part(part), part.start, part.stop)
    store.join()
    assert store.complete
    for reader in (store, FeatureStore(folder, 9, 5)):
        found, positions = reader.read(0, 9)
        assert positions == kept
        assert torch.equal(found, features[kept])
    assert not list(folder.glob("part-*"))


def test_two_runs_that_write_the_same_rows_are_an_error(tmp_path):
    one, other = FeatureStore(tmp_path, 6, 5), FeatureStore(tmp_path, 6, 5)
    features = rows(6)
    append(one, features[:2])
    with pytest.raises(UserError, match=r"another run writes .*train\.py once before a sweep"):
        other.append(features[:3], [0, 1, 2], 3)
    append(one, features[2:])
    assert torch.equal(one.read(0, 6)[0], features)


def test_as_many_writers_go_on_where_killed_ones_stopped(tmp_path):
    store = FeatureStore(tmp_path, 6, 5)
    first, second = store.missing(2)
    append(store.part(second), rows(2))
    assert store.missing(2) == [first, second] == [range(3), range(3, 6)]
    assert store.part(second).n_done == 2


def test_numbers_beyond_float16_do_not_become_infinite(tmp_path):
    store = FeatureStore(tmp_path, 1, 2)
    with suppress(UserError):  # to refuse them is as good
        append(store, torch.tensor([[1.0, 70_000.0]]))
        assert store.read(0, 1)[0].isfinite().all()


def test_a_run_killed_while_it_notes_a_broken_row_leaves_a_store_that_opens(tmp_path, monkeypatch):
    store = FeatureStore(tmp_path, 2, 5)
    store.append(torch.zeros(0, 5), [], 1)
    write = Path.write_text

    def half_written(path: Path, text: str, **options: str) -> None:
        write(path, text[: len(text) // 2], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half_written)
    with suppress(KeyboardInterrupt):
        store.append(torch.zeros(0, 5), [], 1)
    monkeypatch.undo()
    assert 0 in FeatureStore(tmp_path, 2, 5).broken
