import json

from dmt.reporting.page import sweep_page, write_page, write_sweep_page
from dmt.reporting.results import Report, write_report
from dmt.reporting.sweep import note_outcome, summarize_sweep
from dmt.reporting.table_report import table_report
from tests.reporting.page.made import NASTY, Reader, image, table_edit


def leave(folder, report, failed=""):
    folder.mkdir()
    write_page(folder, report, write_report(folder, report, {}))
    note_outcome(folder, failed)


def of_pictures(folder):
    for number, lam in enumerate(("0.3", "1")):
        images = [image(name, seed, probe_before=0.1, probe_after=0.4 + number) for seed, name in enumerate(NASTY)]
        leave(folder / f"{number},lambda={lam}", Report("3 to 8", images, {}))
    (folder / "2,lambda=-1").mkdir()
    note_outcome(folder / "2,lambda=-1", "lambda must be above 0")


def test_the_runs_of_a_sweep_are_a_table_that_leads_to_them_and_each_input_has_all_results(tmp_path):
    of_pictures(tmp_path)
    page = Reader(sweep_page(tmp_path, summarize_sweep(tmp_path), "python traverse.py -m"))
    pages = [own["href"] for own in page.all("a") if own["href"].endswith("report.html")]
    assert {"0%2Clambda%3D0.3/report.html", "1%2Clambda%3D1/report.html"} == set(pages)
    assert len(page.all("article")) == len(NASTY)
    labels = [own["data-label"] for own in page.all("img", **{"class": "after"})]
    assert labels == ["lambda=1", "lambda=0.3"] * len(NASTY), "from weak to strong"
    assert "Runs that failed" in page.texts
    assert "Job 2 (lambda=-1): lambda must be above 0." in page.texts
    assert f"0 of {len(NASTY)}" in page.texts
    assert f"{len(NASTY)} of {len(NASTY)}" in page.texts


def test_a_sweep_of_table_edits_says_of_each_row_what_every_run_would_change(tmp_path):
    edit = table_edit(2, plans=1)
    for number, lam in enumerate(("0.3", "1")):
        leave(tmp_path / f"{number},lambda={lam}", table_report(edit))
    summary = summarize_sweep(tmp_path)
    assert summary.grid is None
    assert [row["lambda"] for row in summary.rows] == ["0.3", "1"]
    assert not {"row", "plan"} & set(summary.rows[0])
    page = Reader(sweep_page(tmp_path, summary))
    for record in edit.records:
        assert page.texts.count(str(record["words"])) == 2


def test_a_sweep_of_nothing_but_failures_has_a_page(tmp_path):
    for number in range(2):
        (tmp_path / f"{number},a={number}").mkdir()
        note_outcome(tmp_path / f"{number},a={number}", "two\nlines </script>")
    write_sweep_page(tmp_path, summarize_sweep(tmp_path))
    page = Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not page.all("article")
    assert len([text for text in page.texts if "</script>" in text]) == 4, "in the notes and in the table of means"


def test_runs_of_several_sizes_are_compared_at_that_of_the_first(tmp_path):
    for number, side in enumerate((40, 60)):
        leave(tmp_path / f"{number},image_size={side}", Report("3 to 8", [image("one", side=side)], {}))
    page = Reader(sweep_page(tmp_path, summarize_sweep(tmp_path)))
    assert {own["width"] for own in page.all("img", **{"class": "after"})} == {"40"}


def test_runs_whose_lambdas_are_not_all_numbers_are_shown_as_they_ran(tmp_path):
    for number, lam in enumerate(("0.3", "auto", "1")):
        leave(tmp_path / f"{number},lambda={lam}", Report("3 to 8", [image("one")], {}))
    page = Reader(sweep_page(tmp_path, summarize_sweep(tmp_path)))
    labels = [own["data-label"] for own in page.all("img", **{"class": "after"})]
    assert labels == ["lambda=0.3", "lambda=auto", "lambda=1"]


def test_a_picture_that_is_gone_is_left_out(tmp_path, caplog):
    of_pictures(tmp_path)
    summary = summarize_sweep(tmp_path)
    (record,) = json.loads((tmp_path / "0,lambda=0.3/results.json").read_text())["images"][:1]
    (tmp_path / "0,lambda=0.3" / record["result_file"]).unlink()
    write_sweep_page(tmp_path, summary)
    assert not caplog.records
    page = Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    labels = [own["data-label"] for own in page.all("img", **{"class": "after"})]
    assert sorted(labels) == ["lambda=0.3"] * (len(NASTY) - 1) + ["lambda=1"] * len(NASTY)
