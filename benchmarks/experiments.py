"""Measure the experiments on real faces. ``python benchmarks/experiments.py --help``.

As ``main_job.py``: every section runs traverse.py as a user would, reads what it wrote, and prints a table in Markdown.
"""

import argparse
import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

from main_job import age_shift, flips, gender_flips, mean, rows_of, run, traverse

FIGURES = {
    "fig1": ["experiment=fig1_tour"],
    "fig3": ["experiment=fig3_regularization"],
    "fig4": ["experiment=fig4_person", 'person="George W Bush"'],
    "fig5": ["experiment=fig5_colorize"],
    "fig6 frowning": ["experiment=fig6_lambda", "task=frowning"],
    "fig6 senior": ["experiment=fig6_lambda", "task=senior"],
    "fig7": ["experiment=fig7_tsne"],
}
RATES = (0.5, 0.8)


def main() -> None:
    """Run the sections asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help=f"any of {', '.join(SECTIONS)}")
    parser.add_argument("--output", type=Path, default=Path("outputs/experiments"), help="where pictures are kept")
    parser.add_argument("--images", type=int, default=32, help="held-out people to judge")
    parser.add_argument("--lambdas", nargs="*", type=float, default=[1.0, 0.7, 0.5, 0.4], help="lambda'")
    parser.add_argument("--options", nargs="*", default=[], help="for every traverse.py, such as framing=center")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.sections or SECTIONS:
        print(f"\n## {name}\n", flush=True)
        SECTIONS[name](args)


def figures(args: argparse.Namespace) -> None:
    """Every figure's command, its seconds and peak memory."""
    print("| command | seconds | peak GB |\n|---|---|---|")
    for name, options in FIGURES.items():
        folder = args.output / name.replace(" ", "_")
        line = [*options, *args.options]
        seconds, peak = run("traverse.py", *line, "judges=faces", "logger=none", f"hydra.run.dir={folder}")
        print(f"| `{' '.join(options)}` | {seconds:.0f} | {peak:.1f} |", flush=True)


def selection(args: argparse.Namespace) -> None:
    """Smiling -> frowning with each selection: at equal lambda, and at equal flip rate by interpolation."""
    _compare(
        args,
        {
            "confident": ["selection=confident"],
            "matched": ["selection=matched", "selection.same=[Male]"],
            "matched, more alike": ["selection=matched"],
            "nearest": ["selection=nearest"],
        },
    )


def regularizer(args: argparse.Namespace) -> None:
    """Smiling -> frowning with several weights of sparsity."""
    weights = (0, 30, 120, 250)
    _compare(
        args,
        {f"sparsity {weight}": ["selection=confident", f"regularizer.sparsity.weight={weight}"] for weight in weights},
    )


def method(args: argparse.Namespace) -> None:
    """Smiling -> frowning with each method."""
    _compare(args, {name: [f"method={name}"] for name in ("dmt", "linear", "pixel_mean")})
    folder = args.output / "adversarial"
    traverse(folder, "method=adversarial", f"n_images={args.images}", "judges=faces", *args.options)
    rows = rows_of(folder)
    print(
        f"\nadversarial: {_measures(rows)}, PSNR {mean(rows, 'psnr'):.1f}, {mean(rows, 'evaluations'):.0f} evaluations"
    )


def auto(args: argparse.Namespace) -> None:
    """lambda=auto: by the witness, by a classifier in z or of the finished picture, by the judge."""
    print("| lambda=auto | lambda' (least, median, most) | flips | identity | inversions | s an image |")
    print("|---|---|---|---|---|---|")
    for name in ("auto=witness", "auto.of=classifier", "auto=picture", "auto=judge"):
        folder = args.output / name.replace("=", "-")
        seconds, _ = run("traverse.py", "lambda=auto", name, "n_images=8", "judges=faces", *args.options, "logger=none",
                         f"hydra.run.dir={folder}")  # fmt: skip
        rows = rows_of(folder)
        least, median, most = np.quantile([float(row["lambda"]) for row in rows], (0, 0.5, 1))
        print(
            f"| {name} | {least:.2f}, {median:.2f}, {most:.2f} | {flips(rows):.2f} | {mean(rows, 'identity'):.3f} "
            f"| {mean(rows, 'inversions'):.0f} | {seconds / len(rows):.1f} |",
            flush=True,
        )


def neighbours(args: argparse.Namespace) -> None:
    """Figure 7 as numbers."""
    folder = args.output / "fig7"
    run("traverse.py", *FIGURES["fig7"], *args.options, "logger=none", f"hydra.run.dir={folder}")
    for name in ("neighbours", "per_image"):
        with (folder / f"{name}.csv").open(newline="") as file:
            for row in csv.reader(file):
                print(f"| {' | '.join(row)} |")


SECTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "figures": figures,
    "selection": selection,
    "regularizer": regularizer,
    "method": method,
    "auto": auto,
    "neighbours": neighbours,
}


def _compare(args: argparse.Namespace, choices: dict[str, list[str]]) -> None:
    curves: dict[str, list[dict[str, float]]] = {}
    print("| choice | lambda' | flips | identity | age | gender flips | PSNR | outside / centre | s an image |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, options in choices.items():
        curves[name] = []
        for lam in args.lambdas:
            folder = args.output / f"{name}-{lam}".replace(" ", "_").replace(",", "")
            traverse(folder, f"lambda={lam}", f"n_images={args.images}", "judges=faces", *options, *args.options)
            rows = rows_of(folder)
            point = _measures(rows)
            curves[name].append(point)
            print(
                f"| {name} | {lam} | {point['flips']:.2f} | {point['identity']:.3f} | {point['age']:+.1f} "
                f"| {point['gender flips']:.2f} | {mean(rows, 'psnr'):.1f} "
                f"| {mean(rows, 'change_outside') / mean(rows, 'change_center'):.2f} | {mean(rows, 'seconds'):.1f} |",
                flush=True,
            )
    print("\n| at equal flips | choice | identity | age | gender flips |\n|---|---|---|---|---|")
    for rate in RATES:
        for name, curve in curves.items():
            at_rate = _at_rate(curve, rate)
            cells = (
                [f"{at_rate[column]:.3f}" for column in ("identity", "age", "gender flips")] if at_rate else ["-"] * 3
            )
            print(f"| {rate:.0%} | {name} | {' | '.join(cells)} |")


def _measures(rows: list[dict[str, str]]) -> dict[str, float]:
    return {
        "flips": flips(rows),
        "identity": mean(rows, "identity"),
        "age": age_shift(rows),
        "gender flips": gender_flips(rows),
    }


def _at_rate(curve: list[dict[str, float]], rate: float) -> dict[str, float] | None:
    """The measures where the curve reaches a flip rate, by linear interpolation; ``None`` if it does not."""
    for before, after in pairwise(curve):
        if before["flips"] <= rate <= after["flips"] and before["flips"] < after["flips"]:
            share = (rate - before["flips"]) / (after["flips"] - before["flips"])
            return {column: before[column] + share * (after[column] - before[column]) for column in before}
    return None


if __name__ == "__main__":
    main()
