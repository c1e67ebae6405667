"""Sweeps of which some jobs fail, runs that would share a folder, judges that fail: what is made is not lost."""

import csv
import importlib.util
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from dmt.cli import programs
from dmt.cli.folders import claimed, made_anew
from dmt.editing.records import EditedImage, judged
from dmt.errors import UserError
from dmt.reporting.sweep import note_outcome, summarize_sweep
from tests.faults.forked import ROOT, SHUT_DOWN, Commands
from tests.faults.tally import tally

DIGITS = ["experiment=digits", "logger=none", "manifold.n_components=32", "n_images=1"]


@pytest.fixture(scope="module")
def commands(interruptible):
    with Commands() as started:
        yield started


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_job_that_fails_stops_no_other_and_is_named_in_the_summary(commands, tmp_path):
    run = commands.start(tmp_path, "traverse.py", "-m", *DIGITS, "lambda=0.3,-1,1", "output_dir=out")
    assert run.wait() == 1
    (line,) = (line for line in run.err.splitlines() if line.startswith("error:"))
    assert "1 of the sweep's jobs failed, job 1 (lambda=-1): lambda must be a number above 0" in line
    assert "Traceback" not in run.err
    rows = rows_of(tmp_path / "out/sweep.csv")
    assert [(row["lambda"], bool(row["ssim"]), bool(row["failed"])) for row in rows] == [
        ("0.3", True, False),
        ("-1", False, True),
        ("1", True, False),
    ]
    assert len(list(tmp_path.glob("out/*/results.json"))) == 2, "each job has a folder of its own"


def test_no_run_takes_the_folder_of_another(tmp_path):
    first = claimed(tmp_path / "out")
    assert first.folder == tmp_path / "out"
    second = claimed(tmp_path / "out")
    assert second.folder == tmp_path / "out-2", "the first is still in use"
    (first.folder / "config.yaml").touch()
    first.release()
    again = claimed(tmp_path / "out")
    assert again.folder == first.folder, "what an interrupted run left is no result"
    (again.folder / "results.json").touch()
    again.release()
    assert claimed(tmp_path / "out").folder == tmp_path / "out-3"
    second.release()


@pytest.mark.parametrize("further", [[], ["-m", "lambda=0.3,1"]], ids=["run", "sweep"])
def test_a_folder_that_cannot_be_made_ends_the_run_before_it_begins(commands, tmp_path, further):
    run = commands.start(tmp_path, "traverse.py", *further, *DIGITS, "output_dir=/proc/out")
    assert run.wait() == 1
    assert run.err.startswith("error: /proc/out: ")
    assert run.err.endswith("name a folder that can be written with output_dir=PATH\n")
    assert len(run.err.splitlines()) == 1
    assert not (tmp_path / "outputs").exists()
    assert not (tmp_path / "multirun").exists()


def test_runs_that_start_in_one_second_have_folders_of_their_own(tmp_path):
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            name = made_anew(tmp_path / "12-00-00").folder.name
            (tmp_path / f"{os.getpid()}.txt").write_text(name)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    names = {file.read_text() for file in tmp_path.glob("*.txt")}
    assert names == {"12-00-00", *(f"12-00-00-{number}" for number in range(2, 9))}


def test_a_sweep_of_trainings_that_fail_has_a_summary_without_pictures(tmp_path):
    for name, failed in (("0,n=1", ""), ("1,n=9", "n is too large"), ("2,n=2", "")):
        (tmp_path / name).mkdir()
        note_outcome(tmp_path / name, failed)
    summary = summarize_sweep(tmp_path)
    assert summary is not None
    assert summary.grid is None
    assert dict(summary.failed) == {"job 1 (n=9)": "n is too large"}
    assert [row["failed"] for row in rows_of(tmp_path / "sweep.csv")] == ["", "n is too large", ""]


class Judge:
    """Says what it is told to: numbers, or what it raises."""

    def __init__(self, said: list[float] | Exception):
        self.said = said

    def columns(self, name, before, after):
        if isinstance(self.said, Exception):
            raise self.said
        return {f"{name}_after": np.array(self.said)}


@pytest.fixture
def images():
    import torch

    return [EditedImage(name, torch.zeros(3, 8, 8), torch.ones(3, 8, 8), {"image": name}) for name in "ab"]


def test_a_judge_that_fails_takes_nothing_away_and_the_others_are_heard(images, caplog):
    judges = {"bad": Judge(ValueError("pictures of\n8 pixels are too small")), "good": Judge([0.25, 0.75])}
    found = judged(images, judges)
    assert [image.record["good_after"] for image in found] == [0.25, 0.75]
    assert {image.record["unjudged"] for image in found} == {"bad: ValueError: pictures of 8 pixels are too small"}
    assert "the judge bad failed at 2 of 2 pictures" in caplog.text


def test_a_judge_that_says_nan_of_a_picture_has_not_judged_it(images):
    found = judged(images, {"odd": Judge([float("nan"), 0.5])})
    assert found[0].record["unjudged"] == "odd: it says nan"
    assert "unjudged" not in found[1].record


class Late(Judge):
    """Fails only when it looks at results; by then they must lie in the folder."""

    def __init__(self, folder: Path):
        super().__init__(UserError("it broke"))
        self.folder = folder
        self.seen: list[set[str]] = []

    def columns(self, name, before, after):
        if before[0] is after[0]:
            return {}
        self.seen.append({file.name for file in self.folder.iterdir()})
        self.marked = {row["unjudged"] for row in json.loads((self.folder / "results.json").read_text())["images"]}
        return super().columns(name, before, after)


