"""Edited batches -> one record per image, and the files that hold them."""

import csv
import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from dmt.data import to_pixels
from dmt.judges import Judge
from dmt.metrics import largest_change, mean_absolute_change, psnr, root_mean_square_change, split_change, ssim
from dmt.modules import EditedBatch
from dmt.reporting.animation import write_animation
from dmt.reporting.grids import labelled_grid

Record = dict[str, str | float | int | bool]


@dataclass(frozen=True)
class EditedImage:
    """One input with its result.

    Args:
        name: of the input.
        before: ``(3, H, W)`` in [0, 1].
        after: the result.
        record: what is known about the edit, one number or word per column.
        frames: pictures between the two.
    """

    name: str
    before: Tensor
    after: Tensor
    record: Record
    frames: Sequence[Tensor] = ()

    @property
    def edit(self) -> str:
        """Which of several edits of its input it is; empty if there is only one."""
        return str(self.record.get("edit", ""))

    def with_columns(self, **columns: str | float | int | bool) -> "EditedImage":
        """The same with more in its record."""
        return replace(self, record={**self.record, **columns})


Placed = Callable[[str, Tensor, Sequence[Tensor]], tuple[Tensor, list[Tensor]]]
"""Name, picture that was served and what became of it -> the same for the picture that was asked for."""


