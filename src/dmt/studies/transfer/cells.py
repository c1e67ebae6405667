"""Treatments, depths, splits and targets -> the networks of a study, bases first."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from dmt.errors import UserError, require_list, require_whole_number
from dmt.studies.transfer.treatments import OTHER, source_of, treatment_named


@dataclass(frozen=True)
class Cell:
    """One network of the study.

    Args:
        treatment: a name of ``TREATMENTS``.
        n: how many layers are treated; 0 for the bases.
        split_seed: of the split. Initial weights and the order of pictures are seeded by the cell's key.
        target: the half that it is trained on, ``A`` or ``B``.
    """

    treatment: str
    n: int
    split_seed: int
    target: str

    @property
    def source(self) -> "Cell | None":
        """The base that its first layers are copied from."""
        letter = source_of(self.treatment, self.target)
        return None if letter is None else Cell("base", 0, self.split_seed, letter)

    @property
    def base(self) -> str:
        """The half on which its first layers were trained; empty if on none."""
        if not treatment_named(self.treatment).has_layers:
            return self.target
        return source_of(self.treatment, self.target) or ""

    def __str__(self) -> str:
        layers = f" n={self.n}" if self.n else ""
        return f"{self.treatment}{layers} on {self.target}, split {self.split_seed}"


def cells_of(
    treatments: Sequence[str], depths: Sequence[int], split_seeds: Sequence[int], targets: Sequence[str], layers: int
) -> list[Cell]:
    """All combinations, split by split, bases first.

    Args:
        treatments: names of ``TREATMENTS``.
        depths: values of n.
        split_seeds: whole numbers.
        targets: ``A`` and ``B``, or one of them.
        layers: of the network; a depth lies below.

    Raises:
        UserError: no list, an unknown name, or a depth outside the network.
    """
    lists = {"treatments": treatments, "depths": depths, "split_seeds": split_seeds, "targets": targets}
    for name, value in lists.items():
        require_list(f"transfer.{name}", value)
    for treatment in treatments:
        treatment_named(treatment)
    for depth in depths:
        what = f"a whole number from 1 to {layers - 1} (the network has {layers} layers)"
        require_whole_number("transfer.depths (or transfer.n)", depth, what, 1, layers - 1)
    for seed in split_seeds:
        require_whole_number(
            "transfer.split_seeds (or transfer.split_seed)", seed, "a whole number, 0 or more", least=0
        )
    for target in targets:
        if target not in OTHER:
            raise UserError(f"transfer.targets (or transfer.target) must be A or B, got {target}")
    if not (treatments and depths and split_seeds and targets):
        raise UserError("the study is empty; give at least one treatment, n, split_seed and target")
    cells = [
        Cell(treatment, depth, seed, target)
        for seed, treatment, target in product(split_seeds, treatments, targets)
        for depth in (depths if treatment_named(treatment).has_layers else [0])
    ]
    return sorted(dict.fromkeys(cells), key=lambda cell: (split_seeds.index(cell.split_seed), cell.n > 0))
