"""Runs told to loggers, and what the loggers left read back."""

import csv
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import wandb
from PIL import Image

from dmt.reporting.logged import Logged, Step, logged_report
from dmt.reporting.loggers import OpenRun, csv_logger, tensorboard_logger
from dmt.reporting.results import Report, result_grid
from dmt.reporting.run_label import RunLabel
from dmt.reporting.wandb_run import wandb_logger
from tests.reporting.pictures import COLOURS, edited
from tests.reporting.wandb_files import offline_runs

IMAGES = [edited(str(i), before=COLOURS[2 * i], after=COLOURS[2 * i + 1], psnr=10.0 * (i + 1)) for i in range(3)]
SETTINGS = {"lambda": 0.3, "images": [], "data": {"root": None, "size": 32}}
LABEL = RunLabel("frowning λ 0.7", "traverse", "2030-01-02/sweep", ("lfw", "dmt"))
STEPS = [
    Step(
        {"by_lambda/lambda": lam, "by_lambda/psnr": 40 * lam},
        "by_lambda/grid",
        Image.new("RGB", (8, 8), colour),
        f"λ {lam}",
    )
    for lam, colour in ((0.25, "red"), (0.5, "green"))
]
ON_THE_WAY = [{"progress/iteration": float(i), "progress/objective": 2.0 / i} for i in (1, 10)]
SWEEP = Logged("sweep", {"summary/edits": 2.0}, {"sweep": Image.new("RGB", (8, 8), "blue")}, steps=STEPS)


def log_run(logger, told, config):
    """Tell all of a run that is over."""
    run = OpenRun(logger, config)
    run.tell(told, config)
    run.end()


def told(images=IMAGES, title="title"):
    return logged_report(Report.of_edit(title, images))


def the_run(folder):
    (run,) = offline_runs(folder)
    return run


def pixels(file):
    return np.asarray(Image.open(file).convert("RGB"))


def test_a_wandb_run_is_called_as_its_label_says_and_knows_its_settings(tmp_path):
    log_run(wandb_logger(tmp_path, LABEL, tags=["mine", "dmt"]), told(), SETTINGS)
    found = the_run(tmp_path)
    assert found.run.display_name == "frowning λ 0.7"
    assert (found.run.project, found.run.run_group, found.run.job_type) == ("dmt", "2030-01-02/sweep", "traverse")
    assert list(found.run.tags) == ["lfw", "dmt", "mine"]
    assert {key: value for key, value in found.config.items() if key != "_wandb"} == SETTINGS
    assert found.exit_code == 0


def test_what_wandb_was_told_by_its_own_variables_wins_over_the_label(tmp_path, monkeypatch):
    said = {"NAME": "n", "RUN_GROUP": "g", "JOB_TYPE": "j", "PROJECT": "p", "TAGS": "a,b"}
    for name, value in said.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    log_run(wandb_logger(tmp_path, LABEL, name="mine"), told(), {})
    run = the_run(tmp_path).run
    assert (run.display_name, run.run_group, run.job_type, run.project) == ("mine", "g", "j", "p")
    assert list(run.tags) == ["lfw", "dmt", "a", "b"]


def test_all_of_an_edit_is_at_one_step_and_no_number_stands_twice(tmp_path):
    log_run(wandb_logger(tmp_path, LABEL), told(), SETTINGS)
    found = the_run(tmp_path)
    (row,) = found.history
    assert {key for key in row if not key.startswith("_")} == {"summary/edits", "summary/psnr", "grid", "results"}
    assert found.numbers() == {"summary/edits": 3, "summary/psnr": 20}
    assert found.summary["summary/psnr"] == 20
    np.testing.assert_array_equal(pixels(found.file(row["grid"])), np.asarray(result_grid(IMAGES, "title")))


