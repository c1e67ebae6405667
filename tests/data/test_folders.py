"""Which files below a folder are pictures: folders of known content."""

import logging
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from dmt.data import ClassFolders, ClassTask, Digits, EditData, Folder, Given, Unlabelled, pictures_below
from dmt.data.catalogs import FEW
from dmt.data.folders import FolderContents
from dmt.data.images import ImageError, read_image, readable_suffixes
from dmt.data.photographs import Photograph
from dmt.errors import UserError

ODD = {"dangling.png": "a link to nothing", "round.png": "a link to nothing", "empty.jpg": "empty"}
ODD |= {"pipe.jpg": "no regular file"}


@pytest.fixture
def photos(tmp_path, save_picture):
    """Two classes, and beside them all that is no picture of a class."""
    root = tmp_path / "photos"
    kept = ["cats/a.JPG", "cats/deep/er/b.png", "dogs/c.jp2", "dogs/d.tga", "dogs/e.Ppm"]
    hidden = [".hidden/a.png", "cats/.b.png", "cats/.ipynb_checkpoints/c.png", "__MACOSX/cats/d.png"]
    for seed, file in enumerate([*kept, *hidden]):
        save_picture(root / file, seed)
    for file in ("desktop.ini", "cats/Thumbs.db", "dogs/THUMBS.DB", "dogs/.DS_Store"):
        (root / file).write_text("of a system")
    return root


def files_of(catalog) -> list[str]:
    return list(catalog.names)


def warned(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def add_odd_files(folder: Path) -> None:
    os.symlink("nowhere.png", folder / "dangling.png")
    os.symlink("round.png", folder / "round.png")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "empty.jpg").touch()


KEPT = ["cats/a.JPG", "cats/deep/er/b.png", "dogs/c.jp2", "dogs/d.tga", "dogs/e.Ppm"]


def test_hidden_files_and_those_of_systems_are_no_classes_and_no_pictures(photos, caplog):
    caplog.set_level(logging.INFO)
    catalog = Folder(photos)
    assert files_of(catalog) == KEPT
    assert list(catalog.labels) == ["cats", "dogs"]
    assert not caplog.messages


def test_a_folder_may_lie_in_a_hidden_one(photos):
    photos.rename(photos.parent / ".photos")
    assert files_of(Folder(photos.parent / ".photos")) == KEPT


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".avif", ".webp", ".psd", ".ico", ".qoi", ".MPO"])
def test_what_pillow_decodes_is_a_picture(suffix):
    assert suffix.lower() in readable_suffixes()


@pytest.mark.parametrize("suffix", [".txt", ".pdf", ".mpg", ".mp4", ".h5", ".svg", ""])
def test_what_pillow_does_not_decode_is_none(suffix):
    assert suffix not in readable_suffixes()


def test_every_picture_that_pillow_writes_by_its_suffix_is_read_back(tmp_path):
    picture = Image.new("RGB", (16, 16), (255, 0, 0))
    for suffix in ("bmp", "dib", "gif", "jp2", "pcx", "png", "ppm", "sgi", "tga", "tif"):
        picture.save(tmp_path / f"a.{suffix}")
    found = pictures_below(tmp_path)
    assert len(found) == 10
    for path in found:
        assert read_image(path, 4)[:, 1, 1].tolist() == [1, 0, 0]


def test_heic_counts_where_its_decoder_is_there(tmp_path, save_picture):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    path = save_picture(tmp_path / "cats/a.HEIC")
    catalog = Folder(tmp_path)
    assert files_of(catalog) == ["cats/a.HEIC"]
    assert catalog.read(0, 16).equal(read_image(path, 16))
    assert catalog.read(0, 16).std() > 0.1


