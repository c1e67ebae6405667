"""Curves -> the tables of a benchmark: every point, every method at equal flip rates, and what the methods differ by.

A value stands in a column of its name, its interval in ``NAME_low`` and ``NAME_high``, NaN where there is none. The
interval of a value at a flip rate is that of the resamples that cross the rate, so it says nothing of how sure the
crossing itself is: the column ``share`` does. Where fewer than ``NEEDED`` cross there is no interval.
"""

import math
from collections.abc import Sequence

from dmt.editing.records import Record
from dmt.studies.benchmark.curves import Curve
from dmt.studies.benchmark.measures import HEADLINE, measure
from dmt.studies.benchmark.statistics import (
    NEEDED,
    RATES,
    RESAMPLES,
    Crossing,
    crossings,
    resampled_means,
    resampling,
    with_interval,
)

REFERENCE = "dmt"  # the method that is compared with the others


def tables_of(curves: Sequence[Curve]) -> dict[str, list[Record]]:
    """All tables: ``headline``, ``differences``, and ``curves`` with every point."""
    return {"headline": headline(curves), "differences": differences(curves), "curves": curve_table(curves)}


def headline_measures(curves: Sequence[Curve]) -> list[str]:
    """The measures that the headline is shown with: those of ``HEADLINE`` that were taken."""
    return [name for name in HEADLINE if any(name in curve.measures for curve in curves)]


def curve_table(curves: Sequence[Curve], resamples: int = RESAMPLES) -> list[Record]:
    """A row for each case, method and lambda: how many images, how many failed, flip rate and means.

    Returns:
        Rows with ``case``, ``method``, ``lambda``, ``n``, ``failed``, and ``flips`` and every measure, each with its
        interval.
    """
    rows: list[Record] = []
    for curve in curves:
        n = len(curve.images)
        weights = resampling(n, resamples)
        values = {"flips": curve.flips.astype(float), **curve.measures}
        means = {name: resampled_means(there, weights) for name, there in values.items()}
        for i, lam in enumerate(curve.lambdas):
            row: Record = {"case": curve.case, "method": curve.method, "lambda": float(lam), "n": n}
            row["failed"] = int(curve.failed[i].sum())
            for name, there in means.items():
                row |= with_interval(name, there[:, i], n)
            rows.append(row)
    return rows


def headline(curves: Sequence[Curve], rates: Sequence[float] = RATES, resamples: int = RESAMPLES) -> list[Record]:
    """A row for each case, flip rate and method: the means where its curve first crosses the rate.

    Returns:
        Rows with ``case``, ``rate``, ``method``, ``n``, ``failed`` (see ``Crossing``), ``reached`` (whether the curve
        crosses the rate), ``share`` (of the resamples that do), ``note`` (what it does instead, such as "reaches
        0.63"), ``best`` (the measures, with spaces between, by which it is ahead of every other method that crosses
        the rate), ``lambda`` and, if the rate is reached, the measures, each with its interval.
    """
    return [_headline_row(one, members) for members in crossings(curves, rates, resamples) for one in members]


def _headline_row(one: Crossing, members: Sequence[Crossing]) -> Record:
    n, reached = len(one.curve.images), bool(one.reached[0])
    row: Record = {"case": one.curve.case, "rate": one.rate, "method": one.curve.method, "n": n, "failed": one.failed}
    row |= {"reached": reached, "share": float(one.reached[1:].mean()), "note": one.note}
    row["best"] = " ".join(_best(one, members))
    for name, samples in {"lambda": one.lams, **(one.measures if reached else {})}.items():
        row |= with_interval(name, samples, n)
    return row


def _best(one: Crossing, members: Sequence[Crossing]) -> list[str]:
    rivals = [other for other in members if other is not one and other.reached[0]]
    if not (one.reached[0] and rivals):
        return []
    return [
        name
        for name in one.measures
        if all(name in other.measures and difference(one, other, name)["verdict"] == "ahead" for other in rivals)
    ]


