"""What a page does with numbers, pictures and amounts that no run should have, and some have."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dmt.data.tables import Table, TableTask
from dmt.editing import TableEditor
from dmt.editing.files import Saved
from dmt.editing.records import EditedImage
from dmt.reporting.page import page_of, where_to_look
from dmt.reporting.page.display import LONGEST
from dmt.reporting.results import Report
from dmt.reporting.table_report import table_report
from tests.reporting.page.made import Reader, image

NAN, INF = float("nan"), float("inf")


def test_a_run_without_pictures_or_tables_has_a_page():
    page = Reader(page_of(Report("nothing", [], {}), again="python traverse.py"))
    assert "Nothing" in page.texts
    assert not page.all("article") + page.all("table")


@pytest.mark.parametrize("value", [NAN, INF, -INF, "inf"])
def test_numbers_that_are_none_are_not_said(value):
    columns = ("psnr", "ssim", "identity", "realised", "delta", "witness_after", "seconds", "probe_after", "far_after")
    strange = image("one", probe_before=0.2, wanted="age above 40", age_before=NAN, age_after=NAN)
    strange.record.update(dict.fromkeys(columns, value))
    page = Reader(page_of(Report("3 to 8\nlambda' 0.5", [strange], {}, {"rows": [{"a": value, "b": 1.0}]})))
    assert not re.search(r"\bnan\b|None", "".join(page.texts[page.texts.index("3 to 8") :]))
    assert 'data-value="nan"' not in page_of(Report("t", [], {}, {"rows": [{"a": value, "b": 1.0}]}))


def test_pictures_whose_judges_all_failed_are_shown_and_say_so():
    failed = [image(name, unjudged="happy: it is broken") for name in ("one", "two")]
    page = Reader(page_of(Report("3 to 8", failed, {}), warned=["the judge happy failed at 2 of 2 pictures"]))
    assert len(page.all("article")) == 2
    assert "The judge happy failed at 2 of 2 pictures." in page.texts
    assert page.texts.count("Not judged") == 2


def test_what_the_run_says_of_itself_stands_below_the_pictures():
    page = Reader(page_of(Report("3 to 8", [image("one")], {}), warned=["look at it"], told=["cache: computed again"]))
    assert page.texts.index("Look at it.") < page.texts.index("one") < page.texts.index("Cache: computed again.")


def test_one_row_with_one_column_is_one_plan():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=60), "side": np.where(np.arange(60) % 2, "high", "low")})
    rows["a"] += np.arange(60) % 2 * 3
    edit = TableEditor(table=Table(rows, "side")).edit(TableTask("high", "low"), 1, 0.2)
    page = Reader(page_of(table_report(edit)))
    assert len(page.all("article")) == 1
    assert len(page.all("tr", **{"class": "changed"})) == 1
    assert "smaller changes" not in page.text


def test_a_row_of_which_the_classifier_was_convinced_before_is_not_told_as_changed():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=60), "side": np.where(np.arange(60) % 2, "high", "low")})
    edit = TableEditor(table=Table(rows, "side")).edit(TableTask("high", "low"), 1, 0.2)
    edit.records[0].update(classifier_before=0.7, classifier_after=0.8)
    assert "The classifier said so before, too" in Reader(page_of(table_report(edit))).texts


def test_a_photograph_of_twelve_megapixels_is_shown_smaller_and_led_to_whole():
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.random((3, 300, 400))).float().repeat_interleave(10, 1).repeat_interleave(10, 2)
    report = Report("3 to 8", [EditedImage("me.png", noise, noise.flip(2), {"image": "me.png", "lambda": 0.5})], {})
    text = page_of(report, [Saved("me_before.png", "me.png", "me.png")])
    assert len(text) < 20e6
    page = Reader(text)
    assert max(int(own["width"]) for own in page.all("img")) == LONGEST
    for own in page.all("img"):
        shown = Image.open(io.BytesIO(base64.b64decode(own["src"].partition(",")[2])))
        assert shown.size == (int(own["width"]), int(own["height"]))
    assert {own["href"] for own in page.all("a") if own["href"].startswith("me")} == {"me.png", "me_before.png"}


def test_the_last_line_names_the_page_first_where_there_is_one(tmp_path):
    assert where_to_look(tmp_path, "tables") == f"tables are in {tmp_path}"
    (tmp_path / "report.html").touch()
    assert where_to_look(tmp_path, "tables") == f"open {tmp_path / 'report.html'} (beside it: tables)"
