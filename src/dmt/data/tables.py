"""A CSV or Parquet file -> labelled rows, what kind of value each column has, and the two sides of a task."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from dmt.data.folders import some
from dmt.data.label_files import require_rows
from dmt.errors import UserError, is_number, nearest_name, require_whole_number
from dmt.ranges import BetweenZeroAndOne, Builder, Scalar, Seed, Several
from dmt.storage.limits import require_file_size

log = logging.getLogger(__name__)

FEW_NUMBERS = 12  # a column with no more distinct numbers keeps to those that it has (ours)
MOST_CATEGORIES = 30  # a column with more different words is text (ours)
FEWEST = 10  # rows of a side (ours)
MOST_DECIMALS = 6
MOST_STRANGE = 0.5  # share of a column of numbers that is none: else it is one of words (ours)
CHUNK = 100_000  # rows in memory at a time
ABOVE, BELOW, MEDIAN = "above", "below", "median"


@dataclass(frozen=True)
class Column:
    """What the labelled rows say of a column.

    Args:
        name: of the column.
        kind: ``number``; ``ordered``, which has one of few levels in an order; or ``category``.
        levels: of the latter two, as the table has them: numbers ascending, words in their order.
        low: the smallest number (or position of a level) there is.
        high: the largest.
        decimals: that its numbers have; ``None``: more than six.
    """

    name: str
    kind: str
    levels: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    decimals: int | None = None

    @classmethod
    def of(cls, values: pd.Series, as_category: bool = False, order: Sequence[Any] | None = None) -> "Column | str":
        """The column of some values, or in words why it takes no part."""
        name, known = str(values.name), values.dropna()
        distinct = known.unique()
        if len(distinct) < 2:
            return "one value only"
        if order is not None or (isinstance(values.dtype, pd.CategoricalDtype) and values.dtype.ordered):
            levels = list(values.cat.categories) if order is None else list(order)
            if strange := [value for value in distinct if value not in levels]:
                raise UserError(f"ordered.{name} must be all its values in order; {strange[0]!r} is missing")
            return cls(name, "ordered", tuple(levels), 0.0, len(levels) - 1.0, 0)
        if pd.api.types.is_datetime64_any_dtype(values):
            return "dates"
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and not as_category:
            return cls._of_numbers(name, known.to_numpy(float))
        if not as_category and len(distinct) > min(MOST_CATEGORIES, len(known) / 2):
            dates = pd.to_datetime(known.astype(str).head(100), errors="coerce", format="mixed")
            return "dates" if dates.notna().mean() > 0.9 else f"text, {len(distinct)} different values"
        return cls(name, "category", tuple(sorted(distinct, key=str)))

    @classmethod
    def _of_numbers(cls, name: str, known: np.ndarray) -> "Column | str":
        if not np.isfinite(known).all():
            raise UserError(f"column {name!r} holds infinity; replace it by a number, or leave the cell empty")
        distinct = np.unique(known)
        low, high = distinct[0], distinct[-1]
        is_complete = np.array_equal(known, distinct) or high - low < len(known)  # in order, or none is left out
        if len(distinct) == len(known) > FEW_NUMBERS and (known == known.round()).all() and is_complete:
            return "numbers its rows"
        fits = (d for d in range(MOST_DECIMALS + 1) if np.allclose(distinct.round(d), distinct, rtol=1e-12, atol=0))
        decimals = next(fits, None)
        is_ordered = len(distinct) <= FEW_NUMBERS
        return cls(
            name, *(("ordered", tuple(distinct.tolist())) if is_ordered else ("number", ())), low, high, decimals
        )

    @property
    def has_numbers(self) -> bool:
        """Whether its values are numbers, not words."""
        return self.kind == "number" or (self.kind == "ordered" and all(map(is_number, self.levels)))

    def coded(self, values: pd.Series) -> np.ndarray:
        """Values as numbers ``(n,)``: themselves, or positions among the levels; NaN where one is missing."""
        if self.has_numbers:
            found = pd.to_numeric(values, errors="coerce").to_numpy(float)
        else:
            positions = {level: position for position, level in enumerate(self.levels)}
            found = values.map(positions).to_numpy(float)
        if (strange := np.isnan(found) & values.notna().to_numpy()).any():
            there_are = "numbers" if self.has_numbers else f"one of {', '.join(map(str, self.levels))}"
            raise UserError(f"column {self.name!r} must be {there_are}, got {values[strange].iloc[0]!r}")
        if self.has_numbers and np.isinf(found).any():
            raise UserError(f"column {self.name!r} holds infinity; replace it by a number, or leave the cell empty")
        return found

    def shown(self, value: float) -> Any:
        """A coded value as the table has it."""
        if not self.has_numbers:
            return self.levels[round(value)]
        return int(value) if self.decimals == 0 else float(value)


@dataclass(frozen=True)
class TableTask:
    """From rows of one class to another; of a label that is a number: from above a threshold to below it, or back.

    Args:
        source: a value of the label, ``above`` or ``below``; ``None``: all rows that are not of the target.
        target: the same, another one.
        threshold: of a number: ``median``, or a number.
        classifier: that says what a row is, ``model.onnx`` or ``my_package.models:build``; ``None``: one is learnt.
        classes: what the classifier calls its outputs, in order; ``None``: it says so itself.
        who: what the rows are, in the plural.
    """

    source: Scalar
    target: Scalar
    threshold: float | Literal["median"] = "median"
    classifier: Builder | None = None
    classes: Sequence[Any] | None = None
    who: str = "rows"

    @property
    def title(self) -> str:
        """The task in a few words."""
        return f"{'the others' if self.source is None else self.source} to {self.target}"

    def sides(self, label: pd.Series) -> np.ndarray:
        """Which side rows with these labels are of, ``(n,)``: -1 the source, 1 the target, 0 neither.

        >>> TableTask("below", "above").sides(pd.Series(range(20)))[[0, 9, 10, 19]]
        array([-1, -1,  1,  1])

        Raises:
            UserError: there are no such labels, or both sides are the same.
        """
        if str(self.source) == str(self.target):
            raise UserError(f"task.source and task.target must be two sides, got {self.target!r} twice")
        if {self.source, self.target} & {ABOVE, BELOW}:
            if not pd.api.types.is_numeric_dtype(label):
                raise UserError(f"above and below are sides of a number, and {label.name!r} holds words")
            if self.threshold != MEDIAN and not is_number(self.threshold):
                raise UserError(f"task.threshold must be median or a number, got {self.threshold!r}")
            beyond = label > (label.median() if self.threshold == MEDIAN else self.threshold)
            names = beyond.map({True: ABOVE, False: BELOW})
        else:
            names = label.map(_plain)
        known = sorted(names.unique())
        if len(known) < 2:
            raise UserError(f"column {label.name!r} has the one value {known[0]!r}; rows of both sides are needed")
        sides = [_plain(self.target)] if self.source is None else [_plain(self.source), _plain(self.target)]
        for side in [self.target] if self.source is None else [self.source, self.target]:
            if _plain(side) not in known:
                shown = f"{', '.join(known[:8])}{', ...' if len(known) > 8 else ''}"
                numbers = "; of a number: above or below" if pd.api.types.is_numeric_dtype(label) else ""
                near = nearest_name(str(side), known)
                raise UserError(f"no row has {label.name}={side}{near} (there are {shown}{numbers})")
        if self.source is not None and (others := [name for name in known if name not in sides]):
            count = (~names.isin(sides)).sum()
            log.info("table: %d rows have another %s (%s) and are of neither side", count, label.name, some(others))
        is_target = (names == _plain(self.target)).to_numpy()
        is_source = ~is_target if self.source is None else (names == _plain(self.source)).to_numpy()
        for name, rows in (("source", is_source), ("target", is_target)):
            if rows.sum() < FEWEST:
                raise UserError(f"the {name} has {rows.sum()} rows; at least {FEWEST} a side are needed, better 100")
        return is_target.astype(int) - is_source


@dataclass(frozen=True)
class Table:
    """Labelled rows; those without a label are left out.

    >>> table = Table(pd.DataFrame({"bmi": range(20, 60), "job": ["a", "b"] * 20, "ill": [0] * 20 + [1] * 20}), "ill")
    >>> [column.kind for column in table.columns], table.left_out
    (['category'], {'bmi': 'numbers its rows'})

    Args:
        path: a CSV or Parquet file, a DataFrame, or a packaged data set: ``sklearn:wine``, ``statsmodels:fair``.
        label: the column that the two sides differ in.
        most: rows that are kept of a longer table, drawn evenly by ``seed`` while it is read in parts.
        held_out: share of the rows that judges and neighbours are taken from, which an edit does not see; equal rows
            are in one part.
        categories: columns of numbers that are names, such as postcodes.
        ordered: column of words -> all its values in order.
        leave_out: columns that take no part and stay as they are.
        seed: of what is drawn.

    Raises:
        UserError: there is no such file or column, or a value is out of range.
    """

    path: str | Path | pd.DataFrame
    label: str
    most: Several = 20_000
    held_out: BetweenZeroAndOne = 0.4
    categories: Sequence[str] = ()
    ordered: Mapping[str, Sequence[Any]] | None = None
    leave_out: Sequence[str] = ()
    seed: Seed = 0

    def __post_init__(self) -> None:
        require_whole_number("most", self.most, "a whole number, 2 or more", least=2)
        if not (is_number(self.held_out) and 0 < self.held_out < 1):
            raise UserError(f"held_out must be a number between 0 and 1, got {self.held_out!r}")

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The labelled rows, ``most`` at most."""
        frame = self._drawn()
        if (twice := frame.columns[frame.columns.duplicated()]).size:
            raise UserError(f"the table has column {twice[0]!r} twice; keep one of them")
        self.require([self.label], frame, "label")
        self.require(
            [*self.categories, *(self.ordered or {}), *self.leave_out], frame, "categories, ordered and leave_out"
        )
        without = frame[self.label].isna()
        if without.any():
            log.info("table: %d rows have no %s and are left out", without.sum(), self.label)
        frame = frame[~without]
        if pd.api.types.is_float_dtype(frame[self.label]) and np.isinf(frame[self.label]).any():
            raise UserError(f"column {self.label!r} holds infinity; replace it by a number, or leave the cell empty")
        for name in frame.columns:
            _say_what_is_no_number(frame[name])
        missing = {name: count for name, count in frame.isna().sum().items() if count}
        if missing:
            log.info(
                "table: %d values are missing (%s), and are taken to be the column's median or commonest",
                sum(missing.values()),
                some([f"{name} {count}" for name, count in missing.items()]),
            )
        return frame

    def require(self, names: Sequence[str], frame: pd.DataFrame, what: str) -> None:
        """Raise a ``UserError`` unless a table has these columns."""
        for name in names:
            if name not in frame.columns:
                known = [str(column) for column in frame.columns]
                near = nearest_name(str(name), known) or f" (there are {', '.join(known[:12])})"
                raise UserError(f"{what}: there is no column {name!r}{near}")

    def _drawn(self) -> pd.DataFrame:
        # A stream of its own: a table that somebody made by the same seed must not be drawn by its own numbers
        rng, parts, n_rows = np.random.default_rng([self.seed, *_KEY.encode()]), [], 0
        for part in _parts(self.path):
            part = part.set_axis(range(n_rows, n_rows + len(part)))
            n_rows += len(part)
            parts.append(part.assign(**{_KEY: rng.random(len(part))}))
            if sum(map(len, parts)) > self.most + CHUNK:
                parts = [pd.concat(parts).nsmallest(self.most, _KEY)]
        frame = pd.concat(parts).nsmallest(self.most, _KEY).sort_index().drop(columns=_KEY)
        if n_rows > len(frame):
            log.info("table: %d of %d rows are drawn (data.most)", len(frame), n_rows)
        return frame

    @cached_property
    def _understood(self) -> dict[str, Column | str]:
        found: dict[str, Column | str] = {}
        for name in self.frame.columns.drop(self.label):
            if name in self.leave_out:
                found[name] = "as asked"
            else:
                found[name] = Column.of(self.frame[name], name in self.categories, (self.ordered or {}).get(name))
        if not any(isinstance(column, Column) for column in found.values()):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in found.items())
            raise UserError(f"no column of the table can change ({reasons})")
        return found

    @property
    def columns(self) -> list[Column]:
        """Those that take part, in order."""
        return [column for column in self._understood.values() if isinstance(column, Column)]

    @property
    def left_out(self) -> dict[str, str]:
        """Those that stay as they are -> why."""
        return {name: why for name, why in self._understood.items() if isinstance(why, str)}

    def is_held_out(self) -> np.ndarray:
        """Which rows judges and neighbours are taken from, ``(n,)``."""
        features = self.frame[[column.name for column in self.columns]]
        groups = pd.util.hash_pandas_object(features.astype(str), index=False).to_numpy()
        _, group = np.unique(groups, return_inverse=True)
        return np.random.default_rng(self.seed).permutation(group.max() + 1)[group] < self.held_out * (group.max() + 1)

    def rows(self, asked: Sequence[Any] | int | pd.DataFrame, sides: np.ndarray) -> pd.DataFrame:
        """Rows to edit: so many drawn from the source, ``all`` of it, some by number from 0, or those of a file."""
        if isinstance(asked, pd.DataFrame):
            return asked
        source = self.frame[sides < 0]
        if isinstance(asked, int):
            return source.sample(min(asked, len(source)), random_state=self.seed).sort_index()
        if list(asked) == ["all"]:
            return source
        if len(asked) == 1 and Path(str(asked[0])).suffix:
            return pd.concat(list(_parts(asked[0])), ignore_index=True)
        known = {str(number): number for number in self.frame.index}
        if strange := [one for one in asked if str(one) not in known]:
            raise UserError(f"images={strange[0]}: of a table give row numbers from 0, all, or one CSV or Parquet file")
        return self.frame.loc[[known[str(one)] for one in asked]]


