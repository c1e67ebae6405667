"""Some feature vectors of a catalog on disk: any row at any time, found again and read as they lie."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ABSENT, PRESENT, BROKEN = 0, 1, 2  # what is known of a row


class RowStore:
    """Rows of float16, each at its place in a sparse file, and a file with a byte for each: whether it is there.

    A row is marked after it was written, so that a killed run leaves no mark without a row; two runs that write the
    same row write the same numbers. Beside ``FeatureStore``, which holds every row, this takes the space of those asked
    for.

    Args:
        folder: where the files are; made if missing.
        n_images: rows there may be.
        size: numbers per row.
    """

    def __init__(self, folder: Path, n_images: int, size: int):
        self.n_images = n_images
        self.size = size
        self._rows, self._marks = folder / "some.f16", folder / "some.marks"
        folder.mkdir(parents=True, exist_ok=True)
        for file in (self._rows, self._marks):
            file.touch()

    def missing(self, positions: Sequence[int]) -> list[int]:
        """Those of the positions that are neither there nor broken, in order."""
        marks = self._read_marks()
        return [position for position in positions if marks[position] == ABSENT]

    def write(self, positions: Sequence[int], features: Tensor) -> None:
        """Keep feature vectors ``(B, size)`` of the rows at these positions."""
        rows = features.clamp(-65504, 65504).to(torch.float16).cpu().contiguous().numpy()
        with self._rows.open("r+b") as file:
            for position, row in zip(positions, rows, strict=True):
                file.seek(position * 2 * self.size)
                file.write(row.tobytes())
        self._mark(positions, PRESENT)

    def mark_broken(self, positions: Sequence[int]) -> None:
        """Remember rows of pictures that do not decode."""
        self._mark(positions, BROKEN)

    def read(self, positions: Sequence[int]) -> tuple[Tensor, list[int]]:
        """The rows that are there: ``(B, size)`` of float16, and their positions, in order."""
        marks = self._read_marks()
        kept = [position for position in positions if marks[position] == PRESENT]
        rows = np.empty((len(kept), self.size), dtype=np.float16)
        with self._rows.open("rb") as file:
            for place, position in enumerate(kept):
                file.seek(position * 2 * self.size)
                file.readinto(memoryview(rows[place]).cast("B"))
        return torch.from_numpy(rows), kept

    def _read_marks(self) -> np.ndarray:
        marks = np.zeros(self.n_images, dtype=np.uint8)
        found = np.fromfile(self._marks, np.uint8, self.n_images)
        marks[: len(found)] = found
        return marks

    def _mark(self, positions: Sequence[int], mark: int) -> None:
        with self._marks.open("r+b") as file:
            for position in positions:
                file.seek(position)
                file.write(bytes([mark]))
            file.flush()
            os.fsync(file.fileno())
