"""Figure 3 of the paper: the same edit without and with each regularizer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dmt.data import Task, to_pixels
from dmt.editing.editor import Editor
from dmt.editing.records import Record
from dmt.inversion.regularizers import Regularizer
from dmt.reporting.grids import labelled_grid
from dmt.reporting.names import short_names
from dmt.reporting.results import Report
from dmt.studies.figures.figure import labelled, mean_table


@dataclass(frozen=True)
class RegularizationColumns:
    """A row per person; columns: the input, then the result with each choice of regularizers.

    Args:
        choices: name -> regularizers, as the group ``regularizer`` has them.
    """

    choices: Mapping[str, Mapping[str, Regularizer]]

    def __call__(self, editor: Editor, task: Task, images: Sequence[str] | int) -> Report:
        edits = {}
        for name, regularizers in self.choices.items():
            inverter = replace(editor.inverter, regularizers=regularizers or {})
            edit = replace(editor, inverter=inverter).edit(task, images)
            edits[name], images = edit.images, edit.data.inputs
        inputs = next(iter(edits.values()))
        rows = [
            [to_pixels(start.input), *(to_pixels(images[i].result) for images in edits.values())]
            for i, start in enumerate(inputs)
        ]
        grid = labelled_grid(rows, short_names([image.name for image in inputs]), ["input", *edits])
        everyone = [image for label, row in edits.items() for image in labelled(row, label)]
        terms: list[Record] = [
            {key: value for key, value in image.record.items() if key in ("edit", "image") or "objective" in key}
            for image in everyone
        ]
        title = f"{task.title}\n{editor.rule.title}"
        return Report(title, everyone, {"figure": grid}, {"regularizers": mean_table(edits), "objective_terms": terms})
