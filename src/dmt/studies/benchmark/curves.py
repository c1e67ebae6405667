"""Records of single edits -> one curve per case and method: what an edit does as it grows stronger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
import pandas as pd

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
    _: KW_ONLY
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
    curves = []
    for case, methods in cases.items():
        images = list(dict.fromkeys(str(record["image"]) for rows in methods.values() for record in rows))
        curves += [_curve(case, method, pd.DataFrame(rows), images) for method, rows in methods.items()]
    return curves


def _curve(case: str, method: str, rows: pd.DataFrame, images: Sequence[str]) -> Curve:
    """The rows of one method, spread over the images of its case."""
    lams = rows["lambda"].astype(float)
    if lams.isna().any() and not lams.isna().all():
        raise ValueError(f"{method!r} of {case!r} has records with and without lambda; name them apart")
    strengths = -lams.fillna(0)  # NaN is not itself and could not be looked up
    order = pd.MultiIndex.from_arrays([strengths, rows["image"].astype(str)])
    if order.has_duplicates:
        twice = rows[order.duplicated()].iloc[0]
        raise ValueError(f"two records of {twice['image']!r}: {case!r}, {method!r}, lambda {twice['lambda']}")
    levels = np.unique(strengths)

    def spread(values: pd.Series) -> np.ndarray:
        """``(L, n)``, NaN where there is no record."""
        there = pd.Series(values.to_numpy(dtype=float), index=order)
        return there.reindex(pd.MultiIndex.from_product([levels, images])).to_numpy().reshape(-1, len(images))

    said = rows["failed"].astype(float).fillna(0) if "failed" in rows else pd.Series(0.0, rows.index)
    failed = spread(said) != 0  # so is NaN: no record
    measures = {}
    for name in known_first([str(name) for name in rows if name not in KEYS]):
        if not rows[name].map(lambda value: isinstance(value, str)).any():
            values = spread(rows[name])
            measures[name] = np.where(failed | np.isinf(values), np.nan, values)  # the PSNR of equal pictures: no mean
    flips = (spread(rows["flipped"]) == 1) & ~failed
    return Curve(
        case,
        method,
        images=tuple(images),
        lambdas=np.where(levels == 0, np.nan, -levels),
        flips=flips,
        failed=failed,
        measures=measures,
    )
