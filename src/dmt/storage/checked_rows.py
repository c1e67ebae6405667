"""Rows of float16 in a file, each at its place, and beside it a checksum of each; damaged ones are computed again."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import xxhash
from torch import Tensor

from dmt.storage.files import DamagedError, read_json, write_json

log = logging.getLogger(__name__)

CHUNK = 1 << 24  # bytes copied at a time
ABSENT = 0  # in place of a checksum
_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no two places are marked alike


@dataclass(frozen=True)
class RowSource:
    """Where rows come from.

    Args:
        compute: positions -> features ``(B, size)`` and the positions of those B, without those whose picture does not
            decode.
        stamp: position -> what changes when the picture is replaced.
    """

    compute: Callable[[list[int]], tuple[Tensor, list[int]]]
    stamp: Callable[[int], str] = lambda position: ""


class CheckedRows:
    """A file of rows, of which any may be missing, and a file of their checksums, 8 bytes for each row.

    A checksum is written after its row, so that a killed run leaves none without a row. It depends on the row, on its
    place and on the owner: neither a flipped bit nor another's rows go unnoticed. In its stead stands a mark where the
    row is of a picture that does not decode; a third file says what that picture was then.

    Args:
        rows: the file of the rows; that of the checksums lies beside it and ends in ``.sums``.
        size: numbers per row.
        owner: what the rows are of, in words.
        first: which of the owner's rows is the first here.
        source: computes rows again; ``None``: a damaged one is an error.
    """

    def __init__(self, rows: Path, size: int, owner: str, first: int = 0, source: RowSource | None = None):
        self.rows, self.sums = rows, rows.with_suffix(".sums")
        self.stamps = rows.with_name("broken.json" if rows.stem == "features" else f"{rows.stem}.broken.json")
        self.size, self.owner, self.first, self.source = size, owner, first, source
        self._seed = xxhash.xxh3_64_intdigest(owner.encode("utf-8", "surrogateescape"))

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        return 2 * self.size

    def n_leading(self) -> int:
        """How many rows from the first on lie in both files, whether they are whole or not."""
        if not (self.rows.exists() and self.sums.exists()):
            return 0
        return min(self.rows.stat().st_size // self.row_bytes, self.sums.stat().st_size // 8)

    def write(self, places: Sequence[int], features: Tensor) -> None:
        """Write feature vectors ``(n, size)`` to these places, as float16, what is beyond its range at its ends."""
        rows = features.clamp(-65504, 65504).to(torch.float16).cpu().contiguous().numpy()
        with _open(self.rows) as file:
            for place, row in zip(places, rows, strict=True):
                file.seek(place * self.row_bytes)
                file.write(row.tobytes())
        self._write_sums({place: self._sum(place, row) for place, row in zip(places, rows, strict=True)})

    def mark_broken(self, places: Collection[int]) -> None:
        """Note that these are rows of pictures that do not decode, and what these pictures are now."""
        if places:
            if self.source is not None:
                self.write_stamps({place: self.source.stamp(self.first + place) for place in places})
            marks = self._marks(np.array(sorted(places), dtype=np.uint64)).tolist()
            self._write_sums(dict(zip(sorted(places), marks, strict=True)))

    def fill_up_to(self, n: int) -> None:
        """Make the file of the rows as long as n of them."""
        with _open(self.rows) as file:
            if file.seek(0, 2) < n * self.row_bytes:
                file.truncate(n * self.row_bytes)

    def take_over(self, other: "CheckedRows", place: int, n: int) -> None:
        """Copy the first n rows of another's file, which are the owner's from ``place`` on, with their checksums."""
        self.write_stamps({place + row: stamp for row, stamp in other.read_stamps().items()})
        for own, its, length in ((self.rows, other.rows, self.row_bytes), (self.sums, other.sums, 8)):
            with its.open("rb") as source, _open(own) as file:
                file.seek(place * length)
                for start in range(0, n * length, CHUNK):
                    file.write(source.read(min(CHUNK, n * length - start)))

    def read_sums(self, start: int, stop: int) -> np.ndarray:
        """The checksums of the rows ``start <= i < stop``, ``ABSENT`` where there is none."""
        sums = np.zeros(max(0, stop - start), dtype=np.uint64)
        if self.sums.exists():
            found = np.fromfile(self.sums, "<u8", len(sums), offset=8 * start)
            sums[: len(found)] = found
        return sums

    def broken(self, start: int, stop: int) -> np.ndarray:
        """Which rows ``start <= i < stop`` are of pictures that do not decode, ``(n,)`` of bool."""
        return self.read_sums(start, stop) == self._marks(np.arange(start, stop, dtype=np.uint64))

    def read(self, start: int, stop: int) -> tuple[np.ndarray, list[int]]:
        """The rows ``start <= i < stop``, ``(n, size)``, and which of these places are not broken.

        Raises:
            DamagedError: rows are not what was written, and there is nothing that computes them again.
        """
        return self.checked(start, stop, *self.fetch(start, stop))

    def checked(self, start: int, stop: int, rows: np.ndarray, damaged: list[int]) -> tuple[np.ndarray, list[int]]:
        """What ``read`` returns, of rows that ``fetch`` has fetched."""
        if damaged:
            what = f"{len(damaged)} rows of {self.rows} are damaged"
            if self.source is None:
                raise DamagedError(f"{what}; delete the file, and it is computed again")
            log.warning("%s; features: computed again", what)
            self.compute_again(damaged)
            rows, damaged = self.fetch(start, stop)
            if damaged:
                raise DamagedError(f"{self.rows} does not keep what is written to it; see whether its disk is in order")
        broken = self.broken(start, stop)
        return rows, [place for place, is_broken in zip(range(start, stop), broken, strict=True) if not is_broken]

    def take_in_repaired(self, n: int) -> None:
        """Compute those of the first n rows whose pictures did not decode and have been replaced since."""
        if self.source is None:
            return
        stamps, broken = self.read_stamps(), np.flatnonzero(self.broken(0, n)).tolist()
        changed = [place for place in broken if stamps.get(place) != self.source.stamp(self.first + place)]
        repaired = self.compute_again(changed) if changed else []
        if repaired:
            log.info("features: %d pictures that did not decode have been repaired, and are taken in", len(repaired))

    def compute_again(self, places: list[int]) -> list[int]:
        """Compute rows anew and write them; those that are not broken."""
        assert self.source is not None
        features, present = self.source.compute([self.first + place for place in places])
        there = [position - self.first for position in present]
        self.mark_broken(set(places) - set(there))
        self.write(there, features.reshape(len(there), self.size))
        return there

    def read_stamps(self) -> dict[int, str]:
        """Place -> what its picture was when it did not decode; empty where that is not known."""
        with suppress(DamagedError, FileNotFoundError):  # then every such picture is looked at once more
            return {int(place): str(stamp) for place, stamp in read_json(self.stamps).items()}
        return {}

    def write_stamps(self, stamps: Mapping[int, str]) -> None:
        """Add to what ``read_stamps`` says."""
        if stamps:
            known = {**self.read_stamps(), **stamps}
            write_json(self.stamps, {str(place): known[place] for place in sorted(known)})

    def fetch(self, start: int, stop: int) -> tuple[np.ndarray, list[int]]:
        """The rows ``(n, size)`` as they lie in the file, and which places are neither what was written nor broken."""
        rows = np.zeros((max(0, stop - start), self.size), dtype=np.float16)
        if self.rows.exists() and rows.size:
            found = np.fromfile(self.rows, np.float16, rows.size, offset=start * self.row_bytes)
            if len(found) == rows.size:
                rows = found.reshape(rows.shape)
            else:
                rows.reshape(-1)[: len(found)] = found
        sums, broken = self.read_sums(start, stop), self.broken(start, stop)
        told = zip(range(start, stop), rows, sums, broken, strict=True)
        return rows, [place for place, row, kept, mark in told if not mark and kept != self._sum(place, row)]

    def _sum(self, place: int, row: np.ndarray) -> int:
        seed = (self._seed + self.first + place) % 2**64
        return xxhash.xxh3_64_intdigest(row.data.cast("B"), seed) or 1

    def _marks(self, places: np.ndarray) -> np.ndarray:
        return (places + np.uint64(self.first)) * _STEP + np.uint64(self._seed)

    def _write_sums(self, sums: Mapping[int, int]) -> None:
        with _open(self.sums) as file:
            for place, number in sums.items():
                file.seek(8 * place)
                file.write(number.to_bytes(8, "little"))


def _open(path: Path) -> BinaryIO:
    """A file to be written in place, which is made if it is missing."""
    path.touch()
    return path.open("r+b")
