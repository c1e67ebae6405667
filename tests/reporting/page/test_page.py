import base64
import hashlib
import io
import logging
import re
import shlex
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from dmt.data import to_pixels
from dmt.reporting.page import page_of, write_page
from dmt.reporting.page.display import Display, change_map, displays
from dmt.reporting.page.shelves import Cell, shelf
from dmt.reporting.results import Report, write_report
from tests.reporting.page.made import NASTY, Reader, image, report, table_edit


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


# The page of an edit


@pytest.fixture(scope="module")
def edit():
    return report(frames=2)


@pytest.fixture(scope="module")
def page(edit):
    return Reader(page_of(edit, again="python traverse.py experiment=digits", told=["one picture is broken"]))


def test_every_picture_stands_there_before_and_after_pixel_by_pixel(edit, page):
    shown = {attributes["alt"]: pixels(attributes["src"]) for attributes in page.all("img")}
    for one in edit.images:
        assert (shown[f"{one.name}, before"] == to_pixels(one.input)).all()
        assert (shown[f"{one.name}, after, λ′ 0.5"] == to_pixels(one.result)).all()  # noqa: RUF001


def test_the_way_falls_from_infinity_to_lambda(page):
    """lambda (F + 1) / i for i = 1 ... F, as ``TraversalModule`` makes frames: here .5 * 3 / (1, 2) after infinity."""
    labels = [own["data-label"] for own in page.all("img", **{"class": "after"})][:4]
    assert labels == ["λ′ ∞", "λ′ 1.5", "λ′ 0.75", "λ′ 0.5"]  # noqa: RUF001


def test_all_controls_have_names_and_ids_are_distinct(page):
    assert all(own.get("aria-label") for own in page.all("input"))
    ids = [own["id"] for _, own in page.tags if "id" in own]
    assert len(ids) == len(set(ids))
    assert all(own.get("alt") for own in page.all("img"))
    targets = {own["href"][1:] for _, own in page.tags if own.get("href", "").startswith("#")}
    assert targets <= set(ids)


def test_what_the_run_had_to_say_and_its_command_are_there(page):
    assert "One picture is broken" in page.text
    assert "python traverse.py experiment=digits" in page.text


def test_the_page_asks_nothing_of_anybody_and_runs_its_own_script_alone(edit):
    text = page_of(edit)
    page = Reader(text)
    assert not page.all("link")
    assert not [own for own in page.all("script") if own]
    assert all(own["src"].startswith("data:") for own in page.all("img"))
    assert not re.search(r"https?://|url\(|@import", text)
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        content = re.search(f"<{tag}>(.*?)</{tag}>", text, re.S)[1]
        assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in policy
    assert not re.search(r"<[^>]+ (style|on\w+)=", re.sub(r"(?s)<(script|style)>.*?</\1>", "", text))


# Names are text


def test_hostile_names_are_text_wherever_they_stand(tmp_path):
    hostile = report(NASTY, edit="", verdict="no", **{"from": "<b>3</b>", "becomes": "</script>"})
    hostile = Report(f"{NASTY[0]}\n{NASTY[2]}", hostile.images, hostile.pictures, {NASTY[0]: [{NASTY[1]: NASTY[2]}]})
    again = shlex.join(["python", *NASTY])
    saved = write_report(tmp_path, hostile, {})
    write_page(tmp_path, hostile, saved, again, NASTY)
    page = Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.all("script")) == 1
    assert not [own for own in page.all("img") if not own["src"].startswith("data:")]
    assert not [own for _, own in page.tags for name in own if name.startswith("on")]
    assert not page.all("b")
    assert again in page.texts
    links = [own["href"] for own in page.all("a") if not own["href"].startswith("#")]
    assert len(links) > 2 * len(NASTY)
    assert all((tmp_path / unquote(link)).is_file() for link in links)
    assert not [link for link in links if re.search(r"[\s\"'<>]|^\w+:", link)]


def test_hostile_rows_are_text():
    edit = table_edit()
    page = Reader(page_of(Report("rows", [], {}, table_edits={"<u>t</u>": edit})))
    assert not page.all("i") + page.all("u") + page.all("b")
    assert page.text.count("a <b>") >= len(edit.records)


# Rows of tables


def test_rows_have_their_sentence_and_what_changes_before_and_after():
    edit = table_edit(2, plans=1)
    page = Reader(page_of(Report(edit.title, [], {}, table_edits={"": edit})))
    for record, (_, before), (_, after) in zip(
        edit.records, edit.before.iterrows(), edit.after.iterrows(), strict=True
    ):
        assert str(record["words"])[1:] in page.text
        assert f"{before['a <b>']:.5g}" in page.texts
        assert f"{after['a <b>']:.5g}" in page.texts
    assert len(page.all("circle", **{"class": "was"})) == 2, "each has its place"


