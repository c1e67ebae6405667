"""Treatments, depths, splits and targets -> the networks of the study, and what each is trained from."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import product
from typing import Literal

from torch import Tensor

from dmt.errors import UserError, nearest_name, require_list, require_whole_number
from dmt.studies.transfer.networks import WeightLayers


@dataclass(frozen=True)
class Treatment:
    """What is done to the first n layers before a network is trained on its target.

    Args:
        symbol: the paper's, section 3.
        source: whose trained layers are copied: those of the base of the same task, of the other task, or nobody's.
        frozen: whether the first n layers stay as they are while the rest learns.
        schedules: how many times as long as a base it is trained.
        has_layers: whether n layers are treated, from 1 to one less than the network has; otherwise n is 0.
    """

    symbol: str
    source: Literal["same", "other"] | None = None
    _: KW_ONLY
    frozen: bool = False
    schedules: int = 1
    has_layers: bool = True


TREATMENTS: Mapping[str, Treatment] = {
    "base": Treatment("base", has_layers=False),
    # ours: does fine-tuning gain more than training for longer does?
    "base_long": Treatment("base, twice as long", has_layers=False, schedules=2),
    "selffer": Treatment("BnB", "same", frozen=True),
    "transfer": Treatment("AnB", "other", frozen=True),
    "selffer_finetuned": Treatment("BnB+", "same"),
    "transfer_finetuned": Treatment("AnB+", "other"),
    "random": Treatment("random, frozen", frozen=True),
}
SYMBOLS = {name: treatment.symbol for name, treatment in TREATMENTS.items()}
WHOLE = tuple(name for name, treatment in TREATMENTS.items() if not treatment.has_layers)  # trained as a whole, n is 0
OTHER = {"A": "B", "B": "A"}


@dataclass(frozen=True)
class Cell:
    """One network of the study. Its initial weights and the order of its pictures are seeded by its key.

    Args:
        treatment: a name of ``TREATMENTS``.
        n: how many layers are treated; 0 for the bases.
        split_seed: which division of the classes into tasks A and B.
        target: the task that it is trained on, ``A`` or ``B``.
    """

    treatment: str
    n: int
    _: KW_ONLY
    split_seed: int
    target: str

    @property
    def source(self) -> "Cell | None":
        """The base whose first n layers are copied; ``None`` if none are."""
        whose = TREATMENTS[self.treatment].source
        if whose is None:
            return None
        return Cell(
            "base", 0, split_seed=self.split_seed, target=self.target if whose == "same" else OTHER[self.target]
        )

    @property
    def base(self) -> str:
        """The task on which its first layers were trained; empty if on none."""
        if self.treatment in WHOLE:
            return self.target
        return self.source.target if self.source else ""

    def __str__(self) -> str:
        layers = f" n={self.n}" if self.n else ""
        return f"{self.treatment}{layers} on {self.target}, split {self.split_seed}"


def cells_of(
    treatments: Sequence[str], depths: Sequence[int], *, split_seeds: Sequence[int], targets: Sequence[str], layers: int
) -> list[Cell]:
    """All combinations, split by split, bases first.

    Args:
        treatments: names of ``TREATMENTS``.
        depths: values of n.
        split_seeds: whole numbers.
        targets: ``A`` and ``B``, or one of them.
        layers: how many the network has; every depth is smaller.

    Raises:
        UserError: something is no list, a list is empty, a name is unknown, or a depth lies outside the network.
    """
    lists = {"treatments": treatments, "depths": depths, "split_seeds": split_seeds, "targets": targets}
    for name, value in lists.items():
        require_list(f"transfer.{name}", value)
    for treatment in treatments:
        if treatment not in TREATMENTS:
            known = ", ".join(TREATMENTS)
            raise UserError(
                f"there is no treatment {treatment!r}{nearest_name(treatment, TREATMENTS)} (there are {known})"
            )
    for depth in depths:
        what = f"a whole number from 1 to {layers - 1} (the network has {layers} layers)"
        require_whole_number("transfer.depths (or transfer.n)", depth, what, 1, layers - 1)
    for seed in split_seeds:
        require_whole_number("transfer.split_seeds (or transfer.split_seed)", seed, "a whole number, 0 or more", 0)
    for target in targets:
        if target not in OTHER:
            raise UserError(f"transfer.targets (or transfer.target) must be A or B, got {target}")
    if not all(lists.values()):
        raise UserError("the study is empty; give at least one treatment, n, split_seed and target")
    cells = [
        Cell(treatment, depth, split_seed=seed, target=target)
        for seed, treatment, target in product(split_seeds, treatments, targets)
        for depth in ([0] if treatment in WHOLE else depths)
    ]
    return sorted(dict.fromkeys(cells), key=lambda cell: (split_seeds.index(cell.split_seed), cell.n > 0))


def treated(fresh: WeightLayers, cell: Cell, base: Mapping[str, Tensor] | None) -> WeightLayers:
    """The network of a cell before it is trained.

    Args:
        fresh: a network with initial weights; its layers are used, not copied.
        cell: says which layers are copied and whether they are frozen.
        base: weights and buffers of the trained network whose layers are copied; ``None`` if none are.
    """
    layers = dict(fresh.named_children())
    if base is not None:
        for name in fresh.names[: cell.n]:
            prefix = f"{name}."
            layers[name].load_state_dict({k.removeprefix(prefix): v for k, v in base.items() if k.startswith(prefix)})
    return WeightLayers(layers, cell.n if TREATMENTS[cell.treatment].frozen else 0)
