import json
import logging

import numpy as np
import pytest

from dmt.errors import UserError
from dmt.reporting.results import write_report
from dmt.reporting.tables import text_table
from dmt.studies.transfer import OriginalReport, TransferReport
from dmt.studies.transfer.original import original_runs
from dmt.studies.transfer.report import transfer_report
from dmt.studies.transfer.report_plots import figure_2, figure_3, of_one_size
from dmt.studies.transfer.rows import COLUMNS, read_runs

FALLS = {"selffer": -1.0, "transfer": -3.0, "selffer_finetuned": 0.5, "transfer_finetuned": 1.0, "random": -20.0}


def rows(splits=(("random", 0), ("random", 1), ("man_made_natural", 0)), saturated=(), study="study"):
    """Every treatment at n = 1, 2: its fall times n from a base of 40 (A) or 42 (B)."""
    found = []
    for split, seed in splits:
        for target, other, whole in (("A", "B", 40.0), ("B", "A", 42.0)):
            networks = [("base", 0, whole), ("base_long", 0, whole + 0.25)]
            networks += [(treatment, n, whole + n * fall) for treatment, fall in FALLS.items() for n in (1, 2)]
            for treatment, n, top1 in networks:
                row = dict.fromkeys(COLUMNS, "") | {"study": study, "treatment": treatment, "n": n, "classes": 20}
                row |= {"base": other if treatment.startswith("transfer") else target, "target": target}
                row |= {"split": split, "split_seed": seed, "top1_last": top1, "top1_best10": top1}
                row |= {"status": "saturated" if (treatment, target, seed) in saturated else "ok", "key": len(found)}
                found.append(row)
    return found


@pytest.fixture(scope="module")
def original():
    return original_runs()


