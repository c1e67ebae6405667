import csv
import itertools
import json
import time

import numpy as np
import pytest
import torch
import wandb
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dmt.data import ImageBatch
from dmt.editing.module import EditedBatch
from dmt.editing.records import EditedImage, edited_images, file_names, mean_record
from dmt.inversion.inverter import Inversion
from dmt.reporting.grids import labelled_grid
from dmt.reporting.loggers import csv_logger, finish, log_report, tensorboard_logger, wandb_logger
from dmt.reporting.progress import InversionBar
from dmt.reporting.results import Report, result_grid, write_report
from dmt.solvers import Progress, Solution
from dmt.traversal.walks import Traversal

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255)]


def tile(colour, height=100, width=100):
    return np.full((height, width, 3), colour, dtype=np.uint8)


def box(grid, colour):
    """Left, top, width and height of all that has the colour; it must fill its box."""
    mask = (np.asarray(grid) == colour).all(axis=2)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top, width, height = columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1
    assert mask.sum() == width * height, "something lies on the picture"
    return int(left), int(top), int(width), int(height)


def edited(name="a", before=0.25, after=0.5, side=100, **record):
    """An edit from one grey to another, or from one colour to another."""

    def filled(value):
        return torch.zeros(3, side, side) + torch.as_tensor(value, dtype=torch.float32).reshape(-1, 1, 1)

    return EditedImage(name, filled(before), filled(after), {"image": name, "psnr": 12.5, **record})


# Grids


def test_pictures_stand_in_rows_and_columns_in_full():
    rows = [[tile(c, 100, 130) for c in COLOURS[:3]], [tile(c, 100, 130) for c in COLOURS[3:]]]
    grid = labelled_grid(rows, ["input", "two\nlines"], ["x", "y", "z"])
    boxes = [box(grid, colour) for colour in COLOURS]
    lefts, tops = [b[0] for b in boxes], [b[1] for b in boxes]
    assert all(b[2:] == (130, 100) for b in boxes)
    assert lefts[:3] == lefts[3:] == sorted(lefts[:3])
    assert len(set(tops[:3])) == len(set(tops[3:])) == 1
    assert tops[3] > tops[0] + 100
    assert all(second - first >= 130 for first, second in itertools.pairwise(lefts[:3]))
    assert grid.width >= lefts[2] + 130
    assert grid.height >= tops[3] + 100


def test_a_picture_appears_pixel_by_pixel():
    pixels = np.random.default_rng(0).integers(0, 200, (120, 110, 3), dtype=np.uint8)
    grid = np.asarray(labelled_grid([[tile((255, 0, 0), 120, 110), pixels]], ["input"], []))
    left, top, width, _ = box(grid, (255, 0, 0))
    gap = np.flatnonzero((grid[top, left + width :] < 200).all(axis=1))[0]
    start = left + width + gap
    np.testing.assert_array_equal(grid[top : top + 120, start : start + 110], pixels)


def test_small_pictures_are_enlarged_without_blur():
    picture = tile((255, 0, 0), 8, 8)
    picture[:, 4:] = (0, 0, 255)
    grid = labelled_grid([[picture]], ["input"], ["digit"])
    red, blue = box(grid, (255, 0, 0)), box(grid, (0, 0, 255))
    assert red[2:] == blue[2:] == (48, 96)
    assert blue[0] == red[0] + 48


def test_labels_are_written_beside_and_above_and_a_long_one_stays_in_its_column():
    rows = [[tile(COLOURS[0]), tile(COLOURS[1])]]
    bare = np.asarray(labelled_grid(rows, ["input"], ["", ""])).astype(int)
    labelled = np.asarray(labelled_grid(rows, ["input"], ["x" * 200, ""])).astype(int)
    left, top, width, height = box(bare, COLOURS[0])
    assert (bare[top : top + height, :left] < 128).any(), "no row label"
    changed = np.flatnonzero((bare != labelled).any(axis=(0, 2)))
    assert left - 2 <= changed[0] <= changed[-1] < left + width  # letters are smoothed over their edge
    assert not (bare != labelled)[top:].any()


