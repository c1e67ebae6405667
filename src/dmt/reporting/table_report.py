"""Changed rows of a table -> a report: their columns, the answers in words, and each row among both sides."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from dmt.editing.records import Record
from dmt.editing.table_editor import TableEdit
from dmt.reporting.plots import drawn
from dmt.reporting.results import Report

PANELS = 6  # plans that are drawn
BARS = 6  # changes of a plan that are drawn
SOURCE, TARGET = "#d95f02", "#1b6ca8"


def table_report(edit: TableEdit) -> Report:
    """The report of an edit: ``results.csv``, ``rows.csv`` and ``rows.png``."""
    pictures = {"rows": rows_among_sides(edit)}
    return Report(edit.title, [], pictures, answers(edit), rows=edit.records, table_edits={"": edit})


def answers(edit: TableEdit) -> dict[str, list[Record]]:
    """What an edit says, and the rows as they would be: the tables ``results`` and ``rows``."""
    return {
        name: [{str(k): _plain(v) for k, v in row.items()} for row in table.to_dict("records")]
        for name, table in (("results", edit.table), ("rows", edit.after))
    }


def rows_among_sides(edit: TableEdit) -> Image.Image:
    """Each of the first plans: where the row goes among held-out rows of both sides, and what changes most."""
    shown = range(min(PANELS, len(edit.records)))
    canvas = Figure(figsize=(9.5, 2.7 * len(shown) + 0.5), layout="constrained")
    n_plans, has_several = len(edit.records), any(record["plan"] != 1 for record in edit.records)
    part = f"; the first {len(shown)} of {n_plans}" if n_plans > len(shown) else ""
    canvas.suptitle(f"{edit.title}{part}", fontsize=11)
    space = edit.ground.space
    for panel in shown:
        plane, bars = (canvas.add_subplot(len(shown), 2, 2 * panel + side) for side in (1, 2))
        place = edit.places[panel]
        for points, color, name in ((place.map.source, SOURCE, "source"), (place.map.target, TARGET, "target")):
            own = f"{name}'s rows"
            plane.scatter(points[:, 0], points[:, 1], s=9, color=color, alpha=0.35, linewidths=0, label=own)
        arrow = {"arrowstyle": "-|>", "color": "black", "lw": 1.6}
        plane.annotate("", (place.walk[0], place.walk[1]), (place.start[0], place.start[1]), arrowprops=arrow)
        plane.plot(*place.start, "o", color="white", markeredgecolor="black", label="before")
        plane.plot(*place.walk, "o", color="black", label="after")
        plan = f", plan {edit.records[panel]['plan']}" if has_several else ""
        plane.set_title(f"row {edit.records[panel]['row']}{plan}", fontsize=9)
        plane.tick_params(labelsize=7)
        if panel == 0:
            plane.legend(fontsize=7, framealpha=0.8)
        delta = edit.end[panel] - edit.start[panel]
        parts = [delta[space.owner == i] for i in range(len(space.columns))]
        sizes = np.array([np.copysign(np.linalg.norm(part), part[np.abs(part).argmax()]) for part in parts])
        largest = [i for i in (-np.abs(sizes)).argsort(kind="stable")[:BARS] if sizes[i]][::-1]
        names = [space.columns[i].name.replace("_", " ")[:28] for i in largest]
        bars.barh(range(len(largest)), sizes[largest], color="0.35")
        bars.set_yticks(range(len(largest)), names, fontsize=8)
        bars.axvline(0, color="black", lw=0.8)
        bars.tick_params(axis="x", labelsize=7)
        if panel == shown[-1]:
            plane.set_xlabel("from the source's mean, 0, to the target's, 1", fontsize=8)
            bars.set_xlabel("largest changes, in standard deviations; of a category, 1", fontsize=8)
    return drawn(canvas)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else "" if value is None else str(value)
