"""Several tables -> a few rows of each changed, in words and as pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dmt.data.tables import TableTask
from dmt.editing.records import Record
from dmt.editing.table_editor import TableEditor
from dmt.ranges import Count, Lambda
from dmt.reporting.results import Report
from dmt.reporting.table_report import rows_among_sides


@dataclass(frozen=True)
class SeveralTables:
    """Edits rows of several tables.

    Args:
        editors: name -> the editor of a table.
        tasks: name -> its task.
        images: rows by number from 0; empty: ``n_images`` are drawn.
        n_images: how many rows of each are drawn.
        lam: lambda', or ``auto``: by the editors' rules.
    """

    editors: Mapping[str, TableEditor]
    tasks: Mapping[str, TableTask]
    images: Sequence[Any]
    n_images: Count
    lam: Lambda | Literal["auto"] = "auto"

    def __call__(self, trainer: Callable[..., Any], editor: Callable[[], Any], settings: Mapping[str, Any]) -> Report:
        pictures, documents, edits = {}, {}, {}
        results: list[Record] = []
        for name, one in self.editors.items():
            lam = None if self.lam == "auto" else self.lam
            edits[name] = edit = one.edit(self.tasks[name], self.images or self.n_images, lam)
            pictures[name] = rows_among_sides(edit)
            documents[f"{name}.csv"] = edit.table.to_csv(index=False).encode()
            results += [{"table": name, **record} for record in edit.records]
        return Report("rows of tables", [], pictures, {"results": results}, documents, results, edits)
