"""Make the pictures of the documentation: ``python docs/figures.py [NAME ...]``, all by default.

Those of digits need no download; those of the astronaut need LFW and the networks. What cannot be made is said in one
line each, and the others are made. ``images/made_by.json`` keeps what each was made with, for ``docs/stale.py``.
"""

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut
from stale import MADE_BY, configuration

from dmt.reporting.grids import labelled_grid
from dmt.reporting.results import Report
from dmt.reporting.tables import text_table
from dmt.studies.transfer import OriginalReport, TransferReport

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
FACE = (113, 0, 333, 220)  # left, top, right, bottom: the portrait, for the figure that colours whole pictures
DIGITS = "traverse.py experiment=digits"
SWEEP = "traverse.py -m experiment=digits n_images=6"
TASKS, LAMBDAS = ("frowning", "senior", "younger"), (1.0, 0.7, 0.5)  # of the astronaut


class NotMadeError(Exception):
    """A picture that cannot be made; the message says why, in one line."""


@dataclass(frozen=True)
class Picture:
    """How a picture comes about.

    Args:
        make: writes it, given an empty folder, in which programs run, and their command lines; names of the files.
        runs: the programs' command lines.
    """

    make: Callable[[Path, Sequence[str]], list[str]]
    runs: Sequence[str] = ()


def main() -> None:
    """Make the pictures asked for, and say which could not be made."""
    unknown = [name for name in sys.argv[1:] if name not in PICTURES]
    if unknown:
        sys.exit(f"there is no picture {', '.join(unknown)}; there are {', '.join(PICTURES)}")
    missing = [line for name in sys.argv[1:] or PICTURES if (line := made(name))]
    if missing:
        sys.exit("\n".join(missing))


def made(name: str) -> str | None:
    """Make a picture and note what with; or say why not."""
    picture = PICTURES[name]
    try:
        with tempfile.TemporaryDirectory() as folder:
            files = picture.make(Path(folder), picture.runs)
    except NotMadeError as error:
        return f"{name}: not made: {error}"
    entry = {"command": f"python docs/figures.py {name}", "runs": [*picture.runs]}
    entry["configuration"] = configuration("; ".join(picture.runs)) if picture.runs else "none"
    known = json.loads(MADE_BY.read_text("utf-8")) if MADE_BY.exists() else {}
    known |= dict.fromkeys(files, entry)
    MADE_BY.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", "utf-8")
    return None


def kept(shown: str, name: str) -> Callable[[Path, Sequence[str]], list[str]]:
    """One of the files that a run leaves, under a name of its own."""

    def make(folder: Path, runs: Sequence[str]) -> list[str]:
        (line,) = runs
        run(folder, line, folder / "out")
        shutil.copy(folder / "out" / shown, IMAGES / name)
        return [name]

    return make


def make_astronaut_colour(folder: Path, runs: Sequence[str]) -> list[str]:
    """Figure 5 of the paper with the public-domain portrait."""
    portrait = Image.fromarray(astronaut()).crop(FACE).resize((125, 125), Image.Resampling.LANCZOS)
    portrait.save(folder / "astronaut.png")
    return kept("figure.png", "astronaut_colour.png")(folder, runs)


def make_astronaut(folder: Path, runs: Sequence[str]) -> list[str]:
    """The public-domain photograph that scikit-image ships, whole: as it is, and edited by one command."""
    Image.fromarray(astronaut()).save(folder / "astronaut.png")
    run(folder, runs[0], folder / "out")
    pair = [np.asarray(Image.open(path)) for path in (folder / "astronaut.png", folder / "out" / "astronaut.png")]
    Image.fromarray(np.concatenate(pair, axis=1)).save(IMAGES / "astronaut.png", optimize=True)
    return ["astronaut.png"]


def make_astronaut_tasks(folder: Path, runs: Sequence[str]) -> list[str]:
    """Her face, towards three attributes, by three lambdas."""
    Image.fromarray(astronaut()).save(folder / "astronaut.png")
    run(folder, runs[0], folder / "out")

    def crop(number: int, end: str) -> np.ndarray:
        (file,) = (folder / "out").glob(f"{number},*/crops/astronaut_{end}.png")
        return np.asarray(Image.open(file))

    rows = []
    for first in range(0, len(TASKS) * len(LAMBDAS), len(LAMBDAS)):
        rows.append([crop(first, "before"), *(crop(first + step, "after") for step in range(len(LAMBDAS)))])
    grid = labelled_grid(rows, TASKS, ["input", *(f"lambda' {lam}" for lam in LAMBDAS)])
    grid.save(IMAGES / "astronaut_tasks.png", optimize=True)
    return ["astronaut_tasks.png"]


