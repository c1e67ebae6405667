"""A file that is written: whole or not at all, whatever happens on the way."""

import errno
import logging
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import torch
from safetensors.torch import load_file

from dmt.errors import UserError
from dmt.storage import tensors
from dmt.storage.files import HOST, found_or_made, read_json, replacing, write_json, write_text
from dmt.storage.tensors import read_tensors, write_tensors

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_file_is_there_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "table.csv"
    with replacing(path) as partial:
        partial.write_text("a,b")
        assert not path.exists()
        assert partial.parent == path.parent  # or it could not be renamed to the file
    assert path.read_text() == "a,b"
    assert files_in(tmp_path) == ["table.csv"]


def test_folders_are_made(tmp_path):
    write_text(tmp_path / "new/folder/note.txt", "here")
    with replacing(tmp_path / "another/one/file.bin") as partial:
        partial.write_bytes(b"\x00\x01")
    assert (tmp_path / "new/folder/note.txt").read_text() == "here"
    assert (tmp_path / "another/one/file.bin").read_bytes() == b"\x00\x01"


def test_a_file_that_was_there_is_replaced(tmp_path):
    path = tmp_path / "note.txt"
    write_text(path, "a long first text")
    write_text(path, "short")
    assert path.read_text() == "short"
    assert files_in(tmp_path) == ["note.txt"]


def interrupted(path: Path, error: BaseException) -> None:
    with replacing(path) as partial:
        partial.write_text("half of the n")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), ValueError("no"), FULL])
@pytest.mark.parametrize("old", [None, "old"])
def test_whoever_is_interrupted_leaves_the_old_file_and_no_litter(tmp_path, error, old):
    path = tmp_path / "note.txt"
    if old is not None:
        path.write_text(old)
    with pytest.raises(type(error)) as caught:
        interrupted(path, error)
    assert caught.value is error
    assert files_in(tmp_path) == ([] if old is None else ["note.txt"])
    assert old is None or path.read_text() == old


def test_an_interruption_before_anything_was_written_leaves_no_litter_either(tmp_path):
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "note.txt"):
        raise KeyboardInterrupt
    assert files_in(tmp_path) == []


@pytest.fixture
def full_disk(monkeypatch):
    """Every write of text or bytes stops half-way."""
    real = {name: getattr(Path, name) for name in ("write_text", "write_bytes")}

    def stopping(name):
        def write(path: Path, content, **options):
            real[name](path, content[: len(content) // 2], **options)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

        return write

    for name in real:
        monkeypatch.setattr(Path, name, stopping(name))


@pytest.mark.parametrize("old", [None, "old"])
def test_a_full_disk_leaves_the_old_text_and_no_litter(tmp_path, full_disk, old):
    path = tmp_path / "folder/note.txt"
    path.parent.mkdir()
    if old is not None:
        with path.open("w") as file:
            file.write(old)
    with pytest.raises(OSError, match="No space left on device"):
        write_text(path, "something longer than what there is space for")
    assert files_in(tmp_path) == ([] if old is None else ["note.txt"])
    assert old is None or path.read_text() == old


@pytest.mark.parametrize("text", ["", "a", "Zürich 東京 🙂", "line\nline\n", "x" * 100_000])
def test_text_is_read_back_as_it_was_in_utf_8(tmp_path, text):
    write_text(tmp_path / "note.txt", text)
    assert (tmp_path / "note.txt").read_bytes() == text.encode()


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write_text(tmp_path / "file/below.txt", "nowhere")


def test_a_folder_of_that_name_is_an_os_error_and_leaves_no_litter(tmp_path):
    (tmp_path / "note.txt/inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"note\.txt"):
        write_text(tmp_path / "note.txt", "nowhere")
    assert files_in(tmp_path) == []


def test_several_files_of_one_folder_are_written_at_once(tmp_path):
    def write(number: int) -> None:
        write_text(tmp_path / f"{number}.txt", str(number) * 1000)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(20)))
    assert files_in(tmp_path) == sorted(f"{number}.txt" for number in range(20))
    assert all((tmp_path / f"{number}.txt").read_text() == str(number) * 1000 for number in range(20))


# Tensors


def test_tensors_are_read_back_whatever_way_they_lay(tmp_path):
    wide = torch.arange(6.0).reshape(2, 3)
    write_tensors(tmp_path / "new/t.safetensors", {"wide": wide, "tall": wide.T, "none": torch.zeros(0, 3)})
    found = read_tensors(tmp_path / "new/t.safetensors")
    assert found["wide"].equal(wide)
    assert found["tall"].equal(wide.T)
    assert found["none"].shape == (0, 3)
    assert files_in(tmp_path) == ["t.safetensors"]


def test_a_full_disk_leaves_the_old_tensors_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"a": torch.ones(3)})

    def half_written(content, file, metadata):
        Path(file).write_bytes(b"half")
        raise FULL

    monkeypatch.setattr(tensors, "save_file", half_written)
    with pytest.raises(OSError, match="No space left on device"):
        write_tensors(path, {"a": torch.zeros(3)})
    assert files_in(tmp_path) == ["t.safetensors"]
    assert load_file(path)["a"].tolist() == [1, 1, 1]


