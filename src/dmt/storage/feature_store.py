"""Feature vectors on disk: written once, row after row, found again, verified, and read in batches."""

import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dmt.errors import UserError
from dmt.storage.checked_rows import CheckedRows, RowSource
from dmt.storage.processes import divided

ROWS = "features.f16"
PART = re.compile(r"part-(\d{9,})-(\d{9,})")


class FeatureStore:
    """Rows of float16 in a file that only grows, so that a killed run goes on at the first row missing.

    Float16 keeps 11 bits: relative to a normalised activation the error is below 5e-4, far below what separates
    two images. Rows are read with plain reads, not mapped, so that they do not count as the process's memory. Each is
    verified when it is read (``CheckedRows``); those that are not what was written are computed again.

    Args:
        folder: where the files are; made if missing.
        n_images: rows when complete.
        size: numbers per row.
        columns: the parts of each row that are read; all of it by default.
        source: computes rows again; ``None``: a damaged one is an error.
    """

    def __init__(
        self,
        folder: Path,
        n_images: int,
        size: int,
        columns: Sequence[slice] = (slice(None),),
        source: RowSource | None = None,
    ):
        self.folder, self.n_images, self.size, self.columns = folder, n_images, size, columns
        self._rows = CheckedRows(folder / ROWS, size, folder.name, source=source)
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def broken(self) -> set[int]:
        """The rows of pictures that do not decode."""
        return set(np.flatnonzero(self._rows.broken(0, min(self.n_images, self.n_done))).tolist())

    @property
    def stamps(self) -> dict[int, str]:
        """Position -> what its picture was when it did not decode."""
        known = self._rows.read_stamps()
        return {position: known.get(position, "") for position in sorted(self.broken)}

    @property
    def n_done(self) -> int:
        """Rows that are complete on disk."""
        return self._rows.n_leading()

    @property
    def complete(self) -> bool:
        """Whether every row is there."""
        return self.n_done >= self.n_images

    def append(self, features: Tensor, present: Sequence[int], n_rows: int) -> None:
        """Write the next ``n_rows`` rows.

        Args:
            features: ``(B, D)``, B <= n_rows.
            present: the row of each feature vector; the other rows are marked as broken and hold zeros.
            n_rows: how many rows this batch stands for.

        Raises:
            UserError: these are not the next rows, for another run has written in between.
        """
        first = self.n_done
        if len(present) and not first <= min(present) <= max(present) < first + n_rows:
            raise UserError(
                f"another run writes {self._rows.rows}, too; wait for it, or run python train.py once before a sweep"
            )
        self._rows.fill_up_to(first + n_rows)
        self._rows.write(present, features)
        self._rows.mark_broken(set(range(first, first + n_rows)) - set(present))

    def missing(self, n: int) -> list[range]:
        """The rows that are missing, in n contiguous ranges, for as many writers (see ``part``).

        Parts that a killed run of as many writers left are gone on with; those of another number of writers are taken
        in as far as they continue the rows, and dropped otherwise.
        """
        ranges = divided(range(self.n_done, self.n_images), n)
        if set(self._parts()) - {self._part_folder(rows) for rows in ranges if n > 1}:
            self.join()
            ranges = divided(range(self.n_done, self.n_images), n)
        return ranges

    def part(self, rows: range) -> "FeatureStore":
        """A store of its own for a range of these rows, counted from 0; see ``join``."""
        part = FeatureStore(self._part_folder(rows), len(rows), self.size)
        part._rows = CheckedRows(part.folder / ROWS, self.size, self.folder.name, rows.start, self._rows.source)
        return part

    def join(self) -> None:
        """Append all parts that continue these rows, one after the other, and delete all parts."""
        for folder in self._parts():
            first, stop = map(int, folder.name.split("-")[1:])
            part = self.part(range(first, stop))
            if first == self.n_done and part.n_done:
                self._rows.take_over(part._rows, first, part.n_done)
            shutil.rmtree(folder)

    def read(self, start: int, stop: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[int]]:
        """Rows ``start <= i < stop`` that are not broken: features ``(B, D)`` in ``dtype``, and their positions.

        Raises:
            DamagedError: rows are not what was written, and there is nothing that computes them again.
        """
        stop = min(stop, self.n_images)
        return self._features(start, stop, *self._rows.read(start, stop), dtype)

    def _features(
        self, start: int, stop: int, rows: np.ndarray, kept: list[int], dtype: torch.dtype
    ) -> tuple[Tensor, list[int]]:
        wanted = [rows[:, part] for part in self.columns]
        features = torch.from_numpy(wanted[0] if len(wanted) == 1 else np.concatenate(wanted, axis=1))
        if len(kept) < stop - start:
            features = features[[index - start for index in kept]]
        return features.to(dtype), kept

    def read_some(self, positions: Sequence[int]) -> tuple[Tensor, list[int]]:
        """The rows at these positions that are not broken, in order; otherwise as ``read``."""
        read = [self.read(index, index + 1) for index in positions]
        kept = [index for _, found in read for index in found]
        return torch.cat([self.read(0, 0)[0], *(rows for rows, _ in read)]), kept

    def batches(
        self, batch_size: int, dtype: torch.dtype = torch.float32, rows: range | None = None
    ) -> Iterator[tuple[Tensor, list[int]]]:
        """All rows in order, or a range of them, ``batch_size`` at a time; see ``read``.

        While one batch is worked on the next is fetched and verified in a thread, which takes its memory once more, in
        float16.
        """
        rows = range(self.n_images) if rows is None else rows
        spans = [(start, min(start + batch_size, rows.stop)) for start in rows[::batch_size]]
        with ThreadPoolExecutor(1) as ahead:
            coming = [ahead.submit(self._rows.fetch, *span) for span in spans[:1]]
            for span, following in zip(spans, [*spans[1:], None], strict=True):
                fetched = coming.pop().result()
                if following is not None:
                    coming.append(ahead.submit(self._rows.fetch, *following))
                yield self._features(*span, *self._rows.checked(*span, *fetched), dtype)

    def take_in_repaired(self) -> None:
        """Compute the rows of pictures that did not decode and have been replaced since."""
        self._rows.take_in_repaired(min(self.n_images, self.n_done))

    def _parts(self) -> list[Path]:
        return sorted(folder for folder in self.folder.glob("part-*") if PART.fullmatch(folder.name))

    def _part_folder(self, rows: range) -> Path:
        return self.folder / f"part-{rows.start:09d}-{rows.stop:09d}"