def test_heic_is_left_out_with_the_remedy_where_its_decoder_is_missing(tmp_path, save_picture, monkeypatch, caplog):
    save_picture(tmp_path / "cats/a.png")
    (tmp_path / "cats/b.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    monkeypatch.setattr("dmt.data.folders.is_picture_name", lambda name: name.endswith(".png"))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    caplog.set_level(logging.INFO)
    assert files_of(Folder(tmp_path)) == ["cats/a.png"]
    assert "cats/b.heic; HEIC needs pillow-heif: pip install 'dmt[heic]'" in caplog.text
    with pytest.raises(ImageError, match=r"b\.heic: reading HEIC needs pillow-heif"):
        read_image(tmp_path / "cats/b.heic", 16)


def test_what_is_left_out_is_counted_and_named_in_one_line(photos, caplog):
    for i in range(7):
        (photos / f"cats/{i}.txt").write_text("words")
    caplog.set_level(logging.INFO)
    Folder(photos)
    line = f"left out 7 files below {photos} that are no pictures: cats/0.txt, cats/1.txt, cats/2.txt, cats/3.txt, "
    assert caplog.messages[0] == line + "cats/4.txt and 2 more"


def test_a_small_class_beside_other_files_is_a_warning(tmp_path, save_picture, caplog):
    for seed in range(2):
        save_picture(tmp_path / f"cats/{seed}.png", seed)
    for seed in range(FEW):
        save_picture(tmp_path / f"dogs/{seed}.png", seed)
        (tmp_path / f"dogs/{seed}.txt").write_text("what it shows")
    Folder(tmp_path)
    assert warned(caplog) == []
    for i in range(12):
        (tmp_path / f"cats/{i}.mp4").write_text("moving")
    for i in range(10):
        (tmp_path / f"cats/error{i}.jpg").write_text("<html>not found</html>")
    Folder(tmp_path)
    assert warned(caplog) == ["cats has only 2 pictures (22 files there are no pictures)"]


def test_a_subfolder_without_pictures_and_pictures_in_none_are_said(photos, save_picture, caplog):
    (photos / "empty").mkdir()
    (photos / "videos").mkdir()
    (photos / "videos/a.mp4").write_text("moving")
    save_picture(photos / "loose.png")
    assert list(Folder(photos).labels) == ["cats", "dogs"]
    assert warned(caplog) == [
        f"1 picture directly in {photos}, in no subfolder, and so of no class: loose.png",
        f"no class, for there are no pictures below {photos}: empty (empty), videos (1 file of other kinds)",
    ]


@pytest.mark.parametrize("make", [Folder, Unlabelled])
def test_special_files_are_left_out_each_with_its_reason(photos, make, caplog):
    add_odd_files(photos / "cats")
    caplog.set_level(logging.INFO)
    assert files_of(make(photos)) == KEPT
    named = ", ".join(f"cats/{name} ({reason})" for name, reason in sorted(ODD.items()))
    assert f"left out 4 files below {photos} that are no pictures: {named}" in caplog.messages


def test_names_that_are_not_utf8_are_left_out(photos, caplog):
    try:
        (photos / os.fsdecode(b"cats/caf\xe9.png")).write_bytes((photos / "cats/deep/er/b.png").read_bytes())
        (photos / os.fsdecode(b"h\xe4user")).mkdir()
    except OSError:
        pytest.skip("this file system takes no such names")
    caplog.set_level(logging.INFO)
    catalog = Folder(photos)
    assert files_of(catalog) == KEPT
    assert len(catalog.fingerprint) == 16
    reason = "(a name that is not UTF-8)"
    named = rf"cats/caf\xe9.png {reason}, h\xe4user {reason}"
    assert caplog.messages == [
        f"left out 2 files below {photos} that are no pictures: {named}",
        "cats has only 2 pictures (1 file there is no picture)",
    ]


def test_a_name_of_several_lines_stays_in_one(photos):
    (photos / "cats/a\nb.txt").write_text("words")
    assert FolderContents.of(photos).left_out.endswith(r"cats/a\nb.txt (a name with control characters)")


def test_links_are_followed_and_a_link_back_ends(tmp_path, photos, save_picture):
    save_picture(tmp_path / "elsewhere/x/f.png", 9)
    os.symlink(tmp_path / "elsewhere", photos / "cats/more")
    os.symlink(tmp_path / "elsewhere/x", photos / "birds")
    os.symlink(photos / "dogs/d.tga", photos / "birds2.tga")
    os.symlink(photos, photos / "dogs/back")
    contents = FolderContents.of(photos)
    assert list(contents.pictures) == sorted([*KEPT, "birds/f.png", "birds2.tga", "cats/more/x/f.png"])
    assert list(contents.others) == ["dogs/back (a link to a folder above it)"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to this user")
def test_a_folder_that_may_not_be_read_is_left_out(photos):
    (photos / "closed").mkdir(mode=0)
    try:
        assert list(FolderContents.of(photos).others) == ["closed (a folder that cannot be read)"]
    finally:
        (photos / "closed").chmod(0o700)


def test_no_special_file_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for read in (lambda path: read_image(path, 8), Photograph.read, Digits().photograph):
        with pytest.raises(ImageError, match=r"pipe\.jpg is no regular file"):
            read(tmp_path / "pipe.jpg")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"there are no images in .*pets \(looked for a subfolder per class\), which is empty$"),
        ([".a.png"], "which has hidden files only$"),
        (["a.png", "b.png"], r"2 pictures directly in it: sort them .* data\.catalog\.labels=FILE$"),
        (["cats/a.txt"], "left out 1 file below .*pets that is no picture: cats/a.txt$"),
    ],
)
def test_a_folder_without_classes_is_an_error_that_says_what_there_is(tmp_path, save_picture, files, message):
    (tmp_path / "pets").mkdir()
    for file in files:
        if file.endswith("png"):
            save_picture(tmp_path / "pets" / file)
        else:
            (tmp_path / "pets" / file).parent.mkdir()
            (tmp_path / "pets" / file).write_text("words")
    with pytest.raises(UserError, match=message):
        Folder(tmp_path / "pets")


