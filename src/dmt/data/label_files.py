"""Files of labels that somebody wrote -> labels, or one line that says what is wrong with them and where."""

import csv
import io
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dmt.data.folders import counted, shown, some
from dmt.errors import UserError
from dmt.storage.limits import require_file_size

log = logging.getLogger(__name__)

FILE, GROUP = "file", "group"  # columns of a CSV file of labels that are no labels
KIND_COLUMNS = ("class_id", "group")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"\d+", re.ASCII)


@dataclass(frozen=True)
class Row:
    """A line of a file.

    Args:
        number: of its last line, from 1.
        fields: column -> text.
    """

    number: int
    fields: dict[str, str]


def read_rows(path: Path, remedy: str) -> tuple[list[str], list[Row]]:
    """A CSV file with a header -> its columns and rows, each with as many fields as the header; blank lines left out.

    Args:
        path: the file, in UTF-8.
        remedy: what to do if it cannot be read.

    Raises:
        UserError: it cannot be read, is too large, has a column twice or one without a name, or a ragged row.
    """
    reader = csv.reader(io.StringIO(_text(path, remedy), newline=""), strict=True)
    try:
        lines = [(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}; {remedy}") from error
    header = lines[0][1] if lines else []
    _require_columns(header, path, lines[0][0] if lines else 1)
    for number, fields in lines[1:]:
        if len(fields) != len(header):
            raise UserError(f"{path}, line {number}: the row has another number of columns than the header")
    return header, [Row(number, dict(zip(header, fields, strict=True))) for number, fields in lines[1:]]


def require_rows(path: Path) -> str:
    """The separator of a table of text, whose rows are looked through: , ; tab or |.

    Raises:
        UserError: it cannot be read, has a column twice, or a row that is ragged.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            separator = max(",;\t|", key=file.readline().count)
            file.seek(0)
            reader = csv.reader((_without_zero(line) for line in file), delimiter=separator, strict=True)
            header = next(reader, [])
            if twice := [name for i, name in enumerate(header) if name and name in header[:i]]:
                raise UserError(f"{path}, line 1: column {twice[0]!r} is there twice; keep one of them")
            for fields in reader:
                if fields and len(fields) != len(header):
                    raise UserError(
                        f"{path}, line {reader.line_num}: the row has {len(fields)} columns, and the header "
                        f"{len(header)}; mend it"
                    )
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} could not be read as a table ({error}); mend it, or save it again") from error
    _say_if_cut_off(path)
    return separator


def read_labels(path: Path, root: Path) -> tuple[list[str], list[str], dict[str, np.ndarray]]:
    """A CSV file of labels -> files relative to ``root``, groups, and label -> scores ``(n,)``.

    A file that stands there twice with the same labels counts once, which is logged; so is how many pictures below
    ``root`` are not in it.

    Raises:
        UserError: it is no such file; a picture is missing, outside ``root``, or there twice with other labels; or a
            label is no finite number.
    """
    header, rows = read_rows(path, "set data.catalog.labels to a CSV file")
    if not rows or FILE not in header:
        raise UserError(f"{path} needs a header with a column 'file' and a column per label, and at least one row")
    labels = [name for name in header if name not in (FILE, GROUP)]
    kept: dict[object, tuple[int, str, str, list[float]]] = {}
    twice = []
    for row in rows:
        file = _file_below(root, row.fields[FILE], f"{path}, line {row.number}")
        group = row.fields.get(GROUP, file)
        if not group:
            raise UserError(f"{path}, line {row.number}: the group is empty; name one, or leave the column out")
        scores = [_number(row.fields[name], f"{path}, line {row.number}, column {name!r}") for name in labels]
        number, _, first_group, first_scores = kept.setdefault(
            _identity(root / file), (row.number, file, group, scores)
        )
        if number == row.number:
            continue
        if scores != first_scores or (GROUP in header and group != first_group):
            raise UserError(
                f"{path}, line {row.number}: {shown(file)} is the file of line {number}, where it has other labels; "
                "keep one of the rows"
            )
        twice.append(file)
    if twice:
        log.warning("%s: %s there twice with the same labels, and counted once: %s", path, _are(twice), some(twice))
    files = [file for _, file, _, _ in kept.values()]
    groups = [group for _, _, group, _ in kept.values()]
    table = np.array([scores for _, _, _, scores in kept.values()], dtype=float).reshape(len(files), len(labels))
    return files, groups, {name: table[:, i] for i, name in enumerate(labels)}


def read_attributes(path: Path) -> tuple[list[str], list[int], dict[str, np.ndarray]]:
    """Read Kumar's attribute file: people, image numbers, and attribute -> scores ``(n,)``.

    A picture that stands there twice with the same scores counts once, which is logged.

    Raises:
        UserError: a missing column or one that is there twice, a ragged row, a value that is no finite number, a person
            whose name is a path, or a picture that is there twice with other scores; the line is named.
    """
    remedy = "mend it or fetch the file again"
    lines = _text(path, "fetch lfw_attributes.txt again").splitlines()
    header = lines[1].split("\t") if len(lines) > 1 else []
    if header[:3] != ["#", "person", "imagenum"]:
        raise UserError(
            f"{path}, line 2: the header must begin with '#<tab>person<tab>imagenum', got {header[:3]}; "
            "fetch lfw_attributes.txt again"
        )
    attributes = header[3:]
    _require_columns(header, path, 2)
    kept: dict[tuple[str, int], tuple[int, str, list[float]]] = {}
    twice = []
    for number, line in enumerate(lines[2:], start=3):
        place = f"{path}, line {number}"
        fields = line.split("\t")
        if len(fields) != len(attributes) + 2:
            raise UserError(f"{place}: {len(fields)} columns where the header has {len(attributes) + 2}; {remedy}")
        if not fields[0] or _leaves(fields[0]):
            raise UserError(f"{place}: {fields[0]!r} is no name of a person, but a path; {remedy}")
        if not _WHOLE.fullmatch(fields[1]):
            raise UserError(f"{place}: {fields[1]!r} is no number of a picture; {remedy}")
        picture = fields[0].replace(" ", "_"), int(fields[1])
        scores = [_number(field, place) for field in fields[2:]]
        first, _, first_scores = kept.setdefault(picture, (number, fields[0], scores))
        if first == number:
            continue
        if scores != first_scores:
            raise UserError(f"{place}: the picture of line {first} once more, with other scores; keep one of the rows")
        twice.append("{}_{:04d}".format(*picture))
    if twice:
        log.warning("%s: %s there twice with the same scores, and counted once: %s", path, _are(twice), some(twice))
    table = np.array([scores for _, _, scores in kept.values()]).reshape(len(kept), len(attributes))
    people, numbers = [person for _, person, _ in kept.values()], [number for _, number in kept]
    return people, numbers, {name: table[:, i] for i, name in enumerate(attributes)}


def read_kinds(path: Path, classes: Sequence[str] = ()) -> dict[str, str]:
    """Class -> kind of thing, from a CSV file with the columns ``class_id`` and ``group``; hyphens become underscores.

    Args:
        path: the file.
        classes: those there are; what of them or of others the file says is logged. Empty: nothing is.

    Raises:
        UserError: the file cannot be read, has other columns, or says two things of a class.
    """
    header, rows = read_rows(path, "set data.catalog.classes to a CSV file")
    if not rows or not set(KIND_COLUMNS) <= set(header) or not all(all(_kind(row)) for row in rows):
        raise UserError(f"{path} needs a header with the columns class_id and group, and both in every row")
    kinds: dict[str, str] = {}
    for row in rows:
        name, kind = _kind(row)
        if kinds.setdefault(name, kind) != kind:
            raise UserError(f"{path}, line {row.number}: class {name!r} is of group {kinds[name]!r} and of {kind!r}")
    if classes:
        for names, what in ((set(kinds) - set(classes), "no class"), (set(classes) - set(kinds), "of no group")):
            if names:
                log.warning("%s: %s of the data set: %s", path, what, some(sorted(names)))
    return kinds


def _kind(row: Row) -> tuple[str, str]:
    name, kind = (row.fields[column] for column in KIND_COLUMNS)
    return name, kind.replace("-", "_")


def _text(path: Path, remedy: str) -> str:
    require_file_size(path, "table")
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets begin with a byte order mark
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} could not be read ({reason}); {remedy}") from error
    if "\0" in text:
        raise UserError(f"{path}, line {text[: text.index(chr(0))].count(chr(10)) + 1}: it holds a zero byte; {remedy}")
    _say_if_cut_off(path)
    return text


def _say_if_cut_off(path: Path) -> None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read(1) not in (b"", b"\n", b"\r"):
            log.info("%s ends within a line; if somebody cut it off, its last row is wrong", path)


def _without_zero(line: str) -> str:
    if "\0" in line:
        raise ValueError("it holds a zero byte")
    return line


def _require_columns(header: Sequence[str], path: Path, number: int) -> None:
    for i, name in enumerate(header):
        if not name.strip():
            raise UserError(f"{path}, line {number}: column {i + 1} has no name; name it, or take it out")
        if name in header[:i]:
            raise UserError(f"{path}, line {number}: column {name!r} is there twice; keep one of them")


def _number(text: str, place: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text.strip()) else np.inf
    if not np.isfinite(value):
        raise UserError(
            f"{place}: could not convert {text!r} to a number; labels are finite numbers, above 0 where the picture "
            "has it"
        )
    return value


def _file_below(root: Path, name: str, place: str) -> str:
    """The path of a file relative to the folder that it must lie in."""
    path = os.path.normpath(root / name)
    below = os.path.relpath(path, root)
    if not os.path.isfile(path):
        raise UserError(f"{place}: there is no file {shown(str(root / name))}")
    if below.startswith(os.pardir):
        raise UserError(f"{place}: {shown(name)} lies outside {root}; name files that lie below it")
    return Path(below).as_posix()


def _identity(path: Path) -> object:
    """The same for one file however its path is written, and for links to it."""
    facts = path.stat()
    return (facts.st_dev, facts.st_ino) if facts.st_ino else os.path.realpath(path)


def _leaves(person: str) -> bool:
    return "/" in person or "\\" in person or set(person) == {"."}


def _are(names: Sequence[str]) -> str:
    return counted(len(names), "picture") + (" is" if len(names) == 1 else " are")
