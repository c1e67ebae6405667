"""Figure 1 of the paper: several edits of several people, and where walks and finished pictures lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas
from PIL import Image
from torch import Tensor

from dmt.data import Task, to_pixels
from dmt.editing.editor import Edit, Editor
from dmt.editing.records import EditedImage, Record
from dmt.reporting.grids import labelled_grid
from dmt.reporting.names import short_names
from dmt.reporting.plots import drawn
from dmt.reporting.results import Report
from dmt.studies.figures.figure import labelled, mean_table, require_one_map


@dataclass(frozen=True)
class Tour:
    """A row per person; columns: the input, then one per task. And a map for each task.

    A map is linear, so that a place on it means the same everywhere (the paper's picture is a sketch): across, how far
    from the mean of the source, 0, to that of the target, 1; up, the direction at right angles to it along which the
    sets vary most. Arrows are walks, from inputs to where they end; squares are the finished pictures' own features.

    Args:
        tasks: name -> task; the first one chooses the inputs if none are given.
    """

    tasks: Mapping[str, Task]

    def __call__(self, editor: Editor, task: Task, images: Sequence[str] | int) -> Report:
        require_one_map(editor, self.tasks.values())
        edits: dict[str, list[EditedImage]] = {}
        maps: dict[str, _Map] = {}
        for name, one in self.tasks.items():
            edit = editor.edit(one, images)
            edits[name], images, maps[name] = edit.images, edit.data.inputs, _Map.of(edit)
        inputs = next(iter(edits.values()))
        rows = [
            [to_pixels(start.input), *(to_pixels(images[i].result) for images in edits.values())]
            for i, start in enumerate(inputs)
        ]
        names = short_names([image.name for image in inputs])
        grid = labelled_grid(rows, names, ["input", *edits])
        everyone = [image for name, images in edits.items() for image in labelled(images, name)]
        pictures = {"figure": grid, "map": _drawn(maps)}
        tables = {
            "tour": mean_table(edits),
            "map": [row for name, one in maps.items() for row in one.rows(name, names)],
        }
        return Report(f"a tour\n{editor.rule.title}", everyone, pictures, tables)


@dataclass(frozen=True)
class _Map:
    """Places ``(n, 2)`` on the map of a task."""

    source: np.ndarray
    target: np.ndarray
    start: np.ndarray
    walk: np.ndarray
    picture: np.ndarray

    @classmethod
    def of(cls, edit: Edit) -> "_Map":
        points = zip(edit.points, (edit.data.source, edit.data.target), strict=True)
        source, target = (_known(z[members].double()) for z, members in points)
        origin, across = source.mean(dim=0), target.mean(dim=0) - source.mean(dim=0)
        rest = torch.cat([source - origin, target - target.mean(dim=0)])
        rest = rest - (rest @ across)[:, None] * across / across.square().sum()
        up = torch.linalg.svd(rest, full_matrices=False)[2][0] / across.norm()
        plane = torch.stack([across / across.square().sum(), up], dim=1)
        places = (source, target, edit.z0, edit.z, edit.arrived)
        return cls(*(((z - origin) @ plane).numpy() for z in places))

    def rows(self, task: str, names: Sequence[str]) -> list[Record]:
        ends = {"input": self.start, "walk": self.walk, "picture": self.picture}
        return [
            {"edit": task, "image": name, **{f"across_{end}": float(place[i, 0]) for end, place in ends.items()}}
            for i, name in enumerate(names)
        ]


def _known(points: Tensor) -> Tensor:
    return points[~points.isnan().any(dim=1)]


def _drawn(maps: Mapping[str, _Map]) -> Image.Image:
    canvas = Canvas(figsize=(4.5 * len(maps), 4.5))
    for axes, (name, places) in zip(canvas.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        axes.scatter(*places.source.T, s=5, color="tab:blue", alpha=0.4, label="source")
        axes.scatter(*places.target.T, s=5, color="tab:red", alpha=0.4, label="target")
        for begin, end in zip(places.start, places.walk, strict=True):
            axes.annotate("", end, begin, arrowprops={"arrowstyle": "->", "color": "black"})
        axes.scatter(*places.start.T, s=24, color="black", label="input", zorder=3)
        axes.scatter(*places.picture.T, s=28, marker="s", color="gold", edgecolor="black", label="picture", zorder=4)
        axes.set(xlabel="from source, 0, to target, 1", title=name)
        axes.set_yticks([])
    canvas.axes[0].legend(loc="best", fontsize=8)
    canvas.tight_layout()
    return drawn(canvas)
