"""Rows about trained networks -> runs, each checked; a row that cannot be read is named by its line."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from dmt.errors import UserError, nearest_name
from dmt.studies.transfer.treatments import TREATMENTS

SYMBOLS = {name: treatment.symbol for name, treatment in TREATMENTS.items()}
WHOLE = tuple(name for name, treatment in TREATMENTS.items() if not treatment.has_layers)  # n is 0
STATUSES = ("ok", "unconverged", "saturated")
TASKS = ("A", "B")
MAY_BE_EMPTY = {
    "layer",
    "images_per_class",
    "train_loss",
    "val_loss",
    "epochs",
    "seconds",
    "version_torch",
    "version_dmt",
}
REMEDY = "remove or mend this line; a cell whose line is removed is trained again"


@dataclass(frozen=True)
class Run:
    """One trained network.

    Args:
        study: data set, size and the start of a hash of all that its networks have in common; only networks of one
            study are compared.
        treatment: a name of ``TREATMENTS``.
        n: how many layers were copied (or left random), 1 and up; 0 for ``base`` and ``base_long``.
        layer: name of layer n; empty if unknown.
        base: the task whose network was copied, A or B; empty for random layers.
        target: the task that was trained, A or B.
        split: kind of the division of classes into A and B: ``random``, ``man_made_natural``, or ``listed-`` and the
            start of a hash of both lists.
        split_seed: which of several divisions of that kind.
        images_per_class: trained with; None: all.
        classes: of the target.
        top1_last: mean of the last ten validation accuracies, percent.
        top1_best10: mean of the ten best, percent; the paper's number.
        train_loss: at the end, nats; NaN if unknown, as the following.
        val_loss: at the end, nats.
        epochs: trained.
        seconds: taken.
        status: ``ok``, ``unconverged`` or ``saturated``.
        version_torch: of the library.
        version_dmt: of this project.
        key: of the cell in the store.
    """

    study: str
    treatment: str
    n: int
    layer: str
    base: str
    target: str
    split: str
    split_seed: int
    images_per_class: int | None
    classes: int
    top1_last: float
    top1_best10: float
    train_loss: float
    val_loss: float
    epochs: float
    seconds: float
    status: str
    version_torch: str = ""
    version_dmt: str = ""
    key: str = ""

    @property
    def division(self) -> tuple[str, int, int | None]:
        """The division of classes and the images of each: what two networks must share to be compared."""
        return self.split, self.split_seed, self.images_per_class

    @property
    def cell(self) -> str:
        """What was trained, in words: ``digits-16px-3f2a91: transfer n=3 A->B random 0``."""
        images = "" if self.images_per_class is None else f" with {self.images_per_class} images a class"
        layers = f"n={self.n} {self.base}->{self.target}"
        return f"{self.study}: {self.treatment} {layers} {self.split} {self.split_seed}{images}"


COLUMNS = tuple(field.name for field in fields(Run))


def read_rows(store: str | Path) -> list[tuple[str, Run]]:
    """Read a CSV file with ``COLUMNS`` as its header and one row per trained network; nothing is changed.

    Returns:
        Where each row stands (file and line), and what it says.

    Raises:
        UserError: another header, or a row that cannot be read.
    """
    path = Path(store).expanduser()
    content = path.read_bytes()
    try:
        lines = content.decode("utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{_place(path, line)} is not UTF-8 text; {REMEDY}") from error
    reader = csv.DictReader(lines, restkey="", restval=None, strict=True)
    if lines and tuple(reader.fieldnames or ()) != COLUMNS:
        raise UserError(f"{_place(path, 1)} is not the header of a study's rows; name another file")
    found = []
    try:
        for row in reader:
            place = _place(path, reader.line_num)
            found.append((place, _run(row, place)))
    except csv.Error as error:
        raise UserError(f"{_place(path, reader.line_num)}: {error}; {REMEDY}") from error
    return found


def read_runs(store: str | Path) -> list[Run]:
    """The runs of a finished or unfinished study.

    Raises:
        UserError: there is no such file or no row in it, a row cannot be read, or two rows are of one cell.
    """
    path = Path(store).expanduser()
    if not path.is_file():
        raise UserError(f"there is no store {path}; train some cells first, or name another file")
    found: dict[str, str] = {}
    runs = []
    for place, run in read_rows(path):
        if run.cell in found:
            raise UserError(
                f"{place} and {found[run.cell]} are both of {run.cell}; keep one of them, "
                "or give each study a store of its own"
            )
        found[run.cell] = place
        runs.append(run)
    if not runs:
        raise UserError(f"the store {path} has no rows yet; train some cells first")
    return runs


def runs_of(rows: Iterable[Mapping[str, object]]) -> list[Run]:
    """Check rows and make them runs.

    Args:
        rows: a value or its text for each of ``COLUMNS``; an optional one may be empty or None.

    Raises:
        UserError: a row cannot be read.
    """
    return [_run(row, f"row {i}") for i, row in enumerate(rows, start=1)]


def _place(path: Path, line: int) -> str:
    return f"{path}, line {line}"


def _run(row: Mapping[str, object], place: str) -> Run:
    if "" in row or any(row.get(name) is None for name in COLUMNS if name not in MAY_BE_EMPTY):
        raise UserError(f"{place} has another number of values than the header; {REMEDY}")
    values = {name: "" if row.get(name) is None else str(row[name]).strip() for name in COLUMNS}

    def problem(name: str, what: str) -> UserError:
        return UserError(f"{place}: {name} must be {what}, got {values[name]!r}; {REMEDY}")

    def one_of(name: str, known: Sequence[str]) -> str:
        if values[name] not in known:
            raise problem(name, f"one of {', '.join(known)}{nearest_name(values[name], known).replace(';', ',')}")
        return values[name]

    def text(name: str) -> str:
        if not values[name]:
            raise problem(name, "given")
        return values[name]

    def number(name: str, what: str, holds: Callable[[float], bool]) -> float:
        try:
            value = float(values[name])
        except ValueError:
            raise problem(name, what) from None
        if not holds(value):
            raise problem(name, what)
        return value

    def count(name: str, least: int) -> int:
        return int(number(name, f"a whole number, {least} or more", lambda x: x >= least and x.is_integer()))

    def share(name: str) -> float:
        return number(name, "a percentage from 0 to 100", lambda x: 0 <= x <= 100)

    def measured(name: str) -> float:
        return number(name, "a number, nan or empty", lambda x: True) if values[name] else math.nan

    treatment, n = one_of("treatment", list(SYMBOLS)), count("n", 0)
    if (n == 0) != (treatment in WHOLE):
        raise problem("n", "0" if treatment in WHOLE else f"1 or more for {treatment}")
    target = one_of("target", TASKS)
    base = "" if treatment == "random" else one_of("base", TASKS)
    if base and (base != target) != treatment.startswith("transfer"):
        raise problem("base", f"{'another' if base == target else 'the same'} task than the target for {treatment}")
    return Run(
        study=text("study"),
        treatment=treatment,
        n=n,
        layer=values["layer"],
        base=base,
        target=target,
        split=text("split"),
        split_seed=count("split_seed", 0),
        images_per_class=count("images_per_class", 1) if values["images_per_class"] else None,
        classes=count("classes", 2),
        top1_last=share("top1_last"),
        top1_best10=share("top1_best10"),
        train_loss=measured("train_loss"),
        val_loss=measured("val_loss"),
        epochs=measured("epochs"),
        seconds=measured("seconds"),
        status=one_of("status", STATUSES),
        version_torch=values["version_torch"],
        version_dmt=values["version_dmt"],
        key=text("key"),
    )
