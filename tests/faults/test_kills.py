"""Jobs that are killed at any moment and run again: the same comes out, and at most one batch or cell is made twice."""

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.jobs import (
    OF_DIGITS,
    OF_WORLD,
    WORK,
    Outcome,
    cache_digests,
    differs,
    ended,
    forked,
    job_of,
    world_at,
)
from tests.manifolds.world import N_IMAGES

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TWICE = {"benchmark": 1, "transfer": 2}  # cells; of a transfer's cell the base may have to be trained once more


def campaign(seed: int, count: int, jobs: Sequence[str] = (*OF_WORLD, *OF_DIGITS)) -> dict[str, int]:
    """Kill each job in turn, ``count`` kills in all."""
    rng, found = random.Random(seed), Counter(tried=0, silent=0, tracebacks=0, failures=0)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        world = world_at(root / "world")
        undisturbed = {}
        for name in jobs:
            WORK.value = 0
            folder = root / f"undisturbed-{name}"
            outcome = ended(forked(job_of(name, world), folder), folder)
            assert outcome.status == "done", f"{name}: {outcome.said}"
            undisturbed[name] = (outcome, cache_digests(folder), WORK.value)
        for number in range(count):
            name = jobs[number % len(jobs)]
            expected, digests, work = undisturbed[name]
            folder = root / f"killed-{number}"
            WORK.value = 0
            process = forked(job_of(name, world), folder)
            time.sleep(rng.uniform(0, 1.1 * expected.seconds))
            sent = rng.choice(SIGNALS)
            os.kill(process, sent)
            ended(process, folder)
            again = ended(forked(job_of(name, world), folder), folder)
            kind = _verdict(name, again, expected, WORK.value - work)
            if kind == "" and cache_digests(folder) != digests:
                kind = "silent"
            found["tried"] += 1
            if kind:
                found[kind] += 1
                print(f"{name}, {sent.name}: {kind}: {again.said[-2000:]} (made {WORK.value} of {work})")
            shutil.rmtree(folder)
    return dict(found)


def _verdict(name: str, again: Outcome, expected: Outcome, twice: int) -> str:
    if again.status == "traceback":
        return "tracebacks"
    if again.found is None:
        return "failures"
    assert expected.found is not None
    if differs(again.found, expected.found):
        return "silent"
    allowed = TWICE.get(name, N_IMAGES)  # the measuring of the scales looks at all pictures in one go
    return "failures" if twice > allowed else ""


def test_whatever_is_killed_goes_on_and_comes_to_the_same():
    found = campaign(seed=1, count=6, jobs=["features", "PCA", "some rows"])
    assert found == {"tried": 6, "silent": 0, "tracebacks": 0, "failures": 0}
