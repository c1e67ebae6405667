"""A CSV file with a row per trained network -> the rows, each checked; and the file that such rows are added to."""

import csv
import io
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xxhash
from filelock import FileLock

from dmt.errors import UserError, nearest_name
from dmt.studies.transfer.treatments import OTHER, TREATMENTS, WHOLE

Row = dict[str, str | float | int]
STATUSES = ("ok", "unconverged", "saturated")
REMEDY = "remove or mend this line; a cell whose line is removed is trained again"


def _must_be(
    what: str, read: Callable[[str], str | float | int], holds: Callable[[Any], bool] = lambda value: True
) -> Callable[[str], str | float | int]:
    """A reader that raises a ``ValueError`` with ``what`` the text must be where it does not read or hold."""

    def reader(text: str) -> str | float | int:
        try:
            if holds(value := read(text)):
                return value
        except ValueError:
            pass
        raise ValueError(what)

    return reader


def _whole(text: str) -> int:
    value = float(text)
    if not value.is_integer():
        raise ValueError(text)
    return int(value)


def _one_of(known: Collection[str]) -> Callable[[str], str]:
    def reader(text: str) -> str:
        if text in known:
            return text
        raise ValueError(f"one of {', '.join(known)}{nearest_name(text, known).replace(';', ',')}")

    return reader


def _count(least: int) -> Callable[[str], str | float | int]:
    return _must_be(f"a whole number, {least} or more", int, lambda value: value >= least)


_text = _must_be("given", str, bool)
_percentage = _must_be("a percentage from 0 to 100", float, lambda value: 0 <= value <= 100)
_measured = _must_be("a number, nan or empty", lambda text: float(text or "nan"))

_counted = _must_be("a whole number, nan or empty", lambda text: math.nan if text in ("", "nan") else _whole(text))

# Column -> what reads its text; a ValueError says what the text must be
READERS: Mapping[str, Callable[[str], str | float | int]] = {
    "study": _text,  # data set, size and the start of a hash: only networks of one study are compared
    "treatment": _one_of(TREATMENTS),
    "n": _count(0),  # how many layers are treated; 0 for base and base_long
    "layer": str,  # the name of layer n; empty if unknown
    "base": str,  # the task whose network was copied, A or B; empty for random layers
    "target": _one_of(OTHER),  # the task that was trained
    "split": _text,  # kind of division into A and B: random, man_made_natural, or listed- and a hash of both lists
    "split_seed": _count(0),  # which of several divisions of that kind
    "images_per_class": lambda text: _count(1)(text) if text else 0,  # trained with; empty, here 0: all
    "classes": _count(2),  # of the target
    "top1_last": _percentage,  # mean of the last ten validation accuracies
    "top1_best10": _percentage,  # mean of the ten best: the paper's number
    "train_loss": _measured,  # at the end, in nats; NaN if unknown, as the next three
    "val_loss": _measured,
    "epochs": _counted,
    "seconds": _measured,
    "status": _one_of(STATUSES),
    "version_torch": str,
    "version_dmt": str,
    "key": _text,  # of the cell: a hash of all that determines the network
}
COLUMNS = tuple(READERS)
CHECKSUM = "checksum"  # of the other values of a row, in the last column; empty in rows that were written by hand


class RunStore:
    """A CSV file with ``COLUMNS`` as its header and a row per trained network; several processes may add to it.

    Args:
        path: of the file; the first row makes it.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser()

    def runs(self) -> dict[str, Row]:
        """All rows by their key, the first if there are several.

        Raises:
            UserError: the header or a row is damaged; the line is named.
        """
        found: dict[str, Row] = {}
        for _, row in _read(self.path) if self.path.is_file() else []:
            found.setdefault(str(row["key"]), row)
        return found

    def append(self, row: Row) -> None:
        """Add a row at the end; it is on disk before this returns."""
        text = io.StringIO(newline="")
        self.require_writable()
        with FileLock(f"{self.path}.lock"), self.path.open("a+b", buffering=0) as file:
            is_new = file.tell() == 0
            columns = [*COLUMNS, CHECKSUM] if is_new else _header(self.path)
            writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
            if is_new:
                writer.writeheader()
            else:
                file.seek(-1, os.SEEK_END)
                text.write("" if file.read(1) == b"\n" else "\n")  # a last line that was cut short stays alone
            writer.writerow({**row, CHECKSUM: _checksum(row)})
            file.write(text.getvalue().encode())
            os.fsync(file.fileno())

    def require_writable(self) -> None:
        """Find out before hours of training whether a row can be added.

        Raises:
            OSError: it cannot.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.open("ab").close()


