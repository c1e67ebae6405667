"""Lambdas found by trying, against crossings and constrained minima that are known."""

import logging
import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmt.editing.search import LambdaSearch, bayesian_lambdas, bracketed_crossing, largest_crossing
from dmt.errors import UserError

LOW, HIGH = 0.02, 3.0

laws = settings(deadline=None, max_examples=30, derandomize=True)


class Recorded:
    """A function that keeps what it was asked."""

    def __init__(self, function):
        self.function = function
        self.asked = []

    def __call__(self, lams):
        self.asked.append(lams)
        return self.function(lams)


def below(crossings: list[float]) -> Recorded:
    """Reached exactly where lambda is at most the image's crossing."""
    return Recorded(lambda lams: lams <= torch.tensor(crossings, dtype=torch.float64))


def bisect(crossings: list[float], steps: int = 12) -> LambdaSearch:
    return largest_crossing(below(crossings), len(crossings), LOW, HIGH, steps)


def answer(search: LambdaSearch) -> tuple[list[float], list[bool]]:
    return search.lams.tolist(), search.reached


@laws
@given(crossings=st.lists(st.floats(LOW, HIGH), min_size=1, max_size=5), steps=st.integers(1, 40))
def test_bisection_stays_below_each_crossing_by_no_more_than_it_promises(crossings, steps):
    search = bisect(crossings, steps)
    promised = (HIGH / LOW) ** (2.0**-steps) * (1 + 1e-12)
    for lam, crossing in zip(search.lams.tolist(), crossings, strict=True):
        assert lam <= crossing <= lam * promised
    assert search.reached == [True] * len(crossings)


def test_bisection_by_hand():
    reached = below([2.0])
    search = largest_crossing(reached, 1, 0.01, 100.0, steps=3)
    assert [float(lams) for lams in reached.asked] == pytest.approx([100, 0.01, 1, 10, 10**0.5])
    assert search.lams.tolist() == pytest.approx([1.0])
    assert search.lams.dtype == torch.float64
    assert search.evaluations == len(reached.asked)
    assert search.history == []


def test_images_reached_everywhere_get_the_largest_lambda_after_one_evaluation():
    search = bisect([5.0, HIGH])
    assert answer(search) == ([HIGH, HIGH], [True, True])
    assert search.evaluations == 1


def test_an_image_reached_nowhere_gets_the_smallest_lambda_and_a_flag():
    search = bisect([0.01, 5.0])
    assert answer(search) == ([LOW, HIGH], [False, True])
    assert search.evaluations == 2


def test_an_image_reached_at_the_smallest_lambda_alone_is_reached():
    assert answer(bisect([LOW])) == ([LOW], [True])


@laws
@given(crossings=st.lists(st.floats(LOW / 2, 2 * HIGH), min_size=2, max_size=5))
def test_bisection_answers_each_image_as_if_it_were_alone(crossings):
    together = bisect(crossings)
    alone = [bisect([crossing]) for crossing in crossings]
    assert together.lams.tolist() == [float(search.lams) for search in alone]
    assert together.reached == [search.reached[0] for search in alone]


def test_bisection_tries_every_image_in_every_evaluation_and_never_leaves_the_interval():
    reached = below([0.01, 0.3, 5.0])
    search = largest_crossing(reached, 3, LOW, HIGH, steps=7)
    assert search.evaluations == len(reached.asked) == 2 + 7
    asked = torch.stack(reached.asked)
    assert asked.shape == (9, 3)
    assert LOW <= asked.min() <= asked.max() <= HIGH


def test_more_steps_only_raise_the_answer():
    answers = torch.stack([bisect([0.05, 0.3, 1.7], steps).lams for steps in (1, 2, 4, 8, 16)])
    assert (answers.diff(dim=0) >= 0).all()


