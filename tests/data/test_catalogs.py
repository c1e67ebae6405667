from pathlib import Path

import numpy as np
import pytest
import torch

from dmt.data import LFW, Digits, Folder, ImageError, Unlabelled, catalogs, read_image
from dmt.data.label_files import read_attributes
from dmt.errors import UserError

HEADER = "#\tperson\timagenum\tMale\tWavy Hair\tSmiling"
ROWS = [
    "Ada One\t1\t-1.5\t0.25\t2",
    "Ada One\t2\t-1.0\t-0.5\t-1e-1",
    "Bo de la Two\t1\t0.5\t1.0\t1.0",
    "Cy\t12\t3\t-2\t0.5",
]


@pytest.fixture
def lfw(tmp_path, save_picture):
    """A small LFW: a folder per person and Kumar's file; one picture that the file does not list."""
    pictures = ["Ada_One/Ada_One_0001", "Ada_One/Ada_One_0002", "Bo_de_la_Two/Bo_de_la_Two_0001", "Cy/Cy_0012"]
    for seed, name in enumerate([*pictures, "Dee_Three/Dee_Three_0007"]):
        save_picture(tmp_path / "lfw" / f"{name}.jpg", seed)
    write_attributes(tmp_path)
    return tmp_path


def write_attributes(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "lfw_attributes.txt"
    path.write_text("\n".join(["# lfw_attributes.txt", header, *(rows or ROWS)]) + "\n", encoding="utf-8")
    return path


def open_lfw(folder: Path) -> LFW:
    return LFW(folder / "lfw", folder / "lfw_attributes.txt")


# LFW


def test_lfw_lists_pictures_people_and_attributes_in_the_order_of_the_file(lfw):
    catalog = open_lfw(lfw)
    assert list(catalog.names) == ["Ada_One_0001", "Ada_One_0002", "Bo_de_la_Two_0001", "Cy_0012"]
    assert list(catalog.groups) == ["Ada_One", "Ada_One", "Bo_de_la_Two", "Cy"]
    assert catalog.scores("Smiling").tolist() == [2, -0.1, 1, 0.5]
    assert catalog.scores("wavy hair").tolist() == [0.25, -0.5, 1, -2]


def test_lfw_reads_the_picture_that_the_name_says(lfw):
    catalog = open_lfw(lfw)
    expected = read_image(lfw / "lfw/Bo_de_la_Two/Bo_de_la_Two_0001.jpg", 16)
    assert catalog.read(2, 16).equal(expected)
    for name in ("Bo_de_la_Two_0001", "Bo_de_la_Two_0001.jpg", "Bo_de_la_Two/Bo_de_la_Two_0001.jpg"):
        assert catalog.index(name) == 2
        assert catalog.read_named(name, 16).equal(expected)


@pytest.mark.parametrize("name", ["Dee_Three_0007", "Dee_Three_0007.jpg", "Dee_Three/Dee_Three_0007.jpg"])
def test_a_picture_that_the_attribute_file_does_not_list_can_be_edited_by_name(lfw, name):
    catalog = open_lfw(lfw)
    assert catalog.index(name) is None
    assert catalog.read_named(name, 16).equal(read_image(lfw / "lfw/Dee_Three/Dee_Three_0007.jpg", 16))


def test_a_picture_can_be_given_by_path(lfw, save_picture):
    path = save_picture(lfw / "holiday.png", 9)
    assert open_lfw(lfw).read_named(str(path), 16).equal(read_image(path, 16))


def test_a_path_into_the_data_set_is_known_as_the_picture_it_is(lfw, monkeypatch):
    catalog = open_lfw(lfw)
    path = lfw / "lfw/Bo_de_la_Two/Bo_de_la_Two_0001.jpg"
    monkeypatch.chdir(lfw)
    assert catalog.index(str(path)) == catalog.index(str(path.relative_to(lfw))) == 2


def test_a_path_outside_the_data_set_is_not_mistaken_for_a_picture_of_the_same_name(lfw, save_picture):
    path = save_picture(lfw / "mine" / "Cy_0012.jpg", 9)
    assert open_lfw(lfw).read_named(str(path), 16).equal(read_image(path, 16))


def test_an_unknown_picture_is_an_error_that_names_the_nearest(lfw):
    with pytest.raises(UserError, match=r"'Ada_One_0003'; did you mean 'Ada_One_000[12]'"):
        open_lfw(lfw).read_named("Ada_One_0003", 16)


def test_listed_pictures_that_are_missing_are_left_out_with_their_scores(lfw, caplog):
    (lfw / "lfw/Ada_One/Ada_One_0001.jpg").unlink()
    catalog = open_lfw(lfw)
    assert list(catalog.names) == ["Ada_One_0002", "Bo_de_la_Two_0001", "Cy_0012"]
    assert catalog.scores("Smiling").tolist() == [-0.1, 1, 0.5]
    assert "1 of the 4 pictures" in caplog.text


def test_no_listed_picture_at_all_is_an_error(lfw):
    write_attributes(lfw, "Nobody Else\t1\t1\t1\t1")
    with pytest.raises(UserError, match=r"none of the pictures listed in .*lfw_attributes"):
        open_lfw(lfw)


def test_an_unknown_attribute_is_an_error_that_names_the_nearest_and_lists_all(lfw):
    with pytest.raises(UserError, match=r"'Smilling'; did you mean 'Smiling'\? \(there are Male, Wavy Hair, Smiling\)"):
        open_lfw(lfw).scores("Smilling")


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("#\tperson\tMale", ROWS, "line 2: the header must begin with"),
        ("person\timagenum\tMale", ROWS, "line 2: the header must begin with"),
        (HEADER, [ROWS[0], "Ada One\t2\t-1.0"], "line 4: 3 columns where the header has 5"),
        (HEADER, [ROWS[0], ROWS[1], ROWS[2] + "\t7"], "line 5: 6 columns where the header has 5"),
        (HEADER, ["Ada One\t1\t-1.5\tmany\t2"], "line 3: .*'many'"),
        (HEADER, ["Ada One\tfirst\t-1.5\t1\t2"], "line 3: .*'first'"),
    ],
)
def test_a_malformed_attribute_file_is_an_error_that_names_the_line(lfw, header, rows, message):
    write_attributes(lfw, *rows, header=header)
    with pytest.raises(UserError, match=f"lfw_attributes.txt, {message}") as caught:
        open_lfw(lfw)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"# lfw_attributes.txt\n", b"\xff\xfe\x00binary"])