def _as_they_are(name: str, before: Tensor, after: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    return before, list(after)


def edited_images(batches: Sequence[EditedBatch], placed: Placed = _as_they_are) -> list[EditedImage]:
    """One ``EditedImage`` per input, in order; ``seconds`` is the image's share of its batch's time."""
    return [_edited_image(edited, row, placed) for edited in batches for row in range(len(edited.batch.names))]


def _edited_image(edited: EditedBatch, row: int, placed: Placed) -> EditedImage:
    walk, picture = edited.traversal, edited.inversion
    made = [picture.images[row].cpu(), *(frame[row].cpu() for frame in edited.frames)]
    before, (after, *frames) = placed(edited.batch.names[row], edited.batch.images[row].cpu(), made)
    center, outside = split_change(after, before)
    record: Record = {
        "image": edited.batch.names[row],
        "lambda": float(walk.budget[row]),
        "witness_before": float(walk.witness_before[row]),
        "witness_after": float(walk.witness_after[row]),
        "delta": float(walk.length[row]),
        "shrinkage": float(walk.shrinkage[row]),
        "psnr": psnr(after, before),
        "ssim": ssim(after, before),
        "change": mean_absolute_change(after, before),
        "change_rms": root_mean_square_change(after, before),
        "change_largest": largest_change(after, before),
        "change_center": center,
        "change_outside": outside,
        "objective": float(picture.solution.objective[row]),
        **{f"objective_{name}": float(values[row]) for name, values in picture.terms.items()},
        "traversal_iterations": int(walk.solution.iterations[row]),
        "traversal_converged": walk.solution.converged[row],
        "iterations": int(picture.solution.iterations[row]),
        "evaluations": int(picture.solution.evaluations[row]),
        "converged": picture.solution.converged[row],
        "stopped": picture.solution.reasons[row],
        "seconds": edited.seconds / len(edited.batch.names),
    }
    return EditedImage(edited.batch.names[row], before, after, record, frames)


def judged(images: Sequence[EditedImage], judges: Mapping[str, Judge]) -> list[EditedImage]:
    """The same images with what the judges say of them in their records."""
    before, after = [image.before for image in images], [image.after for image in images]
    columns = {
        column: values
        for name, judge in judges.items()
        for column, values in judge.columns(name, before, after).items()
    }
    return [
        image.with_columns(**{column: float(values[row]) for column, values in columns.items()})
        for row, image in enumerate(images)
    ]


@dataclass(frozen=True)
class Report:
    """What a run shows and tells.

    Args:
        title: what was done.
        images: every input with its result; a column ``edit`` tells several edits of one input apart.
        pictures: file name without suffix -> a picture of the whole: a grid, a plot.
        tables: file name without suffix -> rows that are not about one image each.
        documents: file name -> content: a picture for print, say.
    """

    title: str
    images: Sequence[EditedImage]
    pictures: Mapping[str, Image.Image]
    tables: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    documents: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def is_of_many_edits(self) -> bool:
        """Whether the images are of several edits, so that a mean over all of them means nothing."""
        return any(image.edit for image in self.images)

    @classmethod
    def of_edit(cls, title: str, images: Sequence[EditedImage]) -> "Report":
        """The report of one edit: its grid."""
        return cls(title, images, {"grid": result_grid(images, title)})


def write_report(folder: Path, report: Report, settings: Mapping, animation: str = "none") -> None:
    """Write a PNG per image, ``inputs/``, the report's pictures, tables and documents, ``results.csv`` and ``.json``.

    Args:
        folder: an existing folder.
        report: what to write.
        settings: the resolved configuration, kept in ``results.json``.
        animation: ``none``, or ``gif`` or ``mp4``: a film per image of its way, beside its PNG.
    """
    names = file_names(report.images, taken=report.pictures)
    inputs = {image.name: image for image in report.images}
    input_files = dict(zip(inputs, input_names(list(inputs)), strict=True))
    if inputs:
        (folder / "inputs").mkdir(exist_ok=True)
    for name, image in inputs.items():
        Image.fromarray(to_pixels(image.before)).save(folder / input_files[name])
    for name, image in zip(names, report.images, strict=True):
        Image.fromarray(to_pixels(image.after)).save(folder / f"{name}.png")
    for name, picture in report.pictures.items():
        picture.save(folder / f"{name}.png")
    for name, content in report.documents.items():
        (folder / name).write_bytes(content)
    records = [
        {**image.record, "input_file": input_files[image.name], "file": f"{name}.png"}
        for name, image in zip(names, report.images, strict=True)
    ]
    for name, rows in {**({"results": records} if records else {}), **report.tables}.items():
        write_table(folder / f"{name}.csv", rows)
    document = _json_value({"title": report.title, "images": records, **report.tables, "settings": settings})
    (folder / "results.json").write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")
    if animation != "none":
        for name, image in zip(names, report.images, strict=True):
            way = [to_pixels(picture) for picture in (image.before, *image.frames, image.after)]
            write_animation(way, folder / f"{name}.{animation}")


def write_table(path: Path, rows: Sequence[Record]) -> None:
    """Write rows as CSV; a column that a row lacks stays empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def text_table(rows: Sequence[Record]) -> str:
    """Rows as aligned text, numbers to four digits."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, *([_in_words(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _in_words(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def result_grid(images: Sequence[EditedImage], title: str, per_row: int = 8) -> Image.Image:
    """Inputs above their results, ``per_row`` columns, named."""
    rows, row_labels = [], []
    for start in range(0, len(images), per_row):
        part = images[start : start + per_row]
        rows += [[to_pixels(image.before) for image in part], [to_pixels(image.after) for image in part]]
        row_labels += ["input", title]
    return labelled_grid(rows, row_labels, [image.name for image in images[:per_row]] if len(images) <= per_row else [])


def file_names(images: Sequence[EditedImage], taken: Collection[str] = ()) -> list[str]:
    """A distinct file name, without suffix, per image, none of them ``taken``; the column ``edit`` is part of it."""
    stems = []
    for image in images:
        words = [Path(image.name).stem or "image", image.edit]
        stems.append("_".join(re.sub(r"[^\w.+-]+", "_", word).strip("_") for word in words if word))
    return _distinct(stems, taken)


def input_names(names: Sequence[str]) -> list[str]:
    """Where the inputs of these names are kept below the folder of a run, all different."""
    return [f"inputs/{stem}.png" for stem in _distinct([Path(name).stem or "image" for name in names])]


def _distinct(stems: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    names: list[str] = []
    for stem in stems:
        choices = chain([stem], (f"{stem}-{number}" for number in count(2)))
        names.append(next(name for name in choices if name not in [*names, *taken]))
    return names


def mean_record(images: Sequence[EditedImage]) -> dict[str, float]:
    """The mean of every numeric column over the images where it is finite."""
    return mean_of_records([image.record for image in images])


def mean_of_records(records: Sequence[Record]) -> dict[str, float]:
    """The mean of every numeric column over the records where it is finite."""
    means = {}
    for key in dict.fromkeys(key for record in records for key in record):
        column = [record[key] for record in records if key in record]
        values = [float(value) for value in column if not isinstance(value, str) and math.isfinite(value)]
        if values:
            means[key] = sum(values) / len(values)
    return means


def _json_value(value: Any) -> Any:
    """JSON has no infinity: such numbers become words."""
    if isinstance(value, Mapping):
        return {key: _json_value(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
