"""Measure the main job on real faces: fit, edit, judge. ``python benchmarks/main_job.py --help``.

Every section runs train.py or traverse.py as a user would, reads what they wrote, and prints a table in Markdown. The
data and the networks are found as the commands find them (DMT_DATA, DMT_WEIGHTS); the judges are ONNX files in the
folder of the networks. Photographs stay in the output folder.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dmt.data import Digits, read_image
from dmt.data.catalogs import LFW
from peak_memory import peak_gb

ROOT = Path(__file__).resolve().parent.parent
K40_SECONDS = 114  # the paper, section 5: one 125 x 125 image on a Tesla K40


def main() -> None:
    """Run the sections asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help=f"any of {', '.join(SECTIONS)}")
    parser.add_argument("--output", type=Path, default=Path("outputs/main_job"), help="where pictures are kept")
    parser.add_argument("--images", type=int, default=24, help="held-out people to judge")
    parser.add_argument("--backbones", nargs="*", default=["vgg19_distilled", "vgg19_hybrid"], help="what fit fits")
    parser.add_argument("--lambdas", nargs="*", type=float, default=[1.0, 0.7, 0.5, 0.4], help="lambda' of edit")
    parser.add_argument("--ages", nargs="*", type=float, default=[0.9, 0.6], help="lambda' of senior")
    parser.add_argument("--options", nargs="*", default=[], help="for fit, edit and senior, such as framing=center")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} at the start")
    for name in args.sections or SECTIONS:
        print(f"\n## {name}\n", flush=True)
        SECTIONS[name](args)


def fit(args: argparse.Namespace) -> None:
    """``train.py`` end to end with an empty cache: seconds and peak memory; then again, to see features found."""
    print("| backbone | run | seconds | peak GB |\n|---|---|---|---|")
    for backbone in args.backbones:
        with tempfile.TemporaryDirectory(dir=args.output) as cache:
            for run in ("first", "again"):
                options = [f"backbone={backbone}", f"cache_dir={cache}", "logger=none", *args.options]
                seconds, peak = run("train.py", *options, f"hydra.run.dir={args.output}/fit-{backbone}-{run}")
                print(f"| {backbone} | {run} | {seconds:.0f} | {peak:.1f} |", flush=True)


