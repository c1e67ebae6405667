"""Rows of tables: a few edits to look at, and the benchmark against other makers of counterfactuals."""

from dmt.studies.tables.benchmark import TableBenchmark
from dmt.studies.tables.several import SeveralTables

__all__ = ["SeveralTables", "TableBenchmark"]
