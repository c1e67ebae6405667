"""Runs -> differences between treatments, paired by target, with intervals over divisions of the classes.

What is repeated independently is the division, not the network: the two directions of one division (A -> B, B -> A)
share their classes and their two bases, so that their differences are averaged before an interval is taken. To treat
the eight targets of four divisions as eight independent values would narrow the intervals without more being known.
Intervals are Student's, 95 %, and are not widened for how many of them are looked at.

Runs are tables as ``rows.frame_of`` makes them, of one study; ``top1`` is the accuracy that is compared.
"""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from dmt.studies.transfer.treatments import SYMBOLS, WHOLE

LEVEL = 0.95
SIMILAR, DISSIMILAR = "random", "man_made_natural"
DIVISION = ["split", "split_seed", "images_per_class"]  # what two networks must share to be compared


@dataclass(frozen=True)
class PairedContrast:
    """One treatment minus another.

    Args:
        arm: the treatment that is looked at.
        reference: the treatment that it is compared with.
        name: what the difference is called.
    """

    arm: str
    reference: str
    _: KW_ONLY
    name: str = ""

    @property
    def formula(self) -> str:
        """In the paper's symbols: ``AnB - BnB``."""
        return f"{SYMBOLS[self.arm]} - {SYMBOLS[self.reference]}"


CONTRASTS = (
    PairedContrast("selffer", "base", name="co-adaptation"),
    PairedContrast("transfer", "selffer", name="specificity"),
    PairedContrast("transfer", "base", name="transfer"),
    PairedContrast("selffer_finetuned", "base", name="fine-tuning gain"),
    PairedContrast("transfer_finetuned", "base", name="fine-tuning gain"),
    PairedContrast("transfer_finetuned", "selffer_finetuned", name="fine-tuning gain"),
    PairedContrast("random", "base", name="random weights"),
    PairedContrast("base_long", "base", name="twice the schedule"),
    PairedContrast("selffer", "base_long", name="co-adaptation"),
    PairedContrast("transfer", "base_long", name="transfer"),
    PairedContrast("selffer_finetuned", "base_long", name="fine-tuning gain"),
    PairedContrast("transfer_finetuned", "base_long", name="fine-tuning gain"),
    PairedContrast("random", "base_long", name="random weights"),
)


@dataclass(frozen=True)
class TInterval:
    """A mean with its interval; NaN where there is none.

    Args:
        value: the mean.
        low: lower end of the interval.
        high: upper end.
        n: how many independent values it rests on.
    """

    value: float = math.nan
    _: KW_ONLY
    low: float = math.nan
    high: float = math.nan
    n: int = 0

    @property
    def verdict(self) -> str:
        """``falls`` or ``rises`` where the interval excludes 0, else ``not resolved``."""
        word = "falls" if self.high < 0 else "rises" if self.low > 0 else "not resolved"
        return f"{word}: one division, no interval" if self.n == 1 else word

    @property
    def columns(self) -> dict[str, float]:
        """The mean as a ``difference`` in a table, and its interval."""
        return {"difference": self.value, "low": self.low, "high": self.high}


def mean_interval(values: Sequence[float]) -> TInterval:
    """The mean of ``(n,)`` independent values and Student's interval; a single value has none."""
    n = len(values)
    if n < 2:
        return TInterval(values[0] if n else math.nan, n=n)
    return _interval(float(np.mean(values)), float(scipy.stats.sem(values)), n - 1, n)


def difference_of_means(first: Sequence[float], second: Sequence[float]) -> TInterval:
    """Mean of the first minus mean of the second, all of them independent values, with an interval.

    Welch's where both have two values or more. Where one has a single value, as with one man-made against natural
    division, its spread is taken to be that of the other (Student's, equal variances): the interval then says whether
    the single value could be one more of the others.
    """
    sizes, n = (len(first), len(second)), len(first) + len(second)
    if not all(sizes):
        return TInterval()
    value = float(np.mean(first) - np.mean(second))
    if n == 2:
        return TInterval(value, n=n)
    if min(sizes) == 1:
        several = max(first, second, key=len)
        return _interval(value, float(np.std(several, ddof=1)) * math.sqrt(1 + 1 / len(several)), n - 2, n)
    parts = [float(scipy.stats.sem(values)) ** 2 for values in (first, second)]
    weights = sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    freedom = sum(parts) ** 2 / weights if weights else n - 2  # Welch and Satterthwaite's
    return _interval(value, math.sqrt(sum(parts)), freedom, n)


def _interval(value: float, error: float, freedom: float, n: int) -> TInterval:
    half = error * float(scipy.stats.t.ppf((1 + LEVEL) / 2, freedom))
    return TInterval(value, low=value - half, high=value + half, n=n)


