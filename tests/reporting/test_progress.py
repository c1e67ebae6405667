"""Progress at times that a clock says which the test sets."""

import io
from contextlib import contextmanager

import pytest
import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from torch.utils.data import DataLoader

from dmt.reporting.progress import InversionBar, LineProgress, Step, Steps, in_lines_without_terminal
from dmt.solvers import LBFGS, Progress


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def watched(terminal=False):
    clock, stream = Clock(), Terminal() if terminal else io.StringIO()
    return clock, stream, InversionBar(stream, clock)


def lines(stream):
    return stream.getvalue().splitlines()


def test_in_a_file_there_is_a_line_every_ten_seconds_and_one_at_the_end():
    clock, stream, bar = watched()
    for iteration in range(1, 31):
        bar(Progress(iteration, 150, 2, 1 / iteration, problems=3))
        clock.now += 1
    bar.close()
    assert lines(stream) == [
        "editing images 1-3: iteration 11 of 150, objective 0.09091, 2 still running",
        "editing images 1-3: iteration 21 of 150, objective 0.04762, 2 still running",
        "editing images 1-3: done, 30 iterations in 00:30",
    ]
    assert "\r" not in stream.getvalue()


def test_a_batch_ends_when_nothing_is_running_or_no_iteration_is_left():
    clock, stream, bar = watched()
    bar(Progress(1, 150, 8, 1.0, problems=8))
    clock.now += 2
    bar(Progress(2, 150, 0, 1.0, problems=8))
    assert lines(stream) == ["editing images 1-8: done, 2 iterations in 00:02"]
    for iteration in (1, 2, 3):
        bar(Progress(iteration, 3, 1, 1.0, problems=1))
    assert lines(stream)[1:] == ["editing image 9: done, 3 iterations in 00:00"]
    bar.close()
    assert len(lines(stream)) == 2


def test_a_new_batch_begins_at_the_first_iteration():
    _, stream, bar = watched()
    for iteration in (1, 2, 1, 2, 3):
        bar(Progress(iteration, 150, 4, 1.0, problems=8))
    bar.close()
    bar.close()
    assert lines(stream) == [
        "editing images 1-8: done, 2 iterations in 00:00",
        "editing images 9-16: done, 3 iterations in 00:00",
    ]


def test_with_a_total_the_time_that_is_left_is_said():
    clock, stream, bar = watched()
    bar.begin(24)
    bar(Progress(1, 100, 8, 1.0, problems=8))
    clock.now += 60
    bar(Progress(2, 100, 4, 1.0, problems=8))  # 4 of 24 in one minute: 20 are left
    bar(Progress(3, 100, 0, 1.0, problems=8))  # 8 of 24 in one minute
    bar(Progress(1, 100, 8, 1.0, problems=8))
    clock.now += 60
    bar(Progress(50, 100, 8, 1.0, problems=8))  # half of its iterations: 12 of 24 in two minutes
    assert lines(stream) == [
        "editing images 1-8 of 24: iteration 2 of 100, objective 1, 4 still running, about 05:00 left",
        "editing images 1-8 of 24: done, 3 iterations in 01:00, about 02:00 left",
        "editing images 9-16 of 24: iteration 50 of 100, objective 1, 8 still running, about 02:00 left",
    ]


def test_the_count_begins_anew_with_every_total():
    _, stream, bar = watched()
    for total in (8, 2):
        bar.begin(total)
        bar(Progress(1, 150, 0, 1.0, problems=total))
    assert lines(stream) == [
        "editing images 1-8 of 8: done, 1 iterations in 00:00",
        "editing images 1-2 of 2: done, 1 iterations in 00:00",
    ]


def test_on_a_terminal_there_is_a_bar_with_the_same_words():
    _, stream, bar = watched(terminal=True)
    bar.begin(24)
    for iteration in (1, 2, 3):
        bar(Progress(iteration, 150, 2, 1 / iteration, 8, expected_iterations=12.0))
    bar._batch.bar.refresh()
    shown = stream.getvalue()
    assert "editing images 1-8 of 24" in shown
    assert "25%" in shown  # of those that are expected, not of the most
    assert "3 iterations" in shown
    assert "objective 0.3333, 2 still running" in shown
    assert "left" in shown
    assert "\r" in shown
    bar.close()
    assert not stream.getvalue().endswith("\n")  # it leaves nothing on the screen


