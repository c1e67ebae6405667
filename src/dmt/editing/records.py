"""Edited batches -> one record per image, with what the judges say of it."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from dmt.data import EditData, Patch
from dmt.editing.module import EditedBatch
from dmt.editing.places import Place
from dmt.errors import UserError
from dmt.judges import Judge, OutputJudge
from dmt.judges.metrics import largest_change, mean_absolute_change, psnr, root_mean_square_change, split_change, ssim

log = logging.getLogger(__name__)

UNJUDGED = "unjudged"  # the column of what judges failed at

Record = dict[str, str | float | int | bool]


@dataclass(frozen=True)
class EditedImage:
    """One input with its result.

    Args:
        name: of the input.
        input: ``(3, H, W)`` in [0, 1], as it is shown and judged: for a photograph the part around what was edited.
        result: the same part of what became of it.
        record: what is known about the edit, one number or word per column.
        frames: pictures between the two.
        patch: the change to the photograph that the input is a part of, if it is of one.
        place: where it was and is among both sides, if that is known.
    """

    name: str
    input: Tensor
    result: Tensor
    record: Record
    frames: Sequence[Tensor] = ()
    patch: Patch | None = None
    place: Place | None = None

    @property
    def edit(self) -> str:
        """Which of several edits of its input it is; empty if there is only one."""
        return str(self.record.get("edit", ""))

    def with_columns(self, **columns: str | float | int | bool) -> "EditedImage":
        """The same with more in its record."""
        return replace(self, record={**self.record, **columns})


def edited_images(batches: Sequence[EditedBatch], data: EditData | None = None) -> list[EditedImage]:
    """One ``EditedImage`` per input, in order; ``seconds`` is the image's share of its batch's time.

    Args:
        batches: what was edited.
        data: knows the photographs that the inputs are of; ``None``: the inputs are all there is.
    """
    return [_edited_image(edited, row, data) for edited in batches for row in range(len(edited.batch.names))]


def _edited_image(edited: EditedBatch, row: int, data: EditData | None) -> EditedImage:
    walk, picture = edited.traversal, edited.inversion
    name, served = edited.batch.names[row], edited.batch.images[row].cpu()
    made = [picture.images[row].cpu(), *(frame[row].cpu() for frame in edited.frames)]
    patch = None if data is None else data.patch(name, served, made[0])
    before, (after, *frames) = (served, made) if data is None else data.shown(name, served, made)
    center, outside = split_change(after, before)
    record: Record = {
        "image": name,
        "lambda": float(walk.lam[row]),
        "witness_before": float(walk.witness_before[row]),
        "witness_after": float(walk.witness_after[row]),
        "delta": float(walk.length[row]),
        "realised": float(picture.realised[row]),
        "multiplier": float(picture.multiplier[row]),
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
        "traversal_iterations": int(walk.iterations[row]),
        "traversal_converged": walk.converged[row],
        "iterations": int(picture.solution.iterations[row]),
        "evaluations": int(picture.solution.evaluations[row]),
        "converged": picture.solution.converged[row],
        "stopped": picture.solution.reasons[row],
        "precision": picture.precision,
        "seconds": edited.seconds / len(edited.batch.names),
    }
    return EditedImage(name, before, after, record, frames, patch)


def judged(
    images: Sequence[EditedImage], judges: Mapping[str, Judge], towards: Mapping[str, bool] | None = None
) -> list[EditedImage]:
    """The same images with what the judges say of them in their records.

    Where judges know which way the task wants them to change their minds, the column ``wanted`` says it.

    A judge that fails takes nothing away: its name and what it said are in the column ``unjudged``, and a warning.
    So is a judge that says nan, unless that is its word for "no such thing here" (``may_say_nan``).

    Args:
        images: edited.
        judges: by name.
        towards: what the task says is wanted: labels -> whether the results shall have them.
    """
    before, after = [image.input for image in images], [image.result for image in images]
    columns: dict[str, np.ndarray] = {}
    missing: list[list[str]] = [[] for _ in images]
    for name, judge in judges.items():
        try:
            found = {column: np.asarray(values, float) for column, values in judge.columns(name, before, after).items()}
        except Exception as error:  # of whatever network it is
            _tell(name, _said(error), missing, range(len(images)))
            continue
        columns |= found
        unknown = np.isnan(list(found.values())).any(axis=0) if found else np.zeros(len(images), bool)
        if unknown.any() and not getattr(judge, "may_say_nan", False):
            _tell(name, "it says nan", missing, np.flatnonzero(unknown).tolist())
    told = [
        image.with_columns(
            **{column: float(values[row]) for column, values in columns.items()},
            **({UNJUDGED: "; ".join(missing[row])} if missing[row] else {}),
        )
        for row, image in enumerate(images)
    ]
    return [_with_wishes(image, judges, towards) for image in told] if towards else told


def _with_wishes(image: EditedImage, judges: Mapping[str, Judge], towards: Mapping[str, bool]) -> EditedImage:
    wishes = [
        judge.wish(name, towards, before)
        for name, judge in judges.items()
        if isinstance(judge, OutputJudge)
        and math.isfinite(before := float(image.record.get(f"{name}_before", math.nan)))
    ]
    wanted = "; ".join(str(wish) for wish in wishes if wish is not None)
    return image.with_columns(wanted=wanted) if wanted else image


def unjudged(images: Sequence[EditedImage]) -> list[str]:
    """What judges failed at, each once."""
    return list(dict.fromkeys(str(image.record[UNJUDGED]) for image in images if UNJUDGED in image.record))


def _tell(name: str, said: str, missing: Sequence[list[str]], rows: Sequence[int]) -> None:
    log.warning("the judge %s failed at %d of %d pictures: %s", name, len(rows), len(missing), said)
    for row in rows:
        missing[row].append(f"{name}: {said}")


def _said(error: Exception) -> str:
    """An error in one line."""
    words = " ".join(str(error).split())
    return words if isinstance(error, UserError) else f"{type(error).__name__}: {words}".removesuffix(": ")


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
