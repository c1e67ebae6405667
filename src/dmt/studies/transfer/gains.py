"""Runs -> table 1 of the paper: what fine-tuning gains over ranges of layers, paired, and unpaired as printed there."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dmt.studies.transfer.rows import SYMBOLS, WHOLE, Run
from dmt.studies.transfer.statistics import (
    CONTRASTS,
    Contrast,
    Estimate,
    Measure,
    Pair,
    by_division,
    last,
    over_divisions,
    paired,
    t_interval,
    unfit_bases,
)

RANGES = ((1, 7), (3, 7), (5, 7))  # of layers, as in the paper
FINE_TUNING = tuple(contrast for contrast in CONTRASTS if contrast.arm.endswith("finetuned"))


@dataclass(frozen=True)
class Gain:
    """A row of table 1.

    Args:
        contrast: which.
        split: kind of split.
        images_per_class: trained with; None: all.
        layers: first and last n, both included.
        pairing: ``paired``: by target. ``by base``: each arm less the base of its own target, then the one mean minus
            the other; for arms that need share no target. ``unpaired``: the one mean minus the other, as in the paper.
        value: mean over networks, points; NaN if there is nothing to compare.
        sd: of the paired differences of networks.
        networks: of the arm.
        references: of the reference.
        estimate: over divisions, each of them a mean; none if unpaired.
        of_targets: unpaired, the part of the value that is how much easier the arm's targets are: the mean of their
            bases minus that of the reference's.
        warning: why the value may mislead, or why there is none; empty if neither.
    """

    contrast: Contrast
    split: str
    images_per_class: int | None
    layers: tuple[int, int]
    pairing: str
    value: float
    sd: float
    networks: int
    references: int
    estimate: Estimate
    of_targets: float = math.nan
    warning: str = ""


def gains(
    runs: Sequence[Run],
    contrasts: Sequence[Contrast] = FINE_TUNING,
    ranges: Sequence[tuple[int, int]] = RANGES,
    measure: Measure = last,
) -> list[Gain]:
    """Rows for every kind of split, contrast and range of which both treatments were trained: all paired ones first."""
    kinds = sorted({(run.split, run.images_per_class) for run in runs}, key=lambda kind: (kind[0], kind[1] or 0))
    found = []
    for kind in kinds:
        members = [run for run in runs if (run.split, run.images_per_class) == kind]
        for make in (_paired, _by_base, _unpaired):
            for contrast in contrasts:
                for layers in ranges:
                    if _within(members, contrast.arm, layers) and _within(members, contrast.reference, layers):
                        found += make(members, contrast, layers, measure)
    return found


def _within(runs: Iterable[Run], treatment: str, layers: tuple[int, int]) -> list[Run]:
    first, final = (0, 0) if treatment in WHOLE else layers
    return [run for run in runs if run.treatment == treatment and first <= run.n <= final]


def _paired(runs: Sequence[Run], contrast: Contrast, layers: tuple[int, int], measure: Measure) -> list[Gain]:
    pairs, kept = _pairs(runs, contrast, layers)
    differences = [pair.difference(measure) for pair in kept]
    warning = "" if kept else "the two share no target" if not pairs else f"void: {pairs[0].void}"
    return [
        Gain(
            contrast,
            *_kind(runs),
            layers,
            "paired",
            _mean(differences),
            float(np.std(differences, ddof=1)) if len(kept) > 1 else math.nan,
            len(kept),
            len({pair.reference.cell for pair in kept}),
            t_interval(over_divisions(kept, measure)),
            warning=warning,
        )
    ]


def _by_base(runs: Sequence[Run], contrast: Contrast, layers: tuple[int, int], measure: Measure) -> list[Gain]:
    if contrast.reference in WHOLE:
        return []
    sides = [
        _pairs(runs, Contrast(contrast.name, treatment, "base"), layers)[1]
        for treatment in (contrast.arm, contrast.reference)
    ]
    first, second = ([pair.difference(measure) for pair in side] for side in sides)
    arm, reference = (by_division(side, measure) for side in sides)
    ahead = [arm[seed] - reference[seed] for seed in sorted(arm.keys() & reference.keys())]
    return [
        Gain(
            contrast,
            *_kind(runs),
            layers,
            "by base",
            _mean(first) - _mean(second),
            math.nan,
            len(first),
            len(second),
            t_interval(ahead),
        )
    ]


def _unpaired(runs: Sequence[Run], contrast: Contrast, layers: tuple[int, int], measure: Measure) -> list[Gain]:
    arm, others = _within(runs, contrast.arm, layers), _within(runs, contrast.reference, layers)
    bases = {(run.division, run.target): measure(run) for run in runs if run.treatment == "base"}
    first, second = (_mean([bases.get((run.division, run.target), math.nan) for run in side]) for side in (arm, others))
    warnings = []
    if _shares(arm) != _shares(others):
        warnings.append(
            f"targets are unbalanced: their bases average {first:.2f} for {SYMBOLS[contrast.arm]}, "
            f"{second:.2f} for {SYMBOLS[contrast.reference]}"
        )
    unconverged = {
        (run.division, run.target)
        for run in unfit_bases(runs)
        if run.treatment == "base" and run.status == "unconverged"
    }
    void = [run for run in [*arm, *others] if {(run.division, run.target), (run.division, run.base)} & unconverged]
    if void:
        warnings.append(f"{len(void)} of the {len(arm) + len(others)} networks rest on a base that is unconverged")
    return [
        Gain(
            contrast,
            *_kind(runs),
            layers,
            "unpaired",
            _mean([measure(run) for run in arm]) - _mean([measure(run) for run in others]),
            math.nan,
            len(arm),
            len(others),
            Estimate(),
            first - second,
            "; ".join(warnings),
        )
    ]


def _pairs(runs: Sequence[Run], contrast: Contrast, layers: tuple[int, int]) -> tuple[list[Pair], list[Pair]]:
    """All pairs of these layers, and those that are not void."""
    pairs = [pair for pair in paired(runs, contrast) if layers[0] <= pair.run.n <= layers[1]]
    return pairs, [pair for pair in pairs if not pair.void]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _kind(runs: Sequence[Run]) -> tuple[str, int | None]:
    return runs[0].split, runs[0].images_per_class


def _shares(runs: Sequence[Run]) -> dict[tuple, Fraction]:
    """Which share of the networks has which target."""
    counts = Counter((run.division, run.target) for run in runs)
    return {target: Fraction(count, len(runs)) for target, count in counts.items()}
