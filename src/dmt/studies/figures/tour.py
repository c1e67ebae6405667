"""Figure 1 of the paper: several edits of several people, and where they lie on the manifold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from PIL import Image
from scipy.stats import gaussian_kde
from torch import Tensor

from dmt.data import Task, to_pixels
from dmt.editing.editor import Edit, Editor
from dmt.reporting.grids import labelled_grid
from dmt.reporting.names import short_names
from dmt.reporting.plots import drawn
from dmt.reporting.results import Report
from dmt.studies.figures.figure import labelled, mean_table, require_one_map

COLOURS = ("tab:red", "tab:blue", "tab:green", "tab:purple", "tab:orange")


@dataclass(frozen=True)
class Tour:
    """A row per person; columns: the input, then one per task. And a map of the manifold.

    The map is linear: the two leading directions of the differences between the tasks' target and source means, so that
    a point's place on it means the same everywhere (the paper's picture is a sketch).

    Args:
        tasks: name -> task; the first one chooses the inputs if none are given.
        dots: pictures of the catalog shown as dots.
    """

    tasks: Mapping[str, Task]
    dots: int = 1500

    def __call__(self, editor: Editor, task: Task, images: Sequence[str] | int) -> Report:
        require_one_map(editor, self.tasks.values())
        edits: dict[str, Edit] = {}
        for name, one in self.tasks.items():
            edits[name] = editor.edit(one, images)
            images = edits[name].data.inputs
        inputs = next(iter(edits.values())).images
        rows = [
            [to_pixels(start.input), *(to_pixels(edit.images[i].result) for edit in edits.values())]
            for i, start in enumerate(inputs)
        ]
        grid = labelled_grid(rows, short_names([image.name for image in inputs]), ["input", *edits])
        everyone = [image for name, edit in edits.items() for image in labelled(edit.images, name)]
        table = mean_table({name: edit.images for name, edit in edits.items()})
        pictures = {"figure": grid, "map": self._map(edits)}
        return Report(f"a tour\n{editor.rule.title}", everyone, pictures, {"tour": table})

    def _map(self, edits: Mapping[str, Edit]) -> Image.Image:
        plane = _plane([_mean_difference(edit) for edit in edits.values()])
        canvas = Canvas(figsize=(8, 6))
        axes = canvas.add_subplot()
        points = next(iter(edits.values())).points[1].double()
        present = points[~points.isnan().any(dim=1)]
        sample = present[torch.linspace(0, len(present) - 1, min(self.dots, len(present))).long()]
        axes.scatter(*_columns(sample, plane), s=3, color="0.8", label="pictures")
        for colour, (name, edit) in zip(COLOURS * len(edits), edits.items(), strict=False):
            _draw_edit(axes, name, edit, plane, colour)
        axes.set(xlabel="first direction between the sets", ylabel="second", aspect="equal")
        axes.legend(loc="best", fontsize=8)
        return drawn(canvas)


def _draw_edit(axes: Axes, name: str, edit: Edit, plane: Tensor, colour: str) -> None:
    target = edit.points[1][edit.data.target].double()
    places = np.stack(_columns(target[~target.isnan().any(dim=1)], plane))
    across, along = np.meshgrid(*(np.linspace(column.min(), column.max(), 60) for column in places))
    density = gaussian_kde(places)(np.stack([across.ravel(), along.ravel()])).reshape(across.shape)
    axes.contour(across, along, density, levels=4, colors=colour, alpha=0.5, linewidths=1)
    start, end = _columns(edit.z0, plane), _columns(edit.z, plane)
    for begin, finish in zip(zip(*start, strict=True), zip(*end, strict=True), strict=True):
        axes.annotate("", finish, begin, arrowprops={"arrowstyle": "->", "color": colour})
    axes.scatter(*start, s=18, color="black", zorder=3)
    axes.scatter(*end, s=24, color=colour, marker="^", zorder=3, label=f"{name}: target density, results")


def _columns(points: Tensor, plane: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Where points ``(n, K)`` lie on the plane: across and along, each ``(n,)``."""
    across, along = (points @ plane).T.numpy()
    return across, along


def _mean_difference(edit: Edit) -> Tensor:
    source, target = edit.points[0][edit.data.source], edit.points[1][edit.data.target]
    return target.double().nanmean(dim=0) - source.double().nanmean(dim=0)


def _plane(directions: Sequence[Tensor]) -> Tensor:
    """Two orthonormal directions ``(K, 2)`` that hold most of those given."""
    _, _, right = torch.linalg.svd(torch.stack([*directions]), full_matrices=len(directions) == 1)
    return right[:2].T
