"""Make the README's pictures: ``python docs/figures.py [digits] [astronaut]``; the second needs LFW."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

from dmt.reporting.grids import labelled_grid

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
FACE = (113, 0, 333, 220)  # left, top, right, bottom: the portrait framed as LFW frames its faces


def main() -> None:
    """Make the pictures asked for, both by default."""
    for name in sys.argv[1:] or ["digits", "astronaut"]:
        {"digits": make_digits, "astronaut": make_astronaut}[name]()


def make_digits() -> None:
    """The grid of ``experiment=digits``."""
    with tempfile.TemporaryDirectory() as folder:
        _traverse("experiment=digits", f"hydra.run.dir={folder}")
        Image.open(Path(folder) / "grid.png").save(IMAGES / "digits.png")


def make_astronaut() -> None:
    """The public-domain portrait that scikit-image ships, towards three attributes."""
    portrait = IMAGES / "astronaut_input.png"
    Image.fromarray(astronaut()).crop(FACE).resize((125, 125), Image.Resampling.LANCZOS).save(portrait)
    tasks, budgets = ("frowning", "senior", "younger"), (0.3, 0.2, 0.15)
    rows = []
    for task in tasks:
        row = [np.asarray(Image.open(portrait))]
        for budget in budgets:
            with tempfile.TemporaryDirectory() as folder:
                _traverse(f"task={task}", f"lambda={budget}", f"images=[{portrait}]", f"hydra.run.dir={folder}")
                row.append(np.asarray(Image.open(Path(folder) / f"{portrait.stem}.png")))
        rows.append(row)
    labelled_grid(rows, tasks, ["input", *(f"lambda' {budget}" for budget in budgets)]).save(IMAGES / "astronaut.png")


def _traverse(*options: str) -> None:
    subprocess.run([sys.executable, ROOT / "traverse.py", "logger=none", *options], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
