import math
import multiprocessing

import pytest

from dmt.errors import UserError
from dmt.studies.transfer.rows import COLUMNS, RunStore, checked, read_runs

ROW = {
    "study": "digits-16px-012345", "treatment": "transfer", "n": 3, "layer": "conv3", "base": "A", "target": "B",
    "split": "random", "split_seed": 0, "images_per_class": 130, "classes": 5, "top1_last": 90.5, "top1_best10": 91.25,
    "train_loss": 0.1, "val_loss": 0.2, "epochs": 15, "seconds": 1.5, "status": "ok", "version_torch": "2.9,1",
    "version_dmt": "0.1.0", "key": "k0",
}  # fmt: skip
BASE = ROW | {"treatment": "base", "n": 0, "layer": "", "base": "B", "images_per_class": "", "key": "k1"}
RANDOM = ROW | {"treatment": "random", "base": "", "key": "k2"}


def test_the_columns_are_those_that_are_promised():
    assert ",".join(COLUMNS) == (
        "study,treatment,n,layer,base,target,split,split_seed,images_per_class,classes,top1_last,top1_best10,"
        "train_loss,val_loss,epochs,seconds,status,version_torch,version_dmt,key"
    )


# What a report reads


def test_a_store_gives_back_what_was_written(store):
    found = read_runs(store([ROW, BASE, RANDOM]))
    assert found.drop(columns="top1").to_dict("records") == [ROW, BASE | {"images_per_class": 0}, RANDOM]
    assert list(found["top1"]) == [90.5] * 3


def test_values_are_read_whether_they_are_texts_or_not():
    assert checked(ROW, "row 1") == checked({name: str(value) for name, value in ROW.items()}, "row 1") == ROW
    assert checked(RANDOM | {"base": "A"}, "row 1")["base"] == "", "random filters have no base"
    unknown = checked(BASE | {"val_loss": "", "seconds": "nan"}, "row 1")
    assert math.isnan(unknown["val_loss"])
    assert math.isnan(unknown["seconds"])


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        ("treatment", "transfr", "one of base, .*did you mean 'transfer'.*got 'transfr'"),
        ("n", "2.5", "whole number, 0 or more, got '2.5'"),
        ("n", "0", "1 or more for transfer"),
        ("n", "nan", "whole number"),
        ("base", "B", "another task than the target"),
        ("base", "", "one of A, B"),
        ("target", "C", "one of A, B"),
        ("top1_last", "151", "a percentage from 0 to 100, got '151'"),
        ("top1_best10", "", "a percentage"),
        ("classes", "1", "2 or more"),
        ("images_per_class", "many", "whole number"),
        ("val_loss", "1.2.3", "a number, nan or empty"),
        ("status", "fine", "one of ok, unconverged, saturated"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_by_its_line(store, column, text, words):
    path = store([BASE, ROW | {column: text}])
    before = path.read_bytes()
    with pytest.raises(UserError, match=rf"runs.csv, line 3: {column} must be .*{words}.*; remove or mend this line"):
        read_runs(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (b"base,0,,A,A,ran", "line 3 has another number of values.*trained again"),
        (b"base,\xff\xfe", "line 3 is not UTF-8 text"),
    ],
)
def test_a_torn_line_is_named(store, tail, words):
    path = store([BASE])
    path.write_bytes(path.read_bytes() + tail)
    with pytest.raises(UserError, match=words):
        read_runs(path)


def test_two_rows_of_one_cell_are_refused_by_their_lines(store):
    words = (
        r"line 3 and .*line 2 are both of digits-16px-012345: transfer n=3 A->B random 0 with 130 images a class; keep"
    )
    with pytest.raises(UserError, match=words):
        read_runs(store([ROW, ROW | {"top1_last": "61"}]))


def test_a_store_that_is_missing_empty_or_of_another_kind(store, tmp_path):
    with pytest.raises(UserError, match=r"there is no store .*nothing\.csv; train some cells first"):
        read_runs(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match="has no rows yet"):
        read_runs(store([]))
    path = store([{"file": "x"}], header=["file"])
    for read in (read_runs, lambda path: RunStore(path).runs()):
        with pytest.raises(UserError, match="line 1 is not the header of a study's rows; name another file"):
            read(path)


# What a study adds to


def test_rows_come_back_as_they_went_in_and_the_file_only_grows(tmp_path):
    store = RunStore(tmp_path / "new/rows.csv")
    assert store.runs() == {}
    rows = [ROW | {"key": f"k{i}", "n": i + 1} for i in range(3)]
    sizes = []
    for row in rows:
        before = store.path.read_bytes() if store.path.exists() else b""
        store.append(row)
        assert store.path.read_bytes().startswith(before)
        sizes.append(store.path.stat().st_size)
    assert sizes == sorted(set(sizes))
    assert store.runs() == {row["key"]: row for row in rows}


def test_a_row_after_a_line_without_an_end_begins_a_line_of_its_own(tmp_path):
    store = RunStore(tmp_path / "rows.csv")
    store.append(ROW)
    store.path.write_bytes(store.path.read_bytes().rstrip(b"\n"))
    store.append(ROW | {"key": "k1", "n": 4})
    assert list(store.runs()) == ["k0", "k1"]


def test_a_store_that_cannot_be_written_is_found_out_early(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        RunStore(tmp_path / "file/rows.csv").require_writable()
    store = RunStore(tmp_path / "new/rows.csv")
    store.require_writable()
    assert store.runs() == {}
    store.append(ROW)
    assert list(store.runs()) == ["k0"]


def test_of_two_rows_with_one_key_the_first_counts(tmp_path):
    store = RunStore(tmp_path / "rows.csv")
    store.append(ROW)
    store.append(ROW | {"top1_last": 0.0})
    assert store.runs() == {"k0": ROW}


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[:40],  # torn
        lambda line: line.replace("91.25", "nan"),
        lambda line: line.replace("91.25", "high"),
        lambda line: line.replace("ok", "fine"),
        lambda line: line + ",more",
        lambda line: line.replace(",k1", ","),
    ],
)
def test_a_damaged_row_is_an_error_that_names_the_line_and_nothing_is_lost(damage, tmp_path):
    store = RunStore(tmp_path / "rows.csv")
    for i in range(3):
        store.append(ROW | {"key": f"k{i}"})
    lines = store.path.read_text().splitlines()
    lines[2] = damage(lines[2])
    text = "\n".join(lines) + "\n"
    store.path.write_text(text)
    with pytest.raises(UserError, match=r"rows.csv, line 3.*; remove or mend this line") as error:
        store.runs()
    assert "\n" not in str(error.value)
    assert store.path.read_text() == text
    store.path.write_text("\n".join(lines[:2] + lines[3:]) + "\n")  # the remedy
    assert set(store.runs()) == {"k0", "k2"}


def _append(path, first):
    for i in range(20):
        RunStore(path).append(ROW | {"key": f"k{first + i}"})


def test_processes_that_append_at_once_lose_nothing(tmp_path):
    path = tmp_path / "rows.csv"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append, args=(path, first)) for first in (0, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert set(RunStore(path).runs()) == {f"k{i}" for i in range(40)}
