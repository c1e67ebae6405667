from dmt.reporting.live import Live, Several
from dmt.reporting.progress import InversionBar
from dmt.solvers import Progress


def rows_of(live_and_rows):
    return [{key.removeprefix("progress/"): value for key, value in row.items()} for row in live_and_rows]


def iterate(live, last, problems=2, most=150):
    """A batch whose objective is a hundred over the iteration, and that ends after the last."""
    for i in range(1, last + 1):
        live(Progress(i, most, 0 if i == last else problems, 100 / i, problems))


def test_a_batch_is_told_by_its_walk_its_first_iteration_every_tenth_and_its_last():
    told = []
    live = Live(told.append)
    live.begin(2)
    live.walked(0.5, -0.5)
    iterate(live, 23)
    assert rows_of(told) == [
        {"iteration": 0, "edited": 0},
        {"iteration": 0, "witness_before": 0.5, "witness_after": -0.5},
        {"iteration": 1, "objective": 50, "running": 2, "edited": 0},
        {"iteration": 10, "objective": 5, "running": 2, "edited": 0},
        {"iteration": 20, "objective": 2.5, "running": 2, "edited": 0},
        {"iteration": 23, "objective": 100 / 23 / 2, "running": 0, "edited": 2},
    ]


def test_iterations_go_on_from_batch_to_batch_and_what_is_gone_on_with_is_not_counted_twice():
    told = []
    live = Live(told.append)
    iterate(live, 5)
    live.again(1)
    iterate(live, 3, problems=1)
    iterate(live, 2, problems=4, most=2)
    assert [(row["iteration"], row["edited"]) for row in rows_of(told)] == [
        *[(1, 0), (5, 2)],
        *[(6, 2), (8, 2)],
        *[(9, 2), (10, 6)],
    ]


def test_reading_is_told_twenty_times_a_pass_whatever_its_batches():
    told = []
    live = Live(told.append)
    for _ in range(2):
        for n in range(1, 1001):
            live.pictures(n, 1000)
    shares = [row["read"] for row in rows_of(told)]
    assert shares == [n / 20 for n in range(1, 21)] * 2


def test_several_are_told_and_of_many_short_inversions_those_alone_that_ask_for_it(capsys):
    told = []
    both = Several([InversionBar(), Live(told.append)])
    both.begin(2)
    both.briefly().walked(0.25, 0.0)
    iterate(both.briefly(), 2)
    assert len(told) == 4
    assert capsys.readouterr().err == ""
    iterate(both, 1)
    assert "editing images 1-2 of 2" in capsys.readouterr().err
