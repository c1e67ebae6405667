"""What somebody drops for a class, zip files and pictures -> a folder of pictures, and what was left out of it."""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dmt.data.folders import CLUTTER, counted, some
from dmt.data.images import ImageError, is_picture_name, read_image
from dmt.errors import UserError

MOST_FILES = 20_000  # in a zip file (ours, as all limits here)
MOST_PICTURES = 5_000  # of a class
MOST_BYTES = 2 * 10**9  # that a zip file unpacks to
MOST_RATIO = 200  # times as large as packed: pictures are packed already, bombs unpack to 1,000 times and more
LOOKED_AT = 32  # pixels that pictures are brought to, to see whether they decode
ENCRYPTED = 0x1


@dataclass(frozen=True)
class Unpacked:
    """The pictures of a class.

    Args:
        pictures: their files.
        hidden: names of what is hidden, or what systems leave in folders.
        others: names of what is no picture.
        broken: names of pictures that do not decode.
    """

    pictures: Sequence[Path]
    hidden: Sequence[str] = ()
    others: Sequence[str] = ()
    broken: Sequence[str] = ()

    @property
    def words(self) -> str:
        """How many pictures there are, and what was left out: one line."""
        return counted(len(self.pictures), "picture") + (f"; left out: {self.left_out}" if self.left_out else "")

    @property
    def left_out(self) -> str:
        """What was left out, by why it was."""
        reasons = {"hidden": self.hidden, "no picture by its name": self.others, "damaged": self.broken}
        return ", ".join(f"{len(names)} {why} ({some(names)})" for why, names in reasons.items() if names)


def unpacked(files: Sequence[Path], folder: Path) -> Unpacked:
    """Put what was dropped for one class into a folder, under names of ours.

    Args:
        files: zip files, whose folders do not matter, and pictures.
        folder: made, or emptied.

    Raises:
        UserError: a zip file that is damaged, encrypted or too large, or that holds links, or paths which lead out of
            it; too many pictures, or none.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pictures: list[Path] = []
    hidden: list[str] = []
    others: list[str] = []
    broken: list[str] = []
    try:
        for file in files:
            is_zip = zipfile.is_zipfile(file) or file.suffix.lower() == ".zip"
            members = _of_zip(file, folder, hidden, others) if is_zip else _of_file(file, folder, hidden, others)
            for name, copy in members:
                try:
                    read_image(copy, LOOKED_AT)
                except ImageError:
                    broken.append(name)
                    copy.unlink()
                else:
                    pictures.append(copy)
                if len(pictures) > MOST_PICTURES:
                    raise UserError(f"more than {MOST_PICTURES} pictures; a few hundred of a class are enough")
        found = Unpacked(pictures, hidden, others, broken)
        if not pictures:
            raise UserError("there is no picture in what was dropped" + (found.left_out and f": {found.left_out}"))
        return found
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _of_file(file: Path, folder: Path, hidden: list[str], others: list[str]) -> list[tuple[str, Path]]:
    if not _is_wanted(PurePosixPath(file.name), hidden, others):
        return []
    copy = folder / _own_name(folder, file.name)
    shutil.copyfile(file, copy)
    return [(file.name, copy)]


def _of_zip(file: Path, folder: Path, hidden: list[str], others: list[str]) -> list[tuple[str, Path]]:
    """Unpack the pictures of a zip file; every member is judged before the first is written."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _require_harmless(members, file.name)
            wanted = [member for member in members if _is_wanted(PurePosixPath(member.filename), hidden, others)]
            copies, n_bytes = [], 0
            for member in wanted:
                copy = folder / _own_name(folder, member.filename)
                n_bytes += _extract(archive, member, copy, MOST_BYTES - n_bytes, file.name)
                copies.append((member.filename, copy))
            return copies
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UserError(f"{file.name} is damaged and cannot be unpacked ({error})") from error


def _require_harmless(members: Sequence[zipfile.ZipInfo], name: str) -> None:
    if len(members) > MOST_FILES:
        raise UserError(f"{name} holds {len(members)} files, and {MOST_FILES} is the most that is unpacked")
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise UserError(f"{name} is refused: {member.filename!r} leads out of the folder it is unpacked to")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UserError(f"{name} is refused: {member.filename!r} is a link")
        if member.flag_bits & ENCRYPTED:
            raise UserError(f"{name} is encrypted; pack the pictures without a password")
    size = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if size > MOST_BYTES or size > MOST_RATIO * max(packed, 1) + 10**6:
        raise UserError(
            f"{name} is refused: it unpacks from {packed / 1e6:.1f} to {size / 1e6:.0f} MB, which pictures do not; "
            f"{MOST_BYTES / 1e9:.0f} GB is the most"
        )


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, copy: Path, most: int, name: str) -> int:
    """Write a member, whatever size it claims to have; its size in bytes."""
    n_bytes = 0
    with archive.open(member) as packed, copy.open("wb") as out:
        while part := packed.read(1 << 20):
            n_bytes += len(part)
            if n_bytes > most:
                raise UserError(f"{name} is refused: it unpacks to more than {MOST_BYTES / 1e9:.0f} GB")
            out.write(part)
    return n_bytes


def _is_wanted(path: PurePosixPath, hidden: list[str], others: list[str]) -> bool:
    if any(part.startswith(".") or part.lower() in CLUTTER for part in path.parts):
        hidden.append(str(path))
    elif not is_picture_name(path.name):
        others.append(str(path))
    else:
        return True
    return False


def _own_name(folder: Path, name: str) -> str:
    """Names in archives may be anything: the number of the picture, and its suffix."""
    return f"{len(list(folder.iterdir())) + 1:05d}{PurePosixPath(name).suffix.lower()}"