def by_label(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_the_report_is_written_as_pictures_pages_and_tables(store, tmp_path):
    report = TransferReport(str(store(rows())))()
    out = tmp_path / "out"
    out.mkdir()
    write_report(out, report, {"store": "runs.csv"})
    for name in ("figure_2", "figure_3"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (out / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    for name in ("accuracies", "differences", "dissimilar", "table_1"):
        assert len((out / f"{name}.csv").read_text().splitlines()) > 2
    assert set(json.loads((out / "results.json").read_text())) >= {"differences", "table_1", "settings"}


def test_two_studies_in_one_store_are_told_apart(store):
    alone = TransferReport(str(store(rows())))()
    path = store([*rows(study="digits-16px-0"), *rows(splits=[("random", 0)], study="faces-64px-1")])
    both = TransferReport(str(path))()
    assert set(both.pictures) == {f"{s}_figure_{i}" for s in ("digits-16px-0", "faces-64px-1") for i in (2, 3)}
    assert str(both.tables["digits-16px-0_differences"]) == str(alone.tables["differences"])
    assert len(both.tables["faces-64px-1_differences"]) < len(alone.tables["differences"])


def test_the_same_runs_give_the_same_page(store):
    path = store(rows())
    first, second = (TransferReport(str(path))() for _ in range(2))
    assert first.documents == second.documents


def test_differences_are_those_that_were_put_in(store):
    table = TransferReport(str(store(rows())), reference=False)().tables["differences"]
    found = {(row["difference_of"], row["split"], row["n"]): row for row in table}
    assert found["AnB - base", "random", 2]["difference"] == -6.0
    assert found["AnB - base", "random", 2]["verdict"] == "falls"
    assert found["AnB - BnB", "random", 1]["difference"] == -2.0
    assert found["AnB+ - base, twice as long", "random", 2]["difference"] == 1.75
    assert found["base, twice as long - base", "random", 0]["verdict"] == "rises"
    assert found["AnB - base", "man_made_natural", 1]["verdict"] == "not resolved: one division, no interval"
    assert {row["scale"] for row in table} == {"points"}, "all have as many classes"


def test_where_numbers_of_classes_differ_differences_are_told_above_chance_too(store):
    content = [row | {"classes": 10 if row["split"] == "random" else 20} for row in rows()]
    table = TransferReport(str(store(content)))().tables["dissimilar"]
    found = {(row["difference_of"], row["n"], row["scale"]): row["similar"] for row in table}
    assert found["AnB - base", 2, "points"] == -6.0
    assert found["AnB - base", 2, "% above chance"] == pytest.approx(-6 / 0.9, abs=0.0005)


def test_an_unfit_base_is_named_and_its_dip_is_void(store):
    report = TransferReport(str(store(rows([("random", 0)], saturated={("base", "A", 0), ("base", "B", 0)}))))()
    assert [row["base"] for row in report.tables["unfit_bases"]] == ["base of A", "base of B"]
    verdicts = {row["difference_of"]: row["verdict"] for row in report.tables["differences"]}
    assert verdicts["BnB - base"] == "void"
    assert verdicts["AnB - base"] != "void"


def test_no_table_of_unfit_bases_without_any(store):
    assert "unfit_bases" not in TransferReport(str(store(rows())))().tables


@pytest.mark.parametrize("count", [1, 2, 4, 12])
def test_an_unfinished_study_is_reported_as_far_as_it_goes(store, count):
    report = TransferReport(str(store(rows()[:count])))()
    assert len(report.tables["accuracies"]) == count
    assert set(report.pictures) == {"figure_2", "figure_3"}
    for table in report.tables.values():
        assert text_table(table)


def test_a_column_is_of_one_kind_so_that_every_logger_takes_it(original):
    for rows in transfer_report(original).tables.values():
        for column in rows[0]:
            assert len({isinstance(row[column], str) for row in rows}) == 1, column


def test_a_corrupt_row_is_one_line_and_nothing_is_written(store):
    path = store([*rows(), rows()[0] | {"top1_last": "?"}])
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"runs.csv, line 74: top1_last must be a percentage .*remove or mend"):
        TransferReport(str(path))()
    assert path.read_bytes() == before


def test_the_replay_warns_of_unbalanced_targets(caplog):
    with caplog.at_level(logging.WARNING):
        report = OriginalReport()()
    assert "AnB+ - base, unpaired +1.60, of which +0.62 is the ease of the targets" in caplog.text
    gains = {(row["pairing"], row["difference_of"], row["layers"]): row["gain"] for row in report.tables["table_1"]}
    assert (
        gains["paired", "AnB+ - base", "1-7"] == gains["paired", "BnB+ - base", "1-7"] == pytest.approx(0.97, abs=0.005)
    )


def test_a_balanced_study_warns_of_nothing(store, caplog):
    with caplog.at_level(logging.WARNING):
        TransferReport(str(store(rows())))()
    assert not caplog.text


def test_figure_2_shows_every_network_of_similar_tasks(original):
    top, bottom = figure_2(original).axes
    shown = sum(len(line.get_xdata()) for line in top.get_lines() if line.get_linestyle() == "None")
    assert shown == 8 + 28 + 56 + 10 + 10, "bases, BnB, AnB, BnB+, AnB+"
    assert "(%)" in top.get_ylabel()
    assert "points" in bottom.get_ylabel()


def test_figure_2_shows_the_tasks_that_are_there_where_none_is_similar(store):
    runs = read_runs(store(rows(splits=[("man_made_natural", 0)])))
    top, bottom = figure_2(runs).axes
    assert top.get_title(loc="left").endswith("man-made / natural split")
    assert len(bottom.get_lines()) > 1


def test_the_differences_of_figure_2_are_small_where_the_paper_finds_none(original):
    _, bottom = figure_2(original).axes
    curves = {line.get_color(): line.get_ydata() for line in bottom.get_lines() if len(line.get_xdata()) == 7}
    assert len(curves) == 4
    assert min(np.min(values) for values in curves.values()) == pytest.approx(-8.3, abs=0.1)


def test_a_reference_is_drawn_dashed_beside_ours(original):
    for figure in (figure_2, figure_3):
        plain, beside = figure(original).axes[-1], figure(original, original).axes[-1]
        dashed = [line for line in beside.get_lines() if line.get_linestyle() == "--"]
        assert len(dashed) == len([line for line in plain.get_lines() if len(line.get_xdata()) == 7])


def test_figure_3_names_the_two_targets_of_dissimilar_tasks(original):
    figure = figure_3(original)
    natural, man_made = (
        "target: natural, 449 classes",
        "target: man-made, 551 classes",
    )  # the paper's upper and lower line
    lines = by_label(figure.axes[0])
    assert lines[natural].get_ydata()[[0, -1]] == pytest.approx([65.2, 39.7], abs=0.1)
    assert lines[man_made].get_ydata()[-1] < lines[natural].get_ydata()[-1]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [natural, man_made, "base"]
    below = [text.get_text() for text in figure.legends[0].get_texts()]
    assert below == ["AnB, random splits", "AnB, man-made / natural split", "random, untrained filters"]
    assert figure.axes[1].get_title(loc="left") == "random, untrained filters, all 1000 classes"


def test_networks_of_less_data_are_not_mixed_in(original):
    assert set(of_one_size(original)["images_per_class"]) == {0}  # all of them
    assert of_one_size(original[:0]).empty