def test_the_answer_was_seen_to_be_reached_even_where_the_judge_is_not_monotone():
    reached = Recorded(lambda lams: (torch.sin(40 * lams.log()) > 0) | (lams == LOW))
    search = largest_crossing(reached, 1, LOW, HIGH)
    seen = [float(lams) for lams in reached.asked if reached.function(lams)]
    assert search.reached == [True]
    assert float(search.lams) == max(seen)


# Bracketed, then bisected


class Tried:
    """Reached exactly where lambda is at most the image's crossing; keeps the lambdas that each image was tried at."""

    def __init__(self, crossings: list[float]):
        self.crossings = torch.tensor(crossings, dtype=torch.float64)
        self.of_each: list[list[float]] = [[] for _ in crossings]
        self.calls = 0

    def __call__(self, lams, rows):
        self.calls += 1
        assert lams.dtype == torch.float64
        assert len(lams) == len(rows) == len(set(rows.tolist()))
        for lam, row in zip(lams.tolist(), rows.tolist(), strict=True):
            self.of_each[row].append(lam)
        return lams <= self.crossings[rows]


def bracket(tried: Tried, first: float = 0.7, steps: int = 3) -> LambdaSearch:
    return bracketed_crossing(tried, len(tried.of_each), first, LOW, HIGH, steps)


@laws
@given(
    crossings=st.lists(st.floats(LOW, HIGH), min_size=1, max_size=5),
    first=st.floats(1.01 * LOW, HIGH / 1.01),
    steps=st.integers(1, 10),
)
def test_a_bracket_closes_from_below_to_the_factor_that_is_promised(crossings, first, steps):
    search = bracket(Tried(crossings), first, steps)
    promised = 2 ** (2.0**-steps) * (1 + 1e-12)
    for lam, crossing in zip(search.lams.tolist(), crossings, strict=True):
        assert lam <= crossing <= lam * promised
    assert search.reached == [True] * len(crossings)


def test_a_bracket_by_hand():
    tried = Tried([2.9, 0.3, 0.7])
    search = bracketed_crossing(tried, 3, 0.7, 0.01, 10.0, steps=2)
    root = 2**0.5
    assert tried.of_each[0] == pytest.approx([0.7, 1.4, 2.8, 5.6, 2.8 * root, 2.8 * root**0.5])
    assert tried.of_each[1] == pytest.approx([0.7, 0.35, 0.175, 0.175 * root, 0.175 * root**1.5])
    assert tried.of_each[2] == pytest.approx([0.7, 1.4, 0.7 * root, 0.7 * root**0.5])
    assert search.lams.tolist() == pytest.approx([2.8, 0.175 * root**1.5, 0.7])
    assert search.lams.dtype == torch.float64
    assert search.evaluations == tried.calls == 6
    assert search.history == []


@pytest.mark.parametrize(
    ("crossing", "lam", "is_reached"),
    [(100.0, HIGH, True), (HIGH, HIGH, True), (LOW, LOW, True), (0.999 * LOW, LOW, False), (0.0, LOW, False)],
)
def test_an_image_reached_everywhere_or_nowhere_gets_the_end_of_the_range_after_the_way_there(
    crossing, lam, is_reached
):
    tried = Tried([crossing])
    assert answer(bracket(tried)) == ([lam], [is_reached])
    assert max(tried.of_each[0]) <= HIGH
    assert min(tried.of_each[0]) >= LOW
    up, down = math.ceil(math.log2(HIGH / 0.7)), math.ceil(math.log2(0.7 / LOW))
    bisections = 3 if crossing == LOW else 0
    assert tried.calls == 1 + (up if crossing >= HIGH else down) + bisections


def test_an_image_just_below_the_largest_lambda_is_bracketed_by_it():
    tried = Tried([0.99 * HIGH])
    lam = float(bracket(tried, steps=6).lams)
    assert 0.95 * HIGH < lam <= 0.99 * HIGH
    assert HIGH in tried.of_each[0]