def test_class_folders_have_the_same_rules(photos, tmp_path, caplog):
    photos.rename(tmp_path / "train")
    (tmp_path / "val").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "val" / "x.png")
    (tmp_path / "val/cats").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "val/cats/v.BMP")
    add_odd_files(tmp_path / "val/cats")
    catalog = ClassFolders(tmp_path)
    assert files_of(catalog) == [*(f"train/{file}" for file in KEPT), "val/cats/v.BMP"]
    assert list(catalog.labels) == ["cats", "dogs"]
    assert "cats has only 1 picture (4 files there are no pictures)" in warned(caplog)


# Pictures without labels


def test_unlabelled_pictures_are_all_below_a_folder(photos, save_picture):
    save_picture(photos / "loose.png", 11)
    catalog = Unlabelled(photos)
    assert files_of(catalog) == [*KEPT, "loose.png"]
    assert list(catalog.groups) == files_of(catalog)
    assert list(catalog.labels) == []
    assert catalog.read(5, 16).equal(read_image(photos / "loose.png", 16))
    assert catalog.index(str(photos / "dogs/d.tga")) == 3
    assert pictures_below(photos) == [photos / file for file in files_of(catalog)]
    assert len(EditData(catalog, image_size=16).catalog.names) == 6


def test_unlabelled_pictures_have_no_labels(photos):
    with pytest.raises(UserError, match=r"photos has no labels at all; choose data that have"):
        Unlabelled(photos).scores("cats")
    with pytest.raises(UserError, match="no labels at all"):
        EditData(Unlabelled(photos), ClassTask("cats", "dogs"), image_size=16)


def test_no_pictures_at_all_are_an_error(tmp_path):
    with pytest.raises(UserError, match=r"there are no images in .*, which is empty"):
        Unlabelled(tmp_path)
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        Unlabelled(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        pictures_below(tmp_path / "nowhere")
    assert pictures_below(tmp_path) == []


# A folder among the images


@pytest.mark.parametrize("images", [str, lambda path: [str(path)], lambda path: [path], lambda path: f"{path}/"])
def test_a_folder_among_the_images_stands_for_the_pictures_in_it(photos, images, caplog):
    (photos / "notes.txt").write_text("words")
    caplog.set_level(logging.INFO)
    given = Given.of(Digits(), images(photos))
    assert given.asked == [str(path) for path in pictures_below(photos)]
    assert caplog.messages[0] == f"images: 5 pictures in {photos}"
    assert "notes.txt" in caplog.messages[1]


def test_a_folder_stands_beside_other_images(photos, save_picture):
    path = save_picture(photos.parent / "z.png")
    assert Given.of(Digits(), ["digit_0001", photos / "dogs", path]).asked == [
        "digit_0001",
        *(str(photos / f"dogs/{name}") for name in ("c.jp2", "d.tga", "e.Ppm")),
        str(path),
    ]


def test_a_picture_of_the_catalog_comes_before_a_folder_of_its_name(tmp_path, photos, monkeypatch):
    photos.rename(tmp_path / "digit_0001")
    monkeypatch.chdir(tmp_path)
    assert Given.of(Digits(), ["digit_0001"]).asked == ["digit_0001"]
    assert len(Given.of(Digits(), ["./digit_0001"]).asked) == 5


def test_pictures_of_a_folder_are_edited_and_kept_out_of_the_sets(tmp_path, save_picture):
    for seed in range(5):
        save_picture(tmp_path / f"cats/{seed}.png", seed)
        save_picture(tmp_path / f"dogs/{seed}.png", 10 + seed)
        save_picture(tmp_path / f"dogs/mine/{seed}.png", 20 + seed)
    data = EditData(Folder(tmp_path), ClassTask("cats", "dogs"), images=[tmp_path / "dogs/mine"], image_size=16)
    assert data.inputs == [str(tmp_path / f"dogs/mine/{seed}.png") for seed in range(5)]
    assert [data.catalog.names[i] for i in data.target] == [f"dogs/{seed}.png" for seed in range(5)]


@pytest.mark.parametrize(("file", "words"), [("", ", which is empty"), ("a.txt", "; left out 1 file below .*: a.txt")])
def test_a_folder_without_pictures_among_the_images_is_an_error(tmp_path, file, words):
    (tmp_path / "none").mkdir()
    if file:
        (tmp_path / "none" / file).write_text("words")
    with pytest.raises(UserError, match=f"images: there are no pictures in the folder .*none{words}"):
        Given.of(Digits(), [tmp_path / "none"])


def test_no_name_at_all_is_not_the_folder_one_works_in(photos, monkeypatch):
    monkeypatch.chdir(photos)
    assert Given.of(Digits(), [""]).asked == [""]
    with pytest.raises(UserError, match="images must be a list"):
        Given.of(Digits(), "")
