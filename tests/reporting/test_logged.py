"""What loggers are told: names that stay, and means by hand."""

import math

import numpy as np
import pytest

from dmt.reporting.logged import differences, logged_report, logged_sweep, summary_of
from dmt.reporting.results import Report
from dmt.reporting.sweep import SweepSummary
from tests.reporting.pictures import edited


def test_numbers_are_means_over_the_edits_where_they_are_finite():
    records = [
        {"image": "a", "psnr": 20.0, "converged": True, "stopped": "so"},
        {"image": "b", "psnr": 30.0, "converged": False, "identity": 0.5},
        {"image": "c", "psnr": math.inf, "converged": True},
    ]
    assert summary_of(records) == {
        "summary/edits": 3,
        "summary/psnr": 25,
        "summary/converged": pytest.approx(2 / 3),
        "summary/identity": 0.5,
    }


@pytest.mark.parametrize(
    ("records", "flips"),
    [
        ([{"verdict": "confirmed"}, {"verdict": "adversarial"}, {"verdict": "no"}, {"verdict": "confirmed"}], 0.5),
        ([{"probe_before": 0.1, "probe_after": 0.9}, {"probe_before": 0.6, "probe_after": 0.9}], 0.5),
        ([{"witness_before": 0.1, "witness_after": -0.9}], None),
        ([{"happy_before": 0.9, "happy_after": 0.1}], None),
    ],
)
def test_flips_are_counted_where_somebody_knows_the_target(records, flips):
    assert summary_of(records).get("summary/flips") == flips


def test_of_other_judges_it_is_counted_who_changed_sides_if_they_say_probabilities():
    records = [
        {"happy_before": 0.9, "happy_after": 0.1, "age_before": 30.0, "age_after": 60.0},
        {"happy_before": 0.1, "happy_after": 0.9, "age_before": 0.3, "age_after": 0.6},
        {"happy_before": 0.9, "happy_after": 0.8, "age_before": 30.0, "age_after": 60.0},
        {"happy_before": 0.2, "happy_after": 0.3, "age_before": 30.0, "age_after": 60.0},
    ]
    found = summary_of(records)
    assert found["summary/happy_flips"] == 0.5
    assert "summary/age_flips" not in found


def test_rows_of_tables_have_numbers_too_but_not_of_what_numbers_them():
    rows = [{"row": 7, "plan": 1, "reached": True, "price": 2.0}, {"row": 9, "plan": 1, "reached": False, "price": 4.0}]
    values = [{"age": 30}, {"age": 40}]
    told = logged_report(Report("title", [], {}, {"results": rows, "rows": values}, rows=rows))
    assert told.numbers == {"summary/edits": 2, "summary/flips": 0.5, "summary/reached": 0.5, "summary/price": 3}
    assert list(told.tables) == ["results"]


def test_edits_at_several_lambdas_are_steps_and_have_no_mean_over_all():
    images = [edited(name, edit=f"lambda {lam}", **{"lambda": lam}, psnr=psnr) for lam, name, psnr in CASES]
    told = logged_report(Report("title", images, {}))
    assert not told.numbers
    assert [(step.caption, dict(step.numbers)) for step in told.steps] == [
        ("lambda inf", {"by_lambda/edits": 2, "by_lambda/psnr": 15}),
        ("lambda 0.5", {"by_lambda/lambda": 0.5, "by_lambda/edits": 2, "by_lambda/psnr": 35}),
    ]
    assert all(step.picture is not None and step.name == "by_lambda/grid" for step in told.steps)


CASES = [(math.inf, "a", 10.0), (math.inf, "b", 20.0), (0.5, "a", 30.0), (0.5, "b", 40.0)]


def test_edits_that_differ_in_something_else_are_no_steps():
    images = [edited("a", edit=edit, **{"lambda": 0.5}) for edit in ("paper", "none")]
    assert not logged_report(Report("title", images, {})).steps


def test_a_sweep_is_a_step_for_each_lambda_apart_for_what_else_was_varied(tmp_path):
    runs = [
        ({"kernel": kernel, "lambda": lam}, [{"lambda": 1.0, "psnr": psnr}], tmp_path)
        for kernel, lam, psnr in (("rbf", "0.5", 3.0), ("rbf", "0.3", 1.0), ("[a b]", "0.3", 2.0), ("rbf", "auto", 9.0))
    ]
    grid = edited().input
    told = logged_sweep(SweepSummary(grid, [{"psnr": 1.0}], [], runs=runs))
    assert [dict(step.numbers) for step in told.steps] == [
        {"by_lambda/lambda": 0.3, "by_lambda/kernel_rbf/edits": 1, "by_lambda/kernel_rbf/psnr": 1},
        {"by_lambda/lambda": 0.3, "by_lambda/kernel_a_b/edits": 1, "by_lambda/kernel_a_b/psnr": 2},
        {"by_lambda/lambda": 0.5, "by_lambda/kernel_rbf/edits": 1, "by_lambda/kernel_rbf/psnr": 3},
    ]
    assert told.steps[0].caption == "λ 0.3 kernel=rbf"


def test_a_difference_is_grey_where_nothing_changed_and_four_times_as_large_elsewhere():
    for before, after, seen in ((0, 0, 128), (100, 110, 168), (100, 90, 88), (0, 255, 255), (255, 0, 0)):
        shown = differences(edited("a", before=before / 255, after=after / 255, side=4))
        assert shown.dtype == np.uint8
        assert np.unique(shown).tolist() == [seen]
