"""Damaged files of labels and tables: each is refused in one line, or what is odd of it is told, or it is well-formed.

``campaign(seed, count)`` damages that many files, of three kinds: a CSV file of labels, Kumar's attribute file, a CSV
table. *Silent* is a file of which other values are loaded than the intact one has, without a word, unless a reader of
another library (pandas, every cell as text) finds those values in a file without fault: nobody can know that a figure
in it was another one before.
"""

import io
import logging
import math
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dmt.data import Folder, Table, TableTask
from dmt.data.catalogs import LFW
from dmt.errors import UserError
from tests.faults.tally import tally

FILES = [f"{name}.png" for name in "abcdefgh"]
PEOPLE = ["Ada One", "Ben Two", "Cy Three"]
Damage = Callable[[random.Random, str], str]
Values = dict[str, list[float | str]]


def _csv_of_labels() -> str:
    rows = [f"{file},{i % 3},{1 - 2 * (i % 2)},{i / 4 - 0.6:.3f}" for i, file in enumerate(FILES)]
    return "\n".join(["file,group,smiling,old", *rows]) + "\n"


def _attributes() -> str:
    rows = [f"{person}\t{n}\t{0.5 * n - 1:.4f}\t{-0.25 * n:.4f}" for person in PEOPLE for n in (1, 2, 3)]
    return "\n".join(["# lfw_attributes.txt", "#\tperson\timagenum\tSmiling\tMale", *rows]) + "\n"


def _table() -> str:
    rng = np.random.default_rng(0)
    rows = [f"{a:.2f},{b:.1f},{'red' if a > 0 else 'blue'},{'yes' if b > 5 else 'no'}" for a, b in
            zip(rng.normal(size=60), rng.uniform(0, 10, 60), strict=True)]  # fmt: skip
    return "\n".join(["weight,height,colour,ill", *rows]) + "\n"


# Damage


def cut_off(rng: random.Random, text: str) -> str:
    return text[: rng.randrange(len(text))]