# Several edits of one input


def test_several_edits_of_an_input_are_steps_of_one_picture():
    images = [image("one", seed, edit=edit) for seed in range(1) for edit in ("lambda' 1", "lambda' inf")]
    page = Reader(page_of(Report("by lambda", images, {})))
    assert len(page.all("article")) == 1
    assert [own["data-label"] for own in page.all("img", **{"class": "after"})] == ["λ′ 1", "λ′ ∞"]  # noqa: RUF001
    assert len(page.all("img", **{"class": "change"})) == 2


def test_one_input_that_is_asked_for_twice_is_shown_twice():
    assert len(Reader(page_of(Report("twice", [image("one"), image("one")], {}))).all("article")) == 2


# Written last, and never at the cost of a run


def test_a_page_that_cannot_be_written_is_one_line(tmp_path, caplog):
    (tmp_path / "report.html").mkdir()
    with caplog.at_level(logging.WARNING):
        write_page(tmp_path, report())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "\n" not in caplog.text.strip()
    assert "report.html" in caplog.text


def test_a_report_that_makes_no_page_is_one_line(tmp_path, caplog):
    broken = Report("x", [image("one")], {})
    broken.images[0].record["lambda"] = "two\nlines"
    with caplog.at_level(logging.WARNING):
        write_page(tmp_path, broken)
    assert [len(record.getMessage().splitlines()) for record in caplog.records] == [1]
    assert not (tmp_path / "report.html").exists()


def test_only_files_that_are_there_are_led_to(tmp_path):
    edit = report()
    write_page(tmp_path, edit, write_report(tmp_path, edit, {}))
    page = Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    links = [unquote(own["href"]) for own in page.all("a") if not own["href"].startswith("#")]
    assert {"results.csv", "grid.png"} <= set(links)
    assert all((tmp_path / link).is_file() for link in links)


# Pictures


def test_large_pictures_share_what_a_page_may_take():
    """Noise, which no format makes smaller: a megapixel grid, and eight pictures of the same."""
    rng = np.random.default_rng(0)
    grid = rng.integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    assert len(page_of(Report("a grid", [], {"figure": Image.fromarray(grid)}))) < 20e6
    small = displays([grid[:300, :300]] * 8, most_bytes=200_000)
    assert sum(len(one.content) for one in small) <= 200_000
    assert {(one.width, one.height) for one in small} == {(small[0].width,) * 2}


@pytest.mark.parametrize(("side", "longest", "expected"), [(32, 1600, 32), (97, 1600, 97), (200, 50, 50)])
def test_a_display_keeps_its_shape(side, longest, expected):
    shown = Display.of(np.zeros((side, 2 * side, 3), dtype=np.uint8), longest)
    assert shown.width == min(2 * expected, longest)
    assert pixels(shown.uri).shape[:2] == (shown.height, shown.width)


def test_a_map_of_changes_is_grey_where_nothing_changed_and_hottest_where_most_did():
    before = np.full((4, 4, 3), 90, dtype=np.uint8)
    after = before.copy()
    after[0, 0] += 100
    after[1, 1] += 30
    found = change_map(before, after).astype(int)
    still = found[2:, 2:]
    assert (still == still[..., :1]).all(), "grey"
    assert found[0, 0] == pytest.approx([150, 20, 10], abs=1)
    assert found[1, 1, 0] - found[1, 1, 2] > 40, "warm"
    assert (change_map(before, before) == still[0, 0]).all()


# Tables


def test_cells_sort_by_the_whole_number_and_show_four_digits():
    rows = shelf("t", [{"a": 1234567.0, "b": "x"}, {"a": float("nan"), "c": True}], {"b": ["p", "q"]}).rows
    assert rows[0] == [Cell("1.235e+06", 1234567.0), Cell("x", None, "p"), Cell("")]
    assert rows[1] == [Cell(""), Cell("", None, "q"), Cell("True")]


def test_tables_stand_on_the_page_with_all_their_rows():
    rows = [{"n": i, "word": f"w{i}"} for i in range(7)]
    page = Reader(page_of(Report("a study", [], {}, {"some_rows": rows})))
    assert len(page.all("tr")) == 8
    assert [own["data-value"] for own in page.all("td", **{"class": "number"})] == [f"{i}.0" for i in range(7)]
    assert "some rows" in page.texts


def test_places_share_one_map(page, edit):
    assert len(page.all("circle", **{"class": "was"})) == 2 * len(edit.images), "on the straight one and on neighbours'"
    assert [own["id"] for own in page.all("path") if own.get("id", "").endswith("-source")] == [
        "map-0-source",
        "near-0-source",
    ]
