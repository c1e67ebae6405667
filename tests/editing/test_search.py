"""Lambdas found by trying, against crossings and constrained minima that are known."""

import logging
import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmt.editing.search import LambdaSearch, bayesian_lambdas, largest_crossing
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