def test_an_attribute_file_of_another_kind_is_an_error(lfw, content):
    (lfw / "lfw_attributes.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"lfw_attributes\.txt"):
        open_lfw(lfw)


def test_windows_line_ends_are_read(lfw):
    path = lfw / "lfw_attributes.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert open_lfw(lfw).scores("Smiling").tolist() == [2, -0.1, 1, 0.5]


def test_missing_data_that_cannot_be_downloaded_is_an_error_that_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setattr(LFW, "PICTURES_URL", (tmp_path / "no-mirror").as_uri())
    with pytest.raises(UserError, match=rf"put LFW's folders of people into {tmp_path}/lfw .*experiment=digits"):
        open_lfw(tmp_path)
    assert not (tmp_path / "lfw").exists()


def test_missing_attributes_that_cannot_be_downloaded_are_an_error_that_says_where_to_put_them(lfw, monkeypatch):
    monkeypatch.setattr(LFW, "ATTRIBUTES_URL", (lfw / "no-mirror").as_uri())
    (lfw / "lfw_attributes.txt").unlink()
    with pytest.raises(UserError, match=rf"put lfw_attributes.txt at {lfw}/lfw_attributes.txt"):
        open_lfw(lfw)


def test_missing_pictures_are_downloaded_checked_and_unpacked(lfw, monkeypatch):
    import hashlib
    import tarfile

    archive, root = lfw / "mirror.tgz", lfw / "lfw"
    with tarfile.open(archive, "w:gz") as file:
        file.add(root, "lfw")
    monkeypatch.setattr(LFW, "PICTURES_URL", archive.as_uri())
    monkeypatch.setattr(LFW, "PICTURES_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    root.rename(lfw / "original")
    catalog = open_lfw(lfw)
    assert catalog.read(3, 16).equal(read_image(lfw / "original/Cy/Cy_0012.jpg", 16))
    left = {path.name for path in lfw.iterdir()}
    assert left == {".lfw.lock", "lfw", "lfw_attributes.txt", "mirror.tgz", "original"}


def test_missing_attributes_are_downloaded_and_counted(lfw, monkeypatch):
    mirror = lfw / "mirror.txt"
    (lfw / "lfw_attributes.txt").rename(mirror)
    monkeypatch.setattr(LFW, "ATTRIBUTES_URL", mirror.as_uri())
    with pytest.raises(UserError, match="4 rows of 3 attributes, not 13143 of 73"):
        open_lfw(lfw)
    assert not (lfw / "lfw_attributes.txt").exists()
    monkeypatch.setattr(LFW, "N_ROWS", 4)
    monkeypatch.setattr(LFW, "N_ATTRIBUTES", 3)
    assert len(open_lfw(lfw).names) == 4


def test_the_real_attribute_file_is_read_whole(data_dir):
    people, numbers, scores = read_attributes(data_dir / "lfw_attributes.txt")
    assert (len(people), len(numbers), len(scores)) == (13143, 13143, 73)
    assert max(set(people), key=people.count) == "George W Bush"
    assert all(len(values) == 13143 for values in scores.values())


# Folders


@pytest.fixture
def classes(tmp_path, save_picture):
    for seed, file in enumerate(["cat/a.jpg", "cat/deep/b.PNG", "dog/a.webp", "dog/c.gif"]):
        save_picture(tmp_path / file, seed)
    (tmp_path / "cat/notes.txt").write_text("not a picture")
    save_picture(tmp_path / "loose.png", 5)
    return tmp_path


def write_labels(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text)
    return path


def test_every_subfolder_is_a_class(classes):
    catalog = Folder(classes)
    assert list(catalog.names) == ["cat/a.jpg", "cat/deep/b.PNG", "dog/a.webp", "dog/c.gif"]
    assert (catalog.scores("cat") > 0).tolist() == [True, True, False, False]
    assert (catalog.scores("dog") > 0).tolist() == [False, False, True, True]
    assert catalog.read(1, 16).equal(read_image(classes / "cat/deep/b.PNG", 16))
    assert len(set(catalog.groups)) == 4


def test_a_csv_file_gives_labels_and_groups(classes):
    labels = write_labels(classes, "file,group,old,hat\nloose.png,x,1.5,-1\ndog/c.gif,x,-2,0.5\ncat/a.jpg,y,0,1\n")
    catalog = Folder(classes, labels)
    assert catalog.scores("old").tolist() == [1.5, -2, 0]
    assert catalog.scores("Hat").tolist() == [-1, 0.5, 1]
    assert list(catalog.groups) == ["x", "x", "y"]
    assert catalog.read(0, 16).equal(read_image(classes / "loose.png", 16))


def test_without_a_group_column_every_picture_is_its_own_group(classes):
    catalog = Folder(classes, write_labels(classes, "file,old\nloose.png,1\ndog/c.gif,-1\n"))
    assert len(set(catalog.groups)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a header with a column 'file'"),
        ("file,old\n", "at least one row"),
        ("picture,old\nloose.png,1\n", "needs a header with a column 'file'"),
        ("file,old\nloose.png,1\ndog/c.gif\n", "line 3: the row has another number of columns"),
        ("file,old\nloose.png,1,2\n", "line 2: the row has another number of columns"),
        ("file,old\nloose.png,1\nlose.png,1\n", r"line 3: there is no file .*lose\.png"),
        ("file,old\nloose.png,very\n", "'very'"),
    ],
)
def test_a_malformed_csv_file_is_an_error_that_names_the_place(classes, text, message):
    with pytest.raises(UserError, match=rf"labels\.csv.*{message}") as caught:
        Folder(classes, write_labels(classes, text))
    assert "\n" not in str(caught.value)


def test_a_label_that_is_no_number_is_an_error_that_names_the_line(classes):
    with pytest.raises(UserError, match="line 3"):
        Folder(classes, write_labels(classes, "file,old\nloose.png,1\ndog/c.gif,very\n"))


def test_a_blank_line_in_a_csv_file_does_not_shift_the_line_that_an_error_names(classes):
    with pytest.raises(UserError, match="line 4"):
        Folder(classes, write_labels(classes, "file,old\nloose.png,1\n\nlose.png,1\n"))


def test_a_csv_file_that_is_no_text_is_an_error(classes):
    path = classes / "labels.csv"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match=r"labels\.csv"):
        Folder(classes, path)


