"""A benchmark's findings -> a folder with a page that can be read anywhere, its plots, and its tables as CSV."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dmt.editing.records import Record
from dmt.reporting.tables import write_table
from dmt.storage.files import write_text
from dmt.studies.benchmark.measures import known_first, measure
from dmt.studies.benchmark.plots import curves_plot
from dmt.studies.benchmark.statistics import LEVEL, NEEDED, SEED
from dmt.studies.benchmark.tables import REFERENCE, Findings, lambda_text, markdown, value_text

PAGES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)


class Entry(NamedTuple):
    """What stands in one place of a table on the page."""

    text: str
    below: Sequence[str] = ()
    best: bool = False


class Shown(NamedTuple):
    """A table on the page; a row is its name and its entries."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Entry]]]


def write_page(
    folder: Path,
    findings: Findings,
    *,
    title: str,
    date: str,
    measured: Mapping[str, str],
    sheets: Mapping[str, str],
) -> Path:
    """Write ``index.html``, a plot per case, ``headline.md``, and ``headline``, ``differences`` and ``curves`` as CSV.

    Args:
        folder: is made if it is missing.
        findings: what to show.
        title: of the page.
        date: of the measurement, as it is shown.
        measured: machine, versions, settings: name -> value.
        sheets: pictures that lie in the folder: file name -> caption.

    Returns:
        The page.
    """
    curves = findings.curves
    plots = {}
    folder.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(dict.fromkeys(curve.case for curve in curves), 1):
        plots[case] = f"curves-{number}-{re.sub(r'[^a-z0-9]+', '-', case.lower()).strip('-')}.png"
        plot = curves_plot([curve for curve in curves if curve.case == case], resamples=findings.resamples)
        plot.save(folder / plots[case])
    write_table(folder / "headline.csv", findings.headline)
    write_table(folder / "differences.csv", findings.differences)
    write_table(folder / "curves.csv", findings.points)
    write_text(folder / "headline.md", markdown(findings.headline, findings.headline_measures))
    names = known_first(dict.fromkeys(name for curve in curves for name in curve.measures))
    page = PAGES.get_template("page.html.jinja").render(
        title=title,
        date=date,
        measured=measured,
        failed=sum(int(curve.failed.sum()) for curve in curves),
        edits=sum(curve.failed.size for curve in curves),
        headline=_tables(findings.headline, partial(_headline, findings.headline_measures)),
        differences=_tables(findings.differences, _differences),
        points=_points(findings.points, names),
        plots=plots,
        sheets=sheets,
        meanings={measure(name).title: measure(name).definition for name in names},
        reference=REFERENCE,
        resamples=findings.resamples,
        seed=SEED,
        level=f"{LEVEL:.0%}",
        needed=f"{NEEDED:.0%}",
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def _tables(rows: Sequence[Record], shown: Callable[[str, list[Record]], Shown]) -> list[Shown]:
    """A table for each case and flip rate, whose rows lie together."""
    groups = groupby(rows, lambda row: (row["case"], float(row["rate"])))
    return [shown(f"{case}, {rate:.0%} flipped", list(members)) for (case, rate), members in groups]


def _headline(names: Sequence[str], caption: str, rows: Sequence[Record]) -> Shown:
    body = []
    for row in rows:
        best = str(row["best"]).split()
        values = [_entry(value_text(row, name, measure(name).shape), best=name in best) for name in names]
        body.append((str(row["method"]), [Entry(f"{row['failed']} of {row['n']}"), _entry(lambda_text(row)), *values]))
    return Shown(caption, ["method", "failed", "lambda", *(measure(name).title for name in names)], body)


def _differences(caption: str, rows: Sequence[Record]) -> Shown:
    """A row for each measure of which one direction is better, a column for each other method."""
    entries = {(str(row["measure"]), str(row["other"])): _difference(row) for row in rows if row["verdict"]}
    others = list(dict.fromkeys(other for _, other in entries))
    names = known_first(dict.fromkeys(name for name, _ in entries))
    body = [(measure(name).title, [entries.get((name, other), Entry("-")) for other in others]) for name in names]
    return Shown(caption, ["measure", *(f"minus {other}" for other in others)], body)


def _difference(row: Record) -> Entry:
    text = value_text(row, "difference", f"+{measure(str(row['measure'])).shape}")
    entry = _entry(str(row["verdict"]) if text == "-" else f"{row['verdict']}: {text}")
    return entry._replace(below=[*entry.below, *filter(None, [str(row["note"])])])


def _points(rows: Sequence[Record], names: Sequence[str]) -> Shown:
    body = []
    for row in rows:
        lam = "-" if math.isnan(float(row["lambda"])) else f"{row['lambda']:.4g}"
        values = [_entry(value_text(row, name, measure(name).shape)) for name in ("flips", *names)]
        entries = [Entry(str(row["method"])), Entry(lam), Entry(f"{row['failed']} of {row['n']}"), *values]
        body.append((str(row["case"]), entries))
    heads = ["case", "method", "lambda", "failed", "flip rate", *(measure(name).title for name in names)]
    return Shown("Means with intervals", heads, body)


def _entry(text: str, best: bool = False) -> Entry:
    """The interval goes below its value."""
    value, bracket, rest = text.partition(" [")
    return Entry(value, [f"[{rest}"] if bracket else [], best)
