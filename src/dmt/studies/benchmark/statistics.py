"""Curves -> what they are where they cross a flip rate, for the images as they are and for every bootstrap resample.

All intervals are percentile bootstraps over images (Efron and Tibshirani, 1993, section 13.3). One resample draws the
same images for every lambda and every method of a case, so that differences are paired. A rate of 0 or 1 has an
interval without width: no resample shows another. Intervals are not widened for how many of them are looked at.
``scipy.stats.bootstrap`` cannot do it: it has no resamples without a value, such as those that never cross a rate.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np

from dmt.editing.records import Record
from dmt.studies.benchmark.curves import Curve

RESAMPLES = 2000
SEED = 0
LEVEL = 0.95
NEEDED = 0.9  # share of the resamples that must show a value before it gets an interval (ours)
RATES = (0.5, 0.8)


def resampling(n: int, resamples: int = RESAMPLES) -> np.ndarray:
    """How often each of ``n`` images is drawn, ``(1 + resamples, n)``; in the first row, once each."""
    draws = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=resamples)
    return np.concatenate([np.ones((1, n)), draws])


def resampled_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means over images, NaN left out: ``(L, n)`` and ``(R, n)`` -> ``(R, L)``, NaN where there is none."""
    known = ~np.isnan(values)
    counts = weights @ known.T.astype(float)
    sums = weights @ np.where(known, values, 0).T
    return np.divide(sums, counts, out=np.full_like(sums, math.nan), where=counts > 0)


def interval(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of the rows ``(R, ...)`` that are not NaN; NaN if those are fewer than ``NEEDED``."""
    enough = (~np.isnan(samples)).sum(axis=0) >= NEEDED * len(samples)
    ends = np.nanquantile(np.where(enough, samples, 0), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    low, high = np.where(enough, ends, math.nan)
    return low, high


def with_interval(name: str, samples: np.ndarray, n: int) -> Record:
    """The first of ``(1 + resamples,)`` values and the interval of the others, as columns of a table.

    Args:
        name: of the columns: ``NAME``, ``NAME_low``, ``NAME_high``; the latter are NaN where there is no interval.
        samples: the value of the images as they are, then that of every resample.
        n: images; a single one has no interval.
    """
    value, low, high = float(samples[0]), math.nan, math.nan
    if n > 1 and not math.isnan(value):
        low, high = (float(end) for end in interval(samples[1:]))
    return {name: value, f"{name}_low": low, f"{name}_high": high}


@dataclass(frozen=True)
class Crossing:
    """Where a curve first crosses a flip rate; of all arrays the first entry is that of the images as they are.

    Args:
        curve: what was resampled.
        rate: of flips.
        reached: ``(1 + resamples,)`` of bool, whether the rate is crossed.
        lams: lambda there, interpolated in its logarithm; NaN where the rate is not crossed.
        measures: name -> mean over images there; NaN likewise.
    """

    curve: Curve
    rate: float
    _: KW_ONLY
    reached: np.ndarray
    lams: np.ndarray
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

    @property
    def failed(self) -> int:
        """The larger number of failed images at the two neighbouring points; of all points if it is not crossed."""
        failed = self.curve.failed.sum(axis=1)[self.curve.path]
        if self.reached[0]:
            after = int((self.curve.rates[self.curve.path] >= self.rate).argmax())
            failed = failed[max(after - 1, 0) : after + 1]
        return int(failed.max(initial=0))


def crossing(curve: Curve, rate: float, weights: np.ndarray) -> Crossing:
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
        measures = dict.fromkeys(curve.measures, nothing)
        return Crossing(curve, rate, reached=~np.isnan(nothing), lams=nothing, measures=measures)
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

    logarithms = np.log(curve.lambdas[path])
    lams = np.exp(there(np.broadcast_to(logarithms, rates.shape)))
    measures = {name: there(resampled_means(values[path], weights)) for name, values in curve.measures.items()}
    return Crossing(curve, rate, reached=reached, lams=lams, measures=measures)


def crossings(curves: Sequence[Curve], rates: Sequence[float], resamples: int) -> Iterator[list[Crossing]]:
    """For each case and rate the crossings of all methods, on the same resamples."""
    for case in dict.fromkeys(curve.case for curve in curves):
        members = [curve for curve in curves if curve.case == case]
        weights = resampling(len(members[0].images), resamples)
        for rate in rates:
            yield [crossing(curve, rate, weights) for curve in members]