def test_a_byte_order_mark_before_the_header_is_read_over(classes):
    path = classes / "labels.csv"
    path.write_text("file,old\nloose.png,1\n", encoding="utf-8-sig")  # as spreadsheets save it
    assert list(Folder(classes, path).names) == ["loose.png"]


def test_missing_folders_and_files_are_errors_that_name_them(tmp_path, classes):
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        Folder(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"none\.csv could not be read"):
        Folder(classes, classes / "none.csv")
    with pytest.raises(UserError, match=r"there are no images in .*deep"):
        Folder(classes / "cat/deep")


def test_names_stay_distinct_where_only_the_suffix_differs(tmp_path, save_picture):
    for seed, file in enumerate(["one/a.jpg", "one/a.png", "two/b.png"]):
        save_picture(tmp_path / file, seed)
    catalog = Folder(tmp_path)
    assert len(set(catalog.names)) == 3
    for position, file in enumerate(["one/a.jpg", "one/a.png", "two/b.png"]):
        assert catalog.read_named(catalog.names[position], 16).equal(read_image(tmp_path / file, 16))


def test_a_picture_is_read_by_its_name_and_an_unknown_one_names_the_nearest(classes):
    catalog = Folder(classes)
    assert catalog.read_named("dog/a.webp", 16).equal(read_image(classes / "dog/a.webp", 16))
    with pytest.raises(UserError, match=r"'dog/a\.png'; did you mean 'dog/a\.webp'"):
        catalog.read_named("dog/a.png", 16)


