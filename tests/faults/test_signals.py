"""Signals at any moment: the run ends soon, with the shell's exit code and a line; what is finished stays."""

import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest

from tests.faults.forked import SHUT_DOWN, Commands, Running
from tests.faults.tally import tally

DIGITS = ["experiment=digits", "logger=none", "manifold.n_components=32"]
LAST_WORDS = "what was finished is kept, and the same command goes on from there"
ROWS = ["experiment=patients", "logger=none", "n_images=200"]
TRANSFER = ["experiment=transfer_quick", "logger=none", "transfer.store=runs.csv"]
TWO = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGUSR1: 138, signal.SIGUSR2: 140}
LONGEST = 15.0  # seconds from the signal to the end; 5 where no other work is done


@pytest.fixture(scope="module")
def commands(interruptible):
    with Commands() as started:
        yield started


@pytest.fixture(scope="module")
def cache(commands, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    assert commands.start(folder / "run", "traverse.py", *DIGITS, "n_images=1", cache=folder).wait() == 0
    return folder


def json_files_are_whole(folder: Path) -> bool:
    return all(json.loads(file.read_text()) is not None for file in folder.rglob("*.json") if "wandb" not in file.parts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2], ids=lambda number: number.name)
def test_a_signal_ends_an_edit_with_its_exit_code_and_one_line(commands, cache, tmp_path, number):
    run = commands.start(tmp_path, "traverse.py", *DIGITS, "n_images=100", "output_dir=out", cache=cache)
    run.await_words("memory: about")
    os.kill(run.pid, number)
    assert run.wait(LONGEST) == CODES[number]
    assert "Traceback" not in run.err
    cause = "" if number == signal.SIGINT else f" by {number.name}"
    assert run.err.splitlines()[-1] == f"interrupted{cause}; {LAST_WORDS}"
    assert run.orphans() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_no_further_process_of_a_run_outlives_the_first(commands, cache, tmp_path, number):
    run = commands.start(tmp_path, "traverse.py", *DIGITS, *TWO, "n_images=2", "output_dir=out", cache=cache)
    while len(run.orphans()) < 2:
        assert run.is_alive(), run.err
        time.sleep(0.1)
    os.kill(run.pid, number)
    assert run.wait(LONGEST) == (-number if number == signal.SIGKILL else 143)
    assert run.orphans(5.0) == []


def test_sigterm_while_a_network_trains_is_no_success_and_keeps_what_is_trained(commands, cache, tmp_path):
    run = commands.start(tmp_path, "train.py", *TRANSFER, "net.schedule.epochs=3", cache=cache)
    run.await_words("top-1")
    os.kill(run.pid, signal.SIGTERM)
    assert run.wait(LONGEST) == 143
    assert LAST_WORDS in run.err
    assert len((tmp_path / "runs.csv").read_text().splitlines()) >= 2


def test_a_second_interrupt_ends_at_once_what_does_not_listen(tmp_path, commands):
    # the run holds on to its interruption for a minute, as a call that does not return would
    from dmt.cli import interruption

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(tmp_path / "err", os.O_WRONLY | os.O_CREAT), 2)
        with interruption.ended_by_signals():
            has_begun = False
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    if not has_begun:
                        has_begun = True
                        os.write(writing, b"!")
                    time.sleep(60)
                except interruption.Interrupted:
                    os.write(writing, b"!")
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 1) == b"!"
    os.kill(child, signal.SIGINT)
    assert os.read(reading, 1) == b"!", "it has heard the first"
    time.sleep(2 * interruption.TWICE)
    os.kill(child, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    os.close(reading)


def test_what_swallows_the_interruption_does_not_stop_it():
    from dmt.cli import interruption

    class Profiler:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)  # the exception is raised in here, and ignored

    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with interruption.ended_by_signals():
            Profiler()
            time.sleep(60)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130


def test_a_pipe_that_nobody_reads_ends_the_run_without_a_word(commands, tmp_path):
    from dmt.cli import interruption

    reading, writing = os.pipe()
    os.close(reading)
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        os.dup2(os.open(tmp_path / "err", os.O_WRONLY | os.O_CREAT), 2)
        import sys

        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        with interruption.ended_by_signals():
            print("to nobody")
        os._exit(0)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 141
    assert (tmp_path / "err").read_text() == ""


def test_what_is_ignored_stays_ignored_and_what_was_is_put_back():
    from dmt.cli import interruption

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    of_term = signal.getsignal(signal.SIGTERM)
    try:
        with interruption.ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not of_term
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is of_term
    finally:
        signal.signal(signal.SIGHUP, before)


COMMANDS: dict[str, tuple[str, list[str]]] = {
    "edit": ("traverse.py", [*DIGITS, "n_images=4", "output_dir=out"]),
    "features": ("train.py", [*DIGITS, "cache_dir=own", "output_dir=out"]),
    "auto": ("traverse.py", [*DIGITS, "n_images=2", "lambda=auto", "auto=picture", "output_dir=out"]),
    "rows": ("traverse.py", [*ROWS, "n_images=20", "output_dir=out"]),
    "training": ("train.py", [*TRANSFER, "transfer.depths=[1]", "net.schedule.epochs=3"]),
    "sweep": ("traverse.py", ["-m", *DIGITS, "n_images=2", "lambda=0.5,1", "output_dir=out"]),
    "two": (
        "traverse.py",
        [*DIGITS, "n_images=4", "output_dir=out", *TWO],
    ),
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_the_commands_of_the_campaign_are_some(kind):
    from dmt.cli import conf_folder
    from dmt.cli.overrides import check_overrides

    program, arguments = COMMANDS[kind]
    check_overrides(arguments, conf_folder(), program.removesuffix(".py"))


def campaign(seed: int, count: int) -> dict[str, int]:
    """End random commands at random moments by random signals, then run each again to its end.

    *Silent* is a wrong exit code, or no word; a failure is a rerun that fails, or what is left: processes, or files
    that cannot be read.
    """
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as place, Commands() as commands:
        cache = Path(place) / "cache"

        def trial(number: int) -> tuple[list[str], str]:
            kind, sent = chance.choice(list(COMMANDS)), chance.choice(list(CODES))
            program, arguments = COMMANDS[kind]
            folder = Path(place) / f"{number}"
            run = commands.start(folder, program, *arguments, cache=cache)
            time.sleep(after := chance.uniform(0.0, chance.choice([2.0, 20.0])))
            is_sent = run.is_alive()
            if is_sent:
                os.kill(run.pid, sent)
            code = run.wait(LONGEST if is_sent else 300)
            problems, said = _problems(run, code, sent if is_sent else None), run.err[-2000:]
            again = commands.start(folder, program, *arguments, cache=cache)
            problems["failures"] |= again.wait(400) != 0 or not json_files_are_whole(folder)
            told = f"{kind}, {sent.name} after {after:.1f} s: {code}, {said}\nthen {again.err[-1000:]}"
            return [name for name, is_so in problems.items() if is_so], told

        return tally(count, trial)


def _problems(run: Running, code: int | None, sent: signal.Signals | None) -> dict[str, bool]:
    ended = (0,) if sent is None else (0, -sent)  # the latter before or after all that is ours
    return {
        "silent": code not in ended and not (sent and code == CODES[sent] and LAST_WORDS in run.err),
        "tracebacks": "Traceback" in run.err,
        "failures": bool(run.orphans(SHUT_DOWN if code == 0 else 1.0)),
    }