@laws
@given(crossings=st.lists(st.floats(LOW / 2, 2 * HIGH), min_size=2, max_size=5))
def test_only_images_that_are_not_settled_are_tried_and_each_as_if_it_were_alone(crossings):
    together = Tried(crossings)
    search = bracket(together)
    counts = []
    for i, crossing in enumerate(crossings):
        alone = Tried([crossing])
        assert float(bracket(alone).lams) == float(search.lams[i])
        assert alone.of_each[0] == together.of_each[i]
        counts.append(alone.calls)
    assert search.evaluations == together.calls == max(counts)


def test_a_bracket_of_no_images_tries_nothing():
    search = bracketed_crossing(lambda *_: pytest.fail("nothing must be tried"), 0, 0.7, LOW, HIGH)
    assert (search.lams.tolist(), search.reached, search.evaluations) == ([], [], 0)


def test_the_answer_of_a_bracket_was_seen_to_be_reached_even_where_the_judge_is_not_monotone():
    asked = []

    def reached(lams, rows):
        hit = torch.sin(9 * lams.log()) > 0
        asked.extend(zip(lams.tolist(), hit.tolist(), strict=True))
        return hit

    for first in (0.05, 0.2, 0.7, 2.0):
        asked.clear()
        search = bracketed_crossing(reached, 1, first, LOW, HIGH)
        assert (float(search.lams), True) in asked or search.reached == [False]


@pytest.mark.parametrize(
    ("first", "low", "high", "message"),
    [
        (0.01, LOW, HIGH, f"lowest and first must be numbers above 0, .* got {LOW} and 0.01"),
        (LOW, LOW, HIGH, f"lowest and first .* got {LOW} and {LOW}"),
        (HIGH, LOW, HIGH, f"first and highest .* got {HIGH} and {HIGH}"),
        (0.7, 0, HIGH, "lowest and first .* got 0 and 0.7"),
        (0.7, LOW, math.inf, "first and highest .* got 0.7 and inf"),
        ("0.7", LOW, HIGH, "lowest and first"),
    ],
)
def test_a_bracket_that_is_none_is_a_user_error(first, low, high, message):
    with pytest.raises(UserError, match=message):
        bracketed_crossing(lambda *_: pytest.fail("nothing must be tried"), 1, first, low, high)


@pytest.mark.parametrize("steps", [0, 2.5, None])
def test_a_count_of_bisections_that_cannot_be_is_a_user_error(steps):
    with pytest.raises(UserError, match=f"steps must be a whole number above 0, .* got {steps}"):
        bracketed_crossing(lambda *_: pytest.fail("nothing must be tried"), 1, 0.7, LOW, HIGH, steps=steps)


# By a Gaussian process


def graded(crossings: list[float]) -> Recorded:
    """The cost is ``1 / lambda``, a linear kernel's edit; the judge's score passes its threshold at the crossing."""

    def evaluate(lams):
        return [(1 / b, 0.5 * math.tanh(3 * math.log(b / c))) for b, c in zip(lams, crossings, strict=True)]

    return Recorded(evaluate)


def bayes(evaluate, n_images: int, trials: int = 8, seed: int = 0) -> LambdaSearch:
    pytest.importorskip("optuna", minversion="5.0")
    return bayesian_lambdas(evaluate, n_images, LOW, HIGH, trials, seed)


def test_a_minimum_on_the_constraints_boundary_is_found_for_each_image():
    crossings = [0.05, 0.4, 1.5]
    evaluate = graded(crossings)
    search = bayes(evaluate, 3)
    assert search.reached == [True, True, True]
    assert search.evaluations == len(evaluate.asked) == 8
    for lam, crossing in zip(search.lams.tolist(), crossings, strict=True):
        assert 0.97 * crossing <= lam <= crossing * (1 + 1e-12)


def test_a_minimum_inside_the_feasible_interval_is_found():
    search = bayes(lambda lams: [(math.log(b / 0.3) ** 2, math.log(b / 2)) for b in lams], 1, trials=10)
    assert search.reached == [True]
    assert float(search.lams) == pytest.approx(0.3, rel=0.05)