def test_one_table_has_input_result_difference_and_numbers_of_each_picture(tmp_path):
    log_run(wandb_logger(tmp_path, LABEL), told(), {})
    found = the_run(tmp_path)
    rows = found.table("results")
    assert list(rows[0]) == ["image", "input", "result", "difference", "psnr"]
    assert [(row["image"], row["psnr"]) for row in rows] == [("0", 10), ("1", 20), ("2", 30)]
    for number, row in enumerate(rows):
        before, after, change = (pixels(found.file(row[name]))[50, 50].astype(int) for name in list(row)[1:4])
        assert (tuple(before), tuple(after)) == (COLOURS[2 * number], COLOURS[2 * number + 1])
        np.testing.assert_array_equal(change, np.clip(128 + 4 * (after - before), 0, 255))


def test_pictures_have_short_captions_and_the_table_full_names(tmp_path):
    images = [edited("oranges/img_0042.jpg", edit="a", side=8), edited("oranges/img_0043.jpg", edit="b", side=8)]
    log_run(wandb_logger(tmp_path, LABEL), Logged("title", images=images), {})
    rows = the_run(tmp_path).table("results")
    assert [row["image"] for row in rows] == ["oranges/img_0042.jpg", "oranges/img_0043.jpg"]
    assert [row["input"]["caption"] for row in rows] == ["img_0042 a", "img_0043 b"]


def test_of_many_pictures_the_table_shows_the_first_and_has_the_numbers_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr("dmt.reporting.wandb_run.MOST_SHOWN", 2)
    images = [edited(str(i), side=2, psnr=float(i)) for i in range(4)]
    log_run(wandb_logger(tmp_path, LABEL), Logged("title", images=images), {})
    rows = the_run(tmp_path).table("results")
    assert [row["psnr"] for row in rows] == [0, 1, 2, 3]
    assert [row["input"] is not None for row in rows] == [True, True, False, False]


def test_columns_of_mixed_kinds_become_words_and_what_a_row_lacks_stays_empty(tmp_path):
    rows = [{"a": 1, "b": True, "c": "x"}, {"a": 2.5, "b": False, "c": 3}, {"b": "", "d": ""}]
    log_run(wandb_logger(tmp_path, LABEL), Logged("title", tables={"rows": rows}), {})
    first, second, third = the_run(tmp_path).table("rows")
    assert first == {"a": 1.0, "b": True, "c": "x", "d": None}
    assert second == {"a": 2.5, "b": False, "c": "3", "d": None}
    assert third == dict.fromkeys("abcd")


def test_each_lambda_is_a_step_with_its_grid(tmp_path):
    log_run(wandb_logger(tmp_path, LABEL), SWEEP, {})
    found = the_run(tmp_path)
    assert [found.numbers(step) for step in range(3)] == [dict(SWEEP.numbers), *(dict(step.numbers) for step in STEPS)]
    grids = [row["by_lambda/grid"] for row in found.history[1:]]
    assert [grid["caption"] for grid in grids] == ["λ 0.25", "λ 0.5"]
    assert [tuple(pixels(found.file(grid))[0, 0]) for grid in grids] == [(255, 0, 0), (0, 128, 0)]


def test_one_wandb_run_ends_before_the_next_begins(tmp_path):
    for name in ("first", "second"):
        log_run(wandb_logger(tmp_path / name, LABEL), told(IMAGES[:1], name), SETTINGS)
    for name in ("first", "second"):
        found = the_run(tmp_path / name)
        expected = np.asarray(result_grid(IMAGES[:1], name))
        np.testing.assert_array_equal(pixels(found.file(found.history[0]["grid"])), expected)


def test_wandb_that_is_disabled_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    log_run(wandb_logger(tmp_path, LABEL), told(), SETTINGS)
    assert not list(tmp_path.rglob("*.png"))


