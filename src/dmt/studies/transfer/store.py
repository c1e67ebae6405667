"""Runs -> a CSV file that only grows, and back."""

import csv
import io
import os
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from dmt.studies.transfer.rows import COLUMNS, Run, read_rows


class RunStore:
    """One row per trained network; several processes may append.

    Args:
        path: of the CSV file; made by the first row.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser()

    def runs(self) -> dict[str, Run]:
        """All runs by their key, the first if there are several.

        Raises:
            UserError: the header or a row is damaged; the line is named.
        """
        found: dict[str, Run] = {}
        for _, run in read_rows(self.path) if self.path.is_file() else []:
            found.setdefault(run.key, run)
        return found

    def append(self, run: Run) -> None:
        """Add a row at the end; written out before this returns."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"), self.path.open("a+b", buffering=0) as file:
            if file.tell() == 0:
                writer.writeheader()
            elif not self._ends_a_line(file):
                text.write("\n")
            writer.writerow(asdict(run))
            file.write(text.getvalue().encode())
            os.fsync(file.fileno())

    def require_writable(self) -> None:
        """Find out before hours of training whether a row can be added.

        Raises:
            OSError: it cannot.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.open("ab").close()

    @staticmethod
    def _ends_a_line(file: io.FileIO) -> bool:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
