import csv
import math

import numpy as np
import pytest
from PIL import Image

from dmt.studies.benchmark.curves import curves_of
from dmt.studies.benchmark.measures import measure
from dmt.studies.benchmark.page import write_page
from dmt.studies.benchmark.plots import STYLES, curves_plot, method_styles
from dmt.studies.benchmark.sheets import contact_sheet, rank
from dmt.studies.benchmark.tables import (
    differences,
    headline,
    headline_measures,
    lambda_text,
    markdown,
    measure_text,
    tables_of,
    value_text,
)
from tests.reporting.page.made import Reader

NASTY = "<b>&"


def records(case="smiling to frowning", n=20, seed=0):
    """Method dmt flips the same images as linear at each lambda, with 0.1 more identity; adversarial is one point."""
    rng = np.random.default_rng(seed)
    rows = []
    for method, lower in (("dmt", 0.0), ("linear", 0.1), ("adversarial", 0.2)):
        for step, lam in enumerate([math.nan] if lower == 0.2 else [math.inf, 0.4, 0.2, 0.1]):
            noise = 0.02 * np.random.default_rng(step).normal(size=n)
            rows += [
                {
                    "case": case,
                    "method": method,
                    "lambda": lam,
                    "image": NASTY if i == 0 else f"i{i}",
                    "flipped": bool(i < (n if lower == 0.2 else [0, 2, 10, 19][step])),
                    "failed": method == "linear" and i == n - 1,
                    "identity": 0.95 - 0.1 * step - lower + noise[i],
                    "age_shift": float(rng.normal()),
                    "seconds": 1.0,
                    NASTY: 2.0,
                }
                for i in range(n)
            ]
    return rows


@pytest.fixture(scope="module")
def curves():
    return curves_of([*records(), *records(f"{NASTY} to b")])


# Tables


def row(name, value, low=math.nan, high=math.nan):
    return {name: value, f"{name}_low": low, f"{name}_high": high, "reached": True}


def test_a_value_in_words():
    signed = "+" + measure("age_shift").shape
    assert value_text(row("difference", -0.01, -1.26, 0.44), "difference", signed) == "+0.0 [-1.3, +0.4]"
    assert measure_text(row("identity", 0.5), "identity") == "0.500 [-]"
    assert measure_text(row("identity", math.nan), "identity") == "-"
    assert measure_text({}, "identity") == "-"
    assert lambda_text(row("lambda", 0.12345, 0.1, 0.15)) == "0.123 [0.1, 0.15]"
    assert lambda_text(row("lambda", 0.12345)) == "0.123"


def test_the_headline_marks_what_is_ahead_of_all_that_get_there(curves):
    """At 50 % dmt has 0.1 more identity in every resample; adversarial flips all, so it does not cross 50 %."""
    rows = {row["method"]: row for row in headline(curves, [0.5]) if row["case"] == "smiling to frowning"}
    assert rows["dmt"]["best"] == "identity"
    assert not rows["linear"]["best"]
    assert rows["adversarial"]["note"] == "is one point, at 1.00"
    assert rows["linear"]["failed"] == 1
    assert {row["n"] for row in rows.values()} == {20}


def test_the_markdown_has_a_line_per_method_and_a_cell_per_column(curves):
    rows = headline(curves, [0.5, 0.8], resamples=200)
    measures = headline_measures(curves)
    assert measures == ["identity", "age_shift", "seconds"]
    lines = markdown(rows, measures).splitlines()
    assert len(lines) == 2 + 2 * 2 * 3
    assert {line.count("|") for line in lines} == {5 + len(measures) + 1}
    ours = next(line for line in lines if "| 50% | dmt |" in line)
    assert f"**{rows[0]['identity']:.3f} [" in ours
    assert "1 of 20" in next(line for line in lines if "| 50% | linear |" in line)


# Plots


def test_a_plot_has_a_panel_per_measure_and_ink_of_every_method(curves):
    def has(picture, colour):
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        return (np.asarray(picture) == wanted).all(axis=2).any()

    first = [curve for curve in curves if curve.case == "smiling to frowning"]
    two = curves_plot(first, ("identity", "age_shift"))
    one = curves_plot(first, ("identity", "ssim"))
    assert all(has(two, STYLES[method][0]) for method in ("dmt", "linear", "adversarial"))
    assert not has(two, STYLES["pixel_mean"][0])
    assert two.width > 1.7 * one.width, "nobody measured ssim"


def test_a_plot_is_of_one_case_and_of_something(curves):
    with pytest.raises(ValueError, match="one case"):
        curves_plot(curves)
    with pytest.raises(ValueError, match="at least one measure"):
        curves_plot(curves[:1], ["lpips"])


def test_a_method_keeps_its_colour_and_others_differ():
    styles = method_styles(["new", "dmt", "other"])
    assert styles["dmt"] == method_styles(["dmt"])["dmt"]
    assert len(set(styles.values())) == len(styles) == len(STYLES) + 2