@pytest.fixture
def server_that_refuses():
    """A server that knows nobody's key, as wandb's does of a wrong one."""

    class Refusing(BaseHTTPRequestHandler):
        def refuse(self):
            content = json.dumps({"errors": [{"message": "user is not logged in"}]}).encode()
            self.send_response(401)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    Refusing.do_GET = Refusing.do_POST = Refusing.refuse
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def wandb_at(monkeypatch):
    """Somebody seems to be logged in, at a server of ours."""

    def at(url, key):
        monkeypatch.delenv("WANDB_MODE")
        monkeypatch.setenv("WANDB_BASE_URL", url)
        monkeypatch.setenv("WANDB_API_KEY", key)
        wandb.teardown()  # it reads the environment once

    yield at
    monkeypatch.undo()
    wandb.teardown()


LONG_KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("key", [LONG_KEY, "short"])
def test_wandb_that_does_not_answer_falls_back_to_offline_and_says_so(tmp_path, wandb_at, caplog, key):
    caplog.set_level("INFO")
    wandb_at("http://127.0.0.1:9", key)  # the discard port: nobody listens
    log_run(wandb_logger(tmp_path, LABEL, timeout=5), told(), SETTINGS)
    assert caplog.text.count("kept offline; upload it with: wandb sync") == 1
    assert the_run(tmp_path).numbers()["summary/edits"] == 3


def test_a_key_that_the_server_refuses_loses_nothing(tmp_path, wandb_at, server_that_refuses, caplog):
    caplog.set_level("INFO")
    wandb_at(server_that_refuses, LONG_KEY)
    log_run(wandb_logger(tmp_path, LABEL, timeout=5), told(), SETTINGS)
    assert "this run is kept offline" in caplog.text
    assert the_run(tmp_path).numbers()["summary/edits"] == 3


@pytest.mark.parametrize("what", [told(), SWEEP], ids=["edit", "sweep"])
def test_csv_and_tensorboard_have_the_numbers_that_wandb_has(tmp_path, what):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for logger in (wandb_logger(tmp_path, LABEL), csv_logger(tmp_path, LABEL), tensorboard_logger(tmp_path, LABEL)):
        run = OpenRun(logger, SETTINGS)
        for row in ON_THE_WAY:
            run.log(row)
        run.tell(what, SETTINGS)
        run.end()
    run = the_run(tmp_path)
    assert [run.numbers(step) for step in range(len(ON_THE_WAY))] == ON_THE_WAY
    wanted = {(step, name): value for step in range(len(run.history)) for name, value in run.numbers(step).items()}
    with (tmp_path / "metrics/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    in_csv = {(int(row["step"]), k): float(v) for row in rows for k, v in row.items() if k != "step" and v}
    assert in_csv == wanted
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    scalars = {(e.step, name): e.value for name in events.Tags()["scalars"] for e in events.Scalars(name)}
    assert scalars == pytest.approx(wanted)
    shown = {(e.step, name) for name in events.Tags()["images"] for e in events.Images(name)}
    of_wandb = {
        (n, key) for n, row in enumerate(run.history) for key in row if type(row[key]) is dict and "width" in row[key]
    }
    assert shown == of_wandb
    (first, *_) = events.Images(next(iter(what.pictures)))
    picture = Image.open(io.BytesIO(first.encoded_image_string)).convert("RGB")
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(next(iter(what.pictures.values()))))
    assert "0.3" in (tmp_path / "metrics/hparams.yaml").read_text()


def test_numbers_can_be_read_while_the_run_is_at_work(tmp_path):
    run = OpenRun(csv_logger(tmp_path, LABEL), SETTINGS)
    run.log(ON_THE_WAY[0])
    assert "0.3" in (tmp_path / "metrics/hparams.yaml").read_text()
    with (tmp_path / "metrics/metrics.csv").open(newline="") as file:
        assert [float(row["progress/objective"]) for row in csv.DictReader(file)] == [2]
    run.end(failed=True)


def test_without_a_logger_nothing_is_logged():
    log_run(None, told(), SETTINGS)
