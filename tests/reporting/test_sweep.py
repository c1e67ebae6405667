import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmt.reporting.sweep import summarize_sweep

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def leave_run(folder: Path, records: list[dict], colours: dict[str, tuple], input_colour=BLUE, size=96) -> None:
    (folder / "inputs").mkdir(parents=True)
    for record in records:
        file = f"{record['image'].replace('/', '_')}.png"
        Image.new("RGB", (size, size), colours[record["image"]]).save(folder / file)
        Image.new("RGB", (size, size), input_colour).save(folder / "inputs" / file)
        record |= {"file": "whole.jpg", "result_file": file, "input_file": f"inputs/{file}"}
    file = folder / "results.json"
    file.write_text(json.dumps({"images": records, "settings": {}}))


def pixels(image: Image.Image) -> set[tuple]:
    return {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3)}


def test_a_sweep_becomes_one_grid_and_one_table(tmp_path):
    leave_run(
        tmp_path / "1,a=1,b=x", [{"image": "p", "psnr": 10.0}, {"image": "q", "psnr": 20.0}], {"p": RED, "q": RED}
    )
    leave_run(
        tmp_path / "0,a=2,b=x",
        [{"image": "p", "psnr": 30.0}, {"image": "q", "psnr": 50.0}],
        {"p": GREEN, "q": RED},
    )
    summary = summarize_sweep(tmp_path)
    with (tmp_path / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{"a": "2", "psnr": "40.0"}, {"a": "1", "psnr": "15.0"}]  # in the order of the runs
    assert {RED, GREEN, BLUE} <= pixels(summary.grid)
    grid = np.asarray(Image.open(tmp_path / "sweep.png"))
    np.testing.assert_array_equal(grid, np.asarray(summary.grid))
    reds, greens = ((grid == colour).all(axis=2).sum() for colour in (RED, GREEN))
    assert (reds, greens) == (3 * 96 * 96, 96 * 96)


def test_lists_in_options_are_kept_whole(tmp_path):
    for value, colour in (("[x,y]", RED), ("[z]", GREEN)):
        leave_run(tmp_path / f"{len(value)},images={value},lambda=0.5", [{"image": "p", "psnr": 1.0}], {"p": colour})
    assert {row["images"] for row in summarize_sweep(tmp_path).rows} == {"[x,y]", "[z]"}


def test_runs_of_different_pictures_leave_gaps(tmp_path):
    leave_run(tmp_path / "0,task=a", [{"image": "p", "psnr": 1.0}], {"p": RED})
    leave_run(tmp_path / "1,task=b", [{"image": "q", "psnr": 1.0}], {"q": GREEN})
    grid = np.asarray(summarize_sweep(tmp_path).grid)
    assert [(grid == colour).all(axis=2).sum() for colour in (RED, GREEN, BLUE)] == [96 * 96, 96 * 96, 2 * 96 * 96]


def test_runs_of_different_sizes_are_brought_to_one(tmp_path):
    leave_run(tmp_path / "0,size=96", [{"image": "p", "psnr": 1.0}], {"p": RED}, size=96)
    leave_run(tmp_path / "1,size=192", [{"image": "p", "psnr": 1.0}], {"p": GREEN}, size=192)
    grid = np.asarray(summarize_sweep(tmp_path).grid)
    assert [(grid == colour).all(axis=2).sum() for colour in (RED, GREEN)] == [192 * 192, 192 * 192]


@pytest.mark.parametrize("runs", [0, 1])
def test_fewer_than_two_runs_are_no_sweep(tmp_path, runs):
    for number in range(runs):
        leave_run(tmp_path / f"{number},a={number}", [{"image": "p", "psnr": 1.0}], {"p": RED})
    assert summarize_sweep(tmp_path) is None
    assert not (tmp_path / "sweep.png").exists()


def test_runs_whose_options_are_left_out_of_their_names_are_told_apart_by_number(tmp_path):
    for number, colour in enumerate((RED, GREEN)):
        leave_run(tmp_path / f"{number},", [{"image": "p", "psnr": float(number)}], {"p": colour})
    assert [(row["run"], row["psnr"]) for row in summarize_sweep(tmp_path).rows] == [("0", 0.0), ("1", 1.0)]


def test_the_terminal_is_told_what_set_the_runs_apart_and_what_became_of_their_pictures(tmp_path):
    judged = {"lambda": 0.3, "witness_before": 0.2, "witness_after": -0.1, "psnr": 31.0, "happy_before": 0.9}
    for number, (seed, after) in enumerate((("1", 0.2), ("2", 0.4))):
        records = [{"image": name, **judged, "happy_after": after, "objective": 5.0} for name in ("p", "q")]
        leave_run(tmp_path / f"{number},seed={seed}", records, {"p": RED, "q": GREEN})
    assert str(summarize_sweep(tmp_path)).split("\n") == [
        "seed  lambda  judge happy   kept   picture",
        "1        0.3  0.90 -> 0.20  31 dB  little changed",
        "2        0.3  0.90 -> 0.40  31 dB  little changed",
    ]


def test_the_columns_of_a_sweep_have_short_names(tmp_path):
    grids = []
    for folder, names in (("long", ("x/fig.jpg", "y/fig.jpg", "x/pear.jpg")), ("short", ("x/fig", "y/fig", "pear"))):
        for number, colour in enumerate((RED, GREEN)):
            records = [{"image": name, "psnr": 1.0} for name in names]
            leave_run(tmp_path / folder / f"{number},a={number}", records, dict.fromkeys(names, colour))
        grids.append(np.asarray(summarize_sweep(tmp_path / folder).grid))
    np.testing.assert_array_equal(*grids)
