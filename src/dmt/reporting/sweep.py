"""The folders of a sweep -> one grid and one table of all its runs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dmt.editing.files import save_picture
from dmt.editing.records import Record, mean_of_records
from dmt.reporting.grids import labelled_grid
from dmt.reporting.names import short_names
from dmt.reporting.tables import text_table, write_table
from dmt.reporting.verdict_table import mean_verdict
from dmt.storage.files import write_text

OUTCOME = "job.json"  # in the folder of each job: how it ended
SENTENCE = "words"  # the column of rows of tables that says what would have to change
NUMBERED = ("row", "plan")  # columns that tell edits apart and measure nothing


@dataclass(frozen=True)
class SweepSummary:
    """All runs of a sweep together.

    Args:
        grid: inputs above, then a row per run; ``None``: no run has pictures.
        rows: per run what set it apart, then the means of its numbers; of a failed one what it said.
        verdicts: per run what set it apart, then what ``dmt.reporting.verdict_table`` says of all its pictures.
        failed: what set each failed run apart -> what it said.
        runs: per run with results what set it apart, its records, of pictures or of rows of tables, and its folder.
    """

    grid: Image.Image | None
    rows: Sequence[Record]
    verdicts: Sequence[Record]
    failed: Mapping[str, str] = field(default_factory=dict)
    runs: Sequence[tuple[Mapping[str, str], Sequence[Record], Path]] = ()

    def __str__(self) -> str:
        filled = dict.fromkeys(column for row in self.verdicts for column, cell in row.items() if cell != "")
        return text_table([{column: row.get(column, "") for column in filled} for row in self.verdicts])


@dataclass(frozen=True)
class _Run:
    folder: Path
    number: int
    options: list[str]
    records: list[Record]
    rows: list[Record]
    failed: str

    @property
    def told(self) -> list[Record]:
        """What is known of its edits, of pictures or of rows of tables."""
        return self.records or self.rows

    def picture(self, key: tuple[str, str], column: str) -> np.ndarray | None:
        """The picture that a column of the record names, ``None`` if the run has no such record."""
        files = {_key(record): str(record[column]) for record in self.records}
        return np.asarray(Image.open(self.folder / files[key]).convert("RGB")) if key in files else None


def note_outcome(folder: Path, failed: str) -> None:
    """Keep how a job ended, beside its results.

    Args:
        folder: of the job.
        failed: what it said; empty: it did not fail.

    Raises:
        OSError: the folder cannot be written.
    """
    write_text(folder / OUTCOME, json.dumps({"failed": failed}))


def summarize_sweep(folder: Path, least: int = 2) -> SweepSummary | None:
    """Read what the runs below a folder left, and write ``sweep.png`` and ``sweep.csv`` into it.

    Args:
        folder: of the sweep.
        least: how many runs with results it takes to make a summary, where none failed.

    Returns:
        ``None`` if there are fewer.
    """
    files = [*folder.rglob("results.json"), *folder.rglob(OUTCOME)]
    every = sorted((_read(place, folder) for place in {file.parent for file in files}), key=lambda run: run.number)
    has_failed = any(run.failed for run in every)
    runs = every if has_failed else [run for run in every if run.told]
    if len(runs) < least and not has_failed:
        return None
    common = set(runs[0].options).intersection(*(run.options for run in runs)) if len(runs) > 1 else set()
    labels = [[option for option in run.options if option not in common] or [f"run={run.number}"] for run in runs]
    asked = [dict(map(_pair, options)) for options in labels]
    marks: list[Record] = [{"failed": run.failed} if has_failed else {} for run in runs]
    rows: list[Record] = []
    verdicts: list[Record] = []
    for options, run, mark in zip(asked, runs, marks, strict=True):
        means = {name: mean for name, mean in mean_of_records(run.told).items() if name not in NUMBERED}
        rows.append({**options, **means, **options, **mark})
        verdicts.append({**options, **(mean_verdict(run.told) if run.told else {}), **options, **mark})
    shown = [(run, "\n".join(options)) for run, options in zip(runs, labels, strict=True) if run.records]
    grid = _grid([run for run, _ in shown], [label for _, label in shown]) if shown else None
    failed = {f"job {run.number} ({', '.join(own)})": run.failed
              for run, own in zip(runs, labels, strict=True) if run.failed}  # fmt: skip
    write_table(folder / "sweep.csv", rows)
    if grid is not None:
        save_picture(folder / "sweep.png", grid)
    each = [(options, run.told, run.folder) for options, run in zip(asked, runs, strict=True) if run.told]
    return SweepSummary(grid, rows, verdicts, failed, each)


def _read(place: Path, folder: Path) -> _Run:
    number, *options = re.split(r",(?=[^,=\[\]]+=|$)", place.relative_to(folder).as_posix())
    content = _content(place / "results.json")
    rows = [row for row in content.get("results", []) if SENTENCE in row]
    failed = str(_content(place / OUTCOME).get("failed", ""))
    return _Run(place, int(number), [option for option in options if option], content.get("images", []), rows, failed)


def _content(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


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
