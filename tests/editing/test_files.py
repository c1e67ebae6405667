"""Edited images -> photographs in their own formats, what is shown of them, and names that are nobody else's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dmt.data import Frame, Patch, Photograph
from dmt.data.framing import Similarity
from dmt.editing.files import Saved, file_names, save_images, save_picture
from tests.reporting.pictures import edited

GREY = 100
STEP = 0.2  # of each change
LIGHTER = GREY + 51  # 0.2 of 255


def square(left: float, top: float, side: float = 20.0) -> Frame:
    return Frame(Similarity(side * np.eye(2), np.array([left, top])))


@pytest.fixture
def photograph(tmp_path):
    """Saves a grey photograph of 60 x 40 pixels, with a name for the editor."""

    def save(name: str) -> Path:
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40), (GREY,) * 3).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))
        return path

    return save


def of_photograph(path: Path, left=0, *, face=0, step=STEP, **record):
    """An edit that makes 20 x 20 pixels of a photograph, on its upper border, lighter."""
    name = f"{path}, face {face}" if face else str(path)
    patch = Patch(str(path), lambda: Photograph.read(path), square(left, 0), torch.full((3, 5, 5), step))
    return replace(edited(name, side=4, **record), patch=patch)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_an_image_that_is_of_no_photograph_is_a_file_beside_its_input(folder):
    (saved,) = save_images(folder, [edited("x/a.jpg", before=0.2, after=0.6)])
    assert saved == Saved("a.png", "inputs/a.png", "a.png")
    assert files_below(folder) == {"a.png", "inputs/a.png"}
    assert (pixels(folder / "a.png") == 153).all()
    assert (pixels(folder / "inputs/a.png") == 51).all()


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("b.jpg", "JPEG"), ("c.tif", "TIFF"), ("d.webp", "WEBP")])
def test_a_photograph_comes_back_in_its_own_format_and_size(folder, photograph, name, kind):
    path = photograph(name)
    (saved,) = save_images(folder, [of_photograph(path, left=20)])
    stem = path.stem
    assert saved == Saved(name, f"crops/{stem}_before.png", f"crops/{stem}_after.png")
    assert files_below(folder) == {saved.file, saved.before, saved.after}
    with Image.open(folder / name) as image:
        assert (image.format, image.size) == (kind, (60, 40))
    found, own = pixels(folder / name), pixels(path)
    assert np.abs(found[5:10, 27:33] - LIGHTER).max() <= 3  # JPEG and WebP are lossy
    assert np.abs(found[25:] - own[25:]).max() <= 3
    assert (pixels(folder / saved.before) == 64).all()  # the part that is shown: 0.25 -> 0.5
    assert (pixels(folder / saved.after) == 128).all()


def test_of_a_photograph_without_loss_all_that_is_not_edited_stays_bit_for_bit(folder, tmp_path):
    own = np.random.default_rng(0).integers(0, 200, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(own).save(tmp_path / "noise.png")
    save_images(folder, [of_photograph(tmp_path / "noise.png", left=20)])
    found = pixels(folder / "noise.png")
    outside = np.ones((40, 60), dtype=bool)
    outside[:20, 20:40] = False
    np.testing.assert_array_equal(found[outside], own[outside])
    np.testing.assert_array_equal(found[5:10, 27:33], own[5:10, 27:33].astype(int) + 51)


@pytest.mark.parametrize("mark", [True, False])
def test_a_photograph_says_that_it_was_altered_unless_it_shall_not(folder, photograph, mark):
    save_images(folder, [of_photograph(photograph("a.png"))], mark=mark)
    assert (b"compositeWithTrainedAlgorithmicMedia" in (folder / "a.png").read_bytes()) == mark


def test_two_faces_of_one_photograph_come_back_in_one_file(folder, photograph):
    path = photograph("group.png")
    other = photograph("other.png")
    images = [of_photograph(path, 0, face=1), of_photograph(other), of_photograph(path, 40, face=2)]
    saved = save_images(folder, images)
    assert [files.file for files in saved] == ["group.png", "other.png", "group.png"]
    assert saved[2] == Saved("group.png", "crops/group_face_2_before.png", "crops/group_face_2_after.png")
    assert files_below(folder) == {"group.png", "other.png"} | {
        f"crops/{name}_{when}.png" for name in ("group_face_1", "other", "group_face_2") for when in ("before", "after")
    }
    found = pixels(folder / "group.png")
    assert (found[7:12, 7:12] == LIGHTER).all()
    assert (found[7:12, 47:52] == LIGHTER).all()
    assert (found[:, 20:40] == GREY).all()
    assert (found[20:] == GREY).all()


def test_several_edits_of_a_photograph_are_files_of_their_own(folder, photograph):
    path = photograph("a.png")
    images = [of_photograph(path, edit="older"), of_photograph(path, step=0.4, edit="lambda' 0.5")]
    saved = save_images(folder, images)
    assert [files.file for files in saved] == ["a_older.png", "a_lambda_0.5.png"]
    assert [files.before for files in saved] == ["crops/a_before.png"] * 2
    assert [files.after for files in saved] == ["crops/a_older_after.png", "crops/a_lambda_0.5_after.png"]
    assert pixels(folder / "a_older.png")[10, 10, 0] == LIGHTER
    assert pixels(folder / "a_lambda_0.5.png")[10, 10, 0] == GREY + 102


def test_several_edits_of_two_faces_are_a_file_for_each_edit(folder, photograph):
    path = photograph("group.png")
    images = [
        of_photograph(path, 40 * (face - 1), face=face, step=step, edit=edit)
        for edit, step in (("older", 0.2), ("younger", 0.4))
        for face in (1, 2)
    ]
    files = [saved.file for saved in save_images(folder, images)]
    assert files[0] == files[1] != files[2] == files[3]
    for file, value in ((files[0], LIGHTER), (files[2], GREY + 102)):
        found = pixels(folder / file)
        assert {found[10, 10, 0], found[10, 50, 0]} == {value}


def test_photographs_of_one_name_do_not_overwrite_each_other(folder, photograph):
    paths = [photograph("x/a.png"), photograph("y/a.png"), photograph("z/a.jpg")]
    single = save_images(folder, [of_photograph(path) for path in paths])
    assert [files.file for files in single] == ["a.png", "a-2.png", "a-3.jpg"]
    several = save_images(folder, [of_photograph(path, 40 * face, face=1 + face) for path in paths for face in (0, 1)])
    assert len({files.file for files in several}) == 3
    assert len({files.after for files in several}) == 6
    assert len({files.before for files in several}) == 6


def test_a_photograph_that_was_asked_for_twice_is_changed_once(folder, photograph):
    path = photograph("a.png")
    save_images(folder, [of_photograph(path), of_photograph(path)])
    assert pixels(folder / "a.png")[10, 10, 0] == LIGHTER


def test_a_name_that_is_taken_is_left_alone(folder, photograph):
    path = photograph("grid.png")
    assert save_images(folder, [of_photograph(path)], ["grid", "plot"])[0].file == "grid-2.png"
    two = save_images(folder, [of_photograph(path, 40 * face, face=1 + face) for face in (0, 1)], ["grid", "plot"])
    assert {files.file for files in two} == {"grid-2.png"}
    assert save_images(folder, [edited("plot", side=4)], ["grid", "plot"])[0].file == "plot-2.png"


def test_a_picture_is_written_whole_or_not_at_all(folder, monkeypatch):
    def full(self, file, **options):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save_picture(folder / "a.png", torch.zeros(3, 4, 4))
    assert files_below(folder) == set()


@given(st.lists(st.text("ab-2./", max_size=5) | st.sampled_from(["a", "a-2", "b.png", "a, face 1"]), max_size=8))
def test_every_image_has_a_file_name_of_its_own(names):
    found = file_names([edited(name, side=1) for name in names])
    assert len(set(found)) == len(names)
    assert all("/" not in name for name in found)


def test_no_image_takes_the_file_of_the_grid():
    assert not {"grid", "plot"} & set(
        file_names([edited("grid"), edited("x/grid.png"), edited("plot")], ["grid", "plot"])
    )


def test_the_file_name_is_the_images_own_where_it_can_be():
    images = [edited(name) for name in ("Ada_One_0001", "/some/folder/friend.jpg", "cat/v1.2.png", "x/a.jpg, face 2")]
    assert file_names(images) == ["Ada_One_0001", "friend", "v1.2", "a_face_2"]
    assert file_names([edited("x/a.jpg", edit="lambda' 0.5")]) == ["a_lambda_0.5"]


def test_inputs_of_one_name_are_kept_apart(folder):
    names = ["a/x.png", "b/x.jpg", "x", "", "y"]
    saved = save_images(folder, [edited(name, side=1) for name in names])
    assert [files.before for files in saved] == [
        "inputs/x.png",
        "inputs/x-2.png",
        "inputs/x-3.png",
        "inputs/image.png",
        "inputs/y.png",
    ]
