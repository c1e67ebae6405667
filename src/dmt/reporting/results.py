"""Edited batches -> one record per image, and the files that hold them."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from dmt.data import to_pixels
from dmt.metrics import mean_absolute_change, psnr, ssim
from dmt.modules.traversal import EditedBatch
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
    """

    name: str
    before: Tensor
    after: Tensor
    record: Record


def edited_images(batches: Sequence[EditedBatch]) -> list[EditedImage]:
    """One ``EditedImage`` per input, in order; ``seconds`` is the image's share of its batch's time."""
    return [_edited_image(edited, row) for edited in batches for row in range(len(edited.batch.names))]


def _edited_image(edited: EditedBatch, row: int) -> EditedImage:
    walk, picture = edited.traversal, edited.inversion
    before, after = edited.batch.images[row].cpu(), picture.images[row].cpu()
    record: Record = {
        "image": edited.batch.names[row],
        "lambda": walk.budget,
        "witness_before": float(walk.witness_before[row]),
        "witness_after": float(walk.witness_after[row]),
        "delta": float(walk.length[row]),
        "shrinkage": float(walk.shrinkage[row]),
        "psnr": psnr(after, before),
        "ssim": ssim(after, before),
        "change": mean_absolute_change(after, before),
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
    return EditedImage(edited.batch.names[row], before, after, record)


def write_results(folder: Path, images: Sequence[EditedImage], title: str, settings: Mapping) -> None:
    """Write a PNG per image, ``grid.png``, ``results.csv`` and ``results.json``.

    Args:
        folder: an existing folder.
        images: the edits; all of one size.
        title: what the edit was, for the grid.
        settings: the resolved configuration, kept in ``results.json``.
    """
    for name, image in zip(file_names(images), images, strict=True):
        Image.fromarray(to_pixels(image.after)).save(folder / f"{name}.png")
    result_grid(images, title).save(folder / "grid.png")
    records = [image.record for image in images]
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, records[0])
        writer.writeheader()
        writer.writerows(records)
    document = _json_value({"title": title, "images": records, "settings": settings})
    (folder / "results.json").write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")


def result_grid(images: Sequence[EditedImage], title: str, per_row: int = 8) -> Image.Image:
    """Inputs above their results, ``per_row`` columns, named."""
    rows, row_labels = [], []
    for start in range(0, len(images), per_row):
        part = images[start : start + per_row]
        rows += [[to_pixels(image.before) for image in part], [to_pixels(image.after) for image in part]]
        row_labels += ["input", title]
    return labelled_grid(rows, row_labels, [image.name for image in images[:per_row]] if len(images) <= per_row else [])


def file_names(images: Sequence[EditedImage]) -> list[str]:
    """A distinct file name, without suffix, per image."""
    names: list[str] = []
    for image in images:
        stem = Path(image.name).stem or "image"
        choices = chain([stem], (f"{stem}-{number}" for number in count(2)))
        names.append(next(name for name in choices if name not in [*names, "grid"]))
    return names


def mean_record(images: Sequence[EditedImage]) -> dict[str, float]:
    """The mean of every numeric column over the images where it is finite."""
    means = {}
    for key, first in images[0].record.items():
        if isinstance(first, str):
            continue
        values = [float(image.record[key]) for image in images if math.isfinite(float(image.record[key]))]
        if values:
            means[key] = sum(values) / len(values)
    return means


def _json_value(value: Any) -> Any:
    """JSON has no infinity: such numbers become words."""
    if isinstance(value, Mapping):
        return {key: _json_value(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_json_value(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
