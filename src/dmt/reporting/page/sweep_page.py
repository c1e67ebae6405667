"""The runs of a sweep -> a page: a table that leads to each of them, and every input by all."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from dmt.editing.records import Record
from dmt.reporting.names import short_names
from dmt.reporting.page.content import Shown, Step
from dmt.reporting.page.display import pixels
from dmt.reporting.page.page import FILE, FILES, MOST, edits_page, say_unwritten
from dmt.reporting.page.shelves import shelf
from dmt.reporting.page.words import with_minus
from dmt.reporting.sweep import SENTENCE, SweepSummary
from dmt.storage.files import write_text

RUN = "run"  # the column that leads to a run's page
FAILED = "failed"  # what is told of above the table
CHANGES = "what would have to change"
MEANS = "means of all numbers"
ANSWER = ("classifier_after", SENTENCE)  # columns of what would have to change


def write_sweep_page(folder: Path, summary: SweepSummary, again: str = "") -> None:
    """Write ``report.html`` beside the pages of a sweep's runs; what goes wrong is a line in the log.

    Args:
        folder: of the sweep.
        summary: of its runs.
        again: the command that makes it again.
    """
    try:
        write_text(folder / FILE, sweep_page(folder, summary, again))
    except Exception as error:  # whatever it is, a page is not worth a sweep
        say_unwritten(error)


def sweep_page(folder: Path, summary: SweepSummary, again: str = "") -> str:
    """The page of a sweep; arguments as in ``write_sweep_page``."""
    pages = [_page(own, folder) for _, _, own in summary.runs]
    found = [_run_of(row, summary) for row in summary.verdicts]
    names = ["failed" if at is None else f"run {summary.runs[at][2].name.partition(',')[0]}" for at in found]
    links = ["" if at is None else pages[at] for at in found]
    rows: list[Record] = [{RUN: name, **_said(row)} for name, row in zip(names, summary.verdicts, strict=True)]
    means: list[Record] = [{**row, RUN: name} for name, row in zip(names, summary.rows, strict=True)]
    return edits_page(
        title=f"A sweep of {len(rows)} runs",
        summary=f"{len(rows) - len(summary.failed)} of them finished." if summary.failed else "",
        notes=[f"{which}: {what}" for which, what in summary.failed.items()],
        notes_title="Runs that failed",
        shown=_inputs(folder, summary, pages),
        first=shelf("The runs", rows, {RUN: links}),
        tables=[shelf(name, table) for name, table in ((CHANGES, _answers(summary)), (MEANS, means)) if table],
        again=again,
        files=[name for name in (*FILES, "sweep.png") if (folder / name).is_file()],
    )


def _answers(summary: SweepSummary) -> list[Record]:
    """What each run says of each row of a table, the runs of a row together."""
    said = [
        {**_row_of(record), **options, **{name: record.get(name, "") for name in ANSWER}}
        for options, records, _ in summary.runs
        for record in records
        if SENTENCE in record
    ]
    rows = list(dict.fromkeys(tuple(_row_of(record).items()) for record in said))
    return sorted(said, key=lambda record: rows.index(tuple(_row_of(record).items())))


def _row_of(record: Record) -> Record:
    return {name: record[name] for name in ("table", "row", "plan") if name in record}


def _run_of(row: Record, summary: SweepSummary) -> int | None:
    """Which of the runs with results a row of a table is of."""
    ways = enumerate(options for options, _, _ in summary.runs)
    return next((at for at, options in ways if all(row.get(name) == value for name, value in options.items())), None)


def _said(row: Record) -> Record:
    shown = {name: with_minus(value) if isinstance(value, str) else value for name, value in row.items()}
    return {name: value for name, value in shown.items() if value != "" and name not in (RUN, FAILED)}


def _page(run: Path, folder: Path) -> str:
    """The address of a run's page; empty where it has none."""
    page = run / FILE
    return quote(page.relative_to(folder).as_posix()) if page.is_file() else ""


def _inputs(folder: Path, summary: SweepSummary, pages: Sequence[str]) -> list[Shown]:
    """Every input with what became of it in each run."""
    steps: dict[str, list[Step]] = {}
    before: dict[str, tuple[Path, np.ndarray]] = {}
    for at in _from_weak_to_strong([options for options, _, _ in summary.runs]):
        (options, records, run), page = summary.runs[at], pages[at]
        own = ", ".join(f"{name}={value}" for name, value in options.items())
        for record in (record for record in records if "image" in record):
            name, edit = str(record["image"]), str(record.get("edit", ""))
            label = f"{own}, {edit}" if edit else own
            file = (run / str(record["file"])).relative_to(folder).as_posix()
            with suppress(OSError):  # one that is gone, or broken, is left out
                start, result = (pixels(run / str(record[which])) for which in ("input_file", "result_file"))
                before.setdefault(name, (run / str(record["input_file"]), start))
                steps.setdefault(name, []).append(Step(label, result, record, file, page))
    shorts = short_names(list(steps))
    return [
        _of_one_size(Shown(name, short, before[name][1], own, before[name][0].relative_to(folder).as_posix()))
        for (name, own), short in zip(list(steps.items())[:MOST], shorts, strict=False)
    ]


def _from_weak_to_strong(runs: Sequence[Mapping[str, object]]) -> list[int]:
    """The order in which to show runs: by falling lambda where each has one and it is a number, else as they ran."""
    try:
        strength = [-float(str(options["lambda"])) for options in runs]
    except (KeyError, ValueError):
        return list(range(len(runs)))
    return sorted(range(len(runs)), key=strength.__getitem__)


def _of_one_size(shown: Shown) -> Shown:
    """Runs may work at several sizes: all as large as the input of the first."""
    height, width = shown.before.shape[:2]

    def fitted(step: Step) -> Step:
        if step.picture.shape == shown.before.shape:
            return step
        resized = Image.fromarray(step.picture).resize((width, height), Image.Resampling.BICUBIC)
        return Step(step.label, np.asarray(resized), step.record, step.file, step.page)

    return Shown(shown.name, shown.short, shown.before, [fitted(step) for step in shown.steps], shown.file)
