"""How much memory a process holds after many edits, and how many files it has open: ``python benchmarks/long_run.py``.

    python benchmarks/long_run.py --edits 1000

Edits one digit after the other with one ``Editor``. Prints, every so many edits, the resident memory in MB and the open
files; at the end the slope of the memory over the second half of the edits, when what is loaded once is loaded.
"""

import argparse
import gc
import logging
import os
import warnings
from pathlib import Path

import numpy as np

import dmt


def resident_megabytes() -> float:
    """Of this process; Linux alone says so."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_files() -> int:
    """Descriptors of this process, without the one that counts them."""
    return len(os.listdir("/proc/self/fd")) - 1


def main() -> None:
    """Edit, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--every", type=int, default=20)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    editor = dmt.Editor.default("digits", "threads=1", "progress=false", "solver=quick")
    threes = [f"digit_{i:04d}" for i, digit in enumerate(dmt.data.Digits().digits) if digit == 3]
    taken, memory, files = [], [], []
    for number in range(1, arguments.edits + 1):
        editor.edit("digits", images=[threes[number % len(threes)]], lam=0.3)
        if number % arguments.every == 0:
            gc.collect()
            taken.append(number)
            memory.append(resident_megabytes())
            files.append(open_files())
            print(f"{number:6d} edits {memory[-1]:8.1f} MB {files[-1]:4d} files open", flush=True)
    half = len(taken) // 2
    slope = np.polyfit(taken[half:], memory[half:], 1)[0]
    print(f"slope over the second half: {slope:.4f} MB an edit; files opened and left: {files[-1] - files[0]}")


if __name__ == "__main__":
    main()
