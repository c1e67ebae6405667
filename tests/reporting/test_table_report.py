import json

import numpy as np
import pandas as pd
import pytest

from dmt.data.tables import Table, TableTask
from dmt.editing import TableEditor
from dmt.reporting.results import write_report
from dmt.reporting.table_report import table_report


@pytest.fixture(scope="module")
def edit():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"a": rng.normal(size=80).round(2), "b": rng.normal(size=80), "when": pd.Timestamp("2020-01-01")}
    )
    rows["a"] += np.arange(80) % 2 * 3
    rows["side"] = np.where(np.arange(80) % 2, "high", "low")
    return TableEditor(table=Table(rows, "side"), plans=2).edit(TableTask("high", "low"), 4, 0.3)


def test_a_report_has_the_rows_the_results_and_a_picture(edit, tmp_path):
    report = table_report(edit)
    write_report(tmp_path, report, {"lambda": 0.3})
    rows, results = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("rows", "results"))
    assert rows["a"].tolist() == edit.after["a"].tolist()
    assert results["words"].tolist() == edit.words
    assert results["plan"].tolist() == [1, 2] * 4
    assert len(json.loads((tmp_path / "results.json").read_text())["results"]) == 8
    width, height = report.pictures["rows"].size
    assert 0.3 < width / height < 1
