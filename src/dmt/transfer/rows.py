"""Rows of the store of trained networks -> runs, each checked; a row that cannot be read is named by its line."""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from dmt.errors import UserError, nearest_name

SYMBOLS = {  # the paper's, section 3
    "base": "base",
    "base_long": "base, twice as long",
    "selffer": "BnB",
    "transfer": "AnB",
    "selffer_finetuned": "BnB+",
    "transfer_finetuned": "AnB+",
    "random": "random, frozen",
}
WHOLE = ("base", "base_long")  # trained from scratch: nothing is copied, n is 0
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
    "key",
}
REMEDY = "remove or mend this line; a cell whose line is removed is trained again"


@dataclass(frozen=True)
class Run:
    """One trained network.

    Args:
        treatment: a key of ``SYMBOLS``.
        n: how many layers were copied (or left random), 1 and up; 0 for ``base`` and ``base_long``.
        layer: name of layer n; empty if unknown.
        base: the task whose network was copied, A or B.
        target: the task that was trained, A or B.
        split: kind of the division of classes into A and B: ``random``, ``man_made_natural``.
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
        """What was trained, in words: ``transfer n=3 A->B random 0``."""
        images = "" if self.images_per_class is None else f" with {self.images_per_class} images a class"
        return f"{self.treatment} n={self.n} {self.base}->{self.target} {self.split} {self.split_seed}{images}"


COLUMNS = tuple(field.name for field in fields(Run))


def read_runs(store: str | Path) -> list[Run]:
    """Read a store: a CSV file with a header and one row per trained network; nothing is changed.

    Args:
        store: the file; ``COLUMNS`` in any order, others are passed over.

    Raises:
        UserError: there is no such file, a column is missing, a row cannot be read, or two rows are of one cell.
    """
    path = Path(store).expanduser()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no store {path}; train some cells first, or name another file") from None
    try:
        lines = content.decode("utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{_place(path, line)} is not UTF-8 text; {REMEDY}") from error
    reader = csv.DictReader(lines, restkey="", restval=None, strict=True)
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
    if missing:
        raise UserError(
            f"{_place(path, 1)} lacks the column {missing[0]!r}; give the store the header that train.py writes"
        )
    numbered = []
    try:
        for row in reader:
            numbered.append((_place(path, reader.line_num), row))
    except csv.Error as error:
        raise UserError(f"{_place(path, reader.line_num)}: {error}; {REMEDY}") from error
    if not numbered:
        raise UserError(f"the store {path} has no rows yet; train some cells first")
    return runs_of([row for _, row in numbered], [place for place, _ in numbered])


def runs_of(rows: Sequence[Mapping[str, object]], places: Sequence[str] = ()) -> list[Run]:
    """Check rows and make them runs.

    Args:
        rows: a value or its text for each of ``COLUMNS``; an optional one may be empty or None.
        places: where each stands, for errors; by default "row 1" and so on.

    Raises:
        UserError: a row cannot be read, or two rows are of one cell.
    """
    found: dict[str, str] = {}
    runs = []
    for row, place in zip(rows, places or [f"row {i}" for i in range(1, len(rows) + 1)], strict=True):
        run = _run(row, place)
        if run.cell in found:
            raise UserError(
                f"{place} and {found[run.cell]} are both of {run.cell}; keep one of them, "
                "or give each study a store of its own"
            )
        found[run.cell] = place
        runs.append(run)
    return runs


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
    base = target if treatment == "random" and not values["base"] else one_of("base", TASKS)
    if treatment != "random" and (base != target) != treatment.startswith("transfer"):
        raise problem("base", f"{'another' if base == target else 'the same'} task than the target for {treatment}")
    return Run(
        treatment=treatment,
        n=n,
        layer=values["layer"],
        base=base,
        target=target,
        split=values["split"],
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
        key=values["key"],
    )
