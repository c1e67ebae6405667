"""One way to write a file, whole or not at all, and one to know later that it is still what was written.

What is written goes to a temporary file beside the place where it belongs, named after the host, the process and a
number, is brought to the disk and only then takes its name. What a later run reads bears a checksum (XXH3: as fast as
memory, and of two damaged files in 2^64 it misses one) and says where it belongs, so that neither a flipped bit nor
another's file is taken for it.
"""

import itertools
import json
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import xxhash
from filelock import FileLock, Timeout

from dmt.errors import UserError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

HOST = re.sub(r"[^\w-]", "_", socket.gethostname())[:40]
LEFT_OVER = re.compile(r"\..*\.(?P<host>[\w-]+)\.(?P<process>\d+)\.\d+\.partial(\.\w+)?")
LONGEST_WRITE = 24 * 3600  # seconds; what is older was left by a run that is gone, wherever it ran

_numbers = itertools.count()
_tidied: set[str] = set()


class DamagedError(UserError):
    """A file that is not what was written there."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place to write to, whose file takes the place of ``path`` when the block ends without an error.

    Whoever is interrupted leaves ``path`` as it was; several processes may write the same. What killed runs left in
    the folder is removed.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "folder" / "table.csv"
    >>> with replacing(path) as partial:
    ...     _ = partial.write_text("a,b")
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('a,b', 1)

    Args:
        path: the file; its folder is made.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(path.parent)
    partial = partial_of(path)
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """A name beside ``path`` that nobody else takes: of this host, this process and this call."""
    return path.with_name(f".{path.name[:40]}.{HOST}.{os.getpid()}.{next(_numbers)}.partial")


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, whole or not at all; raises ``OSError``."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write what ``read_json`` reads; raises ``OSError``."""
    text = json.dumps(value)
    write_text(path, json.dumps({"checksum": _checksum(path, json.loads(text)), "content": json.loads(text)}, indent=1))


def read_json(path: Path) -> Any:
    """What ``write_json`` wrote there.

    Raises:
        DamagedError: it is not what was written, or was written elsewhere.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    try:
        read = json.loads(content)
        if isinstance(read, dict) and read.get("checksum") == _checksum(path, read["content"]):
            return read["content"]
    except (ValueError, KeyError, RecursionError):
        pass
    raise DamagedError(f"{path} is damaged, or was written by another version of dmt")


def checksum_of(path: Path) -> str:
    """The checksum of a whole file; raises ``OSError``."""
    return xxhash.xxh3_128_hexdigest(path.read_bytes())


def belongs_to(path: Path) -> str:
    """The last folder and the name of a file: a cache may move, but no file of it to another's place."""
    whole = Path(os.path.abspath(path))
    return f"{whole.parent.name}/{whole.name}"


def found_or_made(file: Path, read: Callable[[], Result], make: Callable[[], Result], what: str) -> Result:
    """What is kept in a file, or else is made now; of several runs that need it one makes it and the others wait.

    Args:
        file: where it is kept.
        read: reads it; raises ``UserError`` if the file is not what it should be: it is then made again.
        make: makes it, and writes the file.
        what: it is, in a word or two, for the log.

    Raises:
        OSError: the file is there and cannot be read, or cannot be written.
    """
    found = found_in(file, read, what)
    if found is None:
        with one_at_a_time(file, what):
            found = found_in(file, read, "") or [make()]
    return found[0]


def found_in(file: Path, read: Callable[[], Result], what: str) -> list[Result] | None:
    """What is kept in a file, alone in a list; ``None`` where nothing is, or a damaged one, which is then said."""
    if not file.exists():
        return None
    try:
        return [read()]
    except UserError as error:
        if what:
            log.warning("%s; %s: computed again", str(error).split("; ")[0], what)
        return None


@contextmanager
def one_at_a_time(path: Path, what: str) -> Iterator[None]:
    """Only one run is within the block for ``path`` at any time; the others wait, and say so.

    A run that ends, however it ends, lets the next one in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: another run is at it; waiting for it to finish", what)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _checksum(path: Path, value: Any) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps([belongs_to(path), value], sort_keys=True).encode())


def _remove_left_over(folder: Path) -> None:
    """Remove temporary files of this host's processes that are gone, and those older than a day; once a folder."""
    name = os.path.abspath(folder)
    if name in _tidied:
        return
    _tidied.add(name)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = LEFT_OVER.fullmatch(entry.name)
            if found is None:
                continue
            is_gone = found["host"] == HOST and not psutil.pid_exists(int(found["process"]))
            with suppress(OSError):
                if is_gone or time.time() - entry.stat().st_mtime > LONGEST_WRITE:
                    os.unlink(entry.path)