def test_a_shorter_row_leaves_room():
    grid = labelled_grid([[tile(COLOURS[0]), tile(COLOURS[1])], [tile(COLOURS[2])]], ["a", "b"], [])
    assert box(grid, COLOURS[2])[0] == box(grid, COLOURS[0])[0]


@pytest.mark.parametrize("label", ["", "Zoë_Ångström", "顔", "λ' = 0.3", "a\nb\nc"])
def test_any_label_can_be_drawn(label):
    grid = labelled_grid([[tile(COLOURS[0])]], [label], [label.replace("\n", " ")])
    assert box(grid, COLOURS[0])[2:] == (100, 100)


def test_results_stand_below_their_inputs():
    images = [edited(str(i), before=COLOURS[2 * i], after=COLOURS[2 * i + 1]) for i in range(3)]
    boxes = [box(result_grid(images, "title"), colour) for colour in COLOURS]
    for before, after in (boxes[0:2], boxes[2:4], boxes[4:6]):
        assert before[0] == after[0]
        assert before[1] + 100 <= after[1]


def test_many_results_are_broken_into_rows():
    images = [edited(str(i), before=(0, 0, 0), after=(i / 255, 0.5, 1)) for i in range(11)]
    boxes = [box(result_grid(images, "title", per_row=4), (i, 128, 255)) for i in range(11)]
    lefts, tops = [b[0] for b in boxes], [b[1] for b in boxes]
    assert lefts == (lefts[:4] * 3)[:11]
    assert len(set(lefts)) == 4
    assert [tops.index(top) for top in tops] == [0] * 4 + [4] * 4 + [8] * 3


# Records


def test_a_record_holds_what_the_edit_cost():
    before = torch.full((2, 3, 10, 10), 0.5)
    after = before + torch.tensor([0.1, 0.0]).reshape(2, 1, 1, 1)
    z0, delta = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[-0.6, -0.8], [0.0, 2.0]])
    walked = Solution(delta, torch.zeros(2), torch.tensor([7, 8]), torch.tensor([9, 9]), ["converged", "stopped"])
    drawn = Solution(
        after.flatten(1), torch.tensor([1.5, 2.5]), torch.tensor([3, 4]), torch.tensor([5, 6]), ["no", "converged"]
    )
    batch = EditedBatch(
        ImageBatch(before, [0, 1], ["x", "y"], []),
        Traversal(z0, delta, torch.tensor([0.3, 0.6]), torch.tensor([0.2, 0.1]), torch.tensor([-0.2, 0.0]), walked),
        Inversion(after, {"features": torch.tensor([1.0, 2.0]), "tv": torch.tensor([0.5, 0.5])}, drawn),
        frames=torch.stack([before + 0.01, before + 0.02]),
        seconds=3.0,
    )
    first, second = edited_images([batch])
    assert first.name == "x"
    assert second.after.equal(after[1])
    assert [round(float(frame.mean()), 6) for frame in second.frames] == [0.51, 0.52]
    expected = {
        "lambda": 0.3,
        "witness_before": 0.2,
        "witness_after": -0.2,
        "delta": 1.0,  # the length of (-0.6, -0.8)
        "shrinkage": 0.2,  # 5 / 25
        "psnr": 20.0,  # 10 log10(1 / 0.01)
        "change": 25.0,  # 128 -> 153
        "change_rms": 25.0,
        "change_largest": 25,
        "change_center": 25.0,
        "change_outside": 25.0,
        "objective": 1.5,
        "objective_features": 1.0,
        "objective_tv": 0.5,
        "traversal_iterations": 7,
        "traversal_converged": True,
        "iterations": 3,
        "evaluations": 5,
        "converged": False,
        "seconds": 1.5,
    }
    assert (first.record["image"], first.record["stopped"]) == ("x", "no")
    assert {key: first.record[key] for key in expected} == pytest.approx(expected, rel=1e-4)
    assert (second.record["psnr"], second.record["ssim"], second.record["change"]) == (float("inf"), 1.0, 0.0)
    assert (second.record["delta"], second.record["shrinkage"]) == (2.0, 0.0)
    assert second.record["lambda"] == pytest.approx(0.6)
    assert second.record["converged"] is True


