"""A file that is written -> the same file, whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place to write to, whose file takes the place of ``path`` when the block ends without an error.

    Whoever is interrupted leaves ``path`` as it was; several processes may write the same.

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
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, whole or not at all; raises ``OSError``."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