def test_the_fingerprint_changes_when_a_picture_is_added_removed_or_replaced(classes, save_picture):
    before = Folder(classes).fingerprint
    assert Folder(classes).fingerprint == before
    save_picture(classes / "dog/d.png", 1)
    added = Folder(classes).fingerprint
    (classes / "dog/d.png").unlink()
    assert Folder(classes).fingerprint == before
    (classes / "dog/c.gif").unlink()
    removed = Folder(classes).fingerprint
    save_picture(classes / "dog/c.gif", 3, side=20)
    replaced = Folder(classes).fingerprint
    assert len({before, added, removed, replaced}) == 4


def test_the_fingerprint_changes_when_a_picture_is_replaced_by_one_of_the_same_size(tmp_path, save_picture):
    size = save_picture(tmp_path / "one/a.bmp", 1).stat().st_size
    before = Folder(tmp_path).fingerprint
    assert save_picture(tmp_path / "one/a.bmp", 2).stat().st_size == size
    assert Folder(tmp_path).fingerprint != before


def test_a_path_into_the_folder_is_known_as_the_picture_it_is(classes, monkeypatch):
    catalog = Folder(classes)
    monkeypatch.chdir(classes.parent)
    assert catalog.index(str(classes / "dog/a.webp")) == catalog.index(f"{classes.name}/dog/a.webp") == 2


def test_a_picture_elsewhere_is_not_mistaken_for_one_of_the_folder(classes, save_picture, monkeypatch):
    catalog = Folder(classes)
    save_picture(classes / "elsewhere/dog/a.png", 9)
    monkeypatch.chdir(classes / "elsewhere")
    assert catalog.index("dog/a.png") is None
    assert catalog.read_named("dog/a.png", 16).equal(read_image(Path("dog/a.png"), 16))