def test_means_are_over_what_is_finite_and_words_have_none():
    images = [
        edited(psnr=10.0, ok=True, word="a", never=float("nan")),
        edited(psnr=30.0, ok=False, word="b", never=float("inf")),
        edited(psnr=float("inf"), ok=True, word="c", never=float("-inf")),
    ]
    assert mean_record(images) == pytest.approx({"psnr": 20.0, "ok": 2 / 3})


# Files


@given(st.lists(st.text("ab-2./", max_size=5) | st.sampled_from(["a", "a-2", "b.png"]), max_size=8))
def test_every_image_has_a_file_name_of_its_own(names):
    found = file_names([edited(name, side=1) for name in names])
    assert len(set(found)) == len(names)
    assert all("/" not in name for name in found)


def test_no_image_takes_the_file_of_the_grid():
    assert not {"grid", "plot"} & set(
        file_names([edited("grid"), edited("x/grid.png"), edited("plot")], ["grid", "plot"])
    )


def test_the_file_name_is_the_images_own_where_it_can_be():
    images = [edited(name) for name in ("Ada_One_0001", "/some/folder/friend.jpg", "cat/v1.2.png")]
    assert file_names(images) == ["Ada_One_0001", "friend", "v1.2"]


@pytest.fixture
def written(tmp_path):
    images = [
        edited("a", after=0.502, psnr=float("inf"), ok=True),
        edited("x/a.png", after=1.7, psnr=17.25, ok=False),
        edited("b", after=-0.5, psnr=float("nan"), ok=True),
    ]
    write_report(tmp_path, Report.of_edit("task\nlambda' 0.3", images), {"lambda": float("inf"), "nested": {"seed": 0}})
    return tmp_path


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_every_result_is_a_picture_file(written):
    assert {path.name for path in written.iterdir()} >= {"a.png", "a-2.png", "b.png", "grid.png"}
    for name, value in (("a", 128), ("a-2", 255), ("b", 0)):
        pixels = np.asarray(Image.open(written / f"{name}.png"))
        assert pixels.shape == (100, 100, 3)
        assert (pixels == value).all()
    assert np.unique(np.asarray(Image.open(written / "inputs/b.png"))).tolist() == [64]  # 0.25
    with Image.open(written / "grid.png") as grid:
        assert grid.width > 300


def test_the_table_reads_back(written):
    with (written / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["a", "x/a.png", "b"]
    assert [row["psnr"] for row in rows] == ["inf", "17.25", "nan"]
    assert [row["ok"] for row in rows] == ["True", "False", "True"]
    assert [row["file"] for row in rows] == ["a.png", "a-2.png", "b.png"]


def test_the_document_is_strict_json_even_where_numbers_are_infinite(written):
    document = json.loads((written / "results.json").read_text(), parse_constant=refuse)
    assert document["title"] == "task\nlambda' 0.3"
    assert [image["psnr"] for image in document["images"]] == ["inf", 17.25, "nan"]
    assert [image["ok"] for image in document["images"]] == [True, False, True]
    assert document["settings"]["nested"] == {"seed": 0}


# Loggers

IMAGES = [edited(str(i), before=COLOURS[2 * i], after=COLOURS[2 * i + 1], psnr=10.0 * (i + 1)) for i in range(3)]
SETTINGS = {"lambda": 0.3, "images": [], "data": {"root": None, "size": 32}}


def logged_pictures(folder, key):
    found = sorted(folder.glob(f"wandb/offline-run-*/files/media/images/{key}_*.png"))
    return [np.asarray(Image.open(path).convert("RGB")) for path in found]


def test_wandb_offline_keeps_the_grid_and_every_pair_as_they_are(tmp_path):
    logger = wandb_logger(tmp_path, name="a-run")
    log_report(logger, Report.of_edit("title", IMAGES), SETTINGS)
    finish(logger)
    (grid,) = logged_pictures(tmp_path, "grid")
    assert len(np.unique(grid.reshape(-1, 3), axis=0)) > 6
    np.testing.assert_array_equal(grid, np.asarray(result_grid(IMAGES, "title")))
    pairs = logged_pictures(tmp_path, "edits")
    assert {pair.shape for pair in pairs} == {(100, 200, 3)}
    shown = {tuple(pair[50, x].tolist()) for pair in pairs for x in (50, 150)}
    assert shown == set(COLOURS)
    (table,) = tmp_path.glob("wandb/offline-run-*/files/media/table/results_*.table.json")
    assert json.loads(table.read_text())["data"] == [["0", 10.0], ["1", 20.0], ["2", 30.0]]
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))


