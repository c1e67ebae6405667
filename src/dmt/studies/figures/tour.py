"""Figure 1 of the paper: several edits of several people, and where walks and finished pictures lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Canvas
from PIL import Image

from dmt.data import Task, to_pixels
from dmt.editing.editor import Editor
from dmt.editing.places import Place
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
        maps: dict[str, list[Place]] = {}
        for name, one in self.tasks.items():
            edit = editor.edit(one, images)
            edits[name], images = edit.images, edit.data.inputs
            maps[name] = [image.place for image in edit.images if image.place is not None]
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
            "map": [row for name, places in maps.items() for row in _rows(name, places, names)],
        }
        return Report(f"a tour\n{editor.rule.title}", everyone, pictures, tables)


def _rows(task: str, places: Sequence[Place], names: Sequence[str]) -> list[Record]:
    return [
        {
            "edit": task,
            "image": name,
            "across_input": float(place.start[0]),
            "across_walk": float(place.walk[0]),
            "across_picture": float(place.picture[0]),
        }
        for name, place in zip(names, places, strict=True)
    ]


def _drawn(maps: Mapping[str, Sequence[Place]]) -> Image.Image:
    canvas = Canvas(figsize=(4.5 * len(maps), 4.5))
    for axes, (name, places) in zip(canvas.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        sets = places[0].map
        start, picture = (np.stack(ends) for ends in ([p.start for p in places], [p.picture for p in places]))
        axes.scatter(*sets.source.T, s=5, color="tab:blue", alpha=0.4, label="source")
        axes.scatter(*sets.target.T, s=5, color="tab:red", alpha=0.4, label="target")
        for place in places:
            axes.annotate("", place.walk, place.start, arrowprops={"arrowstyle": "->", "color": "black"})
        axes.scatter(*start.T, s=24, color="black", label="input", zorder=3)
        axes.scatter(*picture.T, s=28, marker="s", color="gold", edgecolor="black", label="picture", zorder=4)
        axes.set(xlabel="from source, 0, to target, 1", title=name)
        axes.set_yticks([])
    canvas.axes[0].legend(loc="best", fontsize=8)
    canvas.tight_layout()
    return drawn(canvas)