def another_letter(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice('0123456789.,;\t\n"-+eEnaif /\\\0_ é') + text[at + 1 :]


def left_out(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + text[at + rng.choice([1, 1, 5, 40]) :]


def put_in(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice([",", "\t", "\n", '"', "\0", "\r", "1", "\u2028", "nan", "-", "\ufeff"]) + text[at:]


def a_line_twice(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    line = rng.choice(lines)
    lines.insert(rng.randrange(len(lines) + 1), line)
    return "".join(lines)


def a_line_twice_with_other_labels(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    line = rng.choice(lines[2:])
    return "".join([*lines, re.sub(r"\d(?=\D*$)", lambda digit: str((int(digit[0]) + 1) % 10), line)])


def an_odd_value(rng: random.Random, text: str) -> str:
    odd = [
        "nan",
        "inf",
        "-inf",
        "1e999",
        "infinity",
        "NaN",
        "",
        " ",
        "1_000",
        "0x10",
        "yes",
        "1,0",
        "--1",
        "1e",
        "\u0661",
    ]
    return _with_cell(rng, text, rng.choice(odd))


def an_odd_path(rng: random.Random, text: str) -> str:
    odd = [
        "../a.png",
        "/etc/passwd",
        "",
        "..",
        ".",
        "a.png/../b.png",
        "./a.png",
        "~/a.png",
        "x" * 400 + ".png",
        "../../x/y",
    ]
    return _with_cell(rng, text, rng.choice(odd), column=0)


def a_column_twice(rng: random.Random, text: str) -> str:
    separator = "\t" if "\t" in text else ","
    lines = text.splitlines()
    header = next(i for i, line in enumerate(lines) if separator in line)
    names = lines[header].split(separator)
    one, other = rng.sample(range(1, len(names)), 2)
    names[one] = names[other]
    lines[header] = separator.join(names)
    return "\n".join(lines) + "\n"


def lines_in_another_order(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    one, other = rng.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


def _with_cell(rng: random.Random, text: str, value: str, column: int | None = None) -> str:
    separator = "\t" if "\t" in text else ","
    lines = text.splitlines()
    row = rng.randrange(2, len(lines))
    cells = lines[row].split(separator)
    cells[rng.randrange(len(cells)) if column is None else column] = value
    lines[row] = separator.join(cells)
    return "\n".join(lines) + "\n"


DAMAGES: list[Damage] = [
    cut_off,
    another_letter,
    left_out,
    put_in,
    a_line_twice,
    a_line_twice_with_other_labels,
    an_odd_value,
    an_odd_path,
    a_column_twice,
    lines_in_another_order,
]


# What is loaded, and what another library finds: thing -> its values


def _labels_loaded(folder: Path) -> Values:
    catalog = Folder(folder / "pictures", folder / "labels.csv")
    return _by_thing(catalog.files, {label: catalog.scores(label).tolist() for label in catalog.labels})


def _attributes_loaded(folder: Path) -> Values:
    catalog = LFW(folder / "lfw", folder / "labels.csv")
    return _by_thing(catalog.names, {label: catalog.scores(label).tolist() for label in catalog.labels})


def _table_loaded(folder: Path) -> Values:
    table = Table(folder / "labels.csv", "ill")
    sides = TableTask("yes", "no").sides(table.frame["ill"])
    assert table.columns
    frame = table.frame.assign(ill=["yes" if side < 0 else "no" if side > 0 else "" for side in sides])
    return _by_thing([str(i) for i in range(len(frame))], {str(name): frame[name].tolist() for name in frame.columns})


def _by_thing(things: list[str], columns: dict[str, list[float]]) -> Values:
    return {thing: [f"{name}={columns[name][i]}" for name in sorted(columns)] for i, thing in enumerate(things)}


def _found(text: str, kind: str) -> Values | None:
    """What pandas finds in a file without fault; ``None``: it has one."""
    if "\0" in text or not text.endswith("\n"):
        return None
    separator = "\t" if kind == "attributes" else ","
    if kind == "attributes":
        if not text.startswith("# lfw_attributes.txt\n#\tperson\timagenum"):
            text = text.partition("\n")[2] if text.count("\n") else ""
        else:
            text = text.partition("\n")[2]
        text = text.removeprefix("#\t")
    try:
        frame = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, header=None, keep_default_na=False,
                            on_bad_lines="error", encoding_errors="strict")  # fmt: skip
    except (ValueError, OverflowError):
        return None
    header, rows = frame.iloc[0].tolist(), frame.iloc[1:]
    if len(set(header)) < len(header) or not all(isinstance(name, str) and name.strip() for name in header):
        return None
    rows = rows.set_axis(header, axis=1)
    if rows.isna().any(axis=None):
        return None
    try:
        if kind == "labels":
            rows = rows[[name for name in header if name != "group"]].set_index("file")
        elif kind == "attributes":
            pairs = zip(rows["person"], rows["imagenum"], strict=True)
            names = [f"{person.replace(' ', '_')}_{int(number):04d}" for person, number in pairs]
            rows = rows.drop(columns=["person", "imagenum"]).set_index(pd.Index(names))
        else:
            rows = rows.reset_index(drop=True).set_axis([str(i) for i in range(len(rows))])
    except (KeyError, ValueError):
        return None
    if rows.index.duplicated().any():
        return None
    columns: dict[str, list[float]] = {name: [_value(cell, kind) for cell in rows[name]] for name in rows.columns}
    for name, values in columns.items():
        if kind == "table" and any(isinstance(value, str) for value in values):  # a column of words
            columns[name] = [cell or math.nan for cell in rows[name]]
    odd = math.isinf if kind == "table" else lambda value: not math.isfinite(value)  # an empty cell of a table is known
    if any(isinstance(value, float) and odd(value) for values in columns.values() for value in values):
        return None
    return _by_thing(list(rows.index), columns)


def _value(cell: str, kind: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell if kind == "table" and cell else math.nan


KINDS: dict[str, tuple[Callable[[], str], Callable[[Path], Values]]] = {
    "labels": (_csv_of_labels, _labels_loaded),
    "attributes": (_attributes, _attributes_loaded),
    "table": (_table, _table_loaded),
}


class _Said(logging.Handler):
    """Counts what is told."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def campaign(seed: int, count: int) -> dict[str, int]:
    """Damage files of labels and tables, and read them."""
    rng = random.Random(seed)
    logger, handler = logging.getLogger("dmt.data"), _Said()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = _data_in(Path(name))
            usual = {kind: _usual_lines(folder, kind, handler) for kind in KINDS}

            def trial(number: int) -> tuple[list[str], str]:
                kind, damage = rng.choice(list(KINDS)), rng.choice(DAMAGES)
                wrong, why = _verdict(folder, kind, damage(rng, KINDS[kind][0]()), handler, usual[kind])
                return [wrong] if wrong else [], f"{damage.__name__} of {kind}: {why}"

            return tally(count, trial)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _data_in(folder: Path) -> Path:
    (folder / "pictures").mkdir()
    for file in FILES:
        (folder / "pictures" / file).write_bytes(b"a picture, which is not looked at")
    for person in PEOPLE:
        own = folder / "lfw" / person.replace(" ", "_")
        own.mkdir(parents=True)
        for number in (1, 2, 3):
            (own / f"{own.name}_{number:04d}.jpg").write_bytes(b"another")
    return folder


def _verdict(folder: Path, kind: str, text: str, handler: _Said, usual: set[str]) -> tuple[str, str]:
    """What is wrong with how a file is taken, and why; empty if nothing is."""
    intact_text, load = KINDS[kind]
    (folder / "labels.csv").write_text(text, encoding="utf-8", newline="")
    handler.lines.clear()
    try:
        loaded = load(folder)
    except UserError as error:
        return ("tracebacks", f"several lines: {error}") if "\n" in str(error) else ("", "")
    except Exception as error:
        return "tracebacks", f"{type(error).__name__}: {error}"
    if set(handler.lines) - usual or _same(loaded, _found(intact_text(), kind)):
        return "", ""
    found = _found(text, kind)
    return ("", "") if found is not None and _same(loaded, found) else ("silent", repr(text))


def _usual_lines(folder: Path, kind: str, handler: _Said) -> set[str]:
    """What is told of the intact file."""
    intact_text, load = KINDS[kind]
    (folder / "labels.csv").write_text(intact_text(), encoding="utf-8", newline="")
    handler.lines.clear()
    load(folder)
    return set(handler.lines)


def _same(loaded: Values, found: Values | None) -> bool:
    return found is not None and loaded == found


@pytest.mark.parametrize("kind", KINDS)
def test_two_libraries_find_the_same_in_the_intact_files(tmp_path, kind):
    text, load = KINDS[kind]
    folder = _data_in(tmp_path)
    (folder / "labels.csv").write_text(text())
    assert load(folder) == _found(text(), kind)


def test_damaged_files_are_refused_in_a_line_or_told():
    assert campaign(0, 150) == {"tried": 150, "silent": 0, "tracebacks": 0, "failures": 0}