def above_chance(runs: pd.DataFrame) -> pd.DataFrame:
    """The same runs with ``top1`` told above chance, in percent: 100 (top1 - chance) / (100 - chance); ours.

    Of use where targets have different numbers of classes, whose chance is 100 / classes.
    """
    chance = 100 / runs["classes"]
    return runs.assign(top1=100 * (runs["top1"] - chance) / (100 - chance))


def unfit_bases(runs: pd.DataFrame) -> pd.DataFrame:
    """The networks trained as a whole that did not converge, or are saturated."""
    return runs[runs["treatment"].isin(WHOLE) & (runs["status"] != "ok")]


def paired(runs: pd.DataFrame, contrast: PairedContrast) -> pd.DataFrame:
    """Every network of the arm that has its reference: the same division, target, number of images and n.

    A reference that was trained as a whole serves every n.

    Returns:
        The arm's rows with ``difference``, its accuracy minus the reference's, and ``void``: why that measures nothing,
        or empty. A base that did not converge voids all that is compared with it or copied from it. A saturated one
        voids co-adaptation, the dip: where a network has capacity to spare, what is lost below is made up for above.
    """
    on = [*DIVISION, "target", *([] if contrast.reference in WHOLE else ["n"])]
    reference = runs.loc[runs["treatment"] == contrast.reference, [*on, "top1"]]
    pairs = runs[runs["treatment"] == contrast.arm].merge(reference, on=on, suffixes=("", "_reference"))
    harmful = ("unconverged", "saturated") if contrast.arm == "selffer" else ("unconverged",)
    whole = runs[runs["treatment"].isin(WHOLE) & runs["status"].isin(harmful)]
    whole = whole.assign(name=whole["treatment"] + " of " + whole["target"])
    unfit = whole.set_index([*DIVISION, "name"])["status"].to_dict()

    def void(pair: Any) -> str:
        names = [f"base of {task}" for task in sorted({pair.target, pair.base} - {""})]
        if contrast.reference == "base_long":
            names.append(f"base_long of {pair.target}")
        place = (pair.split, pair.split_seed, pair.images_per_class)
        return ", ".join(f"{name} is {unfit[*place, name]}" for name in names if (*place, name) in unfit)

    difference = pairs["top1"] - pairs["top1_reference"]
    return pairs.assign(difference=difference, void=[void(pair) for pair in pairs.itertuples()])


def by_division(pairs: pd.DataFrame) -> pd.Series:
    """Seed of the division -> the mean difference of its pairs, both directions together, for one kind of split."""
    return pairs.groupby("split_seed")["difference"].mean()


def differences(
    runs: pd.DataFrame, contrasts: Sequence[PairedContrast] = CONTRASTS, scale: str = "points"
) -> pd.DataFrame:
    """A row per contrast, kind of split, number of images and n that has pairs, in that order.

    Args:
        runs: of one study.
        contrasts: to be taken.
        scale: in what the accuracies are told.

    Returns:
        The table: ``difference`` with its interval ``low``, ``high`` over ``divisions``; ``pairs``, the networks that
        were compared, and ``void``, those left out for the sake of a base; ``verdict``.
    """
    found = []
    for contrast in contrasts:
        for (split, images, n), there in paired(runs, contrast).groupby(["split", "images_per_class", "n"]):
            kept = there[there["void"] == ""]
            interval = mean_interval(by_division(kept).to_list())
            row: dict[str, object] = {"contrast": contrast.name, "difference_of": contrast.formula, "split": split}
            row |= {"images": str(images or "all"), "n": n, "scale": scale, **interval.columns}
            row |= {"divisions": interval.n, "pairs": len(kept), "void": len(there) - len(kept)}
            found.append(row | {"verdict": interval.verdict if len(kept) else "void"})
    return pd.DataFrame(found)


def dissimilar(runs: pd.DataFrame, scale: str = "points") -> pd.DataFrame:
    """Whether dissimilar tasks fall further than similar ones: a difference of differences for each n.

    Args:
        runs: of one study.
        scale: in what the accuracies are told.

    Returns:
        The table: the mean difference over ``dissimilar`` and over ``similar`` divisions, and their ``difference`` with
        its interval, for the contrasts of transfer and equal numbers of images.
    """
    found = []
    for contrast in (contrast for contrast in CONTRASTS if contrast.arm.startswith("transfer")):
        pairs = paired(runs, contrast)
        for (images, n), there in pairs[pairs["void"] == ""].groupby(["images_per_class", "n"]):
            far, near = (by_division(there[there["split"] == kind]).to_list() for kind in (DISSIMILAR, SIMILAR))
            if far and near:
                interval = difference_of_means(far, near)
                row: dict[str, object] = {"contrast": contrast.name, "difference_of": contrast.formula}
                row |= {"images": str(images or "all"), "n": n, "scale": scale}
                row |= {"dissimilar": np.mean(far), "similar": np.mean(near)}
                row |= {**interval.columns, "divisions": f"{len(far)} and {len(near)}", "verdict": interval.verdict}
                found.append(row)
    return pd.DataFrame(found)
