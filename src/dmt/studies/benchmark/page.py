"""A benchmark's curves -> a folder with a page that can be read anywhere, its plots, and its tables as CSV."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from dmt.editing.records import Record
from dmt.reporting.tables import write_table
from dmt.studies.benchmark.curves import Curve
from dmt.studies.benchmark.measures import known_first, measure
from dmt.studies.benchmark.plots import curves_plot
from dmt.studies.benchmark.statistics import (
    LEVEL,
    NEEDED,
    RATES,
    RESAMPLES,
    Difference,
    Estimate,
    curve_table,
    differences,
)
from dmt.studies.benchmark.tables import (
    HeadlineRow,
    budget_text,
    difference_records,
    estimate_text,
    headline,
    headline_measures,
    headline_records,
    markdown,
)

STYLE = """
:root { color-scheme: light dark; --line: #c8c8c8; --soft: #f3f3f3; }
@media (prefers-color-scheme: dark) { :root { --line: #555; --soft: #262626; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left; white-space: nowrap; }
thead th { background: var(--soft); }
.interval { display: block; font-size: .75rem; opacity: .75; }
.best { font-weight: 700; }
img { max-width: 100%; height: auto; background: #fff; }
figure { margin: 1rem 0; }
dt { font-weight: 600; } dd { margin: 0 0 .4rem 1rem; overflow-wrap: anywhere; }
summary { cursor: pointer; font-weight: 600; }
"""


@dataclass(frozen=True)
class Sheet:
    """A contact sheet that lies beside the page.

    Args:
        file: its name, relative to the page.
        caption: what it shows.
    """

    file: str
    caption: str


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark measured, and how.

    Args:
        title: of the page.
        date: of the measurement, as it is shown.
        measured: machine, versions, settings: name -> value.
        curves: of all cases and methods.
        sheets: contact sheets.
        rates: flip rates at which methods are compared.
        reference: the method that is compared with the others.
        resamples: of each bootstrap.
        seed: of each bootstrap.
    """

    title: str
    date: str
    measured: Mapping[str, str]
    curves: Sequence[Curve]
    sheets: Sequence[Sheet] = field(default=())
    rates: Sequence[float] = RATES
    reference: str = "dmt"
    resamples: int = RESAMPLES
    seed: int = 0


def write_page(folder: Path, benchmark: Benchmark) -> Path:
    """Write ``index.html``, a plot per case, ``headline.md``, and ``headline``, ``differences`` and ``curves`` as CSV.

    Args:
        folder: is made if it is missing; the contact sheets are expected in it.
        benchmark: what to write.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    curves, chance = benchmark.curves, (benchmark.resamples, benchmark.seed)
    rows = headline(curves, benchmark.rates, *chance)
    found = differences(curves, benchmark.rates, benchmark.reference, *chance)
    points = curve_table(curves, *chance)
    plots = {}
    for number, case in enumerate(dict.fromkeys(curve.case for curve in curves), 1):
        plots[case] = f"curves-{number}-{re.sub(r'[^a-z0-9]+', '-', case.lower()).strip('-')}.png"
        members = [curve for curve in curves if curve.case == case]
        curves_plot(
            members, rates=benchmark.rates, labelled=benchmark.reference, resamples=chance[0], seed=chance[1]
        ).save(folder / plots[case])
    write_table(folder / "headline.csv", headline_records(rows))
    write_table(folder / "differences.csv", difference_records(found))
    write_table(folder / "curves.csv", points)
    (folder / "headline.md").write_text(markdown(rows, headline_measures(curves)), encoding="utf-8")
    page = folder / "index.html"
    page.write_text(page_of(benchmark, rows, found, points, plots), encoding="utf-8")
    return page


def page_of(
    benchmark: Benchmark,
    rows: Sequence[HeadlineRow],
    found: Sequence[Difference],
    points: Sequence[Record],
    plots: Mapping[str, str],
) -> str:
    """The page as HTML.

    Args:
        benchmark: what was measured, and how.
        rows: its headline.
        found: its differences.
        points: its ``curve_table``.
        plots: case -> file name of its plot.
    """
    names = known_first(dict.fromkeys(name for curve in benchmark.curves for name in curve.measures))
    failed = sum(int(curve.failed.sum()) for curve in benchmark.curves)
    edits = sum(curve.failed.size for curve in benchmark.curves)
    parts = [
        f"<h1>{escape(benchmark.title)}</h1>",
        f"<p>Measured {escape(benchmark.date)}. {failed} of {edits} edits failed; a failed one counts as not flipped "
        "and is left out of the other means.</p>",
        _definitions(benchmark.measured),
        "<h2>At equal flip rates</h2>",
        _how_to_read(benchmark),
        *_headline(rows, headline_measures(benchmark.curves)),
        f"<h2>{escape(benchmark.reference)} minus each other method</h2>",
        "<p>Differences are paired: the same images are drawn for both. Ahead and behind are said only where the "
        "interval holds no zero; with many comparisons some will be so by chance.</p>",
        *_differences(found),
        "<h2>Over all strengths</h2>",
        *(
            f'<figure><img src="{escape(file)}" alt="{escape(f"Measures over the flip rate by method: {case}")}">'
            f"<figcaption>{escape(case)}: bands are {LEVEL:.0%} intervals at equal flips; numbers beside points are "
            "lambda.</figcaption></figure>"
            for case, file in plots.items()
        ),
        "<details><summary>Every point of every curve</summary>",
        _points(points, names),
        "</details>",
        *(["<h2>Pictures</h2>"] if benchmark.sheets else []),
        *(
            f'<figure><img src="{escape(sheet.file)}" alt="{escape(sheet.caption)}" loading="lazy">'
            f"<figcaption>{escape(sheet.caption)}</figcaption></figure>"
            for sheet in benchmark.sheets
        ),
        "<h2>What is measured</h2>",
        _definitions({measure(name).title: measure(name).definition for name in names}),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(benchmark.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _how_to_read(benchmark: Benchmark) -> str:
    return (
        "<p>Each method is read where its curve over lambda first crosses the flip rate, by linear interpolation in "
        f"the flip rate; of one that does not cross it, every point is in the table of the curves. "
        f"Below each value is the {LEVEL:.0%} percentile bootstrap interval over images "
        f"({benchmark.resamples} resamples, seed {benchmark.seed}); there is none where fewer than {NEEDED:.0%} of the "
        "resamples cross the rate. Bold: ahead of every other method that crosses the rate, each time by a paired "
        "interval without zero. Failed: the larger number at the two neighbouring points.</p>"
    )


def _headline(rows: Sequence[HeadlineRow], names: Sequence[str]) -> list[str]:
    heads = ["method", "failed", "lambda", *(measure(name).title for name in names)]
    tables = []
    for case, rate in dict.fromkeys((row.at.case, row.at.rate) for row in rows):
        body = []
        for row in rows:
            at = row.at
            if (at.case, at.rate) != (case, rate):
                continue
            cells = [f"{at.failed} of {row.n}", _two_lines(budget_text(at.budget)) if at.reached else escape(at.note)]
            cells += [_estimate(at.measures.get(name), name, name in row.best) for name in names]
            body.append((at.method, cells))
        tables.append(_table(f"{case}, {rate:.0%} flipped", heads, body))
    return tables


def _differences(found: Sequence[Difference]) -> list[str]:
    tables = []
    for case, rate in dict.fromkeys((one.case, one.rate) for one in found):
        there = [one for one in found if (one.case, one.rate) == (case, rate) and one.verdict]
        others = list(dict.fromkeys(one.other for one in there))
        verdicts = {(one.measure, one.other): one for one in there}
        body = [
            (
                measure(name).title,
                [_difference(verdicts[name, other]) if (name, other) in verdicts else "-" for other in others],
            )
            for name in known_first(dict.fromkeys(one.measure for one in there))
        ]
        tables.append(_table(f"{case}, {rate:.0%} flipped", ["measure", *(f"minus {other}" for other in others)], body))
    return tables


def _difference(one: Difference) -> str:
    if math.isnan(one.difference.value):
        return f'{escape(one.verdict)}<span class="interval">{escape(one.note)}</span>'
    words = f"{one.verdict}: {estimate_text(one.difference, one.measure, signed=True)}"
    return _two_lines(words) + (f'<span class="interval">{escape(one.note)}</span>' if one.note else "")


def _points(points: Sequence[Record], names: Sequence[str]) -> str:
    heads = ["case", "method", "lambda", "failed", "flip rate", *(measure(name).title for name in names)]
    body = []
    for row in points:
        budget = float(row["lambda"])
        cells = [
            escape(str(row["method"])),
            "-" if math.isnan(budget) else f"{budget:.4g}",
            f"{row['failed']} of {row['n']}",
        ]
        for name in ("flips", *names):
            there = [float(row.get(f"{name}{suffix}", math.nan)) for suffix in ("", "_low", "_high")]
            cells.append(_estimate(Estimate(*there), name))
        body.append((str(row["case"]), cells))
    return _table("Means with intervals", heads, body)


def _estimate(found: Estimate | None, name: str, best: bool = False) -> str:
    if found is None:
        return "-"
    text = _two_lines(estimate_text(found, name))
    return f'<strong class="best">{text}</strong>' if best else text


def _two_lines(text: str) -> str:
    """The interval goes below its value."""
    value, bracket, rest = text.partition(" [")
    return escape(value) + (f'<span class="interval">{escape(bracket.strip() + rest)}</span>' if bracket else "")


def _table(caption: str, heads: Sequence[str], body: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table that scrolls sideways; heads and the rows' names are text, the other cells are HTML."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for name, cells in body
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>{escape(caption)}'
        f"</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody></table></div>"
    )


def _definitions(words: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in words.items()) + "</dl>"
