"""What a figure is: an editor, a task and inputs -> a report; and what figures share."""

import io
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure as Canvas
from PIL import Image

from dmt.data import Task
from dmt.editing import Editor
from dmt.reporting.results import EditedImage, Record, Report, mean_record

DOTS_PER_INCH = 110


class Figure(Protocol):
    """Makes a report of one or many edits."""

    def __call__(self, editor: Editor, task: Task, images: Sequence[str], n_images: int) -> Report:
        """Edit and report.

        Args:
            editor: edits; a figure varies it.
            task: which way, unless the figure has tasks of its own.
            images: names or paths; empty: ``n_images`` are chosen.
            n_images: how many.
        """


def drawn(canvas: Canvas) -> Image.Image:
    """A matplotlib figure as a picture."""
    file = io.BytesIO()
    canvas.savefig(file, dpi=DOTS_PER_INCH, format="png", bbox_inches="tight")
    return Image.open(file).convert("RGB")


def labelled(images: Sequence[EditedImage], edit: str) -> list[EditedImage]:
    """The images with the name of their edit in their records."""
    return [image.with_columns(edit=edit) for image in images]


def mean_table(edits: Mapping[str, Sequence[EditedImage]]) -> list[Record]:
    """One row of means per edit: what it changed where, what the judges say, what it cost."""
    rows: list[Record] = []
    for name, images in edits.items():
        means = mean_record(images)
        columns = [column for column in means if column in SHOWN or column.endswith(("_before", "_after"))]
        rows.append({"edit": name, **{column: means[column] for column in columns}})
    return rows


SHOWN = (
    "delta",
    "shrinkage",
    "psnr",
    "ssim",
    "change_center",
    "change_outside",
    "identity",
    "evaluations",
    "seconds",
)


def share(flags: np.ndarray) -> float:
    """How many of them are true, 0 ... 1."""
    return float(np.mean(flags))
