"""How far a long computation is -> a bar on a terminal or in a notebook, elsewhere a line every ten seconds."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar
from tqdm.auto import tqdm

from dmt.solvers import Progress

SECONDS_BETWEEN_LINES = 10.0
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} iterations, {rate_fmt} [{elapsed}{postfix}]"

Clock = Callable[[], float]
"""Seconds since some moment."""


class InversionBar:
    """Shows how far the inversion of pictures is; call it after every iteration of the solver.

    On a terminal and in a notebook each batch of pictures has a bar. Elsewhere, in a file or a pipe, there is a line
    every ten seconds, and one at the end of each batch. The time that is left is that of all pictures which are yet to
    be edited; while the last batch is at work, that of its present round, since nobody knows yet whether its pictures
    are gone on with.

    Args:
        stream: where it is shown; standard error by default.
        clock: tells the time.
    """

    def __init__(self, stream: TextIO | None = None, clock: Clock = time.monotonic):
        self._lines = _Lines(stream, clock)
        self._clock = clock
        self._n_images: int | None = None
        self._began = clock()
        self._n_done = 0  # images of the batches that have ended
        self._batch: _Batch | None = None
        self._is_again = False

    def begin(self, n_images: int) -> None:
        """Count from the first image again, towards ``n_images``: what is shown then says how much time is left."""
        self.close()
        self._n_images, self._n_done, self._began = n_images, 0, self._clock()

    def again(self, n_images: int) -> None:
        """The next batch is of images that were counted before."""
        self.close()
        self._is_again = True

    def walked(self, before: float, after: float) -> None:
        """A walk takes too little time to be shown."""

    def briefly(self) -> None:
        """Many short inversions have no bars: each would say little."""

    def __call__(self, progress: Progress) -> None:
        """Show where the solver is; iteration 1 begins a new batch."""
        if self._batch is None or progress.iteration == 1:
            self.close()
            self._batch = self._new_batch(progress)
        self._batch.progress = progress
        if progress.running == 0 or progress.iteration == progress.most_iterations:
            self.close()
        elif self._batch.bar is not None:
            self._batch.bar.total = round(progress.expected_iterations or progress.most_iterations)
            self._batch.bar.set_postfix_str(self._state(self._batch), refresh=False)
            self._batch.bar.update(progress.iteration - self._batch.bar.n)
        elif self._lines.are_due:
            at = f"iteration {progress.iteration} of {progress.most_iterations}"
            self._lines.write(f"{self._batch.label}: {at}, {self._state(self._batch)}")

    def close(self) -> None:
        """End the batch that is shown, if there is one."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        self._n_done += 0 if self._is_again else batch.progress.problems
        self._is_again = False
        if batch.bar is not None:
            batch.bar.close()
        else:
            done = f"{batch.progress.iteration} iterations in {_interval(self._clock() - batch.began)}"
            self._lines.write(f"{batch.label}: done, {done}{self._time_left(self._n_done)}")

    def _new_batch(self, progress: Progress) -> "_Batch":
        first, last = self._n_done + 1, self._n_done + progress.problems
        label = f"editing images {first}-{last}" if last > first else f"editing image {last}"
        if self._n_images is not None:
            label += f" of {self._n_images}"
        if self._is_again:
            label = f"editing {progress.problems} of the last once more"
        self._lines.start()
        file, bar = self._lines.stream, None
        if file.isatty() or is_notebook():
            bar = tqdm(total=progress.most_iterations, desc=label, leave=False, file=file, bar_format=BAR)
        return _Batch(label, self._clock(), bar, progress)

    def _state(self, batch: "_Batch") -> str:
        progress = batch.progress
        in_batch = seconds_left(progress, self._clock() - batch.began)
        n_new = 0 if self._is_again else progress.problems
        if self._n_images is not None and self._n_done + n_new < self._n_images:
            left = self._time_left(self._n_done + share_done(progress) * n_new)
        else:
            left = "" if in_batch is None else f", about {_interval(in_batch)} left of this round"
        return f"objective {progress.objective:.4g}, {progress.running} still running{left}"

    def _time_left(self, n_done: float) -> str:
        if self._n_images is None or not 0 < n_done < self._n_images:
            return ""
        seconds = (self._clock() - self._began) * (self._n_images / n_done - 1)
        return f", about {_interval(seconds)} left"


def share_done(progress: Progress) -> float:
    """How much of a batch is done, from 0 to 1: of its pictures, or of the iterations that it is expected to take."""
    expected = progress.expected_iterations or progress.most_iterations
    return max(1 - progress.running / max(1, progress.problems), min(1.0, progress.iteration / expected))


def seconds_left(progress: Progress, seconds: float) -> float | None:
    """How long a batch still takes; ``None``: too early to say.

    Args:
        progress: where it is.
        seconds: since its first iteration ended.
    """
    if progress.expected_iterations is None or progress.iteration < 2:
        return None
    return seconds / (progress.iteration - 1) * max(0.0, progress.expected_iterations - progress.iteration)


@dataclass
class _Batch:
    """A batch that is being inverted: what it is called, when it began, its bar on a terminal, how far it is."""

    label: str
    began: float
    bar: tqdm | None
    progress: Progress


