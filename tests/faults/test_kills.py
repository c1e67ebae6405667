"""Jobs that are killed at any moment and run again: the same comes out, and at most one batch or cell is made twice."""

import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults.forked import SHUT_DOWN, Commands, Running
from tests.faults.jobs import (
    OF_DIGITS,
    OF_WORLD,
    WORK,
    CountingWorld,
    Found,
    Outcome,
    cache_digests,
    differs,
    ended,
    forked,
    job_of,
    world_at,
)
from tests.faults.tally import tally
from tests.manifolds.world import N_IMAGES

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# cells; of a transfer's cell the base may have to be trained once more; within a class two judges are asked at a time
TWICE = {"benchmark": 1, "transfer": 2, "within": 2}
DIGITS = ["experiment=digits", "logger=none", "manifold.n_components=32", "n_images=2", "output_dir=out"]
TWO = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]
COMMANDS: dict[str, list[str]] = {"two processes": [*DIGITS, *TWO], "sweep": ["-m", *DIGITS, "lambda=0.5,1"]}
LONGEST = 5.0  # seconds from the end of a command by a signal to that of all it has started


@dataclass(frozen=True)
class Victims:
    """Jobs and commands by name; each is started below a folder, can be killed, and says what came out."""

    world: CountingWorld
    commands: Commands

    def start(self, name: str, folder: Path) -> tuple[int, Callable[[], Outcome]]:
        """The process, and what waits for its end."""
        if name in COMMANDS:
            run = self.commands.start(folder, "traverse.py", *COMMANDS[name], cache=folder / "cache")
            return run.pid, partial(_of_command, run, time.monotonic())
        process = forked(job_of(name, self.world), folder)
        return process, partial(ended, process, folder)

    def whole(self, name: str, folder: Path) -> tuple[Outcome, dict[str, str], int]:
        """What becomes of one that nobody kills, of its cache, and how much work it was."""
        WORK.value = 0
        outcome = self.start(name, folder)[1]()
        assert outcome.status == "done", f"{name}: {outcome.said}"
        return outcome, cache_digests(folder), WORK.value


def campaign(seed: int, count: int, jobs: Sequence[str] = (*OF_WORLD, *OF_DIGITS, *COMMANDS)) -> dict[str, int]:
    """Kill each job in turn, ``count`` kills in all."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place, Commands() as commands:
        root = Path(place)
        victims = Victims(world_at(root / "world"), commands)
        undisturbed = {name: victims.whole(name, root / f"undisturbed-{name}") for name in jobs}

        def trial(number: int) -> tuple[list[str], str]:
            name, folder = jobs[number % len(jobs)], root / f"killed-{number}"
            expected, digests, work = undisturbed[name]
            WORK.value = 0
            process, outcome = victims.start(name, folder)
            time.sleep(after := rng.uniform(0, 1.1 * expected.seconds))
            sent = rng.choice(SIGNALS)
            os.kill(process, sent)
            killed = outcome()
            again = victims.start(name, folder)[1]()
            wrong = _verdict(name, killed, again, expected, WORK.value - work)
            if not wrong and cache_digests(folder) != digests:
                wrong = "silent"
            shutil.rmtree(folder)
            told = f"{name}, {sent.name} after {after:.2f} s: {killed.said[-1000:]}\n{again.said[-2000:]}"
            return [wrong] if wrong else [], f"{told} (made {WORK.value} of {work})"

        return tally(count, trial)


def _verdict(name: str, killed: Outcome, again: Outcome, expected: Outcome, twice: int) -> str:
    if "traceback" in (killed.status, again.status):
        return "tracebacks"
    if "orphans" in (killed.status, again.status) or again.found is None:
        return "failures"
    assert expected.found is not None
    if differs(again.found, expected.found):
        return "silent"
    allowed = TWICE.get(name, N_IMAGES)  # the measuring of the scales looks at all pictures in one go
    return "failures" if twice > allowed else ""


def _of_command(run: Running, began: float) -> Outcome:
    """What became of a command, when it and all that it has started have ended."""
    code, seconds = run.wait(600), time.monotonic() - began
    left = run.orphans(SHUT_DOWN if code == 0 else LONGEST)
    for process in left:
        os.kill(process, signal.SIGKILL)
    if left:
        return Outcome("orphans", None, f"processes {left} are left\n{run.err}", seconds)
    if "Traceback" in run.err:
        return Outcome("traceback", None, run.err, seconds)
    if code == 0:
        return Outcome("done", _results(run.folder), run.err, seconds)
    return Outcome("refused" if code == 1 else "killed", None, f"{code}\n{run.err}", seconds)


def _results(folder: Path) -> Found:
    """Numbers and pictures of the last command that wrote into a folder, of all jobs of a sweep."""
    last = max(folder.glob("out*"), key=lambda out: out.stat().st_mtime_ns)
    found: Found = {}
    for file in sorted(last.rglob("results.json")):
        for row in json.loads(file.read_text())["images"]:
            name = f"{file.parent.relative_to(last)} {row['image']}"
            found[name] = np.asarray(Image.open(file.parent / row["result_file"]))
            found |= {
                f"{name} {column}": value
                for column, value in row.items()
                if isinstance(value, float) and column != "seconds"
            }
    return found


def test_whatever_is_killed_goes_on_and_comes_to_the_same():
    found = campaign(seed=1, count=6, jobs=["features", "PCA", "some rows"])
    assert found == {"tried": 6, "silent": 0, "tracebacks": 0, "failures": 0}
