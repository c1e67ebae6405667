"""Rows of a table -> points, one for each, and how far each coordinate of a point is from another value of the row."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm, rankdata

from dmt.data.tables import Column
from dmt.errors import UserError
from dmt.manifolds.representation import Points
from dmt.storage.files import DamagedError
from dmt.storage.tensors import read_tensors, write_tensors

CORNER = 0.5**0.5  # of a category's own coordinate: two categories are 1 apart, as two numbers a standard deviation
KNOTS = 100  # of a curve, evenly spaced among a column's distinct values (ours)


@dataclass(frozen=True)
class Columns:
    """How rows of a table become points: ``manifold=columns``.

    >>> Columns("quantile").fit(table.columns, table.frame)  # doctest: +SKIP

    Args:
        scaling: of numbers that are measured: ``standard``, or ``quantile``: by their rank, as if they were normally
            distributed, for columns with a few values far from all others, such as incomes.

    Raises:
        UserError: an unknown scaling.
    """

    scaling: str = "standard"

    def __post_init__(self) -> None:
        if self.scaling not in ("standard", "quantile"):
            raise UserError(f"manifold.scaling must be standard or quantile, got {self.scaling!r}")

    def fit(self, columns: Sequence[Column], frame: pd.DataFrame) -> "ColumnSpace":
        """The space of a table's rows."""
        return ColumnSpace.fit(columns, frame, self.scaling == "quantile")


@dataclass(frozen=True)
class ColumnSpace:
    """Where rows are points: standardised numbers, or their normal scores, and a coordinate for every category.

    Ours: no PCA of these, so that what a column must keep to can be held while a point walks.

    Args:
        columns: C of them.
        center: ``(C,)``, means of the numbers; 0 for categories.
        scale: ``(C,)``, standard deviations, of few levels a quarter of the range at least; 1 for categories.
        fill: ``(C,)``, what stands for a missing value: the median, or the commonest category.
        curves: position of a column -> values ``(k,)`` in order, and their normal scores; the others are standardised.
    """

    columns: Sequence[Column]
    center: np.ndarray
    scale: np.ndarray
    fill: np.ndarray
    curves: Mapping[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def fit(cls, columns: Sequence[Column], frame: pd.DataFrame, by_rank: bool = False) -> Self:
        """The space of a table's rows; ``by_rank`` as for ``Columns``."""
        values = np.stack([column.coded(frame[column.name]) for column in columns], axis=1)
        is_category = np.array([column.kind == "category" for column in columns])
        quarter = np.array([(column.high - column.low) / 4 * (column.kind == "ordered") for column in columns])
        scale = np.where(is_category, 1.0, np.maximum(np.nanstd(values, axis=0), quarter))
        commonest = np.array([pd.Series(column).mode()[0] for column in values.T])
        fill = np.where(is_category, commonest, np.nanmedian(values, axis=0))
        measured = [i for i, column in enumerate(columns) if column.kind == "number" and by_rank]
        curves = {i: _curve(values[:, i]) for i in measured}
        return cls(columns, np.where(is_category, 0.0, np.nanmean(values, axis=0)), scale, fill, curves)

    def save(self, path: str | Path) -> None:
        """Write it to a ``.safetensors`` file; raises ``OSError``."""
        columns = json.dumps([asdict(column) for column in self.columns], default=lambda value: value.item())
        numbers = {name: torch.from_numpy(getattr(self, name)) for name in ("center", "scale", "fill")}
        numbers |= {f"curve.{i}": torch.from_numpy(np.stack(curve)) for i, curve in self.curves.items()}
        write_tensors(Path(path), {**numbers, "columns": torch.tensor(list(columns.encode()), dtype=torch.uint8)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What ``save`` wrote; raises ``UserError``."""
        file = Path(path).expanduser()
        if not file.is_file():
            raise UserError(f"there is no file {file}; train.py data=table writes one")
        try:
            found = read_tensors(file)
        except DamagedError as error:
            raise DamagedError(f"{error}; fit it again: python train.py data=table") from error
        if "columns" not in found:
            raise UserError(f"{file} is no space of a table; train.py data=table writes one")
        columns = json.loads(bytes(found.pop("columns").tolist()))
        restored = [Column(**{**column, "levels": tuple(column["levels"])}) for column in columns]
        curves = {int(name[6:]): tuple(found.pop(name).numpy()) for name in list(found) if name.startswith("curve.")}
        return cls(restored, **{name: numbers.numpy() for name, numbers in found.items()}, curves=curves)

    @property
    def owner(self) -> np.ndarray:
        """Which column each of the K coordinates is of, ``(K,)``."""
        return np.repeat(np.arange(len(self.columns)), [self.width(column) for column in self.columns])

    @staticmethod
    def width(column: Column) -> int:
        """How many coordinates a column has."""
        return len(column.levels) if column.kind == "category" else 1

    def values(self, frame: pd.DataFrame) -> np.ndarray:
        """Rows as numbers ``(n, C)``: themselves, or positions among a column's levels; NaN where one is missing.

        Raises:
            UserError: a value that the column of the labelled rows never has.
        """
        return np.stack([column.coded(frame[column.name]) for column in self.columns], axis=1)

    def coordinates(self, i: int, values: np.ndarray) -> np.ndarray:
        """Coordinates ``(n,)`` of values ``(n,)`` of column ``i``, which holds numbers; they rise with the values."""
        if i not in self.curves:
            return (values - self.center[i]) / self.scale[i]
        known, scores = self.curves[i]
        return np.interp(values, known, scores) + (values - values.clip(known[0], known[-1])) / self.scale[i]

    def moved(self, i: int, values: np.ndarray, way: np.ndarray) -> np.ndarray:
        """Values ``(n,)`` of column ``i`` after their coordinates went a ``way (n,)``."""
        if i not in self.curves:
            return values + way * self.scale[i]
        known, scores = self.curves[i]
        end = self.coordinates(i, values) + way
        return np.interp(end, scores, known) + (end - end.clip(scores[0], scores[-1])) * self.scale[i]

    def points(self, values: np.ndarray) -> Points:
        """Points of values ``(n, C)``, one for each row, ``(n, K)`` in double precision."""
        filled = np.where(np.isnan(values), self.fill, values)
        parts = []
        for i, column in enumerate(self.columns):
            if column.kind == "category":
                parts.append(CORNER * (filled[:, i, None] == np.arange(len(column.levels))))
            else:
                parts.append(self.coordinates(i, filled[:, i])[:, None])
        return Points.one_each(torch.from_numpy(np.concatenate(parts, axis=1)))

    def frame(self, values: np.ndarray, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with what differs in ``values (n, C)``, as the table writes it; all else as it was."""
        changed, before = rows.copy(), self.values(rows)
        for i, column in enumerate(self.columns):
            where = (values[:, i] != before[:, i]) & ~np.isnan(before[:, i])
            if where.any():
                shown = rows[column.name].astype(object)
                shown[where] = [column.shown(value) for value in values[where, i]]
                changed[column.name] = shown.infer_objects()
        return changed


def _curve(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values in order, and the score of each: the normal distribution's quantile at its mean rank."""
    known = np.sort(values[~np.isnan(values)])
    scores = norm.ppf((rankdata(known) - 0.5) / len(known))
    distinct, first = np.unique(known, return_index=True)
    kept = np.unique(np.linspace(0, len(distinct) - 1, min(KNOTS, len(distinct))).round().astype(int))
    return distinct[kept], scores[first[kept]]