@dataclass(frozen=True)
class Step:
    """How far a part of an edit is.

    Args:
        what: ``reading`` labelled pictures, or ``editing``.
        done: pictures read, or iterations made in this round.
        of: how many pictures there are, or how many iterations the round is expected to take.
        attempt: which one it is: where lambda is searched for, pictures are edited several times.
        round: which one it is: the next pass over labelled pictures; the next batch that is edited, or those of a batch
            that are gone on with since they have not come as far as was asked for.
        seconds_left: until the pictures are read, or the round has ended; ``None``: too early to say.
    """

    what: str
    done: int
    of: int
    attempt: int = 1
    round: int = 1
    seconds_left: float | None = None


class Steps:
    """Tells one function of every step of an edit; what that raises ends the edit.

    Args:
        told: called after every batch of pictures that is read and every iteration of the inversion.
        clock: tells the time.
    """

    def __init__(self, told: Callable[[Step], None], clock: Clock = time.monotonic):
        self._told, self._clock = told, clock
        self._began = clock()
        self._attempt, self._round = 0, 0
        self._pass, self._n_read, self._n_first = 0, 0, 0

    def pictures(self, n_read: int, n_all: int) -> None:
        """As ``dmt.data.Serving`` tells."""
        if n_read <= self._n_read or self._n_read == 0:
            self._pass, self._n_first, self._began = self._pass + 1, n_read, self._clock()
        self._n_read, n_since = n_read, n_read - self._n_first
        left = (self._clock() - self._began) / n_since * (n_all - n_read) if n_since else None
        self._told(Step("reading", n_read, n_all, round=self._pass, seconds_left=left))

    def begin(self, n_images: int) -> None:
        """As ``dmt.inversion.inverter.OnProgress``."""
        self._attempt, self._round = self._attempt + 1, 0

    def again(self, n_images: int) -> None:
        """As ``begin``; the next iteration is the first of a round."""

    def walked(self, before: float, after: float) -> None:
        """As ``begin``; a walk is no step of its own."""

    def briefly(self) -> "Steps":
        """As ``begin``."""
        return self

    def __call__(self, progress: Progress) -> None:
        if progress.iteration == 1:
            self._round, self._began = self._round + 1, self._clock()
        left = seconds_left(progress, self._clock() - self._began)
        expected = round(progress.expected_iterations or progress.most_iterations)
        self._told(Step("editing", progress.iteration, expected, max(1, self._attempt), self._round, left))


class LineProgress(ProgressBar):
    """Lightning's progress as a line every ten seconds, where no terminal could show its bar.

    ``predicting: batch 120 of 822, 3.1 a second, about 03:46 left``. What takes less than ten seconds says nothing.

    Args:
        stream: where the lines go; standard error by default.
        clock: tells the time.
    """

    def __init__(self, stream: TextIO | None = None, clock: Clock = time.monotonic):
        super().__init__()
        self._lines, self._clock = _Lines(stream, clock), clock
        self._is_on = True
        self._start()

    def disable(self) -> None:
        self._is_on = False

    def enable(self) -> None:
        self._is_on = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        in_epoch, epochs = self.total_train_batches, trainer.max_epochs or -1
        earlier = 0 if trainer.current_epoch == 0 else int(trainer.current_epoch * in_epoch)
        self._tell("training", earlier + batch_idx + 1, in_epoch * epochs)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end("training")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._tell("predicting", self._n_here + 1, sum(trainer.num_predict_batches))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end("predicting")

    def _start(self) -> None:
        self._lines.start()
        self._began, self._n_here, self._has_told = self._clock(), 0, False

    def _tell(self, what: str, n_done: int, n_all: float) -> None:
        """Say that ``n_done`` batches of ``n_all`` are done; a fit that goes on had some before it started here."""
        self._n_here += 1
        if not (self._is_on and self._lines.are_due):
            return
        rate = self._n_here / (self._clock() - self._began)
        of_all, left = "", ""
        if n_done <= n_all < float("inf"):
            of_all, left = f" of {n_all:.0f}", f", about {_interval((n_all - n_done) / rate)} left"
        self._lines.write(f"{what}: batch {n_done}{of_all}, {rate:.2g} a second{left}")
        self._has_told = True

    def _end(self, what: str) -> None:
        if self._has_told:
            self._lines.write(f"{what}: {self._n_here} batches in {_interval(self._clock() - self._began)}")


def in_lines_without_terminal(trainer: Trainer) -> Trainer:
    """The trainer, whose bar, if it has one, becomes ``LineProgress`` where standard output is no terminal."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    if not (sys.stdout.isatty() or is_notebook()):
        callbacks[:] = [LineProgress() if isinstance(c, TQDMProgressBar | RichProgressBar) else c for c in callbacks]
    return trainer


def is_notebook() -> bool:
    """Whether this runs in the kernel of a notebook, where bars can be shown."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


class _Lines:
    """Lines of text, of which the next is due ten seconds after the last one or after ``start``."""

    def __init__(self, stream: TextIO | None, clock: Clock):
        self._stream, self._clock = stream, clock
        self.start()

    def start(self) -> None:
        self._last = self._clock()

    @property
    def stream(self) -> TextIO:
        return sys.stderr if self._stream is None else self._stream

    @property
    def are_due(self) -> bool:
        return self._clock() - self._last >= SECONDS_BETWEEN_LINES

    def write(self, line: str) -> None:
        self.start()
        self.stream.write(line + "\n")
        self.stream.flush()


def _interval(seconds: float) -> str:
    """Minutes and seconds, and hours where there are any: ``03:46``."""
    return tqdm.format_interval(round(seconds))