def read_runs(store: str | Path) -> pd.DataFrame:
    """The rows of a finished or unfinished study, to be reported; the file is only read.

    Returns:
        The frame that ``frame_of`` makes.

    Raises:
        UserError: there is no such file or no row in it, a row cannot be read, or two rows are of one cell.
    """
    path = Path(store).expanduser()
    if not path.is_file():
        raise UserError(f"there is no store {path}; train some cells first, or name another file")
    places: dict[str, str] = {}
    rows = []
    for place, row in _read(path):
        cell = "{study}: {treatment} n={n} {base}->{target} {split} {split_seed}".format(**row)
        if row["images_per_class"]:
            cell += f" with {row['images_per_class']} images a class"
        if cell in places:
            both = f"{place} and {places[cell]} are both of {cell}"
            raise UserError(f"{both}; keep one of them, or give each study a store of its own")
        places[cell] = place
        rows.append(row)
    if not rows:
        raise UserError(f"the store {path} has no rows yet; train some cells first")
    return frame_of(rows)


def frame_of(rows: Iterable[Row]) -> pd.DataFrame:
    """Checked rows as a table with ``COLUMNS`` and ``top1``, the accuracy in percent that all comparisons are made by.

    That is the mean of the last validation accuracies, ``top1_last``, since it is not chosen by its outcome.
    """
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.assign(top1=frame["top1_last"])


def checked(values: Mapping[str, object], place: str) -> Row:
    """A row whose values, or their texts, have been read by ``READERS``.

    Args:
        values: for each of ``COLUMNS``; an optional one may be empty or None.
        place: where the row stands, for the error.

    Raises:
        UserError: a value is missing or cannot be read.
    """
    if "" in values or values.get(COLUMNS[-1]) is None:
        raise UserError(f"{place} has another number of values than the header; {REMEDY}")
    texts = {name: "" if values.get(name) is None else str(values[name]).strip() for name in COLUMNS}

    def problem(name: str, what: object) -> UserError:
        return UserError(f"{place}: {name} must be {what}, got {texts[name]!r}; {REMEDY}")

    row: Row = {}
    for name, read in READERS.items():
        try:
            row[name] = read(texts[name])
        except ValueError as error:
            raise problem(name, error) from None
    treatment = texts["treatment"]
    if (row["n"] == 0) != (treatment in WHOLE):
        raise problem("n", "0" if treatment in WHOLE else f"1 or more for {treatment}")
    if treatment == "random":
        row["base"] = ""
    elif row["base"] not in OTHER:
        raise problem("base", "one of A, B")
    elif (row["base"] != row["target"]) != (TREATMENTS[treatment].source == "other"):
        other = "another" if row["base"] == row["target"] else "the same"
        raise problem("base", f"{other} task than the target for {treatment}")
    return row


def _read(path: Path) -> list[tuple[str, Row]]:
    """Where each row stands (file and line), and what it says."""

    def place(line: int) -> str:
        return f"{path}, line {line}"

    content = path.read_bytes()
    try:
        lines = content.decode("utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{place(line)} is not UTF-8 text; {REMEDY}") from error
    reader = csv.DictReader(lines, restkey="", strict=True)
    if lines and tuple(reader.fieldnames or ()) not in (COLUMNS, (*COLUMNS, CHECKSUM)):
        raise UserError(f"{place(1)} is not the header of a study's rows; name another file")
    try:
        return [(place(reader.line_num), _verified(row, place(reader.line_num))) for row in reader]
    except csv.Error as error:
        raise UserError(f"{place(reader.line_num)}: {error}; {REMEDY}") from error


def _verified(row: dict[str, str], place: str) -> Row:
    """As ``checked``; besides, a row that bears a checksum is what was written."""
    checksum = row.pop(CHECKSUM, "")
    values = checked(row, place)
    if checksum not in ("", _checksum(row)):
        raise UserError(f"{place} is not what was written (if you changed it, empty its {CHECKSUM}); {REMEDY}")
    return values


def _checksum(row: Mapping[str, object]) -> str:
    values = ["" if row[column] is None else str(row[column]) for column in COLUMNS]
    return xxhash.xxh3_64_hexdigest("\n".join(values).encode())


def _header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file), [])