def test_it_is_shown_on_standard_error(capsys):
    bar = InversionBar()
    bar(Progress(1, 150, 0, 1.0, problems=2))
    shown = capsys.readouterr()
    assert shown.err == "editing images 1-2: done, 1 iterations in 00:00\n"
    assert shown.out == ""


def test_the_solver_tells_what_the_bar_asks():
    _, stream, bar = watched()
    solver, starts = LBFGS(iterations=50), torch.tensor([[3.0], [-4.0], [5.0]])
    for start in (starts, starts[:1]):
        solver.minimise(lambda x, rows: ((x**2).sum(dim=1), 2 * x), start, callback=bar)
    bar.close()
    assert [line.split(":")[0] for line in lines(stream)] == ["editing images 1-3", "editing image 4"]


def test_the_last_batch_says_when_its_round_will_have_ended():
    clock, stream, bar = watched()
    bar.begin(1)
    for iteration in range(1, 13):
        bar(Progress(iteration, 150, 1, 1.0, problems=1, expected_iterations=None if iteration < 7 else 17.4))
        clock.now += 1
    assert lines(stream) == [
        "editing image 1 of 1: iteration 11 of 150, objective 1, 1 still running, about 00:06 left of this round"
    ]


def test_a_batch_counts_by_the_iterations_that_it_is_expected_to_take():
    clock, stream, bar = watched()
    bar.begin(3)
    bar(Progress(1, 150, 1, 1.0, problems=1))
    clock.now += 10
    bar(Progress(10, 150, 1, 1.0, problems=1, expected_iterations=20.0))  # half of one of three: 50 seconds are left
    assert lines(stream)[0].endswith("about 00:50 left")


def test_steps_tell_which_round_of_which_attempt_it_is_and_what_is_left_of_it():
    clock, told = Clock(), []
    steps = Steps(told.append, clock)
    for n_all in (40, 30):
        for n_read in (10, 20):
            steps.pictures(n_read, n_all)
            clock.now += 5
    for n_rounds in (1, 2):
        steps.begin(1)
        for number in range(n_rounds):
            if number:
                steps.again(1)
            for iteration, expected in ((1, None), (3, 7.0)):
                steps(Progress(iteration, 150, 1, 1.0, 1, expected))
                clock.now += 2
    assert told == [
        Step("reading", 10, 40),
        Step("reading", 20, 40, seconds_left=10.0),
        Step("reading", 10, 30, round=2),
        Step("reading", 20, 30, round=2, seconds_left=5.0),
        *(
            step
            for attempt, number in ((1, 1), (2, 1), (2, 2))
            for step in (
                Step("editing", 1, 150, attempt, number),
                Step("editing", 3, 7, attempt, number, seconds_left=4.0),  # 2 iterations in 2 seconds, 4 more
            )
        ),
    ]


# Lightning


class Patient(LightningModule):
    """Every batch takes some seconds of the clock."""

    def __init__(self, clock, seconds):
        super().__init__()
        self.automatic_optimization = False
        self.clock, self.seconds = clock, seconds

    def predict_step(self, batch, batch_idx):
        self.clock.now += self.seconds
        return batch

    def training_step(self, batch, batch_idx):
        self.clock.now += self.seconds

    def configure_optimizers(self):
        return None


@contextmanager
def line_trainer(quiet_trainer, **options):
    clock, stream = Clock(), io.StringIO()
    yield clock, stream, quiet_trainer(callbacks=[LineProgress(stream, clock)], enable_progress_bar=True, **options)


def loader(batches):
    return DataLoader(torch.zeros(batches), batch_size=1)


