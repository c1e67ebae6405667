"""A report -> the page that shows it."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from dmt.editing.files import Saved
from dmt.editing.records import Record
from dmt.reporting.page.content import Shown, ShownRow, shown_images, shown_rows, spelt
from dmt.reporting.page.display import Display, change_map, displays, shrunk
from dmt.reporting.page.drawing import Drawn, drawn
from dmt.reporting.page.shelves import Shelf, cell, shelf
from dmt.reporting.page.templates import rendered
from dmt.reporting.page.words import summary, with_signs
from dmt.reporting.results import Report
from dmt.reporting.verdict_table import notes, verdict_rows
from dmt.storage.files import write_text

log = logging.getLogger(__name__)

FILE = "report.html"
MOST = 100  # inputs, or rows, that a page shows one by one
FIRST = 8  # changes of a row that are not folded away
THUMBNAIL = 128  # pixels
FILES = ("results.csv", "results.json", "rows.csv", "sweep.csv", "config.yaml", "log.txt")  # that a page may lead to
ROWS = ("results", "rows")  # tables that rows one by one say more of
ELSEWHERE = ("words", "input_file", "result_file", "file")  # columns that the page shows in its own way

View = dict[str, Any]
"""What a template asks for."""


def write_page(
    folder: Path,
    report: Report,
    saved: Sequence[Saved] = (),
    again: str = "",
    warned: Sequence[str] = (),
    told: Sequence[str] = (),
) -> None:
    """Write ``report.html`` beside a run's results; whatever goes wrong is a line in the log, and loses nothing.

    Args:
        folder: of the run, with the report's files.
        report: what the run shows and tells.
        saved: where its images lie, as ``write_report`` returns it; empty: nowhere.
        again: the command that makes it again; empty: none is shown.
        warned: what the run had to say of its results.
        told: what else it had to say.
    """
    try:
        tables, pictures = [f"{name}.csv" for name in report.tables], [f"{name}.png" for name in report.pictures]
        files = dict.fromkeys([*FILES, *tables, *pictures, *report.documents])
        there = [name for name in files if (folder / name).is_file()]
        write_text(folder / FILE, page_of(report, saved, again, warned, told, there))
    except Exception as error:  # whatever it is, a page is not worth a run
        say_unwritten(error)


def where_to_look(folder: Path, files: str) -> str:
    """The last line of a run: the page to open, if there is one, and what else lies in its folder.

    Args:
        folder: of the run.
        files: what lies there, in words.
    """
    page = folder.absolute() / FILE
    return f"open {page} (beside it: {files})" if page.is_file() else f"{files} are in {folder}"


def say_unwritten(error: Exception) -> None:
    """Log in a line that there is no page, and that nothing else is missing."""
    why = " ".join(f"{type(error).__name__}: {error}".split())
    log.warning("%s could not be written, all results were (%s)", FILE, why)


def page_of(
    report: Report,
    saved: Sequence[Saved] = (),
    again: str = "",
    warned: Sequence[str] = (),
    told: Sequence[str] = (),
    files: Sequence[str] = (),
) -> str:
    """A report as a page; arguments as in ``write_page``, and ``files``: names of what lies beside it."""
    shown = shown_images(report.images, saved)
    wholes = {name: np.asarray(picture) for name, picture in report.pictures.items() if _is_shown(name, report)}
    tables = {name: rows for name, rows in report.tables.items() if not (report.table_edits and name in ROWS)}
    if len(report.images) > 1:
        tables = {"all pictures": verdict_rows(report.images), **tables}
    return edits_page(
        title=report.title,
        summary=_summary(report),
        notes=_notes(report, warned),
        told=told,
        shown=shown,
        rows=[row for name, edit in report.table_edits.items() for row in shown_rows(edit, name)],
        wholes=wholes,
        are_wholes_first=report.is_of_many_edits,
        tables=[shelf(name.replace("_", " "), rows) for name, rows in tables.items() if rows],
        again=again,
        files=files,
    )


def edits_page(
    *,
    title: str,
    summary: str = "",
    notes: Sequence[str] = (),
    notes_title: str = "Check these results",
    told: Sequence[str] = (),
    shown: Sequence[Shown] = (),
    rows: Sequence[ShownRow] = (),
    wholes: Mapping[str, np.ndarray] | None = None,
    are_wholes_first: bool = False,
    first: Shelf | None = None,
    tables: Sequence[Shelf] = (),
    again: str = "",
    files: Sequence[str] = (),
) -> str:
    """A page of pictures or rows one by one, pictures of the whole, tables, and a command.

    Args:
        title: what was done; its first line is the largest.
        summary: a sentence below it.
        notes: what one should know before one looks, a line each.
        notes_title: what they are about.
        told: what else there is to say, below all else.
        shown: inputs with their results.
        rows: changed rows of a table.
        wholes: file name without suffix -> picture ``(H, W, 3)`` of uint8.
        are_wholes_first: whether these stand above the inputs, not below.
        first: a table above all pictures.
        tables: those below them.
        again: the command that makes it again.
        files: names of what lies beside the page.
    """
    head, _, rest = with_signs(title).partition("\n")
    left_out = max(len(shown), len(rows)) - MOST
    shown, rows, wholes = shown[:MOST], rows[:MOST], wholes or {}
    maps, places = drawn([*(one.place for one in shown), *(row.place for row in rows)])
    pictures, whole = _displayed(shown, wholes)
    return rendered(
        "report.html.jinja",
        title=head[:1].upper() + head[1:] if head.partition(" ")[0].rstrip(",").isalpha() else head,
        subtitle=rest.replace("\n", ", "),
        summary=summary,
        notes=_sentences(notes),
        notes_title=notes_title,
        told=_sentences(told),
        thumbnails=[
            {"name": one.short, "pair": [Display.of(each, THUMBNAIL) for each in (one.before, one.last.picture)]}
            for one in shown
        ],
        first=first,
        pictures=[{**view, "place": place} for view, place in zip(pictures, places, strict=False)],
        rows=[_row_view(row, place) for row, place in zip(rows, places[len(shown) :], strict=True)],
        are_wholes_first=are_wholes_first,
        left_out=f"{left_out} more are in results.csv." if left_out > 0 else "",
        wholes=[{"name": name, "link": quote(f"{name}.png"), "shown": one} for name, one in whole.items()],
        tables=tables,
        maps=maps,
        again=again,
        files=[{"name": name, "link": quote(name)} for name in files],
    )


def _displayed(shown: Sequence[Shown], wholes: Mapping[str, np.ndarray]) -> tuple[list[View], dict[str, Display]]:
    """All pictures of a page, as large as they fit into it together."""
    pictures = list(wholes.values())
    for one in shown:
        before, *after = (shrunk(picture) for picture in (one.before, *(step.picture for step in one.steps)))
        pictures += [before, *after]
        pictures += [change_map(before, each) for each, step in zip(after, one.steps, strict=True) if step.record]
    found = iter(displays(pictures))
    whole = {name: next(found) for name in wholes}
    views = []
    for one in shown:
        start, ends = next(found), [next(found) for _ in one.steps]
        change = [next(found) if step.record else None for step in one.steps]
        steps = [
            {
                "step": step,
                "after": its,
                "change": where,
                "words": step.words,
                "numbers": _numbers(step.record),
            }
            for step, its, where in zip(one.steps, ends, change, strict=True)
        ]
        views.append({"one": one, "before": start, "steps": steps})
    return views, whole


def _row_view(row: ShownRow, place: Drawn | None) -> View:
    moved = [change for change in row.changes if change.is_one]
    stays = [(change.column, change.before) for change in row.changes if not change.is_one]
    return {
        "row": row,
        "place": place,
        "first": moved[:FIRST],
        "others": moved[FIRST:],
        "stays": stays,
        "numbers": _numbers(row.record),
    }


def _numbers(record: Record) -> list[tuple[str, str]]:
    return [(name, cell(value).text) for name, value in record.items() if name not in ELSEWHERE]


def _is_shown(name: str, report: Report) -> bool:
    """Whether a picture of the whole says more than the page itself does."""
    return not (name == "grid" and report.images) and not report.table_edits


def _summary(report: Report) -> str:
    if report.table_edits:
        said = [f"{spelt(name)}: {edit.summary}" if name else edit.summary for name, edit in report.table_edits.items()]
        return " ".join(line[:1].upper() + line[1:] for line in said)
    return "" if report.is_of_many_edits else summary([image.record for image in report.images])


def _notes(report: Report, warned: Sequence[str]) -> list[str]:
    own = [] if report.is_of_many_edits else notes(report.images)
    return list(dict.fromkeys([*own, *warned]))


def _sentences(lines: Iterable[str]) -> list[str]:
    return [f"{line[:1].upper()}{line[1:]}".removesuffix(".") + "." for line in lines]
