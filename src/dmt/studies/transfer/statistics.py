"""Runs -> differences between treatments, paired by target, with t intervals over divisions of the classes.

The unit is the division, not the network: the two directions of one division (A -> B, B -> A) share their classes and
their two base networks, so their differences are averaged before any interval is taken. Treating the eight targets of
four divisions as eight independent values would narrow the intervals without more being known. Intervals are Student's,
95 %, and are not widened for how many of them are looked at.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from dmt.studies.transfer.rows import SYMBOLS, WHOLE, Run

LEVEL = 0.95
SIMILAR, DISSIMILAR = "random", "man_made_natural"

Measure = Callable[[Run], float]


def last(run: Run) -> float:
    """Mean of the last ten validation accuracies, percent: not chosen by its outcome, hence our default."""
    return run.top1_last


def best10(run: Run) -> float:
    """Mean of the ten best validation accuracies, percent: what the paper reports."""
    return run.top1_best10


def above_chance(measure: Measure) -> Measure:
    """How far an accuracy is on the way from chance to all, percent: 100 (acc - chance) / (100 - chance); ours.

    Of use where targets have different numbers of classes, whose chance is 100 / classes.
    """

    def normalised(run: Run) -> float:
        chance = 100 / run.classes
        return 100 * (measure(run) - chance) / (100 - chance)

    return normalised


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval; NaN where there is none.

    Args:
        value: the mean.
        low: lower end of the interval.
        high: upper end.
        units: independent values that it rests on.
        sd: their standard deviation.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    units: int = 0
    sd: float = math.nan

    @property
    def verdict(self) -> str:
        """``falls`` or ``rises`` where the interval excludes 0, else ``not resolved``."""
        if self.high < 0:
            return "falls"
        return "rises" if self.low > 0 else "not resolved"


def t_interval(values: Sequence[float]) -> Estimate:
    """The mean of ``(n,)`` independent values and Student's interval; a single value has none."""
    n = len(values)
    if n < 2:
        return Estimate(values[0] if n else math.nan, units=n)
    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(scipy.stats.t.ppf((1 + LEVEL) / 2, n - 1)) * sd / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n, sd)