def test_pictures_and_results_lie_in_the_folder_before_a_judge_looks(tmp_path, monkeypatch):
    GlobalHydra.instance().clear()
    judge = Late(tmp_path / "out")
    build_editor = programs.build.editor_of

    def with_judge(*arguments):
        from dataclasses import replace

        return replace(build_editor(*arguments), judges={"late": judge})

    monkeypatch.setattr(programs.build, "editor_of", with_judge)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("traverse", [*DIGITS, "progress=false", f"output_dir={tmp_path}/out"])
    with pytest.raises(UserError, match="judges failed, late: it broke; the pictures and all else are written"):
        programs.traverse(cfg)
    assert judge.seen[0] >= {"results.json", "results.csv", "grid.png"}
    assert judge.marked == {"not yet"}
    assert [row["unjudged"] for row in rows_of(tmp_path / "out/results.csv")] == ["late: it broke"]


BAD = {"lambda": "-1", "task.source": "33", "kernel.bandwidth": "-2"}
GOOD = {"lambda": "0.5", "task.source": "5", "kernel.bandwidth": "mean"}
LAUNCHERS = {"basic": [], "joblib": ["hydra.launcher.n_jobs=2"], "submitit_local": ["hydra.launcher.timeout_min=5"]}
PLUGINS = {"basic": "hydra", "joblib": "hydra_plugins.hydra_joblib_launcher", "submitit_local": "submitit"}


def _is_installed(launcher: str) -> bool:
    try:
        return importlib.util.find_spec(PLUGINS[launcher]) is not None
    except ModuleNotFoundError:
        return False


def campaign(seed: int, count: int) -> dict[str, int]:
    """Run random sweeps, of which some jobs fail, by random launchers; or two runs at once into one folder.

    *Silent* is an exit code 0 though a job failed, or one that is not named; a failure is a job that should have run
    and has left no results.
    """
    chance = random.Random(seed)
    launchers = [launcher for launcher in LAUNCHERS if _is_installed(launcher)]
    with tempfile.TemporaryDirectory() as place, Commands() as commands:
        cache = Path(place) / "cache"

        def trial(number: int) -> tuple[list[str], str]:
            kind = _two_runs if chance.random() < 0.25 else _sweep
            problems, told = kind(commands, Path(place) / f"{number}", cache, chance, launchers)
            return [name for name, is_so in problems.items() if is_so], told[-3000:]

        return tally(count, trial)


def _sweep(commands, folder, cache, chance, launchers) -> tuple[dict[str, bool], str]:
    key, launcher = chance.choice(list(BAD)), chance.choice(launchers)
    values = chance.sample([BAD[key], GOOD[key], GOOD[key] if key == "task.source" else "0.7"], k=3)
    values = list(dict.fromkeys(values))
    program = chance.choice(["traverse.py", "traverse.py", "train.py"]) if key == "lambda" else "traverse.py"
    where = chance.choice([["output_dir=out"], ["hydra.sweep.dir=out"]])
    run = commands.start(
        folder,
        program,
        *("-m", *DIGITS, f"{key}={','.join(values)}", f"hydra/launcher={launcher}", *LAUNCHERS[launcher], *where),
        cache=cache,
    )
    if chance.random() < 0.2:
        time.sleep(after := chance.uniform(0, 10))
        if run.is_alive():
            os.kill(run.pid, signal.SIGTERM)
            code = run.wait(20)
            return {
                "silent": code not in (0, 1, 143, -15),
                "tracebacks": "Traceback" in run.err,
                "failures": bool(run.orphans(1.0)),
            }, f"{launcher}, ended after {after:.1f} s: {code}\n{run.err}"
    code = run.wait(500)
    jobs = {path.name.split(",")[0]: path for path in (folder / "out").glob("[0-9]*,*")}
    if program == "train.py":
        done = [json.loads((path / "job.json").read_text())["failed"] == "" for path in jobs.values()]
    else:
        done = [(path / "results.json").exists() for path in jobs.values()]
    is_named = f"job {values.index(BAD[key])} ({key}={BAD[key]})" in run.err
    told = f"{program} {launcher} {key}={values} code {code} done {done}\n{run.err}"
    return {
        "silent": code != 1 or not is_named or not (folder / "out/sweep.csv").exists(),
        "tracebacks": "Traceback" in run.err + run.out,
        "failures": sum(done) != len(values) - 1 or bool(run.orphans(SHUT_DOWN)),
    }, told


def _two_runs(commands, folder, cache, chance, launchers) -> tuple[dict[str, bool], str]:
    where = chance.choice([["output_dir=out"], ["hydra.run.dir=out"], []])
    n_runs = chance.choice([2, 3])
    runs = [commands.start(folder, "traverse.py", *DIGITS, f"lambda={side + 1}", *where, cache=cache)
            for side in range(n_runs)]  # fmt: skip
    codes = [run.wait(500) for run in runs]
    found = [json.loads(file.read_text())["settings"]["lambda"] for file in folder.rglob("results.json")]
    return {
        "silent": any(code != 0 for code in codes),
        "tracebacks": "Traceback" in runs[0].err,
        "failures": sorted(found) != list(range(1, n_runs + 1)),
    }, f"{where} {codes} {found}\n{runs[0].err}"