_KEY = "dmt.drawn"
CLEARER = {  # names of scikit-learn's diabetes data, as its documentation explains them
    "bmi": "body_mass_index", "bp": "blood_pressure", "s1": "cholesterol", "s2": "LDL", "s3": "HDL",
    "s4": "cholesterol_by_HDL", "s5": "log_triglycerides", "s6": "glucose",
}  # fmt: skip


def _parts(path: Any) -> Iterator[pd.DataFrame]:
    """A table part by part."""
    if isinstance(path, pd.DataFrame):
        yield path
        return
    if str(path).startswith(("sklearn:", "statsmodels:")):
        yield _packaged(*str(path).split(":", 1))
        return
    file = Path(os.path.expanduser(path))
    if not os.path.isfile(file):
        raise UserError(f"there is no table {file}; set data.path to a CSV or Parquet file")
    require_file_size(file, "table")
    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            from pyarrow import parquet

            opened = parquet.ParquetFile(file, page_checksum_verification=True)
            yield from (batch.to_pandas() for batch in opened.iter_batches(CHUNK))
            return
        separator = require_rows(file)
        options: dict[str, Any] = {"encoding": "utf-8-sig", "low_memory": False, "index_col": False}
        yield from pd.read_csv(file, sep=separator, chunksize=CHUNK, **options)
    except UserError:
        raise
    except ImportError as error:
        raise UserError("Parquet needs a package: pip install 'dmt[tables]'") from error
    except Exception as error:  # pandas' and pyarrow's are of many kinds
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{file} could not be read as a table ({said})") from error