def difference_of_means(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Mean of the first minus mean of the second, independent values, with an interval.

    Welch's where both have two values or more. Where one has a single value, as with one man-made against natural
    division, its spread is taken to be that of the other (equal variances, Student): the interval then says whether
    the single value could be one more of the others.
    """
    sizes = len(first), len(second)
    if not all(sizes):
        return Estimate()
    value = float(np.mean(first) - np.mean(second))
    if max(sizes) < 2:
        return Estimate(value, units=sum(sizes))
    variances = [float(np.var(values, ddof=1)) if len(values) > 1 else math.nan for values in (first, second)]
    if min(sizes) < 2:
        variances = [float(np.nanmax(variances))] * 2
        freedom = float(max(sizes) - 1)
    parts = [variance / size for variance, size in zip(variances, sizes, strict=True)]
    if min(sizes) > 1:
        weights = sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
        freedom = sum(parts) ** 2 / weights if weights else float(sum(sizes) - 2)
    half = float(scipy.stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(sum(parts))
    return Estimate(value, value - half, value + half, sum(sizes))


@dataclass(frozen=True)
class Contrast:
    """One treatment minus another.

    Args:
        name: what the difference is called.
        arm: the treatment from which is taken.
        reference: the treatment that is taken.
        is_dip: whether it measures the loss by re-learning the rest, which a saturated base cannot show: where a
            network has capacity to spare, what is lost below is made up for above.
    """

    name: str
    arm: str
    reference: str
    is_dip: bool = False

    @property
    def formula(self) -> str:
        """In the paper's symbols: ``AnB - BnB``."""
        return f"{SYMBOLS[self.arm]} - {SYMBOLS[self.reference]}"


CONTRASTS = (
    Contrast("co-adaptation", "selffer", "base", is_dip=True),
    Contrast("specificity", "transfer", "selffer"),
    Contrast("transfer", "transfer", "base"),
    Contrast("fine-tuning gain", "selffer_finetuned", "base"),
    Contrast("fine-tuning gain", "transfer_finetuned", "base"),
    Contrast("fine-tuning gain", "transfer_finetuned", "selffer_finetuned"),
    Contrast("random weights", "random", "base"),
    Contrast("twice the schedule", "base_long", "base"),
    Contrast("co-adaptation", "selffer", "base_long", is_dip=True),
    Contrast("transfer", "transfer", "base_long"),
    Contrast("fine-tuning gain", "selffer_finetuned", "base_long"),
    Contrast("fine-tuning gain", "transfer_finetuned", "base_long"),
    Contrast("random weights", "random", "base_long"),
)
TRANSFERS = tuple(contrast for contrast in CONTRASTS if contrast.arm.startswith("transfer"))


@dataclass(frozen=True)
class Pair:
    """Two networks of one target, one division and one number of images.

    Args:
        run: of the contrast's arm.
        reference: of its reference; of the same n, unless it was trained whole.
        void: why their difference measures nothing; empty if it does.
    """

    run: Run
    reference: Run
    void: str = ""

    def difference(self, measure: Measure) -> float:
        """The run minus its reference."""
        return measure(self.run) - measure(self.reference)


@dataclass(frozen=True)
class Effect:
    """A contrast at one layer of one kind of split.

    Args:
        contrast: which.
        split: kind of split.
        images_per_class: trained with; None: all.
        n: layers copied; 0 where nothing is.
        estimate: of the difference, over divisions.
        pairs: networks compared.
        void: networks left out because a base did not converge or is saturated.
    """

    contrast: Contrast
    split: str
    images_per_class: int | None
    n: int
    estimate: Estimate
    pairs: int
    void: int

    @property
    def verdict(self) -> str:
        """That of the estimate, or ``void`` if nothing is left to compare."""
        return self.estimate.verdict if self.pairs else "void"


def unfit_bases(runs: Iterable[Run]) -> list[Run]:
    """Networks trained whole that did not converge, or are saturated."""
    return [run for run in runs if run.treatment in WHOLE and run.status != "ok"]


def paired(runs: Sequence[Run], contrast: Contrast) -> list[Pair]:
    """Every network of the arm with its reference; those without one are left out.

    A pair is void if a base that it rests on did not converge: the target's, the one whose layers were copied, or the
    reference. For the dip it is void as well if one of them is saturated.
    """
    by_place = {(run.treatment, run.division, run.target, run.n): run for run in runs}
    pairs = []
    for run in runs:
        n = 0 if contrast.reference in WHOLE else run.n
        reference = by_place.get((contrast.reference, run.division, run.target, n))
        if run.treatment == contrast.arm and reference is not None:
            tasks = {run.target, run.base} - {""}
            bases = [by_place.get(("base", run.division, task, 0)) for task in sorted(tasks)]
            if contrast.reference == "base_long":
                bases.append(reference)
            pairs.append(Pair(run, reference, _void([base for base in bases if base], contrast)))
    return pairs


def _void(bases: Sequence[Run], contrast: Contrast) -> str:
    harmful = {"unconverged", "saturated"} if contrast.is_dip else {"unconverged"}
    return ", ".join(f"{base.treatment} of {base.target} is {base.status}" for base in bases if base.status in harmful)


def over_divisions(pairs: Iterable[Pair], measure: Measure) -> list[float]:
    """The mean difference of each division, its directions and layers together, in order of its seed."""
    return list(by_division(pairs, measure).values())


def by_division(pairs: Iterable[Pair], measure: Measure) -> dict[int, float]:
    """The same by the seed of the division, for pairs of one kind of split."""
    differences = defaultdict(list)
    for pair in pairs:
        differences[pair.run.split_seed].append(pair.difference(measure))
    return {seed: float(np.mean(differences[seed])) for seed in sorted(differences)}


def effects(runs: Sequence[Run], contrasts: Sequence[Contrast] = CONTRASTS, measure: Measure = last) -> list[Effect]:
    """Every contrast at every layer of every kind of split, in that order, where there are pairs."""
    found = []
    for contrast in contrasts:
        places = defaultdict(list)
        for pair in paired(runs, contrast):
            places[pair.run.split, pair.run.images_per_class, pair.run.n].append(pair)
        for (split, images, n), pairs in sorted(
            places.items(), key=lambda item: (item[0][0], item[0][1] or 0, item[0][2])
        ):
            kept = [pair for pair in pairs if not pair.void]
            estimate = t_interval(over_divisions(kept, measure))
            found.append(Effect(contrast, split, images, n, estimate, len(kept), len(pairs) - len(kept)))
    return found


@dataclass(frozen=True)
class Distance:
    """A contrast between dissimilar tasks minus the same between similar ones: a difference of differences.

    Args:
        contrast: which.
        images_per_class: trained with; None: all.
        n: layers copied.
        dissimilar: the contrast over dissimilar divisions.
        similar: the same over similar divisions.
        difference: the first minus the second.
    """

    contrast: Contrast
    images_per_class: int | None
    n: int
    dissimilar: Estimate
    similar: Estimate
    difference: Estimate


def distances(
    runs: Sequence[Run],
    contrasts: Sequence[Contrast] = TRANSFERS,
    measure: Measure = last,
    similar: str = SIMILAR,
    dissimilar: str = DISSIMILAR,
) -> list[Distance]:
    """Whether dissimilar tasks fall further than similar ones, layer by layer, at equal numbers of images."""
    found = []
    for contrast in contrasts:
        kinds: dict[tuple, dict[str, list[Pair]]] = defaultdict(lambda: defaultdict(list))
        for pair in paired(runs, contrast):
            if not pair.void:
                kinds[pair.run.images_per_class, pair.run.n][pair.run.split].append(pair)
        for images, n in sorted(kinds, key=lambda place: (place[0] or 0, place[1])):
            far, near = (over_divisions(kinds[images, n][split], measure) for split in (dissimilar, similar))
            if far and near:
                difference = difference_of_means(far, near)
                found.append(Distance(contrast, images, n, t_interval(far), t_interval(near), difference))
    return found
