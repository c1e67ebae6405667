"""What a run shows and tells -> the files that hold it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from dmt.data import to_pixels
from dmt.editing.files import Saved, file_names, save_images, save_picture
from dmt.editing.records import EditedImage, Record
from dmt.editing.table_editor import TableEdit
from dmt.reporting.animation import write_animation
from dmt.reporting.grids import labelled_grid, stacked
from dmt.reporting.names import short_names
from dmt.reporting.tables import write_table
from dmt.storage.files import replacing, write_text


@dataclass(frozen=True)
class Report:
    """What a run shows and tells.

    Args:
        title: what was done.
        images: every input with its result; a column ``edit`` tells several edits of one input apart.
        pictures: file name without suffix -> a picture of the whole: a grid, a plot.
        tables: file name without suffix -> rows that are not about one image each.
        documents: file name -> content: a picture for print, say.
        rows: what is known of each row of a table that was edited, as images have their records.
        table_edits: name of a table -> its changed rows, which the page shows one by one.
    """

    title: str
    images: Sequence[EditedImage]
    pictures: Mapping[str, Image.Image]
    tables: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    documents: Mapping[str, bytes] = field(default_factory=dict)
    rows: Sequence[Record] = ()
    table_edits: Mapping[str, TableEdit] = field(default_factory=dict)

    @property
    def is_of_many_edits(self) -> bool:
        """Whether the images are of several edits, so that a mean over all of them means nothing."""
        return any(image.edit for image in self.images)

    @classmethod
    def of_edit(cls, title: str, images: Sequence[EditedImage]) -> "Report":
        """The report of one edit: its grid."""
        return cls(title, images, {"grid": result_grid(images, title)})


def write_report(folder: Path, report: Report, settings: Mapping, mark: bool = True) -> list[Saved]:
    """Write every image (``save_images``), the report's pictures, tables and documents, ``results.csv`` and ``.json``.

    Every file is written whole or not at all, first what took longest to make.

    Args:
        folder: an existing folder.
        report: what to write.
        settings: the resolved configuration, kept in ``results.json``.
        mark: whether photographs say in their metadata that they were altered.

    Returns:
        Where each image lies.

    Raises:
        OSError: a file cannot be written.
    """
    saved = save_images(folder, report.images, report.pictures, mark)
    records = [
        {**image.record, "input_file": files.before, "result_file": files.after, "file": files.file}
        for files, image in zip(saved, report.images, strict=True)
    ]
    for name, rows in {**({"results": records} if records else {}), **report.tables}.items():
        write_table(folder / f"{name}.csv", rows)
    document = _json_value({"title": report.title, "images": records, **report.tables, "settings": settings})
    write_text(folder / "results.json", json.dumps(document, indent=1, allow_nan=False))
    for name, picture in report.pictures.items():
        save_picture(folder / f"{name}.png", picture)
    for name, content in report.documents.items():
        with replacing(folder / name) as partial:
            partial.write_bytes(content)
    return saved


def write_films(folder: Path, report: Report, saved: Sequence[Saved], animation: str) -> None:
    """Write a film per image of its way, beside it.

    Args:
        folder: where the report is written.
        report: of edits with frames.
        saved: where its images lie.
        animation: ``gif`` or ``mp4``.

    Raises:
        OSError: a film cannot be written.
    """
    whole = {files.file for files in saved}
    for name, image in zip(file_names(report.images, report.pictures), report.images, strict=True):
        way = [to_pixels(picture) for picture in (image.input, *image.frames, image.result)]
        film = f"{name}.{animation}"
        write_animation(way, folder / (f"{name}_film.{animation}" if film in whole else film))  # of a GIF


def result_grid(images: Sequence[EditedImage], title: str, per_row: int = 8) -> Image.Image:
    """Inputs above their results, ``per_row`` columns, each below its name."""
    names = short_names([image.name for image in images])
    parts = [slice(start, start + per_row) for start in range(0, len(images), per_row)]
    return stacked([_pairs(images[part], names[part], title) for part in parts])


def _pairs(images: Sequence[EditedImage], names: Sequence[str], title: str) -> Image.Image:
    rows = [[to_pixels(image.input) for image in images], [to_pixels(image.result) for image in images]]
    return labelled_grid(rows, ["input", title], names)


def _json_value(value: Any) -> Any:
    """JSON has no infinity: such numbers become words."""
    if isinstance(value, Mapping):
        return {key: _json_value(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
