import multiprocessing
from dataclasses import replace

import pytest

from dmt.errors import UserError
from dmt.studies.transfer.rows import COLUMNS, Run
from dmt.studies.transfer.store import RunStore

RUN = Run(
    study="digits-16px-012345", treatment="transfer", n=3, layer="conv3", base="A", target="B", split="random",
    split_seed=0, images_per_class=130, classes=5, top1_last=90.5, top1_best10=91.25, train_loss=0.1, val_loss=0.2,
    epochs=15, seconds=1.5, status="ok", version_torch="2.9,1", version_dmt="0.1.0", key="k0",
)  # fmt: skip


def test_the_columns_are_those_that_are_promised():
    assert ",".join(COLUMNS) == (
        "study,treatment,n,layer,base,target,split,split_seed,images_per_class,classes,top1_last,top1_best10,"
        "train_loss,val_loss,epochs,seconds,status,version_torch,version_dmt,key"
    )


def test_runs_come_back_as_they_went_in_and_the_file_only_grows(tmp_path):
    store = RunStore(tmp_path / "new/rows.csv")
    assert store.runs() == {}
    runs = [replace(RUN, key=f"k{i}", n=i + 1) for i in range(3)]
    sizes = []
    for run in runs:
        before = store.path.read_bytes() if store.path.exists() else b""
        store.append(run)
        assert store.path.read_bytes().startswith(before)
        sizes.append(store.path.stat().st_size)
    assert sizes == sorted(set(sizes))
    assert store.runs() == {run.key: run for run in runs}


def test_a_row_after_a_line_without_an_end_begins_a_line_of_its_own(tmp_path):
    store = RunStore(tmp_path / "rows.csv")
    store.append(RUN)
    store.path.write_bytes(store.path.read_bytes().rstrip(b"\n"))
    store.append(replace(RUN, key="k1", n=4))
    assert list(store.runs()) == ["k0", "k1"]


def test_a_store_that_cannot_be_written_is_found_out_early(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        RunStore(tmp_path / "file/rows.csv").require_writable()
    store = RunStore(tmp_path / "new/rows.csv")
    store.require_writable()
    assert store.runs() == {}
    store.append(RUN)
    assert list(store.runs()) == ["k0"]


def test_of_two_rows_with_one_key_the_first_counts(tmp_path):
    store = RunStore(tmp_path / "rows.csv")
    store.append(RUN)
    store.append(replace(RUN, top1_last=0.0))
    assert store.runs() == {"k0": RUN}


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
        store.append(replace(RUN, key=f"k{i}"))
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


def test_a_file_of_something_else_is_an_error(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"line 1 is not the header .*name another file"):
        RunStore(tmp_path / "rows.csv").runs()


def _append(path, first):
    for i in range(20):
        RunStore(path).append(replace(RUN, key=f"k{first + i}"))


def test_processes_that_append_at_once_lose_nothing(tmp_path):
    path = tmp_path / "rows.csv"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append, args=(path, first)) for first in (0, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert set(RunStore(path).runs()) == {f"k{i}" for i in range(40)}
