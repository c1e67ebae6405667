"""A folder -> the pictures below it, and what there is beside them."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dmt.data.images import HEIF_SUFFIXES, is_picture_name
from dmt.errors import UserError

CLUTTER = {"__macosx", "thumbs.db", "desktop.ini"}
"""What systems leave in folders of pictures, in lower case; what begins with a dot is left out as well."""
MOST_LEVELS = 100  # of folders below each other
MOST_NAMED = 5  # files, or folders, that a line names


@dataclass(frozen=True)
class FolderContents:
    """The files below a folder, at any depth, but hidden ones and ``CLUTTER``; all paths relative to it, ``a/b.jpg``.

    Args:
        root: the folder.
        pictures: files whose suffix Pillow can read, sorted by name.
        others: what is no picture; first what an odd reason follows in brackets, both sorted by name.
        folders: the subfolders directly in it, sorted.
    """

    root: Path
    pictures: Sequence[str]
    others: Sequence[str]
    folders: Sequence[str]

    @classmethod
    def of(cls, root: str | Path) -> "FolderContents":
        """Look through a folder; links are followed, once.

        No file is opened. Left out beside files of other suffixes: empty files, links to nothing, what is no regular
        file (a pipe, a socket, a device), names that are not UTF-8 or hold control characters, files and folders that
        may not be read, and what lies deeper than ``MOST_LEVELS``.

        Raises:
            UserError: there is no such folder.
        """
        root = Path(os.path.expanduser(root))
        if not os.path.isdir(root):
            raise UserError(f"there is no folder {root}")
        pictures: list[str] = []
        others: list[str] = []
        folders = _sort_out(root, "", frozenset(), pictures, others)
        odd_first = sorted(others, key=lambda file: (not file.endswith(")"), file))
        return cls(root, sorted(pictures), odd_first, sorted(folders))

    @cached_property
    def others_in(self) -> Counter[str]:
        """How many files below each of the subfolders are no pictures."""
        return Counter(file.partition("/")[0] for file in self.others if "/" in file)

    @property
    def loose(self) -> list[str]:
        """The pictures directly in the folder."""
        return [file for file in self.pictures if "/" not in file]

    @property
    def left_out(self) -> str:
        """One line that counts and names what is no picture; empty if there is nothing."""
        if not self.others:
            return ""
        heic = any(file.lower().endswith(HEIF_SUFFIXES) for file in self.others)
        remedy = "; HEIC needs pillow-heif: pip install 'dmt[heic]'" if heic else ""
        return f"left out {counted(len(self.others))} below {self.root} that {are_no_pictures(len(self.others))}: " + (
            f"{some(self.others)}{remedy}"
        )

    @property
    def instead(self) -> str:
        """What there is where no picture is, to go on with after a message that says so."""
        if self.left_out:
            return f"; {self.left_out}"
        return ", which has hidden files only" if any(self.root.iterdir()) else ", which is empty"


def pictures_below(folder: str | Path) -> list[Path]:
    """The pictures in a folder and in its subfolders at any depth, sorted by name; which those are: ``FolderContents``.

    Raises:
        UserError: there is no such folder.
    """
    contents = FolderContents.of(folder)
    return [contents.root / file for file in contents.pictures]


def counted(number: int, what: str = "file") -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def some(names: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def are_no_pictures(number: int) -> str:
    """The rest of ``1 file that is no picture``."""
    return "is no picture" if number == 1 else "are no pictures"


def odd_name(name: str) -> str:
    """Why a file of this name is left out; empty if it is not."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "a name that is not UTF-8"
    is_odd = any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name)
    return "a name with control characters" if is_odd else ""


def shown(path: str) -> str:
    """A path in one line, whatever its bytes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _sort_out(
    folder: Path, below: str, above: frozenset[tuple[int, int]], pictures: list[str], others: list[str]
) -> list[str]:
    """Add the files of a folder, ``below`` the first one, to those found; the names of its own subfolders.

    ``above``: devices and numbers of the folders above it, so that a link to one of them ends.
    """
    folders: list[str] = []
    if len(above) > MOST_LEVELS:
        others.append(f"{shown(below.rstrip('/'))} (more than {MOST_LEVELS} folders deep)")
        return []
    try:
        facts = folder.stat()
        if (facts.st_dev, facts.st_ino) in above:
            others.append(f"{below.rstrip('/')} (a link to a folder above it)")
            return []
        entries = list(_entries(folder))
    except OSError as error:
        if not below:
            raise UserError(f"the folder {folder} cannot be read ({error.strerror})") from error
        others.append(f"{below.rstrip('/')} (a folder that cannot be read)")
        return []
    above |= {(facts.st_dev, facts.st_ino)}
    for entry in entries:
        reason = odd_name(entry.name)
        if not reason and _is_folder(entry):
            folders.append(entry.name)
            _sort_out(folder / entry.name, f"{below}{entry.name}/", above, pictures, others)
            continue
        reason = reason or _oddity(entry)
        if not reason and is_picture_name(entry.name):
            pictures.append(below + entry.name)
        else:
            others.append(shown(below + entry.name) + (f" ({reason})" if reason else ""))
    return folders


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not (entry.name[0] == "." or entry.name.lower() in CLUTTER))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _oddity(entry: os.DirEntry[str]) -> str:
    """Why something is no file that can be read; empty if it is one."""
    try:
        if not entry.is_file():
            return "a link to nothing" if entry.is_symlink() and not os.path.exists(entry) else "no regular file"
        if not entry.stat().st_size:
            return "empty"
        return "" if os.access(entry, os.R_OK) else "may not be read"
    except OSError:
        return "a link to nothing" if entry.is_symlink() else "unreadable"
