"""Figure 6 of the paper: the same people at smaller and smaller lambda."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import MinLen

from dmt.data import Task, to_pixels
from dmt.editing.editor import Editor
from dmt.ranges import Lambda, Seed
from dmt.reporting.grids import labelled_grid
from dmt.reporting.names import short_names
from dmt.reporting.results import Report
from dmt.studies.figures.figure import edits_by_lambda, labelled, mean_table, random_targets


@dataclass(frozen=True)
class LambdaRows:
    """A row per lambda', a column per person; the last row shows pictures of the target, drawn at random.

    Args:
        lambdas: lambda', from infinity (the input comes back) down.
        people: title of a task -> the pictures that are shown where none are asked for.
        seed: of the pictures of the target.
    """

    lambdas: Annotated[Sequence[Lambda], MinLen(1)]
    people: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seed: Seed = 0

    def __call__(self, editor: Editor, task: Task, images: Sequence[str] | int) -> Report:
        if isinstance(images, int):
            images = self.people.get(task.title) or images
        by_lambda = edits_by_lambda(editor, self.lambdas, task, images)
        edits = {name: edit.images for name, edit in by_lambda.items()}
        shown = [[to_pixels(image.result) for image in row] for row in edits.values()]
        names = short_names([image.name for image in next(iter(edits.values()))])
        targets = random_targets(next(iter(by_lambda.values())), len(names), self.seed)
        shown.append([to_pixels(picture) for picture in targets])
        grid = labelled_grid(shown, [*edits, "the target"], names)
        everyone = [image for label, row in edits.items() for image in labelled(row, label)]
        return Report(f"{task.title}\nby lambda'", everyone, {"figure": grid}, {"lambdas": mean_table(edits)})
