"""What a figure is: an editor, a task and inputs -> a report; and what figures share."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Protocol

import numpy as np
from torch import Tensor

from dmt.data import Confident, Task
from dmt.editing.editor import Edit, Editor
from dmt.editing.lambda_rules import FixedLambda
from dmt.editing.records import EditedImage, Record, mean_record
from dmt.errors import UserError
from dmt.manifolds import Places, SetFit
from dmt.reporting.results import Report

SHOWN = (
    "delta",
    "far_before",
    "far_after",
    "shrinkage",
    "psnr",
    "ssim",
    "change_center",
    "change_outside",
    "identity",
    "evaluations",
    "seconds",
)


class Figure(Protocol):
    """Makes a report of one or many edits."""

    def __call__(self, editor: Editor, task: Task, images: Sequence[str] | int) -> Report:
        """Edit and report.

        Args:
            editor: edits; a figure varies it.
            task: which way, unless the figure has tasks of its own.
            images: names or paths, or how many are drawn.
        """


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


def edits_by_lambda(
    editor: Editor, lambdas: Sequence[float], task: Task, images: Sequence[str] | int
) -> dict[str, Edit]:
    """Edit the same inputs with each lambda': title of the lambda -> edit.

    Raises:
        UserError: there is no lambda, or one that is none.
    """
    if not lambdas:
        raise UserError("figure.lambdas is empty; give some lambda, such as figure.lambdas=[inf,0.3,0.15]")
    edits: dict[str, Edit] = {}
    for rule in [FixedLambda(lam) for lam in lambdas]:
        edit = editor.edit(task, images, rule)
        edits[rule.title], images = edit, edit.data.inputs
    return edits


def random_targets(edit: Edit, n: int, seed: int = 0) -> list[Tensor]:
    """Pictures of the target, drawn at random, as inputs look before they are edited.

    Args:
        edit: between the sets.
        n: how many; all where there are fewer.
        seed: of the draw.
    """
    data = edit.data
    drawn = np.random.default_rng(seed).permutation(data.target)
    decoded = (data.original(data.catalog.names[i]) for i in drawn if data.decodes(int(i)))
    return list(islice(decoded, n))


def require_one_map(editor: Editor, tasks: Iterable[Task]) -> None:
    """Make sure that all inputs of a task lie on one manifold, between the same two sets.

    Raises:
        UserError: they do not.
    """
    selections = [editor.comparison.selection or task.selection or Confident() for task in tasks]
    is_local = isinstance(editor.space, SetFit) and isinstance(editor.space.manifold, Places)
    if is_local or not all(isinstance(one, Confident) for one in selections):
        raise UserError(
            "this figure shows one manifold and two sets: it needs selection=confident, and manifold=span, pca or exact"
        )
