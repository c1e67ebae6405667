"""Rows of a table -> points, one for each, and how far each coordinate of a point is from another value of the row."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch

from dmt.data.tables import Column
from dmt.errors import UserError
from dmt.manifolds.representation import Points
from dmt.storage.tensors import read_tensors, write_tensors

CORNER = 0.5**0.5  # of a category's own coordinate: two categories are 1 apart, as two numbers a standard deviation


@dataclass(frozen=True)
class ColumnSpace:
    """Where rows are points: standardised numbers, a coordinate for every category.

    Ours: no PCA of these, so that what a column must keep to can be held while a point walks.

    Args:
        columns: C of them.
        center: ``(C,)``, means of the numbers; 0 for categories.
        scale: ``(C,)``, standard deviations, of few levels a quarter of the range at least; 1 for categories.
        fill: ``(C,)``, what stands for a missing value: the median, or the commonest category.
    """

    columns: Sequence[Column]
    center: np.ndarray
    scale: np.ndarray
    fill: np.ndarray

    @classmethod
    def fit(cls, columns: Sequence[Column], frame: pd.DataFrame) -> Self:
        """The space of a table's rows."""
        values = np.stack([column.coded(frame[column.name]) for column in columns], axis=1)
        is_category = np.array([column.kind == "category" for column in columns])
        quarter = np.array([(column.high - column.low) / 4 * (column.kind == "ordered") for column in columns])
        scale = np.where(is_category, 1.0, np.maximum(np.nanstd(values, axis=0), quarter))
        commonest = np.array([pd.Series(column).mode()[0] for column in values.T])
        fill = np.where(is_category, commonest, np.nanmedian(values, axis=0))
        return cls(columns, np.where(is_category, 0.0, np.nanmean(values, axis=0)), scale, fill)

    def save(self, path: str | Path) -> None:
        """Write it to a ``.safetensors`` file; raises ``OSError``."""
        columns = json.dumps([asdict(column) for column in self.columns], default=lambda value: value.item())
        numbers = {name: torch.from_numpy(getattr(self, name)) for name in ("center", "scale", "fill")}
        write_tensors(Path(path), {**numbers, "columns": torch.tensor(list(columns.encode()), dtype=torch.uint8)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What ``save`` wrote; raises ``UserError``."""
        file = Path(path).expanduser()
        if not file.is_file():
            raise UserError(f"there is no file {file}; train.py data=table writes one")
        found = read_tensors(file)
        if "columns" not in found:
            raise UserError(f"{file} is no space of a table; train.py data=table writes one")
        columns = json.loads(bytes(found.pop("columns").tolist()))
        restored = [Column(**{**column, "levels": tuple(column["levels"])}) for column in columns]
        return cls(restored, **{name: numbers.numpy() for name, numbers in found.items()})

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

    def points(self, values: np.ndarray) -> Points:
        """Points of values ``(n, C)``, one for each row, ``(n, K)`` in double precision."""
        filled = np.where(np.isnan(values), self.fill, values)
        parts = []
        for i, column in enumerate(self.columns):
            if column.kind == "category":
                parts.append(CORNER * (filled[:, i, None] == np.arange(len(column.levels))))
            else:
                parts.append((filled[:, i, None] - self.center[i]) / self.scale[i])
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
