"""Records of single edits -> one curve per case and method: what an edit does as it grows stronger."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dmt.editing.records import Record
from dmt.studies.benchmark.measures import known_first

KEYS = ("case", "method", "lambda", "image", "flipped", "failed")


@dataclass(frozen=True)
class Curve:
    """What one method does to the images of one case, over lambda.

    Args:
        case: such as "smiling to frowning".
        method: such as "dmt".
        images: names, ``n`` of them.
        lambdas: ``(L,)``, falling, so that the edit grows stronger; infinity is the reconstruction floor; a method
            without lambda has one point, NaN.
        flips: ``(L, n)`` of bool, whether the judge sees the target; never where it failed.
        failed: ``(L, n)`` of bool, whether there is no result.
        measures: name -> ``(L, n)``; NaN where it failed or was not measured.
    """

    case: str
    method: str
    images: tuple[str, ...]
    lambdas: np.ndarray
    flips: np.ndarray
    failed: np.ndarray
    measures: Mapping[str, np.ndarray]

    @property
    def rates(self) -> np.ndarray:
        """Share of flipped images, ``(L,)``; a failed image counts as not flipped."""
        return self.flips.mean(axis=1)

    @property
    def path(self) -> np.ndarray:
        """Which points are on the way of an edit that grows stronger, as indices: all but the reconstruction floor."""
        return np.flatnonzero(~np.isinf(self.lambdas))


def curves_of(records: Iterable[Record]) -> list[Curve]:
    """Sort records into curves, in the order in which cases and methods first appear.

    All methods of a case share its images, in one order: an image that a method has no record of, at one lambda or at
    all, is failed there, so that leaving hard images out is no advantage.

    Args:
        records: one per case, method, lambda and image, with the columns ``case``, ``method``, ``lambda``, ``image``,
            ``flipped`` and, unless all went well, ``failed``. Every other column of numbers is a measure.

    Raises:
        ValueError: two records of one edit, or a method with and without lambda.
    """
    cases: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        cases.setdefault(str(record["case"]), {}).setdefault(str(record["method"]), []).append(record)
    return [
        _curve(
            case,
            method,
            rows,
            tuple(dict.fromkeys(str(row["image"]) for all_rows in methods.values() for row in all_rows)),
        )
        for case, methods in cases.items()
        for method, rows in methods.items()
    ]


def _curve(case: str, method: str, rows: Sequence[Record], images: tuple[str, ...]) -> Curve:
    found = {float(row["lambda"]) for row in rows}
    without = [value for value in found if math.isnan(value)]
    lambdas = np.array(sorted(found - set(without), reverse=True) or [math.nan])
    if without and not np.isnan(lambdas).all():
        raise ValueError(f"{method!r} of {case!r} has records with and without lambda; name them apart")
    shape = len(lambdas), len(images)
    level = {_key(value): i for i, value in enumerate(lambdas)}
    column = {name: j for j, name in enumerate(images)}
    flips, failed = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
    measures = {name: np.full(shape, math.nan) for name in known_first(_measured(rows))}
    seen = set()
    for row in rows:
        place = level[_key(float(row["lambda"]))], column[str(row["image"])]
        if place in seen:
            raise ValueError(f"two records of {row['image']!r}: {case!r}, {method!r}, lambda {row['lambda']}")
        seen.add(place)
        if row.get("failed", False):
            continue
        failed[place] = False
        flips[place] = _number(row["flipped"]) == 1
        for name, values in measures.items():
            values[place] = _number(row.get(name, math.nan))
    return Curve(case, method, images, lambdas, flips, failed, measures)


def _key(budget: float) -> float | None:
    """NaN is not itself, so it cannot be looked up."""
    return None if math.isnan(budget) else budget


def _measured(rows: Sequence[Record]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row if name not in KEYS)
    return [name for name in names if not any(isinstance(row.get(name), str) for row in rows)]


def _number(value: str | float) -> float:
    """Infinity, such as the PSNR of two equal pictures, has no mean and is left out."""
    number = float(value)
    return number if math.isfinite(number) else math.nan
