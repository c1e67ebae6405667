import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from dmt.data.tables import Table, TableTask
from dmt.editing import LeastChange, TableEditor
from dmt.studies.tables import SeveralTables, TableBenchmark
from dmt.studies.tables.benchmark import _duel, interval
from dmt.studies.tables.rivals import nearest_unlike, prototypes, straight_line


def test_an_interval_is_that_of_the_normal_distribution_where_rows_are_many():
    values = np.random.default_rng(0).normal(3, 2, 4000)
    low, high = interval(values, np.random.default_rng(1))
    half = norm.ppf(0.975) * values.std() / 4000**0.5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_a_straight_line_ends_where_the_classifier_is_sure():
    points, is_target = np.array([[0.0, 0], [0, 0], [2, 0], [2, 0]]), np.array([False, False, True, True])
    found = straight_line(np.array([[0.0, 5], [1, 5]]), points, is_target, lambda z: z[:, 0] / 4, 0.5)
    np.testing.assert_allclose(found, [[2, 5], [2, 5]], atol=1e-9)
    assert nearest_unlike(np.array([[0.9, 0.0]]), points, is_target).tolist() == [[2, 0]]


def test_alibis_prototypes_cross_between_two_clouds():
    pytest.importorskip("alibi", reason="needs alibi: pip install 'alibi[tensorflow]'")
    pytest.importorskip("tensorflow", reason="needs tensorflow: pip install 'alibi[tensorflow]'")
    rng = np.random.default_rng(0)
    is_target = np.arange(60) % 2 > 0
    points = rng.normal(0, 0.3, (60, 2)) + 3.0 * is_target[:, None]
    found = prototypes(points[[0, 2]], points, is_target)
    assert (found.sum(axis=1) > 2).all(), "the border between the clouds is at 3, and half of what is asked is enough"


def look(valid: float, price: float, distance: float) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).normal(0, 0.01, 100)
    both = (np.arange(100) < 100 * valid).astype(float)
    return {"both": both, "price": price + noise, "distance": distance + noise, "inside": both * 0 + 1, "inlier": both}


def test_a_duel_is_at_no_less_validity_and_an_equal_price():
    ours = {"dmt 1": look(0.8, 2, 0.5), "dmt 2": look(0.9, 3, 0.4), "dmt 3": look(0.95, 3.9, 0.1)}
    rng = np.random.default_rng(0)
    assert _duel(look(0.85, 3, 0.6), ours, rng)["ours"] == "dmt 2"
    assert _duel(look(0.85, 3, 0.6), ours, rng)["ahead"] is True
    assert _duel(look(0.85, 3, 0.3), ours, rng)["ahead"] is False
    assert _duel(look(0.99, 9, 0.3), ours, rng)["ours"] == "none so valid at this price"


@pytest.fixture
def two_clouds() -> Table:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(240, 3)).round(2), columns=["a", "b", "c"])
    rows["a"] += np.arange(240) % 2 * 4
    return Table(rows.assign(side=np.where(np.arange(240) % 2, "high", "low")), "side")


def test_the_benchmark_of_an_easy_table(two_clouds, monkeypatch):
    monkeypatch.setattr("dmt.studies.tables.benchmark.BATCH", 20)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    rule = LeastChange("classifier", first=1.0, lowest=0.003, highest=16.0)
    editor = TableEditor(table=None, rule=rule)  # type: ignore[arg-type]
    study = TableBenchmark(editor, {"easy": two_clouds}, {"easy": TableTask("high", "low")}, [0.6, 0.9], 240, 15, 5, 0)
    report = study(None, None, {})  # type: ignore[arg-type]
    methods = {row["method"]: row for row in report.tables["methods"]}
    assert methods["input"]["both"] < 0.1
    assert methods["dmt 0.9"]["both"] > 0.9
    assert methods["dmt 0.9"]["price"] > methods["dmt 0.6"]["price"]
    assert methods["dmt 0.9"]["inside_low"] <= methods["dmt 0.9"]["inside"] <= methods["dmt 0.9"]["inside_high"]
    assert [row["rival"] for row in report.tables["duels"]] == [
        "nearest unlike",
        "nearest unlike, sure",
        "straight line",
    ]
    assert report.tables["speed"][0]["ms_auto"] > 0


def test_several_tables_are_edited(two_clouds):
    study = SeveralTables({"easy": TableEditor(table=two_clouds)}, {"easy": TableTask("high", "low")}, [], 2, 0.3)
    report = study(None, None, {})  # type: ignore[arg-type]
    assert list(report.pictures) == ["easy"]
    assert [row["table"] for row in report.tables["results"]] == ["easy", "easy"]
    assert len(report.documents["easy.csv"].decode().splitlines()) == 3
