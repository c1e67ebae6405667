"""A report written and read back."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dmt.data import Frame, Patch, Photograph
from dmt.data.framing import Similarity
from dmt.reporting.results import Report, result_grid, write_films, write_report
from tests.reporting.pictures import COLOURS, box, edited


def test_results_stand_below_their_inputs():
    images = [edited(str(i), before=COLOURS[2 * i], after=COLOURS[2 * i + 1]) for i in range(3)]
    boxes = [box(result_grid(images, "title"), colour) for colour in COLOURS]
    for before, after in (boxes[0:2], boxes[2:4], boxes[4:6]):
        assert before[0] == after[0]
        assert before[1] + 100 <= after[1]


def test_results_stand_below_the_short_names_of_their_inputs():
    def grid(*names):
        return np.asarray(result_grid([edited(name) for name in names], "title", per_row=2))

    named = grid("x/apple.jpg", "x/pear.jpg", "y/pear.jpg")
    np.testing.assert_array_equal(named, grid("apple", "x/pear", "y/pear"))
    others = np.split(named != grid("apple", "pear", "fig"), 2)
    assert [part.any() for part in others] == [True, True]


def test_many_results_are_broken_into_rows():
    images = [edited(str(i), before=(0, 0, 0), after=(i / 255, 0.5, 1)) for i in range(11)]
    boxes = [box(result_grid(images, "title", per_row=4), (i, 128, 255)) for i in range(11)]
    lefts, tops = [b[0] for b in boxes], [b[1] for b in boxes]
    assert lefts == (lefts[:4] * 3)[:11]
    assert len(set(lefts)) == 4
    assert [tops.index(top) for top in tops] == [0] * 4 + [4] * 4 + [8] * 3


@pytest.fixture
def written(tmp_path):
    images = [
        edited("a", after=0.502, psnr=float("inf"), ok=True),
        edited("x/a.png", after=1.7, psnr=17.25, ok=False),
        edited("b", after=-0.5, psnr=float("nan"), ok=True),
    ]
    write_report(tmp_path, Report.of_edit("task\nlambda' 0.3", images), {"lambda": float("inf"), "nested": {"seed": 0}})
    return tmp_path


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_every_result_is_a_picture_file(written):
    assert {path.name for path in written.iterdir()} >= {"a.png", "a-2.png", "b.png", "grid.png"}
    for name, value in (("a", 128), ("a-2", 255), ("b", 0)):
        pixels = np.asarray(Image.open(written / f"{name}.png"))
        assert pixels.shape == (100, 100, 3)
        assert (pixels == value).all()
    assert np.unique(np.asarray(Image.open(written / "inputs/b.png"))).tolist() == [64]  # 0.25
    with Image.open(written / "grid.png") as grid:
        assert grid.width > 300


def test_the_table_reads_back(written):
    with (written / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["a", "x/a.png", "b"]
    assert [row["psnr"] for row in rows] == ["inf", "17.25", "nan"]
    assert [row["ok"] for row in rows] == ["True", "False", "True"]
    assert [row["file"] for row in rows] == ["a.png", "a-2.png", "b.png"]


def test_the_document_is_strict_json_even_where_numbers_are_infinite(written):
    document = json.loads((written / "results.json").read_text(), parse_constant=refuse)
    assert document["title"] == "task\nlambda' 0.3"
    assert [image["psnr"] for image in document["images"]] == ["inf", 17.25, "nan"]
    assert [image["ok"] for image in document["images"]] == [True, False, True]
    assert document["settings"]["nested"] == {"seed": 0}


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    def full(self, *_, **__):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(tmp_path, Report.of_edit("title", [edited("a", side=4)]), {})
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "inputs", "results.csv"}


@pytest.fixture
def photograph(tmp_path):
    """Makes an edit of a photograph, saved in some format, that is grey and becomes lighter in its upper half."""

    def edit(name):
        path = tmp_path / "own" / name
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (60, 40), 100).save(path)
        frame = Frame(Similarity(40 * np.eye(2), np.array([10.0, -20.0])))
        patch = Patch(str(path), lambda: Photograph.read(path), frame, torch.full((3, 8, 8), 0.2))
        return replace(edited(str(path), side=4), patch=patch)

    return edit


def test_the_records_of_photographs_name_the_whole_and_the_part_that_is_shown(tmp_path, photograph):
    (tmp_path / "out").mkdir()
    write_report(tmp_path / "out", Report("title", [photograph("a.jpg"), edited("b", side=4)], {}), {}, mark=False)
    with (tmp_path / "out/results.csv").open(newline="") as file:
        rows = [(row["input_file"], row["result_file"], row["file"]) for row in csv.DictReader(file)]
    assert rows == [
        ("crops/a_before.png", "crops/a_after.png", "a.jpg"),
        ("inputs/b.png", "b.png", "b.png"),
    ]
    for names in rows:
        assert all((tmp_path / "out" / name).is_file() for name in names)
    assert json.loads((tmp_path / "out/results.json").read_text())["images"][0]["file"] == "a.jpg"
    with Image.open(tmp_path / "out/a.jpg") as whole:
        assert (whole.size, whole.mode) == ((60, 40), "L")
        assert "xmp" not in whole.info


def test_photographs_say_that_they_were_altered(tmp_path, photograph):
    write_report(tmp_path, Report("title", [photograph("a.jpg")], {}), {})
    assert b"compositeWithTrainedAlgorithmicMedia" in (tmp_path / "a.jpg").read_bytes()


def test_the_film_of_a_photograph_that_is_a_gif_does_not_take_its_file(tmp_path, photograph):
    (tmp_path / "out").mkdir()
    report = Report("title", [photograph("a.gif")], {})
    write_films(tmp_path / "out", report, write_report(tmp_path / "out", report, {}), "gif")
    with Image.open(tmp_path / "out/a.gif") as whole:
        assert whole.size == (60, 40)
        assert np.asarray(whole.convert("L"))[5, 30] == 151
    films = [file for file in (tmp_path / "out").rglob("*.gif") if file.name != "a.gif"]
    assert len(films) == 1
    with Image.open(films[0]) as film:
        assert film.size == (96, 96)  # of what is shown, enlarged


def test_documents_tables_and_films_are_written_under_their_names(tmp_path):
    images = [edited("x/a.jpg", side=4)]
    tables = {"means": [{"edit": "older", "psnr": 12.5}]}
    report = Report("title", images, {}, tables, {"figure.pdf": b"%PDF"})
    write_films(tmp_path, report, write_report(tmp_path, report, {}), "gif")
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"a.png", "a.gif", "inputs/a.png", "figure.pdf", "means.csv", "results.csv", "results.json"}
    assert (tmp_path / "figure.pdf").read_bytes() == b"%PDF"
    assert (tmp_path / "means.csv").read_bytes() == b"edit,psnr\r\nolder,12.5\r\n"
    assert json.loads((tmp_path / "results.json").read_text())["means"] == tables["means"]
