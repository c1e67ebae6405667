"""Points that have walked -> rows that are allowed: the inverter of tables, a projection onto what may change."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dmt.data.tables import Column
from dmt.errors import UserError, is_number, nearest_name, require_whole_number
from dmt.manifolds.columns import CORNER, ColumnSpace
from dmt.ranges import Count, Positive
from dmt.traversal.walks import Limits

TINY = 0.02  # of a standard deviation: a smaller change is none (ours)
HALVINGS = 60  # of the bisection for a sum
SLACK = 1e-9  # of a step, that rounding may cost


@dataclass(frozen=True)
class Constraints:
    """What a change of a row must respect, by columns. What a row has already is always allowed.

    Args:
        fixed: do not change.
        rise: only rise.
        fall: only fall.
        bounds: column -> ``[low, high]`` of what it may become, ``None`` for the table's own end; or the categories.
        whole: become whole numbers.
        sums: groups of columns whose sum stays.
        price: column -> what a unit of change costs, or any change of a category; else a standard deviation costs 1.
        few: the most columns that change; ``None``: any number.

    Raises:
        UserError: a value out of range.
    """

    fixed: Sequence[str] = ()
    rise: Sequence[str] = ()
    fall: Sequence[str] = ()
    bounds: Mapping[str, Sequence[Any]] | None = None
    whole: Sequence[str] = ()
    sums: Sequence[Sequence[str]] = ()
    price: Mapping[str, Positive] | None = None
    few: Count | None = None

    def __post_init__(self) -> None:
        if self.few is not None:
            require_whole_number("few", self.few, "null or a whole number above 0", least=1)
        for name, price in (self.price or {}).items():
            if not (is_number(price) and 0 < price < np.inf):
                raise UserError(f"price must be numbers above 0, got {price!r} for {name!r}; fixed=[{name}] forbids it")

    def of(self, space: ColumnSpace, values: np.ndarray, names: Collection[str]) -> "Allowed":
        """What rows may become.

        Args:
            space: where they are points.
            values: ``(n, C)``, of the rows.
            names: all columns of the table, those that take no part, too.

        Raises:
            UserError: there is no such column, or it is not of the kind that a constraint is for.
        """
        at = self._positions(space, names)
        columns, sums = list(space.columns), [[at[name] for name in group] for group in self.sums]
        for i in (at[name] for name in self.whole):
            columns[i] = replace(columns[i], levels=(), decimals=0)
        for i in (i for group in sums for i in group):
            columns[i] = replace(columns[i], levels=())
        low, high = ([getattr(column, end) for column in columns] for end in ("low", "high"))
        choices = {i: np.ones(len(c.levels), bool) for i, c in enumerate(columns) if c.kind == "category"}
        for name, given in (self.bounds or {}).items():
            i, ends = at[name], space.columns[at[name]].coded(pd.Series(list(given), name=name))
            if i in choices:
                choices[i] = np.isin(np.arange(len(choices[i])), ends)
            elif len(ends) != 2 or ends[0] > ends[1]:
                raise UserError(f"constraints.bounds.{name} must be [low, high], got {list(given)}")
            else:
                low[i], high[i] = (
                    own if np.isnan(end) else end for own, end in zip((low[i], high[i]), ends, strict=True)
                )
        for i, column in enumerate(columns):
            if i in choices:
                low[i], high[i] = -np.inf, np.inf
            elif column.decimals is not None:
                step = 10.0**-column.decimals
                low[i] = round(np.ceil(low[i] / step - SLACK) * step, column.decimals)
                high[i] = round(np.floor(high[i] / step + SLACK) * step, column.decimals)
        lower, upper = np.fmin(low, values), np.fmax(high, values)
        fixed = [at[name] for name in self.fixed if name in at]
        for side, names_of in ((lower, self.rise), (upper, self.fall)):
            held = fixed + [at[name] for name in names_of]
            side[:, held] = values[:, held]
            side[np.isnan(values)] = np.nan
        own = self.price or {}
        price = np.array([own.get(c.name, 1 / scale) for c, scale in zip(columns, space.scale, strict=True)])
        return Allowed(replace(space, columns=columns), values, lower, upper, choices, sums, price)

    def _positions(self, space: ColumnSpace, names: Collection[str]) -> dict[str, int]:
        """Where each column is, after a look at those that the constraints name."""
        at = {column.name: i for i, column in enumerate(space.columns)}
        grouped = [name for group in self.sums for name in group]
        in_order = [*self.rise, *self.fall, *self.whole, *grouped]
        for name in [*self.fixed, *in_order, *(self.bounds or {}), *(self.price or {})]:
            if name not in names:
                raise UserError(f"constraints: there is no column {name!r}{nearest_name(str(name), map(str, names))}")
            if name not in at and name not in self.fixed:
                raise UserError(f"constraints: column {name!r} takes no part, so that it stays as it is")
        for name in in_order:
            if space.columns[at[name]].kind == "category":
                raise UserError(f"constraints: {name!r} holds categories, without an order; give one by data.ordered")
            if name not in self.rise and name not in self.fall and not space.columns[at[name]].has_numbers:
                raise UserError(f"constraints: {name!r} holds words, which are no whole numbers and have no sum")
        if len(set(grouped)) < len(grouped):
            raise UserError("constraints.sums: a column is in two groups; leave it out of one")
        return at


@dataclass(frozen=True)
class Allowed:
    """What n rows may become: a set for each, which holds the row as it is.

    Args:
        space: where rows are points; its columns have the steps that values keep to.
        values: ``(n, C)``, of the rows.
        lower: ``(n, C)``, the least that each value may become; of a category minus infinity.
        upper: ``(n, C)``, the most; where both are equal, or NaN, the value stays.
        choices: position of a column of categories -> which of them are open, ``(L,)``.
        sums: positions of columns whose sum stays.
        price: ``(C,)``, what a unit of change costs.
    """

    space: ColumnSpace
    values: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    choices: Mapping[int, np.ndarray]
    sums: Sequence[Sequence[int]]
    price: np.ndarray

    def of_rows(self, rows: np.ndarray) -> "Allowed":
        """Those of some rows."""
        return replace(self, values=self.values[rows], lower=self.lower[rows], upper=self.upper[rows])

    def without(self, frozen: np.ndarray) -> "Allowed":
        """The same, with the values ``(n, C)`` that are frozen as they are."""
        kept = [np.where(frozen, self.values, side) for side in (self.lower, self.upper)]
        return replace(self, lower=kept[0], upper=kept[1])

    @property
    def stays(self) -> np.ndarray:
        """Which values have no choice, ``(n, C)``."""
        return ~(self.lower < self.upper)

    def limits(self, towards: np.ndarray | None = None, dearer: np.ndarray | None = None) -> Limits:
        """The same for displacements of the rows' points.

        Args:
            towards: ``(n, C)``: categories are these, already chosen; ``None``: any.
            dearer: ``(n, C)``: how many times as dear each column is.
        """
        z, owner = self.space.points(self.values).z.numpy(), self.space.owner
        lower, upper = (self._way_to(side)[:, owner] for side in (self.lower, self.upper))
        of_category = np.isin(owner, list(self.choices))
        corners = np.concatenate([self.choices.get(i, np.ones(1, bool)) for i in range(len(self.price))]) * CORNER
        lower[:, of_category], upper[:, of_category] = -z[:, of_category], (np.fmax(corners, z) - z)[:, of_category]
        if towards is not None:
            chosen = (self.space.points(towards).z.numpy() - z)[:, of_category]
            lower[:, of_category] = upper[:, of_category] = chosen
        stays = self.stays[:, owner]
        lower, upper = np.where(stays, 0.0, lower), np.where(stays, 0.0, upper)
        price = np.broadcast_to(self.price * self.space.scale, self.values.shape) * (1 if dearer is None else dearer)
        return Limits(*map(torch.from_numpy, (lower, upper, price[:, owner].copy())))

    def _way_to(self, values: np.ndarray) -> np.ndarray:
        """How far the coordinate of each number is from that of other ``values (n, C)``; 0 of categories."""
        ways, at = np.zeros_like(values), self.space.coordinates
        for i in range(values.shape[1]):
            if i not in self.choices:
                ways[:, i] = at(i, values[:, i]) - at(i, self.values[:, i])
        return ways

    def nearest(self, z: Tensor) -> np.ndarray:
        """The allowed rows nearest to points ``(n, K)``: values ``(n, C)``.

        Numbers are brought between their ends, then to the sums (the Euclidean projection, in what changes cost), then
        to the nearest step or level; of categories the open one whose coordinate is largest.
        """
        start, found = self.space.points(self.values).z, self.values.copy()
        moved, owner = (z - start).numpy(), self.space.owner
        in_sums = {i for group in self.sums for i in group}
        for i, column in enumerate(self.space.columns):
            part = moved[:, owner == i]
            if i in self.choices:
                rows, own = np.arange(len(part)), np.nan_to_num(self.values[:, i]).astype(int)
                scores = part + start[:, torch.from_numpy(owner == i)].numpy()
                kept = scores[rows, own] + SLACK
                best = np.where(self.choices[i], scores, -np.inf).argmax(axis=1)
                best = np.where(scores[rows, best] > kept, best, self.values[:, i])
                found[:, i] = best
                continue
            found[:, i] = self.space.moved(i, self.values[:, i], part[:, 0])
            if i not in in_sums:
                found[:, i] = self._rounded(i, column, np.clip(found[:, i], self.lower[:, i], self.upper[:, i]))
        for group in self.sums:
            found[:, group] = self._with_sum(list(group), found[:, group])
        return np.where(self.stays, self.values, found) + 0.0  # no -0

    def _rounded(self, i: int, column: Column, found: np.ndarray) -> np.ndarray:
        """Values ``(n,)`` at the nearest step or level within their ends; as they were where that is as near."""
        before, lower, upper, there = self.values[:, i], self.lower[:, i], self.upper[:, i], found
        if column.levels and column.has_numbers:
            levels = np.array(column.levels)
            is_open = (levels >= lower[:, None]) & (levels <= upper[:, None])
            distances = np.where(is_open, np.abs(found[:, None] - levels), np.inf)
            there = np.where(is_open.any(axis=1), levels[distances.argmin(axis=1)], before)
        elif column.decimals is not None:
            there = np.clip(np.round(found, column.decimals), lower, upper)
            there = np.where(np.abs(found - before) <= np.abs(found - there), before, there)
        return np.where(np.abs(there - before) < TINY * self.space.scale[i], before, there)

    def _with_sum(self, group: list[int], found: np.ndarray) -> np.ndarray:
        """Values ``(n, g)`` between their ends whose sum is the row's: ``clip(found - mu / price^2)``, mu by bisection.

        Where all have steps they then change by whole numbers of the coarsest: down, and up where most is missing.
        """
        before = np.nan_to_num(self.values[:, group])
        lower, upper = (np.nan_to_num(side[:, group] - before) for side in (self.lower, self.upper))
        decimals, step = [self.space.columns[i].decimals for i in group], 0.0
        if None not in decimals:
            step = 10.0 ** -min(d for d in decimals if d is not None)
            lower, upper = np.ceil(lower / step - SLACK) * step, np.floor(upper / step + SLACK) * step
        change, weights = np.nan_to_num(found - before), self.price[group] ** -2.0
        far = (np.abs(upper - lower).max() + np.abs(change).max() + 1) / weights.min()
        low, high = np.full(len(found), -far), np.full(len(found), far)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            is_more = np.clip(change - middle[:, None] * weights, lower, upper).sum(axis=1) > 0
            low, high = np.where(is_more, middle, low), np.where(is_more, high, middle)
        change = np.clip(change - high[:, None] * weights, lower, upper)
        if not step:
            return before + np.where(np.abs(change) < SLACK * self.space.scale[group], 0, change)
        units = np.floor(change / step + 1e-6)
        order = (units - change / step).argsort(axis=1, kind="stable").argsort(axis=1)
        units += order < -units.sum(axis=1, keepdims=True)
        moved = [
            np.round(part, d) for part, d in zip((before + units * step).T, decimals, strict=True) if d is not None
        ]
        return np.where(units == 0, before, np.stack(moved, axis=1))
