"""How much memory a process holds after many edits, and how many files it has open: ``python benchmarks/long_run.py``.

    python benchmarks/long_run.py --edits 1000
    python benchmarks/long_run.py --data lfw --edits 60

Edits one digit, or face, after the other with one ``Editor``; each face has sets of its own. Prints, every so many
edits, the resident memory in MB and the open files; at the end the slope of the memory over the second half of the
edits, when what is loaded once is loaded.
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
    parser.add_argument("--data", choices=["digits", "lfw"], default="digits")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    task = "digits" if arguments.data == "digits" else "frowning"
    editor = dmt.Editor.default(arguments.data, "threads=1", "progress=false", "solver=quick")
    names = editor.data(dmt.task(task), images=min(arguments.edits, 120)).inputs
    taken, memory, files = [], [], []
    for number in range(1, arguments.edits + 1):
        editor.edit(task, images=[names[number % len(names)]], lam=0.7)
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