def _say_what_is_no_number(values: pd.Series) -> None:
    """Warn of a few words in a column of numbers, which make words of all: a damaged cell, or a sign of none."""
    if not pd.api.types.is_object_dtype(values) and not pd.api.types.is_string_dtype(values):
        return
    known = values.dropna()
    strange = known[pd.to_numeric(known, errors="coerce").isna()]
    if 0 < len(strange) < MOST_STRANGE * len(known):
        which = some([repr(value) for value in dict.fromkeys(strange)])
        advice = "correct them, or leave these cells empty, or it is taken for words"
        log.warning(
            "table: column %r holds numbers, and %d that are none: %s; %s", values.name, len(strange), which, advice
        )


def _packaged(package: str, name: str) -> pd.DataFrame:
    """A data set that comes with a package, classes by name."""
    if package == "statsmodels":
        try:
            from statsmodels import datasets
        except ImportError as error:
            raise UserError(f"statsmodels:{name} needs a package: pip install 'dmt[tables]'") from error
        return getattr(datasets, name).load_pandas().data
    from sklearn import datasets

    options = {"scaled": False} if name == "diabetes" else {}
    loaded = getattr(datasets, f"load_{name}")(as_frame=True, **options)
    frame = loaded.frame.rename(columns=CLEARER if name == "diabetes" else {})
    return frame.assign(target=loaded.target_names[frame.target]) if "target_names" in loaded else frame


def _plain(value: Any) -> str:
    """A label in words, the same for 1, 1.0 and "1", for True and "true"."""
    whole = int(value) if isinstance(value, float | np.floating) and float(value).is_integer() else value
    return str(whole).lower() if isinstance(whole, bool | np.bool_) else str(whole)