# The page


@pytest.fixture(scope="module")
def folder(tmp_path_factory, curves):
    folder = tmp_path_factory.mktemp("page") / "new"
    folder.mkdir()
    Image.new("RGB", (30, 20)).save(folder / f"{NASTY}.png")
    write_page(
        folder,
        curves,
        tables=tables_of(curves),
        title=f"Faces {NASTY}",
        date="1 May",
        measured={"machine": NASTY},
        sheets={f"{NASTY}.png": f"24 worst, first {NASTY}"},
    )
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Reader((folder / "report.html").read_text(encoding="utf-8"))


def test_every_tag_closes_and_names_are_text(page):
    assert "b" not in {tag for tag, _ in page.tags}, "a name became a tag"
    whole = "".join(page.texts)
    assert whole.count(NASTY) >= 6
    assert f"Faces {NASTY}" in page.texts


def test_headers_have_scopes_and_pictures_have_words_and_are_there(page, folder):
    assert page.all("th")
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))
    pictures = {attributes["alt"]: attributes["src"] for attributes in page.all("img")}
    assert pictures.pop(f"24 worst, first {NASTY}").startswith("data:image/png")
    assert len(pictures) == 2, "a plot per case"
    assert len(list(folder.glob("curves-*.png"))) == 2


def test_the_page_needs_nothing_from_elsewhere(page):
    assert not page.all("link")
    assert all(attributes["src"].startswith("data:") for attributes in page.all("img"))
    assert "default-src 'none'" in page.all("meta")[1]["content"]


def test_the_page_says_what_failed_and_what_does_not_compare(page):
    whole = " ".join(page.texts)
    assert "8 of 360 edits failed" in whole, "one image at four lambdas in two cases"
    assert "adversarial is one point, at 1.00" in whole
    assert "ahead: +0.100" in whole


def test_the_files_hold_every_row(folder, curves):
    def lines(name):
        with (folder / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    assert len(lines("curves.csv")) == 2 * (4 + 4 + 1)
    assert len(lines("headline.csv")) == 2 * 2 * 3
    assert len(lines("differences.csv")) == len(differences(curves, resamples=2))
    assert (folder / "headline.md").read_text(encoding="utf-8").startswith("| case | flips |")


# Sheets


def edit(image, flipped, identity=None, **more):
    known = {} if identity is None else {"identity": identity}
    return {"case": "c", "method": "m", "lambda": math.nan, "image": image, "flipped": flipped, **known, **more}


def test_ranks_are_flips_then_identity_then_failures():
    rows = [
        edit("failed", 1, 0.99, failed=True),
        edit("kept", 0, 0.95),
        edit("unknown", 1),
        edit("good", 1, 0.7),
        edit("best", True, 0.8),
    ]
    order = ["best", "good", "unknown", "kept", "failed"]
    assert [row["image"] for row in rank(rows)] == order
    assert [row["image"] for row in rank(rows, 2)] == order[:2]
    assert [row["image"] for row in rank(rows, 2, worst=True)] == ["failed", "kept"]
    assert rank([]) == []


def test_edits_of_two_methods_are_not_ranked():
    with pytest.raises(ValueError, match="one case, method and lambda"):
        rank([edit("a", 1), edit("b", 1) | {"method": "other"}])


def test_every_pair_stands_on_the_sheet_pixel_by_pixel():
    rng = np.random.default_rng(0)
    pairs = [tuple(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8) for _ in range(2)) for _ in range(5)]
    sheet = np.asarray(contact_sheet(pairs, [f"number {i}" for i in range(5)], 3, "title"))
    corners = []
    for pair in pairs:
        wanted = np.concatenate(pair, axis=1)
        places = [
            (y, x)
            for y, x in np.argwhere((sheet == wanted[0, 0]).all(axis=2))
            if np.array_equal(sheet[y : y + 40, x : x + 120], wanted)
        ]
        assert len(places) == 1
        corners += places
        (y, x) = places[0]
        assert (sheet[y + 41 : y + 56, x : x + 120] < 128).any(), "its caption is below"
    rows, columns = zip(*corners, strict=True)
    assert len(set(rows)) == 2
    assert columns[:2] == columns[3:]
    assert len(set(columns)) == 3


def test_long_captions_stay_below_their_pair():
    black = np.zeros((50, 50, 3), dtype=np.uint8)
    sheet = np.asarray(contact_sheet([(black, black), (black, black)], ["long " * 40, ""], 2))
    dark = np.flatnonzero((sheet[-18:] < 128).any(axis=(0, 2)))
    assert dark.size
    assert dark.max() < 4 + 100, "nothing is written below the second pair"


def test_a_sheet_needs_a_caption_per_pair():
    with pytest.raises(ValueError, match="1 pairs and 0 captions"):
        contact_sheet([(np.zeros((4, 4, 3), dtype=np.uint8),) * 2], [])