def test_a_class_is_found_whatever_its_case_and_an_unknown_one_names_the_nearest(classes):
    catalog = Folder(classes)
    assert catalog.scores("CAT").tolist() == catalog.scores("cat").tolist()
    with pytest.raises(UserError, match=r"'cats'; did you mean 'cat'\? \(there are cat, dog\)"):
        catalog.scores("cats")


def test_a_picture_that_does_not_decode_is_an_image_error(classes):
    (classes / "cat/a.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"cat/a\.jpg"):
        Folder(classes).read(0, 16)


# Digits


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    known = load_digits()
    catalog = Digits()
    assert len(catalog.names) == len(set(catalog.names)) == 1797
    for digit in range(10):
        assert ((catalog.scores(str(digit)) > 0) == (known.target == digit)).all()
    image = catalog.read(5, 8)
    np.testing.assert_allclose(image.numpy(), np.broadcast_to(known.images[5] / 16, (3, 8, 8)), atol=1e-6)


def test_digits_are_read_by_name_or_path(tmp_path, save_picture):
    catalog = Digits()
    assert catalog.read_named("digit_0012", 32).equal(catalog.read(12, 32))
    path = save_picture(tmp_path / "seven.png", 1)
    assert catalog.read_named(str(path), 32).equal(read_image(path, 32))
    assert catalog.index("digit_0012") == 12
    assert catalog.index(str(path)) is None


def test_an_unknown_digit_is_an_error_that_says_which_there_are():
    with pytest.raises(UserError, match=r"'digit_1797'; give digit_0000 \.\.\. digit_1796"):
        Digits().read_named("digit_1797", 32)
    with pytest.raises(UserError, match="no label '10'"):
        Digits().scores("10")


@pytest.mark.parametrize("size", [8, 32, 47])
def test_digits_have_the_size_asked_for_and_stay_in_range(size):
    image = Digits().read(0, size)
    assert image.shape == (3, size, size)
    assert torch.isfinite(image).all()
    assert 0 <= image.min() < image.max() <= 1


def test_the_fingerprint_does_not_depend_on_how_the_folder_is_named(classes, monkeypatch):
    monkeypatch.chdir(classes.parent)
    assert Folder(classes.name).fingerprint == Folder(classes).fingerprint


@pytest.mark.parametrize(
    ("sides", "expected"), [([16, 20, 40], 20), ([16, 20, 24, 100], 22), ([33], 33), ([None, 24, None], 24)]
)
def test_the_typical_side_of_pictures_is_the_median_of_those_that_begin_as_pictures_do(
    sides, expected, tmp_path, save_picture
):
    for i, side in enumerate(sides):
        if side is None:
            (tmp_path / f"cat/{i}.png").parent.mkdir(exist_ok=True)
            (tmp_path / f"cat/{i}.png").write_text("no picture")
        else:
            save_picture(tmp_path / f"cat/{i}.png", i, side)
    files = [f"cat/{i}.png" for i in range(len(sides))]
    assert catalogs.FileCatalog(tmp_path, files, files, files).typical_side() == expected


def test_of_many_pictures_a_sample_evenly_spaced_is_looked_at(tmp_path, save_picture, monkeypatch):
    for i in range(9):
        save_picture(tmp_path / f"{i}.png", i, 10 + i)
    looked_at = []
    monkeypatch.setattr(catalogs, "shorter_side", lambda path: looked_at.append(path.name))
    assert Unlabelled(tmp_path).typical_side(3) is None
    assert looked_at == ["0.png", "4.png", "8.png"]


def test_pictures_without_labels_are_those_of_one_folder(tmp_path, save_picture):
    save_picture(tmp_path / "a.png")
    assert list(Unlabelled([str(tmp_path)]).names) == ["a.png"]
    for several in ([str(tmp_path), "b.png"], []):
        with pytest.raises(UserError, match=r"those of one folder, got \[.*images=FOLDER"):
            Unlabelled(several)
    with pytest.raises(UserError, match="has no labels at all"):
        Unlabelled(tmp_path).scores("cat")