def test_the_answer_is_the_feasible_trial_of_least_cost_and_the_history_holds_all():
    evaluate = graded([0.4, 0.1])
    search = bayes(evaluate, 2, trials=6)
    assert search.lams.dtype == torch.float64
    for image, tried in enumerate(search.history):
        assert [trial.lam for trial in tried] == [lams[image] for lams in evaluate.asked]
        assert [trial.cost for trial in tried] == [1 / lams[image] for lams in evaluate.asked]
        feasible = [trial for trial in tried if trial.violation <= 0]
        assert 1 / float(search.lams[image]) == pytest.approx(min(trial.cost for trial in feasible), rel=1e-15)


def test_the_first_trials_are_both_ends_and_the_geometric_middle():
    evaluate = graded([0.4])
    bayes(evaluate, 1, trials=4)
    assert [lams[0] for lams in evaluate.asked[:3]] == pytest.approx([LOW, math.sqrt(LOW * HIGH), HIGH])
    assert all(LOW <= lams[0] <= HIGH for lams in evaluate.asked)


def test_a_satisfied_judge_leaves_the_least_cost():
    search = bayes(lambda lams: [(1 / b, -1.0) for b in lams], 1, trials=4)
    assert answer(search) == ([HIGH], [True])


def test_a_judge_never_satisfied_leaves_the_least_violation_and_a_flag():
    search = bayes(lambda lams: [(1 / b, 1 + b) for b in lams], 1, trials=4)
    assert answer(search) == ([LOW], [False])


def test_a_violation_of_exactly_zero_satisfies_the_judge():
    assert answer(bayes(lambda lams: [(1 / b, 0.0) for b in lams], 1, trials=1)) == ([LOW], [True])


def test_bayesian_search_answers_each_image_as_if_it_were_alone():
    crossings = [0.1, 0.4]
    together = bayes(graded(crossings), 2, trials=5)
    assert together.history == [bayes(graded([crossing]), 1, trials=5).history[0] for crossing in crossings]


def test_more_trials_continue_the_same_search_and_only_improve_it():
    longer, shorter = (bayes(graded([0.4]), 1, trials) for trials in (6, 4))
    assert longer.history[0][:4] == shorter.history[0]
    assert longer.lams >= shorter.lams


def test_the_search_says_nothing_and_leaves_optunas_logging_and_torchs_generator_alone(capfd):
    optuna = pytest.importorskip("optuna", minversion="5.0")
    verbosity, state = optuna.logging.get_verbosity(), torch.get_rng_state()
    assert verbosity == logging.INFO
    bayes(graded([0.4]), 1, trials=4)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == verbosity
    assert torch.equal(torch.get_rng_state(), state)


def test_without_optuna_the_error_says_what_to_install(monkeypatch):
    for name in ("optuna", "optuna.distributions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"pip install 'dmt\[auto\]'"):
        bayesian_lambdas(graded([0.4]), 1, LOW, HIGH)


def never(lams):
    pytest.fail("nothing must be tried")


@pytest.mark.parametrize("search", [largest_crossing, bayesian_lambdas])
@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (-1, 1), (1, 1), (2, 1), (0.1, math.inf), (math.nan, 1), ("0.1", 1), (0.1, None), (0.1, True)],
)
def test_an_interval_that_is_none_is_a_user_error(search, low, high):
    with pytest.raises(UserError, match=f"above 0, the first below the second, got {low} and {high}; for example"):
        search(never, 1, low, high)


@pytest.mark.parametrize("value", [0, -1, 2.5, "8", None])
def test_a_count_that_is_no_whole_number_above_zero_is_a_user_error(value):
    with pytest.raises(UserError, match=f"steps must be a whole number above 0, .* got {value}"):
        largest_crossing(never, 1, LOW, HIGH, steps=value)
    with pytest.raises(UserError, match=f"trials must be a whole number above 0, .* got {value}"):
        bayesian_lambdas(never, 1, LOW, HIGH, trials=value)