def differences(
    curves: Sequence[Curve],
    rates: Sequence[float] = RATES,
    reference: str = REFERENCE,
    resamples: int = RESAMPLES,
) -> list[Record]:
    """The reference minus every other method of its case, at each rate and by each measure that both have."""
    rows: list[Record] = []
    for members in crossings(curves, rates, resamples):
        others = {one.curve.method: one for one in members}
        if first := others.pop(reference, None):
            rows += [
                difference(first, second, name)
                for second in others.values()
                for name in first.measures
                if name in second.measures
            ]
    return rows


def difference(first: Crossing, second: Crossing, name: str) -> Record:
    """The first minus the second by one measure, on the same resamples, and what to say of it.

    Returns:
        A row with ``case``, ``rate``, ``method``, ``other``, ``measure``, ``difference`` with its interval (of the
        means' absolute values where ``Measure.of_zero``), ``share`` (of the resamples in which both cross the rate),
        ``verdict`` (ahead; behind; not resolved: the interval holds zero, or there is none; not comparable: one of
        them does not cross the rate; empty: neither direction is better) and ``note`` (why it is not comparable or has
        no interval).
    """
    known, both = measure(name), first.reached & second.reached
    samples = known.scored(first.measures[name]) - known.scored(second.measures[name])
    found = with_interval("difference", samples, len(first.curve.images))
    share, note, verdict = float(both[1:].mean()), "", "not comparable"
    if not both[0]:
        note = "; ".join(f"{one.curve.method} {one.note}" for one in (first, second) if one.note)
    else:
        if math.isnan(float(found["difference_low"])):
            note = f"no interval: {share:.0%} of the resamples cross the rate" if share < NEEDED else "no interval"
        verdict = _verdict(found, known.better)
    row: Record = {"case": first.curve.case, "rate": first.rate, "method": first.curve.method}
    row |= {"other": second.curve.method, "measure": name, **found, "share": share}
    return row | {"verdict": verdict if known.better else "", "note": note}


def _verdict(found: Record, better: int) -> str:
    above, below = float(found["difference_low"]) > 0, float(found["difference_high"]) < 0
    if not (above or below):
        return "not resolved"
    return "ahead" if above == (better > 0) else "behind"


def value_text(row: Record, column: str, shape: str) -> str:
    """A value of a row with its interval, in a format; a dash if there is none.

    >>> value_text({"identity": 0.8123, "identity_low": 0.79, "identity_high": 0.834}, "identity", ".3f")
    '0.812 [0.790, 0.834]'
    """
    value, low, high = (float(row.get(f"{column}{end}", math.nan)) for end in ("", "_low", "_high"))
    if math.isnan(value):
        return "-"
    return f"{value:{shape}} [-]" if math.isnan(low) else f"{value:{shape}} [{low:{shape}}, {high:{shape}}]"


def measure_text(row: Record, name: str) -> str:
    """A measure of a row with its interval."""
    return value_text(row, name, measure(name).shape)


def lambda_text(row: Record) -> str:
    """Lambda with its interval, to three digits, or why there is none: the curve does not cross the rate."""
    return value_text(row, "lambda", ".3g").removesuffix(" [-]") if row["reached"] else str(row["note"])


def markdown(rows: Sequence[Record], measures: Sequence[str]) -> str:
    """The headline as a table in Markdown, the best in bold."""
    titles = ["case", "flips", "method", "failed", "lambda", *(measure(name).title for name in measures)]
    lines = [titles, ["---"] * len(titles)]
    for row in rows:
        texts = {name: measure_text(row, name) for name in measures}
        best = str(row["best"]).split()
        lines.append([str(row["case"]), f"{row['rate']:.0%}", str(row["method"]), f"{row['failed']} of {row['n']}"])
        lines[-1] += [lambda_text(row), *(f"**{text}**" if name in best else text for name, text in texts.items())]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"
