"""Some feature vectors of a catalog on disk: any row at any time, found again, verified, and read as they lie."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dmt.storage.checked_rows import ABSENT, CheckedRows, RowSource


class RowStore:
    """Rows of float16, each at its place in a sparse file, and a checksum of each: whether it is there, and whole.

    A row's checksum is written after it, so that a killed run leaves none without a row; two runs that write the
    same row write the same numbers. Beside ``FeatureStore``, which holds every row, this takes the space of those asked
    for.

    Args:
        folder: where the files are; made if missing.
        n_images: rows there may be.
        size: numbers per row.
        source: computes rows again; ``None``: a damaged one is an error.
    """

    def __init__(self, folder: Path, n_images: int, size: int, source: RowSource | None = None):
        self.n_images = n_images
        self.size = size
        folder.mkdir(parents=True, exist_ok=True)
        self._rows = CheckedRows(folder / "some.f16", size, folder.name, source=source)
        self._rows.take_in_repaired(n_images)

    def missing(self, positions: Sequence[int]) -> list[int]:
        """Those of the positions that are neither there nor broken, in order."""
        sums = self._rows.read_sums(0, self.n_images)
        return [position for position in positions if sums[position] == ABSENT]

    def write(self, positions: Sequence[int], features: Tensor) -> None:
        """Keep feature vectors ``(B, size)`` of the rows at these positions."""
        self._rows.write(positions, features)

    def mark_broken(self, positions: Sequence[int]) -> None:
        """Remember rows of pictures that do not decode."""
        self._rows.mark_broken(positions)

    def read(self, positions: Sequence[int]) -> tuple[Tensor, list[int]]:
        """The rows that are there: ``(B, size)`` of float16, and their positions, in order.

        Raises:
            DamagedError: rows are not what was written, and there is nothing that computes them again.
        """
        sums = self._rows.read_sums(0, self.n_images)
        read = [self._rows.read(position, position + 1) for position in positions if sums[position] != ABSENT]
        kept = [position for _, found in read for position in found]
        rows = [row for row, found in read if found]
        return torch.from_numpy(np.concatenate([np.zeros((0, self.size), np.float16), *rows])), kept
