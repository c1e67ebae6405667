"""Rows of trained networks, as a study's store holds them."""

import csv

import pytest

from dmt.studies.transfer.rows import COLUMNS


@pytest.fixture
def store(tmp_path):
    """Writes rows, each a dict, and returns the file."""

    def write(rows, header=COLUMNS):
        path = tmp_path / "runs.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, header)
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write
