"""Curves -> means with intervals, measures at equal flip rates, and the differences between methods.

All intervals are percentile bootstraps over images (Efron and Tibshirani, 1993, section 13.3). One resample draws the
same images for every lambda and every method of a case, so that differences are paired. A rate of 0 or 1 has an
interval without width: no resample shows another. Intervals are not widened for how many of them are looked at.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dmt.editing.records import Record
from dmt.studies.benchmark.curves import Curve
from dmt.studies.benchmark.measures import measure

RESAMPLES = 2000
LEVEL = 0.95
NEEDED = 0.9  # share of the resamples that must show a value before it gets an interval (ours)
RATES = (0.5, 0.8)


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def has_interval(self) -> bool:
        """Whether enough resamples had a value."""
        return not math.isnan(self.low)


@dataclass(frozen=True)
class Crossing:
    """A curve where it first crosses a flip rate.

    Args:
        case: of the curve.
        method: of the curve.
        rate: of flips, 0 ... 1.
        reached: whether the curve crosses it.
        share: of the resamples that cross it.
        note: if it does not, what it does instead: "reaches 0.63", "starts at 0.70", "is one point, at 1.00".
        failed: the larger number of failed images at the two neighbouring points; of all points if it is not reached.
        budget: lambda there, interpolated in its logarithm.
        measures: name -> mean there; empty if the rate is not reached.
    """

    case: str
    method: str
    rate: float
    reached: bool
    share: float
    note: str
    failed: int
    budget: Estimate
    measures: Mapping[str, Estimate]


@dataclass(frozen=True)
class Difference:
    """One method minus another where both first cross a flip rate.

    Args:
        case: of both.
        rate: of flips.
        method: from which is taken.
        other: what is taken.
        measure: whose mean is compared; ``Measure.of_zero``: its absolute value.
        difference: with the paired interval.
        share: of the resamples in which both cross the rate.
        verdict: ahead, behind, not resolved (the interval holds zero, or there is none), not comparable (one of them
            does not cross the rate), or empty if neither direction is better.
        note: why it is not comparable or has no interval.
    """

    case: str
    rate: float
    method: str
    other: str
    measure: str
    difference: Estimate
    share: float
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class CrossingSamples:
    """The crossing of every resample; the first row is the images as they are.

    Args:
        curve: what was resampled.
        rate: of flips.
        reached: ``(1 + resamples,)`` of bool.
        budgets: lambda where the rate is crossed, NaN where it is not.
        measures: name -> ``(1 + resamples,)``, NaN likewise.
    """

    curve: Curve
    rate: float
    reached: np.ndarray
    budgets: np.ndarray
    measures: Mapping[str, np.ndarray]

    @property
    def note(self) -> str:
        """What the curve does instead of crossing the rate; empty if it crosses it."""
        rates = self.curve.rates[self.curve.path]
        if self.reached[0]:
            return ""
        if not len(rates):
            return "has the reconstruction floor alone"
        if len(rates) == 1:
            return f"is one point, at {rates[0]:.2f}"
        return f"reaches {rates.max():.2f}" if rates.max() < self.rate else f"starts at {rates[0]:.2f}"


def resampling(n: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each of ``n`` images is drawn, ``(1 + resamples, n)``; in the first row, once each."""
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return np.concatenate([np.ones((1, n)), draws])


def resampled_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means over images, NaN left out: ``(L, n)`` and ``(R, n)`` -> ``(R, L)``, NaN where there is none."""
    known = ~np.isnan(values)
    counts = weights @ known.T.astype(float)
    sums = weights @ np.where(known, values, 0).T
    return np.divide(sums, counts, out=np.full_like(sums, math.nan), where=counts > 0)


def interval(samples: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of the rows ``(R, ...)`` that are not NaN; NaN if those are fewer than ``NEEDED``."""
    ordered = np.sort(samples, axis=0)  # NaN come last
    count = (~np.isnan(samples)).sum(axis=0)

    def quantile(share: float) -> np.ndarray:
        position = np.maximum(count - 1, 0) * share
        below = np.floor(position).astype(int)
        above = np.minimum(below + 1, np.maximum(count - 1, 0))
        first, second = (np.take_along_axis(ordered, i[None], axis=0)[0] for i in (below, above))
        return np.where(count >= NEEDED * len(samples), first + (position - below) * (second - first), math.nan)

    return quantile((1 - level) / 2), quantile((1 + level) / 2)


def estimate(samples: np.ndarray, n: int) -> Estimate:
    """The first of ``(1 + resamples,)`` values, with the interval of the others; one image has no interval."""
    value = float(samples[0])
    if math.isnan(value) or n < 2:
        return Estimate(value)
    low, high = interval(samples[1:])
    return Estimate(value, float(low), float(high))


def curve_table(curves: Sequence[Curve], resamples: int = RESAMPLES, seed: int = 0) -> list[Record]:
    """A row per case, method and lambda: how many, how many failed, flip rate and means, each with its interval.

    Returns:
        Rows with ``case``, ``method``, ``lambda``, ``n``, ``failed``, then ``flips``, ``flips_low``, ``flips_high`` and
        the same three for every measure.
    """
    rows: list[Record] = []
    for curve in curves:
        n = len(curve.images)
        weights = resampling(n, resamples, seed)
        columns = {
            name: resampled_means(values, weights)
            for name, values in {"flips": curve.flips.astype(float), **curve.measures}.items()
        }
        for i, budget in enumerate(curve.lambdas):
            row: Record = {
                "case": curve.case,
                "method": curve.method,
                "lambda": float(budget),
                "n": n,
                "failed": int(curve.failed[i].sum()),
            }
            for name, means in columns.items():
                there = estimate(means[:, i], n)
                row |= {name: there.value, f"{name}_low": there.low, f"{name}_high": there.high}
            rows.append(row)
    return rows


