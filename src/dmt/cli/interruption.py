"""A signal -> the end of the run: what is finished kept, one line on stderr, and the exit code that shells expect.

Lightning, Hydra and joblib each have ideas of their own about signals; here is what holds for all of ours. The signal
becomes an ``Interrupted`` in the main thread, which no ``except Exception`` catches, and which Lightning hands on where
it would swallow a ``KeyboardInterrupt`` or a SIGTERM. Where that does not get through, in a call that does not return
or in a ``__del__``, a thread that watches raises it again and at last ends the process.
"""

import _thread
import atexit
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import psutil

ENDING = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
]
PIPE = 13  # SIGPIPE, of a pipe that nobody reads any more
PATIENCE = 3.5  # seconds from the signal to the end, at most (ours: schedulers wait 5 or more before they kill)
AGAIN = 1.0  # seconds after which the exception is raised once more
LOOKS = 0.5  # seconds between two looks at whether the process that has started this one is still there
TWICE = 0.2  # seconds within which a second Ctrl-C is the first, which came by two ways
STARTER = "DMT_STARTER"  # the variable that tells further processes of a run who has started them
LAST_WORDS = "what was finished is kept, and the same command goes on from there"


class Interrupted(BaseException):
    """A signal has come that ends the run.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def received() -> int | None:
    """The number of the signal that ends this run, if one has come."""
    return None if _watch is None else _watch.received


def is_watching() -> bool:
    """Whether signals to this process end as this module says; a launcher's processes have other masters."""
    return _watch is not None


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have signals end the block, with 128 and their number as the exit code, and a word on stderr.

    A pipe that nobody reads any more (``| head``) ends it without a word. Signals that are ignored already, as SIGHUP
    is under ``nohup``, stay so. A second Ctrl-C ends the process at once.
    """
    global _watch
    if _watch is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _watch = watch = _Watch()
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Reporting(stream) for stream in streams)
    number: int | None = None
    try:
        try:
            yield
            streams[0].flush()
        except BaseException as error:
            number = _number_of(error, watch)
            if number is None:
                with contextlib.suppress(BrokenPipeError):
                    streams[0].flush()
                raise
        watch.is_ending = True
        if number is not None:
            watch.expect_end(number)
            _say_last(number, *streams)
            end_children()
            logging.shutdown()
            os._exit(128 + number)  # all is written, and taking down the interpreter takes seconds
    finally:
        sys.stdout, sys.stderr = streams
        watch.close()
        _watch = None
        atexit.register(_die_by_default)


def end_children(patience: float = 0.7) -> None:
    """End whatever processes this one has started, and theirs."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.terminate()
    for child in psutil.wait_procs(children, timeout=patience)[1]:
        with contextlib.suppress(psutil.Error):
            child.kill()


