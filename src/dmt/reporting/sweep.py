"""The folders of a sweep -> one grid and one table of all its runs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dmt.editing.files import save_picture
from dmt.editing.records import Record, mean_of_records
from dmt.reporting.grids import labelled_grid
from dmt.reporting.names import short_names
from dmt.reporting.tables import text_table, write_table
from dmt.reporting.verdict_table import mean_verdict


@dataclass(frozen=True)
class SweepSummary:
    """All runs of a sweep together.

    Args:
        grid: inputs above, then a row per run.
        rows: per run what set it apart, then the means of its numbers.
        verdicts: per run what set it apart, then what ``dmt.reporting.verdict_table`` says of all its pictures.
        runs: per run what set it apart, its records, and its folder.
    """

    grid: Image.Image
    rows: Sequence[Record]
    verdicts: Sequence[Record]
    runs: Sequence[tuple[Mapping[str, str], Sequence[Record], Path]]

    def __str__(self) -> str:
        filled = {column for row in self.verdicts for column, cell in row.items() if cell != ""}
        return text_table([{column: row[column] for column in row if column in filled} for row in self.verdicts])


@dataclass(frozen=True)
class _Run:
    folder: Path
    number: int
    options: list[str]
    records: list[Record]

    def picture(self, key: tuple[str, str], column: str) -> np.ndarray | None:
        """The picture that a column of the record names, ``None`` if the run has no such record."""
        files = {_key(record): str(record[column]) for record in self.records}
        return np.asarray(Image.open(self.folder / files[key]).convert("RGB")) if key in files else None


def summarize_sweep(folder: Path) -> SweepSummary | None:
    """Read what the runs below a folder left, and write ``sweep.png`` and ``sweep.csv`` into it.

    Returns:
        ``None`` if there are fewer than two runs with results.
    """
    every = sorted((_read(file, folder) for file in folder.rglob("results.json")), key=lambda run: run.number)
    runs = [run for run in every if run.records]
    if len(runs) < 2:
        return None
    common = set(runs[0].options).intersection(*(run.options for run in runs))
    labels = [[option for option in run.options if option not in common] or [f"run={run.number}"] for run in runs]
    asked = [dict(map(_pair, options)) for options in labels]
    rows: list[Record] = [
        {**options, **mean_of_records(run.records), **options} for options, run in zip(asked, runs, strict=True)
    ]
    verdicts: list[Record] = [
        {**options, **mean_verdict(run.records), **options} for options, run in zip(asked, runs, strict=True)
    ]
    grid = _grid(runs, ["\n".join(options) for options in labels])
    each = [(options, run.records, run.folder) for options, run in zip(asked, runs, strict=True)]
    summary = SweepSummary(grid, rows, verdicts, each)
    save_picture(folder / "sweep.png", summary.grid)
    write_table(folder / "sweep.csv", rows)
    return summary


def _read(file: Path, folder: Path) -> _Run:
    records: list[Record] = json.loads(file.read_text(encoding="utf-8"))["images"]
    number, *options = re.split(r",(?=[^,=\[\]]+=|$)", file.parent.relative_to(folder).as_posix())
    return _Run(file.parent, int(number), [option for option in options if option], records)


def _pair(option: str) -> tuple[str, str]:
    name, _, value = option.partition("=")
    return name, value


def _key(record: Record) -> tuple[str, str]:
    return str(record["image"]), str(record.get("edit", ""))


def _grid(runs: Sequence[_Run], labels: Sequence[str]) -> Image.Image:
    keys = list(dict.fromkeys(_key(record) for run in runs for record in run.records))
    rows = [[next(filter(_is_there, (run.picture(key, "input_file") for run in runs))) for key in keys]]
    rows += [[run.picture(key, "result_file") for key in keys] for run in runs]
    side = max(picture.shape[0] for row in rows for picture in row if picture is not None)
    tiles = [[_tile(picture, side) for picture in row] for row in rows]
    names = short_names([image for image, _ in keys])
    titles = [f"{name} {edit}".rstrip() for name, (_, edit) in zip(names, keys, strict=True)]
    return labelled_grid(tiles, ["input", *labels], titles)


def _is_there(picture: np.ndarray | None) -> bool:
    return picture is not None


def _tile(picture: np.ndarray | None, side: int) -> np.ndarray:
    if picture is None:
        return np.full((side, side, 3), 255, dtype=np.uint8)
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST))