def edit(args: argparse.Namespace) -> None:
    """Smiling -> frowning on held-out people over lambda': the judges' verdict, time and evaluations."""
    print(
        "| lambda' | P(happy) | flips | identity cosine | age shift | gender flips | PSNR | evaluations | s an image |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for lam in args.lambdas:
        folder = args.output / f"frowning-{lam}"
        traverse(folder, "task=frowning", f"lambda={lam}", f"n_images={args.images}", "judges=faces", *args.options)
        rows = rows_of(folder)
        print(
            f"| {lam} | {mean(rows, 'happy_after'):.2f} | {flips(rows):.2f} | {mean(rows, 'identity'):.3f} "
            f"| {age_shift(rows):+.1f} | {gender_flips(rows):.2f} | {mean(rows, 'psnr'):.1f} "
            f"| {mean(rows, 'evaluations'):.0f} | {mean(rows, 'seconds'):.1f} |",
            flush=True,
        )
    print(f"\nbefore the edit: P(happy) {mean(rows, 'happy_before'):.2f}")


def senior(args: argparse.Namespace) -> None:
    """``task=senior`` raises the judged age."""
    print("| lambda' | judged age before | after | raised in | identity cosine |\n|---|---|---|---|---|")
    for lam in args.ages:
        folder = args.output / f"senior-{lam}"
        traverse(folder, "task=senior", f"lambda={lam}", "n_images=8", "judges=faces", *args.options)
        rows = rows_of(folder)
        raised = np.mean([float(row["age_after"]) > float(row["age_before"]) for row in rows])
        print(
            f"| {lam} | {mean(rows, 'age_before'):.1f} | {mean(rows, 'age_after'):.1f} | {raised:.0%} "
            f"| {mean(rows, 'identity'):.3f} |",
            flush=True,
        )


def floor(args: argparse.Namespace) -> None:
    """``lambda=1e9`` returns the input."""
    folder = args.output / "floor"
    traverse(folder, "task=frowning", "lambda=1e9", "n_images=8")
    rows = rows_of(folder)
    print(f"lambda=1e9: PSNR {min(float(row['psnr']) for row in rows):.1f} dB at least")
    traverse(folder, "task=frowning", "lambda=1e9", "n_images=8", "regularizer=paper")
    rows = rows_of(folder)
    print(f"lambda=1e9 with the paper's regularizers: PSNR {mean(rows, 'psnr'):.1f} dB on average")


def digits(args: argparse.Namespace) -> None:
    """Digits 3 -> 8, judged by a support vector machine on the pixels of the digits that were not edited."""
    from sklearn.svm import SVC

    folder = args.output / "digits"
    traverse(folder, "experiment=digits", "n_images=40")
    rows = rows_of(folder)
    known = Digits()
    edited = {row["image"] for row in rows}
    kept = [i for i, name in enumerate(known.names) if name not in edited]
    judge = SVC(gamma=0.001, C=10).fit(known.pixels[kept].reshape(len(kept), -1) * 16, known.digits[kept])
    after = torch.stack([read_image(folder / f"{row['image']}.png", 8)[0] for row in rows])
    share = (judge.predict(after.reshape(len(rows), -1).numpy() * 16) == 8).mean()
    print(f"3 -> 8: {share:.0%} of {len(rows)} results are called 8; PSNR to the input {mean(rows, 'psnr'):.1f} dB")


def vgg19(args: argparse.Namespace) -> None:
    """A full edit with the layout of the real VGG-19 (random weights) beside the paper's time."""
    folder = args.output / "vgg19_random"
    options = [
        "backbone=vgg19_random",
        "n_images=1",
        "keep_features=false",
        "data.set_size=8",
        "selection=confident",
        "manifold=pca",
        "manifold.n_components=8",
    ]
    with tempfile.TemporaryDirectory() as small:
        data = _few_faces(Path(small))
        run("train.py", *options, *data, "logger=none", f"hydra.run.dir={folder}")
        traverse(folder, *options, *data, "task=frowning", "lambda=0.3")
    (row,) = rows_of(folder)
    print(
        f"VGG-19, conv3_1 + conv4_1 + conv5_1 of a 125 x 125 image: {float(row['seconds']):.1f} s, "
        f"{row['evaluations']} evaluations, {row['stopped']}; the paper: {K40_SECONDS} s on a K40"
    )


SECTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "fit": fit,
    "edit": edit,
    "senior": senior,
    "floor": floor,
    "digits": digits,
    "vgg19": vgg19,
}


def run(script: str, *options: str) -> tuple[float, float]:
    """Run a command; its seconds and peak resident memory in GB."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, ROOT / script, "progress=false", *options], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{script} {' '.join(options)} failed")
    return time.perf_counter() - began, peak_gb(usage)


def traverse(folder: Path, *options: str) -> None:
    """Run traverse.py into a folder."""
    run("traverse.py", "logger=none", f"hydra.run.dir={folder}", *options)


def rows_of(folder: Path) -> list[dict[str, str]]:
    """What a run left in results.csv."""
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _lfw() -> LFW:
    data = Path(os.environ.get("DMT_DATA", "~/.cache/dmt/data")).expanduser()
    return LFW(data / "lfw", data / "lfw_attributes.txt")


def _few_faces(folder: Path) -> list[str]:
    """A data set of a few people of LFW, as options."""
    catalog = _lfw()
    lines = (catalog.root.parent / "lfw_attributes.txt").read_text().splitlines()
    smiling = np.argsort(catalog.scores("Smiling"))
    chosen = [*smiling[:20], *smiling[-20:]]
    (folder / "lfw_attributes.txt").write_text("\n".join([*lines[:2], *(lines[2 + i] for i in chosen)]) + "\n")
    return [
        f"data.catalog.root={catalog.root}",
        f"data.catalog.attributes={folder}/lfw_attributes.txt",
        f"cache_dir={folder}",
    ]


def flips(rows: list[dict[str, str]]) -> float:
    """The share of results that the judge does not call happy."""
    return float(np.mean([float(row["happy_after"]) < 0.5 for row in rows]))


def age_shift(rows: list[dict[str, str]]) -> float:
    """By how many years the judged age rises."""
    return mean(rows, "age_after") - mean(rows, "age_before")


def gender_flips(rows: list[dict[str, str]]) -> float:
    """The share of people whose judged gender changes."""
    return float(np.mean([(float(row["male_after"]) > 0.5) != (float(row["male_before"]) > 0.5) for row in rows]))


def mean(rows: list[dict[str, str]], column: str) -> float:
    """The mean of a column."""
    return float(np.mean([float(row[column]) for row in rows]))


if __name__ == "__main__":
    main()
