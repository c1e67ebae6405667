"""How long the page of 64 pictures takes to open in headless Chromium: ``python benchmarks/page.py [--side 250]``.

Pictures are crops of scikit-image's astronaut, turned brighter. Needs playwright and Chromium.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import sync_playwright
from skimage.data import astronaut

from dmt.editing.places import Place, Sides
from dmt.editing.records import EditedImage
from dmt.reporting.page import page_of
from dmt.reporting.results import Report

TIMES = "() => performance.getEntriesByType('navigation')[0].toJSON()"


def main() -> None:
    """Write the page, open it, print its size and the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--side", type=int, default=250, help="pixels")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    text = page_of(Report.of_edit("a page", pictures(asked.pictures, asked.side)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        file = Path(folder) / "report.html"
        file.write_text(text, encoding="utf-8")
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        found = []
        for _ in range(asked.repeats):
            page = browser.new_page()
            page.goto(file.as_uri())
            found.append(page.evaluate(TIMES))
            page.close()
        browser.close()
    print(f"{asked.pictures} pictures of {asked.side} pixels: {len(text) / 1e6:.1f} MB")
    for what, column in (("can be used", "domInteractive"), ("loaded", "loadEventEnd")):
        seconds = statistics.median(one[column] for one in found) / 1000
        print(f"{what} after {seconds:.2f} s (median of {asked.repeats})")


def pictures(n: int, side: int) -> list[EditedImage]:
    """Crops of a photograph with a brighter copy, on a map."""
    rng = np.random.default_rng(0)
    whole = torch.from_numpy(astronaut()).permute(2, 0, 1) / 255
    sides = Sides(rng.normal(size=(1000, 8)), rng.normal(1, size=(1000, 8)))
    found = []
    for i in range(n):
        top, left = rng.integers(0, 512 - side, 2)
        before = whole[:, top : top + side, left : left + side]
        place = Place(sides, rng.normal(size=(3, 8)))
        record = {"lambda": 0.5, "ssim": 0.9, "psnr": 20.0, "probe_before": 0.1, "probe_after": 0.9}
        found.append(EditedImage(f"picture_{i}", before, (1.3 * before).clamp(0, 1), record, place=place))
    return found


if __name__ == "__main__":
    main()
