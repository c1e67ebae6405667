"""Several first runs at once on a cold cache: all finish, and the same comes out."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.jobs import OF_DIGITS, OF_WORLD, WORK, Outcome, differs, ended, forked, job_of, world_at

AT_ONCE = 4


def campaign(seed: int, count: int, jobs: Sequence[str] = (*OF_WORLD, *OF_DIGITS)) -> dict[str, int]:
    """Start four runs of a job at once, ``count`` runs in all (the seed means nothing: what comes first is chance)."""
    found = Counter(tried=0, silent=0, tracebacks=0, failures=0)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        world = world_at(root / "world")
        expected: dict[str, Outcome] = {}
        for number in range(max(1, count // AT_ONCE)):
            name = jobs[number % len(jobs)]
            if name not in expected:
                folder = root / f"alone-{name}"
                expected[name] = ended(forked(job_of(name, world), folder), folder)
            for outcome in at_once(name, world, root / str(number)):
                found["tried"] += 1
                kind = _verdict(outcome, expected[name])
                if kind:
                    found[kind] += 1
                    print(f"{name}: {kind}: {outcome.said[-2000:]}")
    return dict(found)


def at_once(name, world, folder: Path) -> list[Outcome]:
    """What became of four runs that share a cache, each of which writes its results elsewhere."""
    folder.mkdir(parents=True)
    own = [folder / f"run-{i}" for i in range(AT_ONCE)]
    for one in own:
        one.mkdir()
        (one / "cache").symlink_to("../cache")
    (folder / "cache").mkdir()
    job = job_of(name, world)
    started = [forked(job, one) for one in own]
    return [ended(process, one) for process, one in zip(started, own, strict=True)]


def _verdict(outcome: Outcome, expected: Outcome) -> str:
    if outcome.status == "traceback":
        return "tracebacks"
    if outcome.found is None:
        return "failures"
    assert expected.found is not None
    return "silent" if differs(outcome.found, expected.found) else ""


def test_four_first_runs_share_the_work(tmp_path):
    world = world_at(tmp_path / "world")
    alone = ended(forked(job_of("PCA", world), tmp_path / "alone"), tmp_path / "alone")
    work, WORK.value = WORK.value, 0
    together = at_once("PCA", world, tmp_path / "together")
    assert [outcome.status for outcome in together] == ["done"] * AT_ONCE
    assert not any(differs(outcome.found, alone.found) for outcome in together)
    assert WORK.value == work, "no picture is looked at by two runs"
    assert sum("waiting" in outcome.said for outcome in together) >= 1