def test_predictions_say_their_count_rate_and_time_left(quiet_trainer):
    with line_trainer(quiet_trainer) as (clock, stream, trainer):
        trainer.predict(Patient(clock, 4.0), loader(7), return_predictions=False)
    assert lines(stream) == [
        "predicting: batch 3 of 7, 0.25 a second, about 00:16 left",
        "predicting: batch 6 of 7, 0.25 a second, about 00:04 left",
        "predicting: 7 batches in 00:28",
    ]


def test_a_fit_counts_the_batches_of_all_its_epochs(quiet_trainer):
    with line_trainer(quiet_trainer, max_epochs=2) as (clock, stream, trainer):
        trainer.fit(Patient(clock, 5.0), loader(3))
    assert lines(stream) == [
        "training: batch 2 of 6, 0.2 a second, about 00:20 left",
        "training: batch 4 of 6, 0.2 a second, about 00:10 left",
        "training: batch 6 of 6, 0.2 a second, about 00:00 left",
        "training: 6 batches in 00:30",
    ]


def test_what_is_done_within_ten_seconds_says_nothing(quiet_trainer):
    with line_trainer(quiet_trainer, max_epochs=1) as (clock, stream, trainer):
        trainer.predict(Patient(clock, 1.0), loader(3), return_predictions=False)
        clock.now += 60
        trainer.fit(Patient(clock, 1.0), loader(3))
    assert stream.getvalue() == ""


def test_it_can_be_switched_off(quiet_trainer):
    with line_trainer(quiet_trainer) as (clock, stream, trainer):
        trainer.progress_bar_callback.disable()
        trainer.predict(Patient(clock, 60.0), loader(3), return_predictions=False)
        assert stream.getvalue() == ""
        trainer.progress_bar_callback.enable()
        trainer.predict(Patient(clock, 60.0), loader(3), return_predictions=False)
        assert len(lines(stream)) == 4


@pytest.mark.parametrize(("terminal", "expected"), [(True, TQDMProgressBar), (False, LineProgress)])
def test_a_trainer_has_a_bar_on_a_terminal_and_lines_elsewhere(quiet_trainer, monkeypatch, terminal, expected):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    monkeypatch.setattr("pytorch_lightning.trainer.connectors.callback_connector._RICH_AVAILABLE", False)
    other = Callback()
    trainer = in_lines_without_terminal(quiet_trainer(enable_progress_bar=True, callbacks=[other]))
    assert type(trainer.progress_bar_callback) is expected
    assert other in trainer.callbacks


def test_a_trainer_without_a_bar_stays_without(quiet_trainer, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert in_lines_without_terminal(quiet_trainer(enable_progress_bar=False)).progress_bar_callback is None


# Images that are edited once more


def test_images_that_are_edited_once_more_are_not_counted_again():
    clock, stream, bar = watched()
    bar.begin(4)

    def batch(images: int) -> None:
        for iteration in (1, 2):
            bar(Progress(iteration, 2, images, 1.0, problems=images))
            clock.now += 5

    batch(2)
    bar.again(1)
    batch(1)
    batch(2)
    assert lines(stream) == [
        "editing images 1-2 of 4: done, 2 iterations in 00:05, about 00:05 left",
        "editing 1 of the last once more: done, 2 iterations in 00:05, about 00:15 left",
        "editing images 3-4 of 4: done, 2 iterations in 00:05",
    ]


def test_while_images_are_edited_once_more_the_time_left_is_that_of_those_not_begun():
    clock, stream, bar = watched()
    bar.begin(4)
    bar(Progress(1, 1, 0, 1.0, problems=2))
    clock.now += 20
    bar.again(2)
    for iteration in (1, 2):
        bar(Progress(iteration, 9, 2, 1.0, problems=2))
        clock.now += 20
    # two of four in 40 seconds, at the second iteration
    assert lines(stream)[1] == (
        "editing 2 of the last once more: iteration 2 of 9, objective 1, 2 still running, about 00:40 left"
    )


def test_on_a_terminal_a_bar_says_so_too():
    _, stream, bar = watched(terminal=True)
    bar(Progress(1, 9, 2, 1.0, problems=2))
    bar.again(2)
    bar(Progress(1, 9, 2, 1.0, problems=2))
    bar.close()
    assert "editing 2 of the last once more" in stream.getvalue()
