"""What it costs to verify features when they are read: ``python benchmarks/checksums.py``, a minute, 0.5 GB of disk.

Prints for rows of several lengths how long a pass over a store takes (from the page cache, to float32 as a fit reads
them, best of seven passes of each kind, taken in turn): without checksums, with them, and the share that they add, by
the clock and by the processor. The next batch is fetched and verified in a thread while one is worked on, so that with
a core to spare the clock says less than the processor.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dmt.storage.checked_rows import CheckedRows
from dmt.storage.feature_store import FeatureStore

NUMBERS = 128 * 2**20  # in each store
ROUNDS = 7


class Trusting(CheckedRows):
    """Reads rows, and does not look whether they are what was written."""

    def fetch(self, start: int, stop: int) -> tuple[np.ndarray, list[int]]:
        """The rows, none of them damaged."""
        found = np.fromfile(self.rows, np.float16, (stop - start) * self.size, offset=start * self.row_bytes)
        return found.reshape(stop - start, self.size), []


def best(works: list[Callable[[], None]], clock: Callable[[], float]) -> list[float]:
    """Seconds of each, by a clock."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, seconds in zip(works, taken, strict=True):
            began = clock()
            work()
            seconds.append(clock() - began)
    return [min(seconds) for seconds in taken]


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    print(
        f"{'numbers a row':>14}{'rows':>8}{'without, s':>12}{'with, s':>10}{'share, clock':>14}{'share, processor':>18}"
    )
    for size in (2**12, 2**16, 2**20):
        n = NUMBERS // size
        with tempfile.TemporaryDirectory() as folder:
            stores = [FeatureStore(Path(folder), n, size) for _ in range(2)]
            step = max(1, 2**22 // size)
            for first in range(0, n, step):
                stores[1].append(torch.rand(step, size), range(first, first + step), step)
            stores[0]._rows = Trusting(stores[0]._rows.rows, size, stores[0].folder.name)
            works = [lambda store=store, step=step: [None for _ in store.batches(step)] for store in stores]
            trusting, verified = best(works, time.perf_counter)
            without, with_them = best(works, time.process_time)
            shares = f"{verified / trusting - 1:>14.1%}{with_them / without - 1:>18.1%}"
            print(f"{size:>14}{n:>8}{trusting:>12.3f}{verified:>10.3f}{shares}")


if __name__ == "__main__":
    main()