def test_what_the_library_cannot_write_is_an_os_error(tmp_path):
    (tmp_path / "t.safetensors").mkdir()
    with pytest.raises(OSError, match=r"t\.safetensors"):
        write_tensors(tmp_path / "t.safetensors", {"a": torch.ones(3)})
    assert files_in(tmp_path) == []


def test_damaged_tensors_are_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"a": torch.ones(300)})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=f"{path} is damaged"):
        read_tensors(path)


def test_every_flipped_bit_of_tensors_and_of_json_is_noticed(tmp_path):
    files = [tmp_path / "t.safetensors", tmp_path / "v.json"]
    value = {"a": [1, 2.5, None], "b": "ü"}
    write_tensors(files[0], {"a": torch.arange(3.0), "b": torch.tensor(True)}, {"of": "test"})
    write_json(files[1], value)
    for file, read in zip(files, (read_tensors, read_json), strict=True):
        whole = file.read_bytes()
        for place in range(8 * len(whole)):
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << place % 8
            file.write_bytes(damaged)
            try:
                found = read(file)
            except UserError:
                continue
            assert found == value  # a space that became a tab, say


def test_what_killed_runs_left_is_removed_and_what_others_write_is_not(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = {
        f".a.{HOST}.{gone.pid}.0.partial": False,
        f".a.gif.{HOST}.{gone.pid}.3.partial.gif": False,
        f".a.{HOST}.{os.getpid()}.0.partial": True,
        f".a.elsewhere.{gone.pid}.0.partial": True,
        ".old.elsewhere.1.0.partial": False,
        "film.partial": True,
    }
    for name in names:
        (tmp_path / name).touch()
    os.utime(tmp_path / ".old.elsewhere.1.0.partial", (0, 0))
    os.utime(tmp_path / "film.partial", (0, 0))
    write_text(tmp_path / "note.txt", "here")
    assert files_in(tmp_path) == sorted(["note.txt", *(name for name, stays in names.items() if stays)])


def test_names_of_the_greatest_length_can_be_written(tmp_path):
    path = tmp_path / ("ü" * 125 + ".json")
    write_text(path, "here")
    assert path.read_text() == "here"


def test_one_makes_and_the_others_wait_and_say_so(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    file, made = tmp_path / "value.json", []
    entered, go_on = Event(), Event()

    def make():
        made.append(1)
        entered.set()
        assert go_on.wait(60)
        write_json(file, 3)
        return 3

    def find():
        return found_or_made(file, lambda: read_json(file), make, "the value")

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(find)
        assert entered.wait(60)
        second = threads.submit(find)
        while "the value: another run is at it; waiting" not in caplog.text:
            time.sleep(0.01)
        go_on.set()
        assert (first.result(), second.result(), len(made)) == (3, 3, 1)
