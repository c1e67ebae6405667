"""Work in a queue: one at a time, to be stopped at once, and errors in one line."""

import threading

import pytest

from dmt.app import engine as module
from dmt.app.engine import Engine, Stopped
from dmt.errors import UserError
from dmt.reporting.progress import Step


@pytest.fixture
def engine():
    engine = Engine()
    yield engine
    engine.close()


def endless(begun: threading.Event, pause: threading.Event):
    def work(told):
        begun.set()
        for number in range(10**9):
            pause.wait(0.01)
            told(Step("editing", number, 10**9))

    return work


def test_what_is_stopped_ends_and_the_next_goes_on(engine):
    begun, pause = threading.Event(), threading.Event()
    long = engine.submit(endless(begun, pause))
    waiting, last = engine.submit(lambda told: 1), engine.submit(lambda told: 2)
    assert begun.wait(10)
    assert [engine.n_before(job) for job in (long, waiting, last)] == [0, 1, 2]
    waiting.stop()  # before it began
    long.stop()
    for job in (long, waiting):
        with pytest.raises(Stopped):
            job.result()
    assert last.result() == 2


def test_one_at_a_time(engine):
    n_at_once, most = 0, 0
    lock = threading.Lock()

    def work(told):
        nonlocal n_at_once, most
        with lock:
            n_at_once += 1
            most = max(most, n_at_once)
        threading.Event().wait(0.01)
        with lock:
            n_at_once -= 1

    for job in [engine.submit(work) for _ in range(5)]:
        job.result()
    assert most == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("no\nface"), "^no face$"),
        (MemoryError(), "not enough memory"),
        (ZeroDivisionError("secret"), r"did not foresee \(ZeroDivisionError\)"),
    ],
)
def test_errors_are_one_line_and_the_engine_lives_on(engine, error, line):
    def work(told):
        raise error

    with pytest.raises(UserError, match=line):
        engine.submit(work).result()
    assert engine.submit(lambda told: 1).result() == 1


def test_a_full_queue_says_so(engine, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 1)
    begun, pause = threading.Event(), threading.Event()
    jobs = [engine.submit(endless(begun, pause)) for _ in range(2)]
    with pytest.raises(UserError, match="waiting already"):
        engine.submit(lambda told: 1)
    for job in jobs:
        job.stop()
