"""Reports logged, and what the loggers left read back."""

import csv
import json
import time

import numpy as np
import pytest
import wandb
from PIL import Image

from dmt.reporting.loggers import csv_logger, finish, log_report, tensorboard_logger, wandb_logger
from dmt.reporting.results import Report, result_grid
from tests.reporting.pictures import COLOURS, edited

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


def test_wandb_shows_pairs_under_short_names_and_results_under_full_ones(tmp_path):
    logger = wandb_logger(tmp_path)
    log_report(logger, Report.of_edit("title", [edited("oranges/img_0042.jpg"), edited("oranges/img_0043.jpg")]), {})
    finish(logger)
    (run,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    wanted, until = b'["img_0042","img_0043"]', time.monotonic() + 30
    while wanted not in run.read_bytes().replace(b", ", b",") and time.monotonic() < until:
        time.sleep(0.1)  # wandb's own process may write its file a moment after the run has ended
    assert wanted in run.read_bytes().replace(b", ", b",")
    (table,) = tmp_path.glob("wandb/offline-run-*/files/media/table/results_*.table.json")
    assert [row[0] for row in json.loads(table.read_text())["data"]] == ["oranges/img_0042.jpg", "oranges/img_0043.jpg"]


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
