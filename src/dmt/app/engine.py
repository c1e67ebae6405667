"""Work that takes long -> one thread that does it in turn, tells how far it is, and stops when it is told to."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from dmt.errors import UserError
from dmt.reporting.progress import Step

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Told = Callable[[Step], None]

MOST_WAITING = 20  # jobs (ours)
FAILED = "Something went wrong that dmt did not foresee ({}); the terminal has the whole story."


class Stopped(Exception):  # noqa: N818 - it is what was asked for, no error
    """Raised in the middle of work that somebody has stopped."""


@dataclass
class Job(Generic[Result]):
    """A piece of work, seen from outside.

    Args:
        work: does it; what it is handed is to be called often, and raises ``Stopped`` when the job is stopped.
    """

    work: Callable[[Told], Result]
    seconds: float = 0.0
    step: Step | None = None
    is_stopped: bool = False
    future: Future = field(default_factory=Future)

    @property
    def is_done(self) -> bool:
        """Whether it has ended, in whatever way; work that was stopped may take some seconds to notice."""
        return self.future.done()

    def stop(self) -> None:
        """Do not begin it, or end it at its next step."""
        self.is_stopped = True
        self.future.cancel()

    def result(self) -> Result:
        """What came out; waits for it, unless it was stopped.

        Raises:
            Stopped: it was stopped.
            UserError: what went wrong, in one line.
        """
        if self.is_stopped:
            raise Stopped
        try:
            return self.future.result()
        except (CancelledError, Stopped) as error:
            raise Stopped from error
        except UserError as error:
            raise UserError(" ".join(str(error).split())) from error
        except MemoryError as error:
            raise UserError("there is not enough memory for this picture; scale it down first") from error
        except Exception as error:
            log.exception("while editing")
            raise UserError(FAILED.format(type(error).__name__)) from error

    def run(self) -> Result:
        """Do the work."""
        began = time.monotonic()
        self._told(Step("preparing", 0, 1))
        result = self.work(self._told)
        self.seconds = time.monotonic() - began
        return result

    def _told(self, step: Step) -> None:
        if self.is_stopped:
            raise Stopped
        self.step = step


class Engine:
    """Does one job at a time, in the order in which they come."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dmt-app")
        self._jobs: list[Job] = []

    def submit(self, work: Callable[[Told], Result]) -> Job[Result]:
        """Put work at the end of the queue.

        Raises:
            UserError: too much is waiting.
        """
        self._jobs = [job for job in self._jobs if not job.is_done]
        if len(self._jobs) > MOST_WAITING:
            raise UserError("too many are waiting already; try again in some minutes")
        job = Job(work)
        job.future = self._thread.submit(job.run)
        self._jobs.append(job)
        return job

    def n_before(self, job: Job) -> int:
        """How many jobs will be done before this one."""
        waiting = [other for other in self._jobs if not other.is_done]
        return waiting.index(job) if job in waiting else 0

    def close(self) -> None:
        """Stop everything; waits for the job at work to notice."""
        for job in self._jobs:
            job.stop()
        self._thread.shutdown(cancel_futures=True)
