"""How large what is read may be: pictures, tables and networks' files that somebody else made."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from dmt.errors import UserError, is_number
from dmt.ranges import Positive


@dataclass(frozen=True)
class Limits:
    """The most that is read; what is larger is refused before it is decoded.

    Args:
        pixels: of a picture, width times height.
        picture_megabytes: of a picture's file.
        table_megabytes: of a table, a file of labels or of attributes.
        network_megabytes: of an ONNX file, or of weights.

    Raises:
        UserError: what is no number above 0.
    """

    pixels: Positive = 200e6
    picture_megabytes: Positive = 2000.0
    table_megabytes: Positive = 2000.0
    network_megabytes: Positive = 4000.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (is_number(value) and value > 0):
                raise UserError(f"{field.name} must be a number above 0, got {value!r}")


_held = [Limits()]


def limits() -> Limits:
    """Those of this process."""
    return _held[-1]


def limit(wanted: Limits) -> None:
    """Let these hold in this process from now on, and in those that it forks."""
    _held[-1] = wanted


@contextmanager
def limited(wanted: Limits) -> Iterator[None]:
    """Let these hold as long as the block lasts."""
    _held.append(wanted)
    try:
        yield
    finally:
        _held.pop()


def require_file_size(path: Path, kind: str) -> None:
    """Raise a ``UserError`` for a file beyond its limit; what cannot be looked at is left to whoever opens it.

    Args:
        path: the file.
        kind: ``picture``, ``table`` or ``network``.
    """
    most = getattr(limits(), f"{kind}_megabytes")
    try:
        size = os.stat(path).st_size / 1e6
    except (OSError, ValueError):
        return
    if size > most:
        raise UserError(
            f"{path} is too large: it has {size:.1f} MB, and the limit is {most:g} (limits.{kind}_megabytes)"
        )