def crossing_samples(curve: Curve, rate: float, weights: np.ndarray) -> CrossingSamples:
    """Where a curve first crosses a flip rate as lambda falls, for every resample.

    Between the last point below the rate and the first one at or above it, measures are linear in the flip rate, and so
    is the logarithm of lambda. A curve whose first point lies above the rate does not cross it: what a weaker edit
    would have done is not known.

    Args:
        curve: over lambda; the reconstruction floor is left out.
        rate: of flips, 0 ... 1.
        weights: how often each image is drawn, ``(R, n)``, the first row ones.
    """
    path = curve.path
    if not len(path):
        nothing = np.full(len(weights), math.nan)
        return CrossingSamples(curve, rate, ~np.isnan(nothing), nothing, dict.fromkeys(curve.measures, nothing))
    rates = weights @ curve.flips[path].T.astype(float) / len(curve.images)
    after = (rates >= rate).argmax(axis=1)
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(weights))
    first, second = rates[rows, before], rates[rows, after]
    reached = (second == rate) | ((first < rate) & (rate < second))
    step = np.where(second > first, second - first, 1)
    share = np.where(second == rate, 1.0, (rate - first) / step)

    def there(values: np.ndarray) -> np.ndarray:
        ends = values[rows, before], values[rows, after]
        between = np.where(share == 1, ends[1], ends[0] + share * (ends[1] - ends[0]))
        return np.where(reached, between, math.nan)

    budgets = curve.lambdas[path]
    logarithms = np.log(budgets, out=np.full(len(path), math.nan), where=budgets > 0)
    return CrossingSamples(
        curve,
        rate,
        reached,
        np.exp(there(np.broadcast_to(logarithms, rates.shape))),
        {name: there(resampled_means(values[path], weights)) for name, values in curve.measures.items()},
    )


def crossing(samples: CrossingSamples) -> Crossing:
    """Sum up the crossings of all resamples: the value of the images as they are, and its interval."""
    curve, n, reached = samples.curve, len(samples.curve.images), bool(samples.reached[0])
    failed = curve.failed.sum(axis=1)[curve.path]
    if reached:
        after = int((curve.rates[curve.path] >= samples.rate).argmax())
        failed = failed[max(after - 1, 0) : after + 1]
    return Crossing(
        curve.case,
        curve.method,
        samples.rate,
        reached,
        float(samples.reached[1:].mean()),
        samples.note,
        int(failed.max(initial=0)),
        estimate(samples.budgets, n),
        {name: estimate(values, n) for name, values in samples.measures.items()} if reached else {},
    )


def at_equal_flips(curve: Curve, rate: float, resamples: int = RESAMPLES, seed: int = 0) -> Crossing:
    """Every measure where the curve first crosses a flip rate, with intervals; see ``crossing_samples``.

    The interval of a value is that of the resamples that cross the rate, so it says nothing of how sure the crossing
    itself is: ``share`` does. Below ``NEEDED`` there is no interval.
    """
    return crossing(crossing_samples(curve, rate, resampling(len(curve.images), resamples, seed)))


def differences(
    curves: Sequence[Curve],
    rates: Sequence[float] = RATES,
    reference: str = "dmt",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Difference]:
    """The reference minus every other method of its case, at each rate and by each measure that both have."""
    found = []
    for case in dict.fromkeys(curve.case for curve in curves):
        members = [curve for curve in curves if curve.case == case]
        weights = resampling(len(members[0].images), resamples, seed)
        for rate in rates:
            samples = {curve.method: crossing_samples(curve, rate, weights) for curve in members}
            if first := samples.pop(reference, None):
                found += [
                    difference(first, second, name) for second in samples.values() for name in _both(first, second)
                ]
    return found


def difference(first: CrossingSamples, second: CrossingSamples, name: str) -> Difference:
    """The first minus the second by one measure, on the same resamples, and what to say of it."""
    known = measure(name)
    samples = known.scored(first.measures[name]) - known.scored(second.measures[name])
    found = estimate(samples, len(first.curve.images))
    both = first.reached & second.reached
    share = float(both[1:].mean())
    note = ""
    if not both[0]:
        note = "; ".join(f"{one.curve.method} {one.note}" for one in (first, second) if one.note)
    elif not found.has_interval:
        note = f"no interval: {share:.0%} of the resamples cross the rate" if share < NEEDED else "no interval"
    verdict = _verdict(found, known.better) if both[0] else "not comparable"
    return Difference(
        first.curve.case,
        first.rate,
        first.curve.method,
        second.curve.method,
        name,
        found,
        share,
        verdict if known.better else "",
        note,
    )


def _verdict(found: Estimate, better: int) -> str:
    above, below = found.low > 0, found.high < 0
    if not (above or below):
        return "not resolved"
    return "ahead" if above == (better > 0) else "behind"


def _both(first: CrossingSamples, second: CrossingSamples) -> list[str]:
    return [name for name in first.measures if name in second.measures]
