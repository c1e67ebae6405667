"""What somebody writes for a label or a group -> the one that a catalog has: as it is spelt, else in other case."""

import re
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real

from dmt.errors import UserError, nearest_name

MOST_LISTED = 100  # labels that an error lists
_INT = re.compile(r"[+-]?(0|[1-9](_?[0-9])*)")  # Hydra 1.3's grammar of values
_FLOAT = re.compile(r"[+-]?((\d[\d_]*)?\.\d[\d_]*|\d[\d_]*\.?)(e[+-]?\d[\d_]*)?|[+-]?(inf|nan)", re.IGNORECASE)
_WORDS = {"null": None, "true": True, "false": False}


def matching(written: str, known: Iterable[str], plain: Callable[[str], str] = lambda name: name) -> list[str]:
    """The names that may be meant: the one spelt so; else those of the same plain spelling; else in whatever case.

    Letters are the same however Unicode composes them (a file name of macOS, say).

    >>> matching("Cat", ["Cat", "cat"]), matching("CAT", ["Cat", "cat"]), matching("dog", ["Cat", "cat"])
    (['Cat'], ['Cat', 'cat'], [])

    Args:
        written: what was asked for.
        known: the names there are.
        plain: what else does not count, such as underscores for spaces.
    """
    known = list(dict.fromkeys(known))
    if written in known:
        return [written]
    for alike in (lambda name: _composed(plain(name)), lambda name: _composed(plain(name)).casefold()):
        found = [name for name in known if alike(name) == alike(written)]
        if found:
            return found
    return []


def labels_meant(written: object, labels: Sequence[str]) -> list[str]:
    """The labels that a value may mean: of text as ``matching``; of all else those that YAML reads as this value.

    A class ``1e3`` is the number 1000.0 on a command line, and ``null`` is nothing; both are found by their value.

    >>> labels_meant(1000.0, ["1e3", "999"]), labels_meant(None, ["null"]), labels_meant(3, ["3", "03", "3.0"])
    (['1e3'], ['null'], ['3'])
    """
    if isinstance(written, str):
        return matching(written, labels)
    if isinstance(written, list | tuple):
        wanted = [_key(item) for item in written]
        return [label for label in labels if _items(label) == wanted]
    key = _key(written)
    return [label for label in labels if (read := _as_read(label)) is not label and _key(read) == key]


def label_named(written: object, labels: Sequence[str], place: str, what: str = "label") -> str:
    """The label that is meant.

    Args:
        written: text, or the number, boolean or null that a configuration made of it.
        labels: those there are.
        place: who has them, for the message.
        what: what they are called there.

    Raises:
        UserError: there is no such label, or several may be meant.
    """
    found = labels_meant(written, labels)
    if len(found) == 1:
        return found[0]
    if found:
        either = " and ".join(repr(label) for label in found)
        alike = "" if isinstance(written, str) else ", which read alike without quotes"
        raise UserError(
            f"{place} has the {_several(what)} {either}{alike}; write one of them, such as {_quoted(found[0])}"
        )
    if not labels:
        raise UserError(
            f"{place} has no {_several(what)} at all; choose data that have, such as data=folder with a subfolder per "
            "class, or a task that needs none"
        )
    text = _as_text(written)
    is_text = isinstance(written, str | int | float) and not isinstance(written, bool)
    quotes = "" if is_text else f"; a {what} of that name would be written {_quoted(text)}"
    more = f" and {len(labels) - MOST_LISTED} more" if len(labels) > MOST_LISTED else ""
    raise UserError(
        f"{place} has no {what} {text!r}{nearest_name(text, labels)}{quotes} "
        f"(there are {', '.join(labels[:MOST_LISTED])}{more})"
    )


def _several(what: str) -> str:
    return f"{what}es" if what.endswith("s") else f"{what}s"


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _as_read(label: str) -> object:
    """What a command line makes of a word without quotes; the word itself if it stays text."""
    if label.lower() in _WORDS:
        return _WORDS[label.lower()]
    try:
        if _INT.fullmatch(label):
            return int(label)
        if _FLOAT.fullmatch(label):
            return float(label)
    except ValueError:  # underscores where none may be
        pass
    return label


def _items(label: str) -> list[tuple[type, str]] | None:
    """What a command line makes of the items of a list, such as ``[a, 1]``; None if it is none."""
    if not (label.startswith("[") and label.endswith("]")):
        return None
    return [_key(_as_read(item.strip())) for item in label[1:-1].split(",")]


def _key(value: object) -> tuple[type, str]:
    """Equal for what is the same value of the same kind; not-a-number is itself."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        value = int(value)
    elif isinstance(value, Real) and not isinstance(value, bool):
        value = float(value)
    return type(value), repr(value)


def _as_text(value: object) -> str:
    """A value as it is written on a command line."""
    if isinstance(value, list | tuple):
        return f"[{','.join(_as_text(item) for item in value)}]"
    return next((word for word, meaning in _WORDS.items() if value is meaning), str(value))


def _quoted(label: str) -> str:
    """How to write a label so that a shell and Hydra leave it alone."""
    escaped = label.replace('"', '\\"')
    return shlex.quote(f'task.source="{escaped}"')
