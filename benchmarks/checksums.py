"""What it costs to verify features when they are read: ``python benchmarks/checksums.py``, a minute, 0.5 GB of disk.

Prints for rows of several lengths how long a pass over a store takes (from the page cache, to float32 as a fit reads
them, best of five), how long the checksums of the same rows alone take, and their share.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import xxhash

from dmt.storage.feature_store import FeatureStore

NUMBERS = 128 * 2**20  # in each store


def best_of_five(work: Callable[[], None]) -> float:
    """Seconds of the processor: others may be at work, too."""
    taken = []
    for _ in range(5):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    print(f"{'numbers a row':>14}{'rows':>8}{'read, s':>10}{'checksums, s':>14}{'share':>8}")
    for size in (2**12, 2**16, 2**20):
        n = NUMBERS // size
        with tempfile.TemporaryDirectory() as folder:
            store = FeatureStore(Path(folder), n, size)
            step = max(1, 2**22 // size)
            for first in range(0, n, step):
                store.append(torch.rand(step, size), range(first, first + step), step)
            rows = store._rows._read(0, step)[0]

            def read(store=store, step=step) -> None:
                for _ in store.batches(step):
                    pass

            def sums(rows=rows, n=n, step=step) -> None:
                for place in range(n):
                    xxhash.xxh3_64_intdigest(rows[place % step].data.cast("B"), place)

            whole, checks = best_of_five(read), best_of_five(sums)
            print(f"{size:>14}{n:>8}{whole:>10.3f}{checks:>14.3f}{checks / whole:>8.1%}")


if __name__ == "__main__":
    main()
