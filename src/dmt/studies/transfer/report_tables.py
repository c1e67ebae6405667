"""Statistics of the transfer study -> rows for tables."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from dmt.editing.records import Record
from dmt.studies.transfer.gains import Gain
from dmt.studies.transfer.rows import SYMBOLS, Run
from dmt.studies.transfer.statistics import Distance, Effect, Estimate, unfit_bases


def images_text(images_per_class: int | None) -> str:
    """How many images a class was trained with: a number, or ``all``."""
    return "all" if images_per_class is None else str(images_per_class)


def accuracy_table(runs: Sequence[Run]) -> list[Record]:
    """A row per treatment, layer and kind of split: mean accuracies and losses, not paired; for plots of one's own."""
    places = defaultdict(list)
    for run in runs:
        places[run.split, run.images_per_class or 0, list(SYMBOLS).index(run.treatment), run.n].append(run)
    rows: list[Record] = []
    for _, there in sorted(places.items()):
        first = there[0]
        row: Record = {
            "split": first.split,
            "images": images_text(first.images_per_class),
            "treatment": first.treatment,
            "n": first.n,
            "layer": first.layer,
            "networks": len(there),
        }
        for column in ("top1_last", "top1_best10", "train_loss", "val_loss"):
            row[column] = _rounded(float(np.mean([getattr(run, column) for run in there])))
        row["top1_sd"] = (
            _rounded(float(np.std([run.top1_last for run in there], ddof=1))) if len(there) > 1 else math.nan
        )
        rows.append(row)
    return rows


def effect_table(found: Sequence[Effect], scale: str) -> list[Record]:
    """A row per contrast and layer; ``scale`` says in what the difference is: ``points``, ``% above chance``."""
    return [
        {
            "contrast": one.contrast.name,
            "difference_of": one.contrast.formula,
            "split": one.split,
            "images": images_text(one.images_per_class),
            "n": one.n,
            "scale": scale,
            **_columns("difference", one.estimate),
            "divisions": one.estimate.units,
            "pairs": one.pairs,
            "void": one.void,
            "verdict": _verdict(one.verdict, one.estimate),
        }
        for one in found
    ]


def distance_table(found: Sequence[Distance], scale: str) -> list[Record]:
    """A row per contrast and layer: dissimilar, similar, and their difference with its interval."""
    return [
        {
            "contrast": one.contrast.name,
            "difference_of": one.contrast.formula,
            "images": images_text(one.images_per_class),
            "n": one.n,
            "scale": scale,
            "dissimilar": _rounded(one.dissimilar.value),
            "similar": _rounded(one.similar.value),
            **_columns("difference", one.difference),
            "divisions": f"{one.dissimilar.units} and {one.similar.units}",
            "verdict": _verdict(one.difference.verdict, one.difference),
        }
        for one in found
    ]


def gain_table(found: Sequence[Gain]) -> list[Record]:
    """Table 1: a row per contrast, range of layers and way of pairing."""
    return [
        {
            "pairing": one.pairing,
            "difference_of": one.contrast.formula,
            "split": one.split,
            "images": images_text(one.images_per_class),
            "layers": f"{one.layers[0]}-{one.layers[1]}",
            "gain": _rounded(one.value),
            "sd": _rounded(one.sd),
            "networks": one.networks,
            "references": one.references,
            "over_divisions": _rounded(one.estimate.value),
            "low": _rounded(one.estimate.low),
            "high": _rounded(one.estimate.high),
            "divisions": one.estimate.units,
            "verdict": _verdict(one.estimate.verdict, one.estimate) if one.estimate.units else "",
            "of_targets": _rounded(one.of_targets),
            "warning": one.warning,
        }
        for one in found
    ]


def unfit_table(runs: Sequence[Run]) -> list[Record]:
    """Bases that did not converge or are saturated, and what that voids."""
    consequence = {
        "unconverged": "void: all that is compared with it or copied from it",
        "saturated": "void: the dip, co-adaptation, which a saturated base cannot show",
    }
    return [
        {
            "base": f"{run.treatment} of {run.target}",
            "split": run.split,
            "split_seed": run.split_seed,
            "images": images_text(run.images_per_class),
            "status": run.status,
            "train_loss": run.train_loss,
            "val_loss": run.val_loss,
            "top1_last": run.top1_last,
            "consequence": consequence[run.status],
        }
        for run in unfit_bases(runs)
    ]


def _columns(name: str, found: Estimate) -> Record:
    return {name: _rounded(found.value), "low": _rounded(found.low), "high": _rounded(found.high)}


def _rounded(value: float) -> float:
    """To a thousandth of a point, which is finer than any test set tells; without a minus before zero."""
    return round(value, 3) + 0.0


def _verdict(word: str, found: Estimate) -> str:
    return f"{word}: one division, no interval" if found.units == 1 else word
