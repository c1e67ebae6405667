"""Tables: what Python's own CSV writer writes, and text whose columns stand below each other."""

import csv
import io

import numpy as np
import pytest

from dmt.reporting.tables import text_table, write_table

ROWS = [
    {"image": "a", "n": 3, "psnr": 0.1 + 0.2, "ok": True},
    {"image": 'with "quotes", commas', "psnr": float("inf"), "ok": False, "edit": "older\nyounger"},
    {"image": "Zoë", "n": 10**20, "psnr": float("nan"), "size": np.float64(1 / 3)},
    {"n": None, "psnr": -1e-20, "edit": ""},
]


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], [{"n": 1}, {"n": 2}], [{"psnr": 1.5}, {"word": "x"}]])
def test_a_table_is_what_the_csv_module_writes(tmp_path, rows):
    expected = io.StringIO(newline="")
    writer = csv.DictWriter(expected, list(dict.fromkeys(column for row in rows for column in row)))
    writer.writeheader()
    writer.writerows(rows)
    write_table(tmp_path / "table.csv", rows)
    assert (tmp_path / "table.csv").read_bytes() == expected.getvalue().encode()


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left")

    write_table(tmp_path / "table.csv", ROWS[:1])
    before = (tmp_path / "table.csv").read_bytes()
    monkeypatch.setattr("pandas.DataFrame.to_csv", full)
    with pytest.raises(OSError, match="no space"):
        write_table(tmp_path / "table.csv", ROWS)
    assert (tmp_path / "table.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_words_stand_at_the_left_and_numbers_at_the_right():
    table = text_table([{"image": "a", "psnr": 12.34567}, {"image": "longer", "psnr": 8.0, "n": 3}, {"n": 1234567}])
    assert table.split("\n") == [
        "image    psnr        n",
        "a       12.35",
        "longer      8        3",
        "               1234567",
    ]


def test_no_rows_are_no_text():
    assert text_table([]) == ""
