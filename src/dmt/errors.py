"""The error that a user can cause and mend: one line that names the argument, the value and the remedy."""

import difflib
import math
from collections.abc import Iterable, Iterator
from typing import TypeGuard


class UserError(Exception):
    """Something the user asked for cannot be done; the message says what, and what to do instead."""


def is_number(value: object) -> TypeGuard[float]:
    """Whether a setting is a number; true and false are not.

    >>> is_number(0.3), is_number(True), is_number("0.3")
    (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def require_whole_number(name: str, value: object, what: str, least: int, most: float = math.inf) -> None:
    """Raise a ``UserError``, "NAME must be WHAT, got VALUE", unless ``value`` is an ``int`` from least to most."""
    if not (isinstance(value, int) and least <= value <= most):
        raise UserError(f"{name} must be {what}, got {value}")


def require_list(name: str, value: object) -> None:
    """Raise a ``UserError`` unless ``value`` is a list or the like; text is none."""
    if not isinstance(value, list | tuple | range):
        raise UserError(f"{name} must be a list, such as [{value}], got {value}")


def require_side(name: str, value: object) -> None:
    """Raise a ``UserError`` unless ``value`` is a side of a threshold: ``above`` or ``below``."""
    if value not in ("above", "below"):
        raise UserError(f"{name} must be above or below, got {value!r}")


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Suggest the known name most like ``name``: ``"; did you mean 'Smiling'?"``, or the empty string.

    >>> nearest_name("smilling", ["Smiling", "Male"])
    "; did you mean 'Smiling'?"
    """
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.5)
    return f"; did you mean {by_lower_case[found[0]]!r}?" if found else ""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was caused by, in turn; one that causes itself, as OmegaConf's in a debugger, comes once."""
    seen: list[BaseException] = []
    while error is not None and not any(error is each for each in seen):
        yield error
        seen.append(error)
        error = error.__cause__
