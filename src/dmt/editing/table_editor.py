"""A task and rows of a table -> rows that are changed, with the change in words: the method put together for tables."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import skew
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from dmt.data.tables import ABOVE, BELOW, MEDIAN, Table, TableTask
from dmt.editing.lambda_rules import FixedLambda, LambdaRule, LeastChange, Trials
from dmt.editing.places import Place, Sides
from dmt.editing.records import Record
from dmt.editing.search import largest_crossing
from dmt.errors import UserError, require_whole_number
from dmt.inversion.constraints import Allowed, Constraints
from dmt.judges.rows import RowJudge, given_judge, learnt_judge
from dmt.manifolds.columns import Columns, ColumnSpace
from dmt.ranges import Count
from dmt.solvers import LBFGS
from dmt.storage.files import replacing
from dmt.traversal.kernels import Kernel, Laplacian
from dmt.traversal.walks import Limits, WitnessDescent
from dmt.traversal.witness import Witness, WitnessBatch

log = logging.getLogger(__name__)

JUDGE = "classifier"  # its columns, and what lambda=auto asks
SIDE = 1000  # rows of a side that the witness is made of, drawn evenly (ours)
LIKE = 50  # rows that are most like one; of a small table a fifth of those that are held out (ours)
USUAL = 0.9
SHORTER = 1.25  # times at most, that a way is shortened after the search for lambda (ours)
NAMED = 5  # changes in words
AUTO = LeastChange(JUDGE, 0.85, first=1.0, lowest=0.003, highest=16.0, steps=2)  # as conf/auto/row.yaml
SKEWED = 3.0  # skewness from which a line says so; 2 is that of an exponential distribution (ours)
REWEIGHTINGS = 3  # until few columns carry a change (ours)


@dataclass(frozen=True)
class Ground:
    """What rows are edited between, fitted once.

    Args:
        space: where rows are points.
        witness: of both sides.
        judge: rows and points -> how sure they are of the target.
        held_out: points ``(m, K)`` of the rows that the edit does not see.
        is_target: which of these are of the target, ``(m,)``.
        usual: how far at most ``USUAL`` of the target's held-out rows are from the nearest other one.
        uneven: the columns in which a few of the table's values are far from all others.
    """

    space: ColumnSpace
    witness: Witness
    judge: RowJudge
    held_out: np.ndarray
    is_target: np.ndarray
    usual: float
    uneven: Sequence[str] = ()

    def share(self, points: np.ndarray) -> np.ndarray:
        """The target's share of the held-out rows most like each point ``(n, K)``."""
        return self.is_target[NearestNeighbors(n_neighbors=self.n_like).fit(self.held_out).kneighbors(points)[1]].mean(
            1
        )

    def distance(self, points: np.ndarray) -> np.ndarray:
        """How far each point ``(n, K)`` is from the nearest held-out row of the target."""
        return NearestNeighbors(n_neighbors=1).fit(self.held_out[self.is_target]).kneighbors(points)[0][:, 0]

    @property
    def n_like(self) -> int:
        """How many rows are those most like one."""
        return min(LIKE, max(5, len(self.held_out) // 5), len(self.held_out))


@dataclass(frozen=True)
class TableEdit:
    """What became of rows.

    Args:
        title: what was done.
        before: the rows.
        after: the same as they would be; of several plans one below the other.
        records: what is known of each row of ``after``.
        start: points ``(m, K)`` of the rows that those of ``after`` were.
        end: points of these.
        ground: what they were edited between.
    """

    title: str
    before: pd.DataFrame
    after: pd.DataFrame
    records: Sequence[Record]
    start: np.ndarray
    end: np.ndarray
    ground: Ground

    @property
    def table(self) -> pd.DataFrame:
        """One row a plan: what is known of it, and the row as it would be."""
        values = self.after.reset_index(drop=True)
        return pd.concat([pd.DataFrame(list(self.records)), values], axis=1)

    @property
    def words(self) -> list[str]:
        """What would have to change, and what then is likely; a sentence a plan."""
        return [str(record["words"]) for record in self.records]

    @cached_property
    def places(self) -> list[Place]:
        """Where the row of each plan was and would be among the held-out rows of both sides."""
        points, is_target = self.ground.held_out, self.ground.is_target
        sides = Sides(points[~is_target], points[is_target])
        return [Place(sides, np.stack([start, end, end])) for start, end in zip(self.start, self.end, strict=True)]

    @property
    def summary(self) -> str:
        """How many of the plans convince the classifier, in a sentence."""
        table = pd.DataFrame(list(self.records))
        before, after = ((table[f"{JUDGE}_{when}"] > 0.5).sum() for when in ("before", "after"))
        what = "rows" if (table["plan"] == 1).all() else "plans"
        return f"by the classifier {after} of {len(table)} {what} are the target's, {before} before."

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        import dmt

        return dmt.edit_html(self)

    def save(self, folder: str | Path) -> None:
        """Write ``rows.csv``, the rows as they would be, and ``results.csv``; raises ``OSError``."""
        for name, table in (("rows", self.after), ("results", self.table)):
            with replacing(Path(folder).expanduser() / f"{name}.csv") as partial:
                table.to_csv(partial, index=False)


@dataclass(frozen=True, kw_only=True)
class TableEditor:
    """Edits rows of one table; vary it with ``dataclasses.replace``.

    >>> editor = TableEditor(table=Table("patients.csv", "readmitted"))  # doctest: +SKIP
    >>> edit = editor.edit(TableTask("yes", "no"), rows=my_rows, lam=0.3)  # doctest: +SKIP
    >>> edit.after, edit.words  # doctest: +SKIP

    Args:
        table: whose rows make the sides.
        constraints: what a change must respect.
        kernel: of the witness. Laplacian: its pull reaches rows that lie far from both sides, where the Gaussian's has
            died out (ours; docs/tables.md).
        solver: of the walk.
        rule: chooses lambda'.
        plans: different ones for each row: each leaves alone what those before it changed most.
        space: where rows are points, or how that is fitted to the table.

    Raises:
        UserError: ``plans`` is no whole number above 0.
    """

    table: Table
    constraints: Constraints = field(default_factory=Constraints)
    kernel: Kernel = field(default_factory=Laplacian)
    solver: LBFGS = field(default_factory=lambda: LBFGS(60, tolerance=1e-3))
    rule: LambdaRule = AUTO
    plans: Count = 1
    space: ColumnSpace | Columns = field(default_factory=Columns)

    def __post_init__(self) -> None:
        require_whole_number("plans", self.plans, "a whole number above 0", least=1)

    def fitted_space(self) -> ColumnSpace:
        """Where rows are points."""
        given = self.space
        return given if isinstance(given, ColumnSpace) else given.fit(self.table.columns, self.table.frame)

    def ground(self, task: TableTask) -> Ground:
        """What rows are edited between.

        Raises:
            UserError: too few rows of a side, or no such label.
        """
        table, sides = self.table, task.sides(self.table.frame[self.table.label])
        space = self.fitted_space()
        values = space.values(table.frame)
        z = space.points(values).z
        held_out = table.is_held_out() & (sides != 0)
        rng = np.random.default_rng(table.seed)
        members = []
        for side in (-1, 1):
            rows = np.flatnonzero((sides == side) & ~held_out)
            if min(len(rows), (held_out & (sides == side)).sum()) < 2:
                raise UserError(f"{len(rows)} rows are too few for data.held_out={table.held_out}; give more rows")
            members.append(z[np.sort(rng.permutation(rows)[:SIDE])])
        witness = Witness(self.kernel, members[0], members[1])
        points, is_target = z[held_out].numpy(), sides[held_out] > 0
        if task.classifier is None:
            judge = learnt_judge(points, is_target, table.seed)
        else:
            judge = given_judge(task.classifier, [c.name for c in space.columns], str(task.target), task.classes)
        others = NearestNeighbors(n_neighbors=1).fit(points[is_target]).kneighbors()[0][:, 0]
        usual = float(np.quantile(others, USUAL))
        return Ground(space, witness, judge, points, is_target, usual, _uneven(space, values))

    def edit(
        self,
        task: TableTask,
        rows: Sequence[Any] | int | pd.DataFrame = 8,
        lam: float | LambdaRule | None = None,
        ground: Ground | None = None,
    ) -> TableEdit:
        """Change some rows.

        Args:
            task: which way.
            rows: a DataFrame; or how many to draw from the source, ``["all"]`` of it, row numbers from 0, or a file.
            lam: lambda', or a rule that chooses it; ``None``: the editor's.
            ground: of an earlier call with the same task; ``None``: it is fitted.

        Raises:
            UserError: whatever a user asked for that cannot be.
        """
        rule = self.rule if lam is None else FixedLambda(lam) if isinstance(lam, int | float | str) else lam
        rule.require([JUDGE])
        ground = self.ground(task) if ground is None else ground
        space, label = ground.space, self.table.frame[self.table.label]
        before = self.table.rows(rows, task.sides(label)).copy()
        names = [column.name for column in space.columns]
        self.table.require(names, before, "rows to edit")
        values = space.values(before)
        allowed = self.constraints.of(space, values, [*self.table.frame.columns, *before.columns])
        self._say(ground, values)
        start = space.points(values).z.numpy()
        known = {f"{JUDGE}_before": ground.judge(lambda: before, start), "share_before": ground.share(start)}
        plans: list[tuple[pd.DataFrame, np.ndarray, list[Record]]] = []
        for plan in range(self.plans):
            found, lams = self._plan(ground, allowed, before, rule)
            after, end = space.frame(found, before), space.points(found).z.numpy()
            cost = self._costs(allowed, end - start)
            said = ground.judge(partial(space.frame, found, before), end)
            known |= {f"{JUDGE}_after": said, "share_after": ground.share(end)}
            known |= {"lambda": lams.numpy(), "nearest": ground.distance(end), "price": cost.sum(axis=1)}
            records: list[Record] = []
            for i, row in enumerate(before.index):
                record: Record = {name: float(numbers[i]) for name, numbers in known.items()}
                words = self._words(task, ground, values[i], found[i], cost[i], record)
                columns = int((cost[i] > 0).sum())
                records.append({"row": row, "plan": plan + 1, **record, "columns": columns, "words": words})
            plans.append((after, end, records))
            allowed = allowed.without(cost == cost.max(axis=1, keepdims=True))
        by_row = np.arange(self.plans * len(before)).reshape(self.plans, -1).T.ravel()
        return TableEdit(
            f"{self.table.label}: {task.title}, {rule.title}",
            before,
            pd.concat([after for after, _, _ in plans]).iloc[by_row],
            [record for of_row in zip(*(records for _, _, records in plans), strict=True) for record in of_row],
            np.repeat(start, self.plans, axis=0),
            np.concatenate([end for _, end, _ in plans])[by_row],
            ground,
        )

    def _plan(
        self, ground: Ground, allowed: Allowed, before: pd.DataFrame, rule: LambdaRule, again: bool = False
    ) -> tuple[np.ndarray, Tensor]:
        """One plan for each row: its values ``(n, C)`` and lambdas ``(n,)``.

        A row outside the source's crowd is pushed farther out, and may be stuck where its limits meet. Rows that do not
        convince the judge at any lambda are walked ``again``, from where they come nearest to a row of the target.
        """
        start = ground.space.points(allowed.values)
        walked: dict[tuple[int, float], np.ndarray] = {}

        def said(found: np.ndarray, rows: np.ndarray) -> np.ndarray:
            """How sure the judge is of values ``(m, C)``; not at all where no row of the target is near."""
            end = ground.space.points(found).z.numpy()
            written = partial(ground.space.frame, found, before.iloc[rows])
            return np.where(ground.distance(end) <= ground.usual, ground.judge(written, end), 0)

        def tried(lams: Tensor, rows: Tensor) -> list[Any]:
            found = self._walked(ground, allowed.of_rows(rows.numpy()), lams, again)
            walked.update(zip(zip(rows.tolist(), lams.tolist(), strict=True), found, strict=True))
            return [SimpleNamespace(record={f"{JUDGE}_after": one}) for one in said(found, rows.numpy())]

        trials = Trials(
            start,
            WitnessBatch.of_one(ground.witness, start.n_things),
            WitnessDescent(self.solver, limits=allowed.limits()),
            tried,
            lambda lams: ground.space.points(self._walked(ground, allowed, lams)).z,
            lambda: (ground.witness.source, ground.witness.target),
            things="rows" if again else "rows (tried once more, from elsewhere)",
        )
        lams, _ = rule.choose(trials)
        wanted = list(enumerate(lams.tolist()))
        not_tried = np.array([row for row, lam in wanted if (row, lam) not in walked], int)
        if len(not_tried):
            found = self._walked(ground, allowed.of_rows(not_tried), lams[not_tried], again)
            walked.update((wanted[row], values) for row, values in zip(not_tried, found, strict=True))
        found = np.stack([walked[one] for one in wanted])
        if not isinstance(rule, LeastChange):
            return found, lams
        way, every = ground.space.points(found).z - start.z, np.arange(len(found))

        def part(shorter: Tensor) -> np.ndarray:
            return allowed.nearest(start.z + way / shorter[:, None])

        def convinces(shorter: Tensor) -> Tensor:
            return torch.from_numpy(said(part(shorter), every) > rule.threshold)

        # Between two lambdas that were tried lies a way that is a little shorter, and nothing needs to walk for it
        shortest = largest_crossing(convinces, len(found), 1.0, SHORTER, 3)
        found = np.where(np.array(shortest.reached)[:, None], part(shortest.lams), found)
        lost = np.flatnonzero(~np.array(shortest.reached))
        if len(lost) and not again:
            found[lost], lams[lost] = self._plan(ground, allowed.of_rows(lost), before.iloc[lost], rule, True)
        return found, lams

    def _walked(self, ground: Ground, allowed: Allowed, lams: Tensor, from_target: bool = False) -> np.ndarray:
        """Values ``(n, C)`` of the rows after a walk; the numbers walk again once categories and columns are chosen."""
        start, few = ground.space.points(allowed.values), self.constraints.few
        witnesses = WitnessBatch.of_one(ground.witness, start.n_things)

        def walk(allowed: Allowed, towards: np.ndarray | None = None, dearer: np.ndarray | None = None) -> Tensor:
            limits = allowed.limits(towards, dearer)
            if from_target:
                limits = replace(limits, first=_nearest_within(start.z, ground.witness.target, limits))
            return WitnessDescent(self.solver, limits=limits)(start, witnesses, lams).z

        if few is not None and few < (~allowed.stays).sum(axis=1).max():
            cost = self._costs(allowed, (walk(allowed) - start.z).numpy())
            for _ in range(
                REWEIGHTINGS
            ):  # the penalty sum_columns ||delta|| as squares, reweighted (Chartrand and Yin)
                most = cost.max(axis=1, keepdims=True) + 1e-12
                cost = self._costs(
                    allowed, (walk(allowed, None, ((cost + 0.01 * most) / most) ** -0.5) - start.z).numpy()
                )
            rank = (-cost).argsort(axis=1, kind="stable").argsort(axis=1)
            allowed = allowed.without(rank >= few)
        found = allowed.nearest(walk(allowed))
        if allowed.choices:
            found = allowed.nearest(walk(allowed, found))
        return found

    @staticmethod
    def _costs(allowed: Allowed, delta: np.ndarray) -> np.ndarray:
        """What displacements ``(n, K)`` of rows' points cost by columns, ``(n, C)``."""
        of_column = np.eye(len(allowed.price))[allowed.space.owner]
        return np.sqrt(delta**2 @ of_column) * allowed.price * allowed.space.scale

    def _words(
        self, task: TableTask, ground: Ground, before: np.ndarray, after: np.ndarray, cost: np.ndarray, record: Record
    ) -> str:
        """What would have to change, the dearest first, and what is then likely."""
        changes: dict[str, list[str]] = {}
        order = [i for i in (-cost).argsort(kind="stable") if cost[i] > 0]
        for i in order[:NAMED]:
            column = ground.space.columns[i]
            old, new = (column.shown(value) for value in (before[i], after[i]))
            old, new = (f"{x:.5g}" if isinstance(x, float) else str(x) for x in (old, new))
            verb = "change" if not column.has_numbers else "raise" if after[i] > before[i] else "lower"
            changes.setdefault(verb, []).append(f"{column.name.replace('_', ' ')} from {old} to {new}")
        said = ", ".join(f"{verb} {', '.join(parts)}" for verb, parts in changes.items()) or "nothing changes"
        if len(order) > NAMED:
            n_more = len(order) - NAMED
            said += f", and {n_more} smaller change{'' if n_more == 1 else 's'}"
        what = f"{self.table.label}={task.target}"
        if task.target in (ABOVE, BELOW):
            median = float(self.table.frame[self.table.label].median())
            what = f"{self.table.label} {task.target} {median if task.threshold == MEDIAN else task.threshold:g}"
        now, then = float(record["share_before"]), float(record["share_after"])
        sure = [float(record[f"{JUDGE}_{when}"]) for when in ("before", "after")]
        enough = "then" if sure[1] > 0.5 else "which is not enough:"
        already = ", so that it was of that side already" if sure[0] > 0.5 else ""
        return (
            f"{said}; {enough} {what} for {then:.0%} of the {ground.n_like} {task.who} most like that, "
            f"{now:.0%} before; the classifier says {sure[1]:.0%}, {sure[0]:.0%} before{already}"
            + ("; but no known row of that side is near" if float(record["nearest"]) > ground.usual else "")
        )

    def _say(self, ground: Ground, values: np.ndarray) -> None:
        """Log what is silently decided otherwise."""
        if left_out := self.table.left_out:
            log.info(
                "table: these stay as they are: %s", "; ".join(f"{name} ({why})" for name, why in left_out.items())
            )
        if ground.uneven:
            log.info(
                "table: a few values are far from all others in %s; manifold.scaling=quantile counts ranks instead",
                ", ".join(ground.uneven),
            )
        if missing := np.isnan(values).sum():
            log.info("table: %d values are missing in the rows to edit, and stay so", missing)


def _uneven(space: ColumnSpace, values: np.ndarray) -> list[str]:
    """The columns of numbers in which a few of a table's values ``(n, C)`` are far from all others."""
    numbers = [i for i, column in enumerate(space.columns) if column.kind == "number" and i not in space.curves]
    return [space.columns[i].name for i in numbers if abs(float(skew(values[:, i], nan_policy="omit"))) > SKEWED]


def _nearest_within(start: Tensor, target: Tensor, limits: Limits) -> Tensor:
    """Displacements ``(n, K)`` within limits that bring points ``(n, K)`` nearest to any of the target's ``(m, K)``."""
    found = []
    for z, lower, upper in zip(start, limits.lower, limits.upper, strict=True):
        reach = (target - z).clamp(lower, upper)
        found.append(reach[(target - z - reach).square().sum(dim=1).argmin()])
    return torch.stack(found)