def test_one_wandb_run_ends_before_the_next_begins(tmp_path):
    for name in ("first", "second"):
        logger = wandb_logger(tmp_path / name)
        log_report(logger, Report.of_edit(name, IMAGES[:1]), SETTINGS)
        finish(logger)
    for name in ("first", "second"):
        expected = np.asarray(result_grid(IMAGES[:1], name))
        (grid,) = logged_pictures(tmp_path / name, "grid")
        np.testing.assert_array_equal(grid, expected)


def test_wandb_that_is_disabled_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    logger = wandb_logger(tmp_path)
    log_report(logger, Report.of_edit("title", IMAGES), SETTINGS)
    finish(logger)
    assert not list(tmp_path.rglob("*.png"))


@pytest.fixture
def unreachable_wandb(monkeypatch):
    """Somebody seems to be logged in, at a server that does not answer."""
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # the discard port: nobody listens
    wandb.teardown()  # it reads the environment once
    yield monkeypatch
    monkeypatch.undo()
    wandb.teardown()


@pytest.mark.parametrize("key", ["0123456789abcdef0123456789abcdef01234567", "short"])
def test_wandb_that_does_not_answer_falls_back_to_offline_and_says_so(tmp_path, unreachable_wandb, caplog, key):
    caplog.set_level("INFO")
    unreachable_wandb.setenv("WANDB_API_KEY", key)
    began = time.monotonic()
    logger = wandb_logger(tmp_path, timeout=5)
    log_report(logger, Report.of_edit("title", IMAGES), SETTINGS)
    finish(logger)
    assert time.monotonic() - began < 60
    assert "kept offline" in caplog.text
    assert "wandb sync" in caplog.text
    assert len(logged_pictures(tmp_path, "grid")) == 1


def test_csv_keeps_the_means_and_the_settings(tmp_path):
    logger = csv_logger(tmp_path)
    log_report(logger, Report.of_edit("title", IMAGES), SETTINGS)
    finish(logger)
    with (tmp_path / "metrics/metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["psnr"]) == 20
    assert "0.3" in (tmp_path / "metrics/hparams.yaml").read_text()


def test_tensorboard_keeps_the_grid_and_the_means(tmp_path):
    pytest.importorskip("tensorboard")
    import io

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = tensorboard_logger(tmp_path)
    log_report(logger, Report.of_edit("title", IMAGES), SETTINGS)
    finish(logger)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (image,) = events.Images("grid")
    pixels = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB"))
    np.testing.assert_array_equal(pixels, np.asarray(result_grid(IMAGES, "title")))
    assert events.Scalars("psnr")[0].value == 20


def test_without_a_logger_nothing_is_logged():
    log_report(None, Report.of_edit("title", IMAGES), SETTINGS)
    finish(None)


# Progress


def test_the_bar_says_which_images_are_edited_and_how_it_goes(capsys):
    bar = InversionBar()
    batch = ImageBatch(torch.zeros(2, 3, 1, 1), [2, 3], ["a", "b"], [])
    for iteration in (1, 2, 3):
        bar(batch, Progress(iteration, 10, 2, 1 / iteration))
    bar._bar.refresh()
    shown = capsys.readouterr()
    assert "editing images 3-4" in shown.err
    assert "3/10" in shown.err
    assert "objective 0.3333, 2 left" in shown.err
    assert shown.out == ""
    bar.close()
    bar.close()
