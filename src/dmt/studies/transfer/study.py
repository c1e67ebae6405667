"""A setting, treatments, depths, splits and targets -> a row per network, or the plan of what that will take."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

from pytorch_lightning import Trainer

from dmt.data import Catalog
from dmt.editing.records import Record
from dmt.errors import UserError, nearest_name
from dmt.reporting.results import Report
from dmt.studies.transfer.cells import Cell, cells_of
from dmt.studies.transfer.classifier import Schedule
from dmt.studies.transfer.grid import Grid, Setting
from dmt.studies.transfer.networks import WeightLayers
from dmt.studies.transfer.rows import Run
from dmt.studies.transfer.splits import Split
from dmt.studies.transfer.store import RunStore
from dmt.studies.transfer.treatments import treatment_named

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TransferStudy:
    """How general is each layer of a network (Yosinski et al. 2014, arXiv 1411.1792), on any classes.

    What was trained is kept, and found again by whatever study needs it, so that whoever is interrupted goes on where
    he was; the same command in several processes shares the work.

    Args:
        catalog: the pictures, each of one class.
        image_size: pixels of a side.
        network: makes a network, given ``classes`` and ``image_size``.
        schedule: of the learning, the same for all.
        splits: name -> rule that divides the classes.
        split: name of the one that is used.
        split_seeds: one split for each that divides the classes anew.
        treatments: names of ``TREATMENTS``.
        depths: values of n, how many layers are treated.
        targets: halves that networks are trained on, ``A`` and ``B``.
        store: CSV file of the rows.
        folder: of the trained bases.
        classes: per half; ``None``: as many as there can be.
        images_per_class: for training; ``None``: as many as the smallest class of the data set has.
        held_out: the share of pictures for validation where the data set says nothing.
        saturated_below: see ``Training.status``.
        still_falling: see there.
        plan: whether to say what is missing and what it will take, and train nothing but an epoch here and there.

    Raises:
        UserError: whatever cannot be done, in one line.
    """

    catalog: Catalog
    image_size: int
    network: Callable[..., WeightLayers]
    schedule: Schedule
    splits: Mapping[str, Split]
    split: str
    split_seeds: Sequence[int]
    treatments: Sequence[str]
    depths: Sequence[int]
    targets: Sequence[str]
    store: str | Path
    folder: str | Path
    classes: int | None = None
    images_per_class: int | None = None
    held_out: float = 0.25
    saturated_below: float = 0.05
    still_falling: float = 0.05
    plan: bool = False

    def __call__(self, trainer: Callable[..., Trainer], editor: object = None) -> Report:
        """Train what is missing, or plan it.

        Args:
            trainer: makes Lightning's trainer.
            editor: every study is given one; nothing is edited here.
        """
        store = RunStore(self.store)
        grid = Grid(self.setting, store, Path(self.folder).expanduser(), trainer)
        cells = self.cells
        if self.plan:
            plan = planned(grid, cells)
            return Report(f"plan of {plan[-1]['networks']} networks", [], {}, {"plan": plan})
        store.require_writable()
        records = [asdict(run) for run in finished(grid, cells).values()]
        return Report(f"transfer, {self.split} splits", [], {}, {"transfer": records})

    @property
    def setting(self) -> Setting:
        """What the networks have in common."""
        if self.split not in self.splits:
            known = ", ".join(self.splits)
            raise UserError(
                f"there is no transfer.split {self.split!r}{nearest_name(self.split, self.splits)} (there are {known})"
            )
        return Setting(
            self.catalog,
            self.image_size,
            self.network,
            self.schedule,
            self.splits[self.split],
            self.split,
            self.classes,
            self.images_per_class,
            self.held_out,
            self.saturated_below,
            self.still_falling,
        )

    @property
    def cells(self) -> list[Cell]:
        """The networks, bases first; a seed that divides the classes as an earlier one does is left out."""
        setting = self.setting
        cells = cells_of(self.treatments, self.depths, self.split_seeds, self.targets, len(setting.layer_names))
        first: dict[frozenset[frozenset[str]], int] = {}
        for seed in dict.fromkeys(cell.split_seed for cell in cells):
            earlier = first.setdefault(setting.halves(seed).division, seed)
            if earlier != seed:
                log.info(
                    "transfer.split=%s divides the classes for seed %d as for seed %d; seed %d is left out",
                    self.split, seed, earlier, seed,
                )  # fmt: skip
        return [cell for cell in cells if cell.split_seed in first.values()]


def finished(grid: Grid, cells: Sequence[Cell]) -> dict[Cell, Run]:
    """The runs of all cells; what another process is training is waited for last."""
    runs: dict[Cell, Run] = {}
    for wait in (False, True):
        for cell in cells:
            if cell not in runs and (run := grid.run(cell, wait)) is not None:
                runs[cell] = run
    return {cell: runs[cell] for cell in cells}


def planned(grid: Grid, cells: Sequence[Cell]) -> list[Record]:
    """What is finished, what is missing and how many seconds of one process that is, by treatment.

    Bases that layers are copied from are among the cells, asked for or not.

    A network takes as long as those of its treatment and depth that are finished took on average; else those of its
    treatment; else as long as an epoch with as many frozen layers, measured now, says.
    """
    sources = [cell.source for cell in cells if cell.source is not None]
    cells = list(dict.fromkeys([*sources, *cells]))
    known = grid.store.runs()
    found = {cell: known[key] for cell in cells if (key := grid.setting.key(cell)) in known}
    missing = [cell for cell in cells if cell not in found]
    epoch: dict[int, float] = {}
    expected: dict[Cell, float] = {}
    for cell in missing:
        alike = [other for other in found if other.treatment == cell.treatment]
        same = [other for other in alike if other.n == cell.n] or alike
        if same:
            expected[cell] = mean(found[other].seconds for other in same)
        else:
            treatment = treatment_named(cell.treatment)
            n_frozen = cell.n if treatment.frozen else 0
            if n_frozen not in epoch:
                epoch[n_frozen] = grid.seconds_of_an_epoch(cell)
            expected[cell] = epoch[n_frozen] * grid.setting.schedule.epochs * treatment.schedules
    records: list[Record] = []
    for name in dict.fromkeys(cell.treatment for cell in cells):
        own = [cell for cell in cells if cell.treatment == name]
        records.append(_plan_record(name, own, expected))
    return [*records, _plan_record("all", cells, expected)]


def _plan_record(name: str, cells: Sequence[Cell], expected: Mapping[Cell, float]) -> Record:
    missing = [cell for cell in cells if cell in expected]
    return {
        "treatment": name,
        "networks": len(cells),
        "finished": len(cells) - len(missing),
        "missing": len(missing),
        "seconds": sum(expected[cell] for cell in missing),
    }
