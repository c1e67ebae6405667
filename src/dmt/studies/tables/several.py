"""Several tables -> a few rows of each changed, in words and as pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dmt.data.tables import TableTask
from dmt.editing.table_editor import TableEditor
from dmt.reporting.results import Report
from dmt.reporting.table_report import rows_among_sides, table_report


@dataclass(frozen=True)
class SeveralTables:
    """Edits rows of several tables.

    Args:
        editors: name -> the editor of a table.
        tasks: name -> its task.
        images: rows by number from 0; empty: ``n_images`` are drawn.
        n_images: how many rows of each are drawn.
    """

    editors: Mapping[str, TableEditor]
    tasks: Mapping[str, TableTask]
    images: Sequence[Any]
    n_images: int

    def __call__(self, trainer: Callable[..., Any], editor: Callable[[], Any], settings: Mapping[str, Any]) -> Report:
        pictures, tables, words = {}, {}, []
        for name, one in self.editors.items():
            edit = one.edit(self.tasks[name], self.images or self.n_images)
            pictures[f"{name}"] = rows_among_sides(edit)
            tables[f"{name}_results"] = table_report(edit).tables["results"]
            words += [{"table": name, "row": record["row"], "words": record["words"]} for record in edit.records]
        return Report("rows of tables", [], pictures, {"words": words, **tables})
