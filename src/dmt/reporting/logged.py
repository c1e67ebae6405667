"""A report -> what every logger is told of it, under names that stay."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from torch import Tensor

from dmt.data import to_pixels
from dmt.editing.records import EditedImage, Record, mean_of_records
from dmt.judges.verdicts import HALF
from dmt.reporting.names import short_names
from dmt.reporting.results import Report, result_grid
from dmt.reporting.sweep import NUMBERED, SweepSummary
from dmt.reporting.verdict_table import did_change

SUMMARY = "summary"
BY_LAMBDA = "by_lambda"
LAMBDA = f"{BY_LAMBDA}/lambda"
RESULTS = "results"
GAIN = 4  # of a difference that is shown: most edits change few levels (ours)
GREY = 128


@dataclass(frozen=True)
class Step:
    """One lambda of several.

    Args:
        numbers: their names begin with ``by_lambda/``.
        name: of the picture.
        picture: the inputs above what became of them.
        caption: of the picture.
    """

    numbers: Mapping[str, float]
    name: str
    picture: Image.Image | None
    caption: str


@dataclass(frozen=True)
class Logged:
    """What loggers are told of a run, the same for all of them.

    Args:
        title: what was done.
        numbers: of the whole run; their names begin with ``summary/``.
        pictures: of the whole run: grids, plots.
        images: inputs with their results, for the table ``results``.
        tables: all others.
        steps: the same by lambda, where there are several.
    """

    title: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)
    images: Sequence[EditedImage] = ()
    tables: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    steps: Sequence[Step] = ()


def logged_report(report: Report) -> Logged:
    """What is told of a report; of many edits no mean over all of them, but each lambda as a step."""
    records = [image.record for image in report.images] or report.rows
    # The values of changed rows are columns of the table of results, too
    tables = {name: rows for name, rows in report.tables.items() if rows and not (report.rows and name == "rows")}
    return Logged(
        report.title,
        {} if report.is_of_many_edits else summary_of(records),
        report.pictures,
        report.images,
        tables,
        _steps_of_edits(report.images) if report.is_of_many_edits else (),
    )


def logged_sweep(sweep: SweepSummary) -> Logged:
    """What is told of a sweep: its grid, a row a run, and each lambda as a step, apart for what else was varied."""
    steps = []
    for options, records, folder in sorted(sweep.runs, key=lambda run: _number(run[0].get("lambda"))):
        if (lam := _number(options.get("lambda"))) < math.inf:
            others = [f"{name}={value}" for name, value in options.items() if name != "lambda"]
            series = "/".join([BY_LAMBDA, *map(_as_part_of_a_key, others)])
            grid = folder / "grid.png"
            picture = Image.open(grid).convert("RGB") if grid.is_file() else None
            steps.append(_step(series, lam, records, picture, " ".join([_of_lambda(lam), *others])))
    grids = {} if sweep.grid is None else {"sweep": sweep.grid}
    return Logged("sweep", {}, grids, (), {"sweep_runs": sweep.rows}, steps)


def summary_of(records: Sequence[Record]) -> dict[str, float]:
    """The numbers of edits that a sweep may optimise; docs/wandb.md lists them.

    ``summary/COLUMN`` is the mean of a column of numbers over the edits where it is finite; of a column of yes and no
    the share of yes. ``summary/edits`` is how many there are. ``summary/flips`` is the share whose class has changed,
    where somebody says so who knows which side is the target's: a verdict, ``judges=classes``, ``judges=probe``, or a
    judge that knows the task's label.
    ``summary/NAME_flips`` is the share that a judge's probability has on the other side of one half than before.

    >>> summary_of([{"psnr": 20.0, "happy_before": 0.9, "happy_after": 0.2}, {"psnr": 30.0, "stopped": "why"}])
    {'summary/edits': 2.0, 'summary/happy_flips': 1.0, 'summary/psnr': 25.0, 'summary/happy_before': 0.9, \
'summary/happy_after': 0.2}
    """
    if not records:
        return {}
    found = {"edits": float(len(records))}
    if known := [changed for record in records if (changed := did_change(record)) is not None]:
        found["flips"] = sum(known) / len(known)
    found |= _flips(records) | mean_of_records(records)
    return {f"{SUMMARY}/{key}": value for key, value in found.items() if key not in NUMBERED}


def differences(image: EditedImage) -> np.ndarray:
    """Result minus input, ``(H, W, 3)`` of uint8, four times as large around mid-grey, which is no change."""
    change = _signed(image.result) - _signed(image.input)
    return np.clip(GREY + GAIN * change, 0, 255).astype(np.uint8)


def _signed(picture: Tensor) -> np.ndarray:
    return to_pixels(picture).astype(np.int32)


def _flips(records: Sequence[Record]) -> dict[str, float]:
    """Per judge whose numbers are probabilities: the share that changed sides."""
    shares = {}
    for name in dict.fromkeys(column.removesuffix("_after") for column in records[0] if column.endswith("_after")):
        ends = [(record.get(f"{name}_before"), record.get(f"{name}_after")) for record in records]
        pairs = [(a, b) for a, b in ends if isinstance(a, int | float) and isinstance(b, int | float)]
        if pairs and name not in ("witness", "far") and all(0 <= value <= 1 for pair in pairs for value in pair):
            shares[f"{name}_flips"] = sum((a > HALF) != (b > HALF) for a, b in pairs) / len(pairs)
    return shares


def _steps_of_edits(images: Sequence[EditedImage]) -> list[Step]:
    """A step per edit, if each has one lambda and they differ in it."""
    edits: dict[str, list[EditedImage]] = {}
    for image in images:
        edits.setdefault(image.edit, []).append(image)
    lambdas = [{_number(image.record.get("lambda")) for image in edit} for edit in edits.values()]
    if any(len(values) != 1 for values in lambdas) or len(set.union(*lambdas)) != len(edits):
        return []
    return [
        _step(BY_LAMBDA, lam, [image.record for image in edit], result_grid(edit, name), name)
        for (lam,), (name, edit) in zip(lambdas, edits.items(), strict=True)
    ]


def _step(series: str, lam: float, records: Sequence[Record], picture: Image.Image | None, caption: str) -> Step:
    means = {key.replace(SUMMARY, series, 1): value for key, value in summary_of(records).items()}
    means.pop(f"{series}/lambda", None)
    return Step({**({LAMBDA: lam} if math.isfinite(lam) else {}), **means}, f"{series}/grid", picture, caption)


def _of_lambda(lam: float) -> str:
    return f"λ {lam:g}"


def _as_part_of_a_key(option: str) -> str:
    return re.sub(r"[^\w.-]+", "_", option).strip("_")


def _number(value: object) -> float:
    """A lambda as a number; infinite where it is none, as ``auto`` is."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.inf


def captions_of(images: Sequence[EditedImage]) -> list[str]:
    """Short names, with what tells several edits of one input apart."""
    names = short_names([image.name for image in images])
    return [f"{name} {image.edit}".rstrip() for name, image in zip(names, images, strict=True)]
