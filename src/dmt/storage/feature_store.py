"""Feature vectors on disk: written once, row after row, found again and read in batches."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dmt.errors import UserError
from dmt.storage.files import write_text
from dmt.storage.processes import divided


class FeatureStore:
    """Rows of float16 in a file that only grows, so that a killed run goes on at the first row missing.

    Float16 keeps 11 bits: relative to a normalised activation the error is below 5e-4, far below what separates
    two images. Rows are read with plain reads, not mapped, so that they do not count as the process's memory.

    Args:
        folder: where the files are; made if missing.
        n_images: rows when complete.
        size: numbers per row.
        columns: the parts of each row that are read; all of it by default.
    """

    def __init__(self, folder: Path, n_images: int, size: int, columns: Sequence[slice] = (slice(None),)):
        self.folder = folder
        self.n_images = n_images
        self.size = size
        self.columns = columns
        self._rows_path = folder / "features.f16"
        self._broken_path = folder / "broken.json"
        folder.mkdir(parents=True, exist_ok=True)
        self.broken: set[int] = set(json.loads(self._broken_path.read_text())) if self._broken_path.exists() else set()

    @property
    def n_done(self) -> int:
        """Rows that are complete on disk."""
        return self._rows_path.stat().st_size // self._row_bytes if self._rows_path.exists() else 0

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
                f"another run writes {self._rows_path}, too; wait for it, or run python train.py once before a sweep"
            )
        rows = np.zeros((n_rows, self.size), dtype=np.float16)
        rows[[index - first for index in present]] = features.clamp(-65504, 65504).to(torch.float16).cpu().numpy()
        self._note_broken(set(range(first, first + n_rows)) - set(present))
        with self._rows_path.open("r+b" if self._rows_path.exists() else "wb") as file:
            file.seek(first * self._row_bytes)  # over what a killed run left of a row
            file.write(rows.tobytes())

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
        return FeatureStore(self._part_folder(rows), len(rows), self.size)

    def join(self) -> None:
        """Append all parts that continue these rows, one after the other, and delete all parts."""
        for folder in self._parts():
            first = self.n_done
            part = FeatureStore(folder, int(folder.name.split("-")[2]) - first, self.size)
            if folder.name.startswith(f"part-{first:09d}-") and part.n_done:
                self._note_broken({first + row for row in part.broken})
                with part._rows_path.open("rb") as source, self._rows_path.open("ab") as file:
                    file.truncate(first * self._row_bytes)
                    shutil.copyfileobj(source, file, 1 << 24)
            shutil.rmtree(folder)

    def read(self, start: int, stop: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[int]]:
        """Rows ``start <= i < stop`` that are not broken: features ``(B, D)`` in ``dtype``, and their positions."""
        stop = min(stop, self.n_images)
        count = (stop - start) * self.size
        rows = np.fromfile(self._rows_path, np.float16, count, offset=start * self._row_bytes)
        kept = [index for index in range(start, stop) if index not in self.broken]
        rows = rows.reshape(-1, self.size)
        wanted = [rows[:, part] for part in self.columns]
        features = torch.from_numpy(wanted[0] if len(wanted) == 1 else np.concatenate(wanted, axis=1))
        if len(kept) < stop - start:
            features = features[[index - start for index in kept]]
        return features.to(dtype), kept

    def read_some(self, positions: Sequence[int]) -> tuple[Tensor, list[int]]:
        """The rows at these positions that are not broken, in order; otherwise as ``read``."""
        kept = [index for index in positions if index not in self.broken]
        rows = [self.read(index, index + 1)[0] for index in kept]
        return torch.cat([self.read(0, 0)[0], *rows]), kept

    def batches(
        self, batch_size: int, dtype: torch.dtype = torch.float32, rows: range | None = None
    ) -> Iterator[tuple[Tensor, list[int]]]:
        """All rows in order, or a range of them, ``batch_size`` at a time; see ``read``."""
        rows = range(self.n_images) if rows is None else rows
        for start in rows[::batch_size]:
            yield self.read(start, min(start + batch_size, rows.stop), dtype)

    def _note_broken(self, rows: set[int]) -> None:
        if rows:
            self.broken |= rows
            write_text(self._broken_path, json.dumps(sorted(self.broken)))

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*"))

    def _part_folder(self, rows: range) -> Path:
        return self.folder / f"part-{rows.start:09d}-{rows.stop:09d}"

    @property
    def _row_bytes(self) -> int:
        return 2 * self.size
