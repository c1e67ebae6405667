"""Tables -> how valid, dear and plausible changed rows are, ours beside those of other methods, with intervals."""

import importlib.util
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import MinLen
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.neural_network import MLPClassifier

from dmt.data.tables import Table, TableTask
from dmt.editing.lambda_rules import LambdaRule, LeastChange
from dmt.editing.records import Record
from dmt.editing.table_editor import TableEditor
from dmt.judges.rows import learnt_judge
from dmt.ranges import Count, CountOrNone, Seed, Several, Share
from dmt.reporting.results import Report
from dmt.studies.tables.rivals import dice, nearest_unlike, prototypes, straight_line

log = logging.getLogger(__name__)

RESAMPLES = 2000
EQUAL = 0.05  # of a price, that two may differ by; its own interval over rows is as wide (ours)
BATCH = 1000  # rows whose edit is timed
NEIGHBOURS = 20  # of the local outlier factor
SIDE, SOURCE, TARGET = "dmt.side", "source", "target"


@dataclass(frozen=True)
class TableBenchmark:
    """Compares the walk with other methods on some tables.

    Each table is divided: 60 % for the methods, 40 % for the judges and for what is plausible. Every method starts from
    the same rows of the source; none sees the judges, which are a random forest and a neural network.

    Args:
        editor: what edits; its table is put in for each case.
        tables: name -> the table.
        tasks: name -> the task.
        thresholds: how sure the classifier of ``lambda=auto`` is to be, of each variant of ours.
        most: rows of a table, at most.
        n_rows: that are changed, at most; of DiCE and alibi, which take a second a row and more, ``n_slow``.
        n_slow: see above.
        seed: of what is drawn.
    """

    editor: TableEditor
    tables: Mapping[str, Table]
    tasks: Mapping[str, TableTask]
    thresholds: Annotated[Sequence[Share], MinLen(1)]
    most: Several
    n_rows: Count
    n_slow: CountOrNone
    seed: Seed

    def __call__(self, trainer: Callable[..., Any], editor: Callable[[], Any], settings: Mapping[str, Any]) -> Report:
        methods: list[Record] = []
        duels: list[Record] = []
        speed: list[Record] = []
        for name, table in self.tables.items():
            log.info("benchmark: %s", name)
            found, lost, took = self._case(name, table, self.tasks[name])
            methods, duels, speed = methods + found, duels + lost, speed + took
        return Report("rows of tables: benchmark", [], {}, {"methods": methods, "duels": duels, "speed": speed})

    def _case(self, name: str, table: Table, task: TableTask) -> tuple[list[Record], list[Record], list[Record]]:
        sides = task.sides(table.frame[table.label])
        names = [column.name for column in table.columns]
        frame = table.frame[names].assign(**{SIDE: np.where(sides > 0, TARGET, SOURCE)})
        frame = frame[sides != 0].sample(min(self.most, int((sides != 0).sum())), random_state=self.seed)
        ours, theirs = train_test_split(frame, test_size=0.4, random_state=self.seed, stratify=frame[SIDE])
        own = Table(ours.reset_index(drop=True), SIDE, seed=self.seed)
        between, editor = TableTask(SOURCE, TARGET), replace(self.editor, table=own)
        ground = editor.ground(between)
        space = ground.space
        jury = Jury.of(space.points(space.values(theirs)).z.numpy(), (theirs[SIDE] == TARGET).to_numpy(), self.seed)
        rows = own.frame[own.frame[SIDE] == SOURCE]
        rows = rows.sample(min(self.n_rows, len(rows)), random_state=self.seed)
        start = space.points(space.values(rows)).z.numpy()
        points, is_target = space.points(space.values(own.frame)).z.numpy(), (own.frame[SIDE] == TARGET).to_numpy()
        model = learnt_judge(points, is_target, self.seed)

        def said(z: np.ndarray) -> np.ndarray:
            return model(lambda: own.frame, z)

        def placed(make: Callable[[], pd.DataFrame]) -> np.ndarray:
            return space.points(space.values(make())).z.numpy()

        def ours_by(rule: LambdaRule | None) -> np.ndarray:
            return editor.edit(between, rows, rule, ground).end

        def timed(make: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
            began = time.process_time()
            end = make()
            return end, 1000 * (time.process_time() - began) / len(end)

        made = {"input": timed(lambda: start)}
        made["nearest unlike"] = timed(lambda: nearest_unlike(start, points, is_target))
        sure = is_target & (said(points) >= 0.8)
        made["nearest unlike, sure"] = timed(lambda: nearest_unlike(start, points, sure))
        made["straight line"] = timed(lambda: straight_line(start, points, is_target, said, 0.8))
        if importlib.util.find_spec("dice_ml") is not None:
            few = rows.head(self.n_slow)
            for method in ("random", "genetic", "kdtree", "gradient"):
                asked = partial(dice, method, own, space, few, is_target, said)
                made[f"dice {method}"] = timed(partial(placed, asked))
        if importlib.util.find_spec("alibi") is not None:
            made["alibi prototypes"] = timed(lambda: prototypes(start[: self.n_slow], points, is_target))
        for threshold in self.thresholds:
            rule = replace(self.editor.rule, threshold=threshold) if isinstance(self.editor.rule, LeastChange) else None
            made[f"dmt {threshold:g}"] = timed(partial(ours_by, rule))
        looks = {method: jury.looks(start[: len(end)], end, space.owner) for method, (end, _) in made.items()}
        rng = np.random.default_rng(self.seed)
        table_rows = [
            {
                "table": name,
                "method": method,
                "rows": len(made[method][0]),
                **_summary(look, rng),
                "ms": made[method][1],
            }
            for method, look in looks.items()
        ]
        duels: list[Record] = [
            {"table": name, "rival": method, **_duel(look, looks, rng)}
            for method, look in looks.items()
            if not method.startswith(("dmt", "input"))
        ]
        batch = rows.sample(BATCH, replace=True, random_state=self.seed, ignore_index=True)
        took: Record = {"table": name, "rows": BATCH, "columns": len(space.columns)}
        for key, lam in (("ms_given_lambda", 0.7), ("ms_auto", None)):
            took[key] = timed(lambda lam=lam: editor.edit(between, batch, lam, ground).end)[1]  # type: ignore[misc]
        return table_rows, duels, [took]


@dataclass(frozen=True)
class Jury:
    """Who judges changed rows: classifiers that took no part, and real rows of the target."""

    forest: RandomForestClassifier
    network: MLPClassifier
    target: NearestNeighbors
    usual: float
    outliers: LocalOutlierFactor

    @classmethod
    def of(cls, points: np.ndarray, is_target: np.ndarray, seed: int) -> "Jury":
        target = NearestNeighbors(n_neighbors=1).fit(points[is_target])
        return cls(
            RandomForestClassifier(300, random_state=seed).fit(points, is_target),
            MLPClassifier((32,), max_iter=2000, alpha=0.01, random_state=seed).fit(points, is_target),
            target,
            float(np.quantile(target.kneighbors()[0], 0.95)),
            LocalOutlierFactor(NEIGHBOURS, novelty=True).fit(points[is_target]),
        )

    def looks(self, start: np.ndarray, end: np.ndarray, owner: np.ndarray) -> dict[str, np.ndarray]:
        """What there is to say of each row, ``(n,)`` each."""
        distance = self.target.kneighbors(end)[0][:, 0]
        forest, network = self.forest.predict(end), self.network.predict(end)
        of_column = (np.abs(end - start) > 1e-9) @ np.eye(owner.max() + 1)[owner] > 0
        return {
            "forest": forest.astype(float),
            "network": network.astype(float),
            "both": (forest & network).astype(float),
            "price": np.linalg.norm(end - start, axis=1),
            "columns": of_column.sum(axis=1).astype(float),
            "distance": distance,
            "inside": (distance <= self.usual).astype(float),
            "inlier": (self.outliers.predict(end) > 0).astype(float),
        }


def _summary(look: Mapping[str, np.ndarray], rng: np.random.Generator) -> Record:
    found: Record = {}
    for key, values in look.items():
        low, high = interval(values, rng)
        found |= {key: float(values.mean()), f"{key}_low": low, f"{key}_high": high}
    return found


def interval(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean over rows ``(n,)``."""
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _duel(rival: Mapping[str, np.ndarray], looks: Mapping[str, Mapping[str, np.ndarray]], rng: Any) -> Record:
    """Ours at no less validity and an equal price as a rival: the variant that lies nearest to real rows."""
    n = len(rival["both"])
    fair = {
        name: {key: values[:n] for key, values in look.items()}
        for name, look in looks.items()
        if name.startswith("dmt")
        and look["both"][:n].mean() >= rival["both"].mean()
        and look["price"][:n].mean() <= (1 + EQUAL) * rival["price"].mean()
    }
    told: Record = {"valid": float(rival["both"].mean()), "price": float(rival["price"].mean())}
    if not fair:
        return {**told, "ours": "none so valid at this price", "ahead": False}
    best = min(fair, key=lambda name: fair[name]["distance"].mean())
    ours, told = fair[best], {**told, "ours": best}
    for key in ("both", "price", "inside", "inlier", "distance"):
        told[f"our_{key}"], told[f"their_{key}"] = float(ours[key].mean()), float(rival[key].mean())
    low, told["nearer_high"] = interval(rival["distance"] - ours["distance"], rng)
    told["nearer_low"] = low
    told["ahead"] = bool(low > 0 and ours["inside"].mean() >= rival["inside"].mean() - 1e-9)
    return told
