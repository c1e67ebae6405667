"""A setting, treatments, depths, splits and targets -> a row per network, or the plan of what that will take."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated, Literal

import pandas as pd
from annotated_types import MinLen
from pytorch_lightning import Trainer

from dmt.editing.records import Record
from dmt.ranges import Count, CountOrNone
from dmt.reporting.results import Report
from dmt.studies.transfer.grid import Grid
from dmt.studies.transfer.rows import Row, RunStore
from dmt.studies.transfer.setting import Setting
from dmt.studies.transfer.treatments import TREATMENTS, Cell, cells_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TransferStudy:
    """How general is each layer of a network (Yosinski et al. 2014, arXiv 1411.1792), on any classes.

    Every network that was trained is kept and found again by whatever study needs it. A study that was interrupted goes
    on where it was, and the same command in several processes shares the work.

    Args:
        setting: what all networks have in common.
        treatments: names of ``TREATMENTS``.
        depths: values of n, how many layers are treated.
        split_seeds: one for each division of the classes into tasks A and B.
        targets: the tasks that networks are trained on, ``A`` and ``B``.
        store: CSV file of the rows.
        folder: for the trained bases.
        plan: whether to say what is missing and what it will take, and train no more than an epoch here and there.
    """

    setting: Setting
    treatments: Sequence[str]
    _: KW_ONLY
    depths: Annotated[Sequence[Count], MinLen(1)]
    split_seeds: Annotated[Sequence[CountOrNone], MinLen(1)]
    targets: Annotated[Sequence[Literal["A", "B"]], MinLen(1)]
    store: str | Path
    folder: str | Path
    plan: bool = False

    def __call__(self, trainer: Callable[..., Trainer], editor: object = None, settings: object = None) -> Report:
        """Train what is missing, or plan it.

        Every study is called with these three; this one uses only the first.

        Args:
            trainer: makes Lightning's trainer.
            editor: makes an ``Editor``.
            settings: the resolved configuration as plain values.

        Raises:
            UserError: whatever cannot be done, in one line.
        """
        store = RunStore(self.store)
        grid = Grid(self.setting, store, folder=Path(self.folder).expanduser(), trainer=trainer)
        cells = self.cells
        if self.plan:
            plan = planned(grid, cells)
            return Report(f"plan of {plan[-1]['networks']} networks", [], pictures={}, tables={"plan": plan})
        store.require_writable()
        rows = finished(grid, cells)
        return Report(f"transfer, {self.setting.tasks.split} splits", [], pictures={}, tables={"transfer": rows})

    @property
    def cells(self) -> list[Cell]:
        """The networks, bases first; a seed that divides the classes as an earlier one does is left out."""
        setting = self.setting
        cells = cells_of(
            self.treatments,
            self.depths,
            split_seeds=self.split_seeds,
            targets=self.targets,
            layers=len(setting.layer_names),
        )
        first: dict[frozenset[frozenset[str]], int] = {}
        for seed in dict.fromkeys(cell.split_seed for cell in cells):
            earlier = first.setdefault(setting.tasks.halves(seed).division, seed)
            if earlier != seed:
                log.info(
                    "transfer.split=%s divides the classes for seed %d as for seed %d; seed %d is left out",
                    setting.tasks.split, seed, earlier, seed,
                )  # fmt: skip
        return [cell for cell in cells if cell.split_seed in first.values()]


def finished(grid: Grid, cells: Sequence[Cell]) -> list[Row]:
    """The rows of all cells; what another process is training is waited for last."""
    rows: dict[Cell, Row] = {}
    for wait in (False, True):
        for cell in cells:
            if cell not in rows and (row := grid.run(cell, wait)) is not None:
                rows[cell] = row
    return [rows[cell] for cell in cells]


def planned(grid: Grid, cells: Sequence[Cell]) -> list[Record]:
    """What is finished, what is missing and how many seconds of one process that is, by treatment and in all.

    The bases that layers are copied from are counted, asked for or not. A network is expected to take as long as the
    finished ones of its treatment and n took on average; else those of its treatment; else as long as an epoch with as
    many frozen layers, measured now, times the number of epochs.
    """
    cells = list(dict.fromkeys([*(cell.source for cell in cells if cell.source is not None), *cells]))
    known = grid.store.runs()
    taken = {cell: float(known[key]["seconds"]) for cell in cells if (key := grid.setting.key(cell)) in known}
    epoch: dict[int, float] = {}  # by the number of frozen layers

    def expected(cell: Cell) -> float:
        alike = [other for other in taken if other.treatment == cell.treatment]
        same = [other for other in alike if other.n == cell.n] or alike
        if same:
            return mean(taken[other] for other in same)
        treatment = TREATMENTS[cell.treatment]
        n_frozen = cell.n if treatment.frozen else 0
        if n_frozen not in epoch:
            epoch[n_frozen] = grid.seconds_of_an_epoch(cell)
        return epoch[n_frozen] * grid.setting.schedule.epochs * treatment.schedules

    plan = pd.DataFrame(
        {
            "treatment": cell.treatment,
            "networks": 1,
            "finished": int(cell in taken),
            "missing": int(cell not in taken),
            "seconds": 0.0 if cell in taken else expected(cell),
        }
        for cell in cells
    )
    table = pd.concat([plan, plan.assign(treatment="all")]).groupby("treatment", sort=False).sum()
    return table.reset_index().to_dict("records")  # type: ignore[return-value]
