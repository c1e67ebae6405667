"""Make the pictures of the documentation: ``python docs/figures.py [NAME ...]``; those of the astronaut need LFW."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

from dmt.reporting.grids import labelled_grid
from dmt.reporting.tables import text_table
from dmt.studies.transfer import OriginalReport

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
FACE = (113, 0, 333, 220)  # left, top, right, bottom: the portrait, for the figure that colours whole pictures


DIGITS = ["experiment=digits", "progress=false"]


def main() -> None:
    """Make the pictures asked for, all by default."""
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name]()


def make_digits() -> None:
    """The grid of ``experiment=digits``."""
    _keep("grid", "digits", *DIGITS)


def make_digits_lambda() -> None:
    """Figure 6 of the paper with digits."""
    figure = "{_target_: dmt.studies.figures.LambdaRows, lambdas: [inf, 2.0, 1.0, 0.5, 0.3]}"
    _keep("figure", "digits_lambda", *DIGITS, f"figure={figure}")


def make_digits_tsne() -> None:
    """Figure 7 of the paper with digits."""
    figure = (
        "{_target_: dmt.studies.figures.NeighboursAlongThePath, lambdas: [2.0, 1.0, 0.5, 0.3], crowd: 30, each: 30}"
    )
    _keep("figure", "digits_tsne", *DIGITS, f"figure={figure}", "data.set_size=100")


def make_digits_map() -> None:
    """The map of figure 1 with digits."""
    tasks = ", ".join(f"{word}: {_digit_task(digit)}" for word, digit in (("eight", 8), ("five", 5), ("nine", 9)))
    figure = f"{{_target_: dmt.studies.figures.Tour, tasks: {{{tasks}}}}}"
    _keep("map", "digits_map", *DIGITS, f"figure={figure}", "n_images=5")


def make_digits_sweep() -> None:
    """The grid at the end of a sweep."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["kernel=rbf,linear", "lambda=1,0.3", "n_images=6", f"hydra.sweep.dir={folder}"]
        _traverse("--multirun", *DIGITS, *options)
        Image.open(Path(folder) / "sweep.png").save(IMAGES / "digits_sweep.png")


def make_digits_methods() -> None:
    """A 3 becomes an 8 by each method."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["method=dmt,linear,pixel_mean,adversarial", "n_images=6", f"hydra.sweep.dir={folder}"]
        _traverse("--multirun", *DIGITS, *options)
        Image.open(Path(folder) / "sweep.png").save(IMAGES / "digits_methods.png")


def make_digits_film() -> None:
    """The way of one edit."""
    with tempfile.TemporaryDirectory() as folder:
        _traverse(*DIGITS, "images=[digit_0003]", "output.animation=gif", f"hydra.run.dir={folder}")
        shutil.copy(Path(folder) / "digit_0003.gif", IMAGES / "digits_film.gif")


def make_astronaut_colour() -> None:
    """Figure 5 of the paper with the public-domain portrait."""
    portrait = IMAGES / "astronaut_input.png"
    Image.fromarray(astronaut()).crop(FACE).resize((125, 125), Image.Resampling.LANCZOS).save(portrait)
    _keep("figure", "astronaut_colour", "experiment=fig5_colorize", f"images=[{portrait}]", "progress=false")


def make_astronaut() -> None:
    """The public-domain photograph that scikit-image ships, whole: as it is, and edited by one command."""
    with tempfile.TemporaryDirectory() as folder:
        photograph = Path(folder) / "astronaut.png"
        Image.fromarray(astronaut()).save(photograph)
        _traverse("task=senior", "lambda=0.5", f"images={photograph}", f"hydra.run.dir={folder}/run")
        pair = [np.asarray(Image.open(path)) for path in (photograph, Path(folder) / "run" / "astronaut.png")]
    Image.fromarray(np.concatenate(pair, axis=1)).save(IMAGES / "astronaut.png", optimize=True)


def make_astronaut_tasks() -> None:
    """Her face, towards three attributes, by three lambdas."""
    tasks, lambdas = ("frowning", "senior", "younger"), (1.0, 0.7, 0.5)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        photograph = Path(folder) / "astronaut.png"
        Image.fromarray(astronaut()).save(photograph)
        for task in tasks:
            row = []
            for lam in lambdas:
                run = Path(folder) / f"{task}-{lam}"
                _traverse(f"task={task}", f"lambda={lam}", f"images={photograph}", f"hydra.run.dir={run}")
                row.append(np.asarray(Image.open(run / "crops" / "astronaut_after.png")))
            rows.append([np.asarray(Image.open(run / "crops" / "astronaut_before.png")), *row])
    grid = labelled_grid(rows, tasks, ["input", *(f"lambda' {lam}" for lam in lambdas)])
    grid.save(IMAGES / "astronaut_tasks.png", optimize=True)


def make_within_class() -> None:
    """Digits made by walking between neighbours of one class; about two minutes."""
    _keep("made", "within_class", "experiment=within_class", "study.sampling.draws=1")


def make_transfer_2014() -> None:
    """Figures 2 and 3 of the transfer study from the runs of 2014; prints its table 1 and what dissimilar tasks add."""
    report = OriginalReport()(None, None, {})
    for name, picture in report.pictures.items():
        picture.quantize(64).save(IMAGES / f"transfer_2014_{name}.png", optimize=True)
    for name in ("table_1", "dissimilar"):
        print(f"{name}\n{text_table(report.tables[name])}\n")


PICTURES: dict[str, Callable[[], None]] = {
    "digits": make_digits,
    "digits_lambda": make_digits_lambda,
    "digits_tsne": make_digits_tsne,
    "digits_map": make_digits_map,
    "digits_sweep": make_digits_sweep,
    "digits_methods": make_digits_methods,
    "digits_film": make_digits_film,
    "within_class": make_within_class,
    "transfer_2014": make_transfer_2014,
    "astronaut": make_astronaut,
    "astronaut_tasks": make_astronaut_tasks,
    "astronaut_colour": make_astronaut_colour,
}


def _digit_task(target: int) -> str:
    return f"{{_target_: dmt.data.ClassTask, source: '3', target: '{target}'}}"


def _keep(picture: str, name: str, *options: str) -> None:
    """Run traverse.py and keep one of its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        _traverse(*options, f"hydra.run.dir={folder}")
        Image.open(Path(folder) / f"{picture}.png").save(IMAGES / f"{name}.png")


def _traverse(*options: str) -> None:
    subprocess.run([sys.executable, ROOT / "traverse.py", *options, "logger=none"], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
