"""Curves -> the headline of a benchmark: a row per method at each flip rate, as values, Markdown and records."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dmt.editing.records import Record
from dmt.studies.benchmark.curves import Curve
from dmt.studies.benchmark.measures import HEADLINE, measure
from dmt.studies.benchmark.statistics import (
    RATES,
    RESAMPLES,
    Crossing,
    CrossingSamples,
    Difference,
    Estimate,
    crossing,
    crossing_samples,
    difference,
    resampling,
)


@dataclass(frozen=True)
class HeadlineRow:
    """One method of one case at one flip rate.

    Args:
        at: where its curve crosses the rate.
        n: images.
        best: measures by which it is ahead of every other method that crosses the rate, each time by an interval of
            the paired difference without zero.
    """

    at: Crossing
    n: int
    best: frozenset[str]


def headline(
    curves: Sequence[Curve], rates: Sequence[float] = RATES, resamples: int = RESAMPLES, seed: int = 0
) -> list[HeadlineRow]:
    """A row per case, rate and method."""
    rows = []
    for case in dict.fromkeys(curve.case for curve in curves):
        members = [curve for curve in curves if curve.case == case]
        weights = resampling(len(members[0].images), resamples, seed)
        for rate in rates:
            samples = [crossing_samples(curve, rate, weights) for curve in members]
            rows += [HeadlineRow(crossing(one), len(one.curve.images), _best(one, samples)) for one in samples]
    return rows


def _best(one: CrossingSamples, samples: Sequence[CrossingSamples]) -> frozenset[str]:
    rivals = [other for other in samples if other is not one and other.reached[0]]
    if not (one.reached[0] and rivals):
        return frozenset()
    return frozenset(
        name
        for name in one.measures
        if all(name in other.measures and difference(one, other, name).verdict == "ahead" for other in rivals)
    )


def headline_measures(curves: Sequence[Curve]) -> list[str]:
    """The headline's columns: those of ``HEADLINE`` that were measured."""
    return [name for name in HEADLINE if any(name in curve.measures for curve in curves)]


def estimate_text(found: Estimate, name: str, signed: bool = False) -> str:
    """A value with its interval: ``0.812 [0.790, 0.834]``.

    >>> estimate_text(Estimate(0.8123, 0.79, 0.834), "identity")
    '0.812 [0.790, 0.834]'
    """
    if math.isnan(found.value):
        return "-"
    plus = "+" if signed else ""
    low, value, high = (f"{x:{plus}z.{measure(name).decimals}f}" for x in (found.low, found.value, found.high))
    return f"{value} [{low}, {high}]" if found.has_interval else f"{value} [-]"


def budget_text(found: Estimate) -> str:
    """Lambda with its interval, to three digits."""
    if math.isnan(found.value):
        return "-"
    return f"{found.value:.3g} [{found.low:.3g}, {found.high:.3g}]" if found.has_interval else f"{found.value:.3g}"


def markdown(rows: Sequence[HeadlineRow], measures: Sequence[str]) -> str:
    """The headline as a table in Markdown, the best in bold."""
    titles = ["case", "flips", "method", "failed", "lambda", *(measure(name).title for name in measures)]
    lines = [titles, ["---"] * len(titles)]
    for row in rows:
        at = row.at
        lines.append([at.case, f"{at.rate:.0%}", at.method, f"{at.failed} of {row.n}"])
        lines[-1].append(budget_text(at.budget) if at.reached else at.note)
        for name in measures:
            text = estimate_text(at.measures[name], name) if name in at.measures else "-"
            lines[-1].append(f"**{text}**" if name in row.best else text)
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def headline_records(rows: Sequence[HeadlineRow]) -> list[Record]:
    """The headline as rows for ``write_table``."""
    return [
        {
            "case": row.at.case,
            "rate": row.at.rate,
            "method": row.at.method,
            "n": row.n,
            "failed": row.at.failed,
            "reached": row.at.reached,
            "share": row.at.share,
            "note": row.at.note,
            **_columns({"lambda": row.at.budget, **row.at.measures}),
        }
        for row in rows
    ]


def difference_records(found: Sequence[Difference]) -> list[Record]:
    """Differences as rows for ``write_table``."""
    return [
        {
            "case": one.case,
            "rate": one.rate,
            "method": one.method,
            "other": one.other,
            "measure": one.measure,
            **_columns({"difference": one.difference}),
            "share": one.share,
            "verdict": one.verdict,
            "note": one.note,
        }
        for one in found
    ]


def _columns(estimates: Mapping[str, Estimate]) -> Record:
    return {
        f"{name}{suffix}": value
        for name, found in estimates.items()
        for suffix, value in (("", found.value), ("_low", found.low), ("_high", found.high))
    }
