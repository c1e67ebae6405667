"""A benchmark's curves and tables -> a folder with a page that can be read anywhere, its plots, and CSV files."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from dmt.editing.files import save_picture
from dmt.editing.records import Record
from dmt.reporting.page import FILE
from dmt.reporting.page.display import displays, pixels
from dmt.reporting.page.templates import rendered
from dmt.reporting.page.words import with_minus
from dmt.reporting.tables import write_table
from dmt.storage.files import write_text
from dmt.studies.benchmark.curves import Curve
from dmt.studies.benchmark.measures import known_first, measure
from dmt.studies.benchmark.plots import curves_plot
from dmt.studies.benchmark.statistics import LEVEL, NEEDED, RESAMPLES, SEED
from dmt.studies.benchmark.tables import (
    REFERENCE,
    headline_measures,
    lambda_text,
    markdown,
    measure_text,
    value_text,
)


class Entry(NamedTuple):
    """What stands in one place of a table on the page; its first line is larger than the others."""

    text: str
    is_best: bool = False

    @property
    def lines(self) -> list[str]:
        """The interval stands below its value."""
        return with_minus(self.text.replace(" [", "\n[")).splitlines()


class Shown(NamedTuple):
    """A table on the page; a row is its name and its entries."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Entry]]]


def write_page(
    folder: Path,
    curves: Sequence[Curve],
    *,
    tables: Mapping[str, Sequence[Record]],
    title: str,
    date: str,
    measured: Mapping[str, str],
    sheets: Mapping[str, str],
) -> list[str]:
    """Write ``report.html``, a plot of each case, the tables as CSV, and ``headline.md``.

    Args:
        folder: is made if it is missing.
        curves: of all cases and methods.
        tables: what they say, see ``tables_of``.
        title: of the page.
        date: of the measurement, as it is shown.
        measured: machine, versions, settings: name -> value.
        sheets: pictures that lie in the folder: file name -> caption.

    Returns:
        The files of the plots, in the order of the cases; others may lie there from a run of other cases.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plots = {}
    for number, case in enumerate(dict.fromkeys(curve.case for curve in curves), 1):
        plots[case] = f"curves-{number}-{re.sub(r'[^a-z0-9]+', '-', case.lower()).strip('-')}.png"
        save_picture(folder / plots[case], curves_plot([curve for curve in curves if curve.case == case]))
    for name, rows in tables.items():
        write_table(folder / f"{name}.csv", rows)
    shown, names = headline_measures(curves), known_first([name for curve in curves for name in curve.measures])
    write_text(folder / "headline.md", markdown(tables["headline"], shown))
    files = [*plots.values(), *sheets]
    shown_of = dict(zip(files, displays([pixels(folder / file) for file in files]), strict=True))
    page = rendered(
        "page.html.jinja",
        Path(__file__).parent,
        title=title,
        date=date,
        measured=measured,
        failed=sum(int(curve.failed.sum()) for curve in curves),
        edits=sum(curve.failed.size for curve in curves),
        headline=_tables(tables["headline"], partial(_headline, shown)),
        differences=_tables(tables["differences"], _differences),
        points=_points(tables["curves"], names),
        plots={case: shown_of[file] for case, file in plots.items()},
        sheets={caption: shown_of[file] for file, caption in sheets.items()},
        meanings={measure(name).title: measure(name).definition for name in names},
        reference=REFERENCE,
        resamples=RESAMPLES,
        seed=SEED,
        level=f"{LEVEL:.0%}",
        needed=f"{NEEDED:.0%}",
    )
    write_text(folder / FILE, page)
    return list(plots.values())


def _tables(rows: Sequence[Record], shown: Callable[[str, list[Record]], Shown]) -> list[Shown]:
    """A table for each case and flip rate, whose rows lie together."""
    groups = groupby(rows, lambda row: (row["case"], float(row["rate"])))
    return [shown(f"{case}, {rate:.0%} flipped", list(members)) for (case, rate), members in groups]


def _headline(names: Sequence[str], caption: str, rows: Sequence[Record]) -> Shown:
    body = []
    for row in rows:
        best = str(row["best"]).split()
        entries = [Entry(f"{row['failed']} of {row['n']}"), Entry(lambda_text(row))]
        entries += [Entry(measure_text(row, name), name in best) for name in names]
        body.append((str(row["method"]), entries))
    return Shown(caption, ["method", "failed", "lambda", *(measure(name).title for name in names)], body)


def _differences(caption: str, rows: Sequence[Record]) -> Shown:
    """A row for each measure of which one direction is better, a column for each other method."""
    entries = {(str(row["measure"]), str(row["other"])): _difference(row) for row in rows if row["verdict"]}
    others = list(dict.fromkeys(other for _, other in entries))
    names = known_first([name for name, _ in entries])
    body = [(measure(name).title, [entries.get((name, other), Entry("-")) for other in others]) for name in names]
    return Shown(caption, ["measure", *(f"minus {other}" for other in others)], body)


def _difference(row: Record) -> Entry:
    text = value_text(row, "difference", f"+{measure(str(row['measure'])).shape}")
    return Entry(f"{row['verdict']}\n{row['note']}" if text == "-" else f"{row['verdict']}: {text}\n{row['note']}")


def _points(rows: Sequence[Record], names: Sequence[str]) -> Shown:
    body = []
    for row in rows:
        lam = "-" if math.isnan(float(row["lambda"])) else f"{row['lambda']:.4g}"
        texts = [str(row["method"]), lam, f"{row['failed']} of {row['n']}"]
        texts += [measure_text(row, name) for name in ("flips", *names)]
        body.append((str(row["case"]), [Entry(text) for text in texts]))
    heads = ["case", "method", "lambda", "failed", "flip rate", *(measure(name).title for name in names)]
    return Shown("Means with intervals", heads, body)
