"""Time one job by several processes. ``python benchmarks/distributed.py --help``.

``train.py`` with an empty cache, less what it takes where everything is found; and the edits of ``traverse.py``, by the
seconds that results.csv gives, of the process that takes longest. Each process has one thread. The efficiency is
the time of one process over n times that of n processes.
"""

import argparse
import tempfile
from pathlib import Path

from dmt.storage.processes import divided
from main_job import rows_of, run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", nargs="*", type=int, default=[1, 2], help="the first is what others are over")
    parser.add_argument("--images", type=int, default=64, help="that are edited")
    parser.add_argument(
        "--options",
        nargs="*",
        default=["experiment=digits", "manifold.n_components=64"],
        help="of the job",
    )
    args = parser.parse_args()
    print("| processes | fit, s | efficiency | edits, s | efficiency | peak GB of one |\n|---|---|---|---|---|---|")
    first: tuple[float, float] | None = None
    for n in args.processes:
        with tempfile.TemporaryDirectory() as folder:
            fit, edits, peak = job(n, args.images, args.options, Path(folder))
        first = first or (n * fit, n * edits)
        efficiencies = [f"{one / (n * now):.0%}" for one, now in zip(first, (fit, edits), strict=True)]
        row = f"| {n} | {fit:.1f} | {efficiencies[0]} | {edits:.1f} | {efficiencies[1]} | {peak:.1f} |"
        print(row, flush=True)


def job(n: int, n_images: int, options: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds of the fit and of the edits by n processes, and the peak memory of one of them in GB."""
    common = [
        *options,
        "logger=none",
        "threads=1",
        "trainer.strategy=ddp",
        f"trainer.devices={n}",
        f"cache_dir={folder}/cache",
    ]
    run("train.py", *common, f"hydra.run.dir={folder}/network", "manifold.n_components=2", "data.image_size=24")
    first, peak = run("train.py", *common, f"hydra.run.dir={folder}/fit")
    again, _ = run("train.py", *common, f"hydra.run.dir={folder}/again")
    run("traverse.py", *common, f"hydra.run.dir={folder}/edits", f"n_images={n_images}")
    seconds = [float(row["seconds"]) for row in rows_of(folder / "edits")]
    longest = max(sum(seconds[i] for i in share) for share in divided(range(len(seconds)), n))
    return first - again, longest, peak


if __name__ == "__main__":
    main()