def ignore_interrupts_of_launchers() -> None:
    """In a process that a sweep's launcher has started, leave Ctrl-C to the process that started it."""
    if _watch is None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Watch:
    """Handlers of all signals that end a run, and the thread that sees to it that they do."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.is_ending = False  # the exception has arrived
        self._echoes = 0  # signals that this class has raised itself
        self._deadline = self._last = 0.0
        self._reads, self._writes = socket.socketpair()
        self._writes.setblocking(False)
        self._earlier: dict[int, Any] = {}
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._earlier[number] = signal.signal(number, self._handle)
        self._earlier_fd = signal.set_wakeup_fd(self._writes.fileno(), warn_on_full_buffer=False)
        self._earlier_hook, sys.unraisablehook = sys.unraisablehook, _said_unless_interrupted(sys.unraisablehook)
        threading.Thread(target=self._wait, name="signals", daemon=True).start()
        if starter := os.environ.get(STARTER):
            threading.Thread(target=_end_with, args=[int(starter)], name="starter", daemon=True).start()

    def close(self) -> None:
        """Put back what was before."""
        signal.set_wakeup_fd(self._earlier_fd)
        for number, handler in self._earlier.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        sys.unraisablehook = self._earlier_hook
        self._writes.close()  # ends the thread

    def abandon(self) -> None:
        """In a process forked from this one: let its parent hear of Ctrl-C, and let others end it."""
        signal.set_wakeup_fd(-1)
        for number in self._earlier:
            signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)

    def expect_end(self, number: int) -> None:
        """From now on the process has ``PATIENCE``, as after a signal, if none has come."""
        if self.received is None:
            self.received = number
            with contextlib.suppress(OSError):
                self._writes.send(bytes([number]))

    def _handle(self, number: int, frame: Any) -> None:
        self.received = self.received or number
        if not self.is_ending:
            raise Interrupted(self.received)

    def _wait(self) -> None:
        """Read signals as they come; C code writes them here, whatever the main thread is doing."""
        first: int | None = None
        while True:  # until the other end is closed
            self._reads.settimeout(None if first is None else AGAIN)
            try:
                numbers = self._reads.recv(64)
            except TimeoutError:
                assert first is not None
                self._once_more(first)
                continue
            except OSError:
                return
            if not numbers:
                self._reads.close()
                return
            for number in numbers:
                if number in self._earlier or number == PIPE:
                    first = self._heard(first, number)

    def _heard(self, first: int | None, number: int) -> int:
        now, last = time.monotonic(), self._last
        if self._echoes and number == first:
            self._echoes -= 1
            return number
        self._last = now
        if first is None:
            self._deadline = now + PATIENCE
            return number
        if number == signal.SIGINT and now - last > TWICE:
            self._end_at_once(first)
        return first

    def _once_more(self, number: int) -> None:
        if time.monotonic() >= self._deadline - AGAIN / 2:
            self._end_at_once(number)
        elif not self.is_ending:
            self._echoes += 1
            _thread.interrupt_main(signal.Signals(number))

    def _end_at_once(self, number: int) -> None:
        with contextlib.suppress(OSError):
            if not self.is_ending and number != PIPE and _is_first():
                os.write(2, f"{_words(number)}\n".encode())
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process().children(recursive=True):
                child.kill()
        os._exit(128 + number)


_watch: _Watch | None = None


class _Reporting:
    """A stream that says so when nobody reads it any more, where ``logging`` would print a traceback."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            raise Interrupted(PIPE) from None

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            raise Interrupted(PIPE) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _end_with(starter: int) -> None:
    """End as by SIGTERM once the process that has started this one is gone, however that ended."""
    while os.getppid() == starter:
        time.sleep(LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)


def _number_of(error: BaseException, watch: _Watch) -> int | None:
    """The signal that an exception comes of: it may be another one that a library makes of it."""
    if watch.received is not None:
        return watch.received
    if isinstance(error, Interrupted):
        return error.number
    if isinstance(error, BrokenPipeError) and error.filename is None:
        return PIPE
    return int(signal.SIGINT) if isinstance(error, KeyboardInterrupt) else None


def _words(number: int) -> str:
    cause = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    return f"interrupted{cause}; {LAST_WORDS}"


def _say_last(number: int, out: TextIO, err: TextIO) -> None:
    """Say how the run ends, where somebody still reads; what cannot be written is dropped."""
    try:
        out.flush()
    except (BrokenPipeError, ValueError):
        _drop(out)
    try:
        if number != PIPE and _is_first():
            print(_words(number), file=err)
        err.flush()
    except (BrokenPipeError, ValueError):
        _drop(err)


def _drop(stream: TextIO) -> None:
    """Let what is still to be written to a stream go nowhere; Python would complain of it at the very end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_first() -> bool:
    """Whether this is the process that speaks; said without torch, which takes a second to import."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) in ("", "0")


def _said_unless_interrupted(say: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def hook(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, Interrupted):
            say(unraisable)

    return hook


def _die_by_default() -> None:
    """At the end of the interpreter all is written: Ctrl-C then ends it without a traceback."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _forked() -> None:
    global _watch
    if _watch is not None:
        _watch.abandon()
        _watch = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