def make_digits_page(folder: Path, runs: Sequence[str]) -> list[str]:
    """The upper part of a run's page in a browser."""
    browsers = [found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))]
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise NotMadeError("needs playwright: pip install 'dmt[dev]'") from error
    if not browsers:
        raise NotMadeError("needs Chromium")
    run(folder, runs[0], folder / "out")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browsers[0], args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 1050}, color_scheme="light")
        page.goto((folder / "out" / "report.html").as_uri())
        page.screenshot(path=folder / "page.png")
        browser.close()
    Image.open(folder / "page.png").convert("RGB").quantize(128).save(IMAGES / "digits_page.png", optimize=True)
    return ["digits_page.png"]


def make_transfer_2014(folder: Path, runs: Sequence[str]) -> list[str]:
    """Figures 2 and 3 of the transfer study from the runs of 2014; prints its table 1 and what dissimilar tasks add."""
    report = OriginalReport()(None, None, {})
    for name in ("table_1", "dissimilar"):
        print(f"{name}\n{text_table(report.tables[name])}\n")
    return figures_of(report, "transfer_2014")


def make_transfer_tiny_imagenet(folder: Path, runs: Sequence[str]) -> list[str]:
    """The same figures from our runs, with those of 2014 behind."""
    store = ROOT / "docs" / "transfer" / "tiny_imagenet.csv"
    return figures_of(TransferReport(str(store))(None, None, {}), "transfer_tiny_imagenet")


def figures_of(report: Report, start: str) -> list[str]:
    """Keep a report's figures, in few colours."""
    for name, picture in report.pictures.items():
        picture.quantize(64).save(IMAGES / f"{start}_{name}.png", optimize=True)
    return [f"{start}_{name}.png" for name in report.pictures]


def run(folder: Path, line: str, output: Path) -> None:
    """Run a command line of ``traverse.py`` or ``train.py`` in a folder; what it leaves goes to ``output``."""
    program, *options = shlex.split(line)
    place = "hydra.sweep.dir" if "-m" in options else "hydra.run.dir"
    command = [sys.executable, str(ROOT / program), *options, "logger=none", "progress=false", f"{place}={output}"]
    done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise NotMadeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])


def digits_figure(values: str, *more: str) -> str:
    """The command line of a figure of the paper with digits."""
    return shlex.join([*DIGITS.split(), f"figure={{_target_: dmt.studies.figures.{values}}}", *more])


def _to(digit: int) -> str:
    return f"{{_target_: dmt.data.ClassTask, source: '3', target: '{digit}'}}"


_ROWS = "LambdaRows, lambdas: [inf, 2.0, 1.0, 0.5, 0.3]"  # figure 6 of the paper
_PATH = "NeighboursAlongThePath, lambdas: [2.0, 1.0, 0.5, 0.3], crowd: 30, each: 30"  # figure 7
_TOUR = f"Tour, tasks: {{eight: {_to(8)}, five: {_to(5)}, nine: {_to(9)}}}"  # figure 1
PICTURES = {
    "digits": Picture(kept("grid.png", "digits.png"), [DIGITS]),
    "digits_lambda": Picture(kept("figure.png", "digits_lambda.png"), [digits_figure(_ROWS)]),
    "digits_tsne": Picture(kept("figure.png", "digits_tsne.png"), [digits_figure(_PATH, "data.set_size=100")]),
    "digits_map": Picture(kept("map.png", "digits_map.png"), [digits_figure(_TOUR, "n_images=5")]),
    "digits_sweep": Picture(
        kept("sweep.png", "digits_sweep.png"), [f"{SWEEP} kernel=rbf,linear lambda=1,0.3"]
    ),
    "digits_methods": Picture(
        kept("sweep.png", "digits_methods.png"), [f"{SWEEP} method=dmt,linear,pixel_mean,adversarial"]
    ),
    "digits_film": Picture(
        kept("digit_0003.gif", "digits_film.gif"), [f"{DIGITS} images=[digit_0003] output.animation=gif"]
    ),
    "digits_page": Picture(make_digits_page, [f"{DIGITS} judges=classes output.animation=gif output.frames=5"]),
    "within_class": Picture(
        kept("made.png", "within_class.png"), ["train.py experiment=within_class study.sampling.draws=1"]
    ),
    "transfer_2014": Picture(make_transfer_2014),
    "transfer_tiny_imagenet": Picture(make_transfer_tiny_imagenet),
    "astronaut": Picture(make_astronaut, ["traverse.py task=senior lambda=0.5 images=astronaut.png"]),
    "astronaut_tasks": Picture(
        make_astronaut_tasks,
        [f"traverse.py -m task={','.join(TASKS)} lambda={','.join(map(str, LAMBDAS))} images=astronaut.png"],
    ),
    "astronaut_colour": Picture(
        make_astronaut_colour, ["traverse.py experiment=fig5_colorize images=[astronaut.png]"]
    ),
}  # fmt: skip

if __name__ == "__main__":
    main()
