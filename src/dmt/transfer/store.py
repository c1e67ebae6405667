"""Rows about trained networks -> a CSV file that only grows, and back."""

import csv
import io
import math
import os
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from dmt.errors import UserError

Row = dict[str, str | int | float]

COLUMNS: Mapping[str, type] = {
    "treatment": str,
    "n": int,  # 0 for the bases
    "layer": str,  # name of the n-th
    "base": str,  # A or B; empty if no layers are copied from a trained network
    "target": str,
    "split": str,
    "split_seed": int,
    "images_per_class": int,
    "classes": int,
    "top1_last": float,  # percent
    "top1_best10": float,
    "train_loss": float,  # nats, with dropout
    "val_loss": float,
    "epochs": int,
    "seconds": float,
    "status": str,
    "version_torch": str,
    "version_dmt": str,
    "key": str,
}
STATUSES = ("ok", "unconverged", "saturated")


class RowStore:
    """One row per trained network; several processes may append.

    Args:
        path: of the CSV file; made by the first row.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser()

    def rows(self) -> dict[str, Row]:
        """All rows by their key, the first if there are several.

        Raises:
            UserError: the header or a row is damaged; the line is named.
        """
        if not self.path.is_file():
            return {}
        with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
            reader = csv.reader(file)
            header = next(reader, None)
            if header is not None and header != list(COLUMNS):
                raise UserError(
                    f"{self.path}, line 1: not the header of this study's rows; name another file (transfer.store=PATH)"
                )
            found: dict[str, Row] = {}
            for fields in reader:
                row = self._row(fields, reader.line_num)
                found.setdefault(str(row["key"]), row)
        return found

    def append(self, row: Row) -> None:
        """Add a row at the end; written out before this returns."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(COLUMNS))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"), self.path.open("ab", buffering=0) as file:
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
            file.write(text.getvalue().encode())
            os.fsync(file.fileno())

    def _row(self, fields: list[str], line: int) -> Row:
        try:
            row: Row = {column: kind(field) for (column, kind), field in zip(COLUMNS.items(), fields, strict=True)}
            numbers = [value for value in row.values() if isinstance(value, float)]
            if row["status"] not in STATUSES or not row["key"] or not all(map(math.isfinite, numbers)):
                raise ValueError
        except ValueError as error:
            raise UserError(
                f"{self.path}, line {line}: the row is damaged; delete this line, and its network is trained again"
            ) from error
        return row
