"""What an edit must reach -> for each image the lambda that reaches it with the least change, found by trying.

The paper's footnote 1 sets lambda by Bayesian optimisation under a constraint (``bayesian_lambdas``); where one yes or
no that flips once is all there is, bisection is certain (``largest_crossing``). Both try one lambda per image
at a time and all images together, so that every trial is one batched edit.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from torch import Tensor

from dmt.errors import UserError, is_number, require_whole_number

if TYPE_CHECKING:
    from optuna import Study


class Trial(NamedTuple):
    """One lambda tried on one image: what the edit cost, and by how much it failed (at most 0: it did not)."""

    lam: float
    cost: float
    violation: float


@dataclass(frozen=True)
class LambdaSearch:
    """The lambda chosen for each of B images.

    Args:
        lams: ``(B,)`` float64, lambda', above 0; each was tried.
        reached: B flags; false where no lambda that was tried satisfied the judge.
        evaluations: how many batches were tried; each tried every image once.
        history: for each image its trials in order; empty after a bisection.
    """

    lams: Tensor
    reached: list[bool]
    evaluations: int
    history: list[list[Trial]] = field(default_factory=list)


def largest_crossing(
    reached: Callable[[Tensor], Tensor], n_images: int, low: float, high: float, steps: int = 12, scan: int = 1
) -> LambdaSearch:
    """Find ``max {lambda in [low, high]: reached(lambda)}`` per image, by bisection on ``log lambda``.

    Edits grow as lambda falls, so an image is taken to be reached below one crossing and not above it. The answer lies
    below the crossing by a factor of at most ``(high / low) ** (2 ** -steps)``: 1.0006 for the default steps and a
    range of 10. An image that is reached at ``high`` gets ``high``; one that is not at ``low`` gets ``low`` and a
    flag. Ours: where the paper's footnote 1 spends a Gaussian process, a monotone yes or no needs none.

    >>> largest_crossing(lambda lams: lams <= 0.25, 1, 0.01, 1.0, steps=30).lams
    tensor([0.2500], dtype=torch.float64)

    Args:
        reached: maps lams ``(B,)`` float64, one per image, to ``(B,)`` of bool.
        n_images: B.
        low: smallest lambda', the largest edit.
        high: largest lambda', the smallest edit.
        steps: bisections after the scan; each halves the interval of ``log lambda``.
        scan: how many equal parts of ``log lambda`` the scan from ``high`` down looks at the ends of: 1 looks at both
            ends only; more find a crossing also where a still smaller lambda overshoots.

    Raises:
        UserError: not 0 < low < high < infinity, or ``steps`` is no whole number above 0.
    """
    require_range("low", low, "high", high)
    require_whole_number("steps", steps, "a whole number above 0, for example 12", least=1)
    lams = torch.full((n_images,), float(low), dtype=torch.float64)
    too_high = torch.full_like(lams, float(high))
    found = torch.zeros(n_images, dtype=torch.bool)
    evaluations = 0
    scan_points = torch.logspace(math.log10(high), math.log10(low), scan + 1, dtype=torch.float64)
    scan_points[0], scan_points[-1] = high, low  # without rounding
    for scanned in scan_points:
        hit = reached(scanned.expand(n_images)).cpu() & ~found
        found |= hit
        lams = torch.where(hit, scanned, lams)
        too_high = torch.where(found, too_high, scanned)
        evaluations += 1
        if found.all():
            break
    settled = ~found | (lams >= high)
    if settled.all():
        return LambdaSearch(lams, found.tolist(), evaluations)
    for _ in range(steps):
        middle = torch.where(settled, lams, lams.sqrt() * too_high.sqrt())
        hit = reached(middle).cpu()
        lams, too_high = torch.where(hit, middle, lams), torch.where(hit, too_high, middle)
    return LambdaSearch(lams, found.tolist(), evaluations + steps)


def bracketed_crossing(
    reached: Callable[[Tensor, Tensor], Tensor], n_images: int, first: float, low: float, high: float, steps: int = 3
) -> LambdaSearch:
    """Find ``max {lambda in [low, high]: reached(lambda)}`` per image, where every trial is dear.

    From ``first``, an image that is reached gets half the edit, one that is not twice the edit, until it is known
    from both sides; then the bracket is bisected in ``log lambda``. Only images that are not settled are tried. Ours.

    >>> bracketed_crossing(lambda lams, rows: lams <= 0.25, 1, 1.0, 0.01, 4.0, steps=12).lams.round(decimals=3)
    tensor([0.2500], dtype=torch.float64)

    Args:
        reached: maps lams ``(m,)`` float64 and which of the images they are of ``(m,)`` to ``(m,)`` of bool.
        n_images: B.
        first: where it begins, between ``low`` and ``high``.
        low: smallest lambda', the largest edit.
        high: largest lambda', the smallest edit.
        steps: bisections: the answer lies below the crossing by a factor of at most ``2 ** (2 ** -steps)``, 1.09 for 3.

    Raises:
        UserError: not 0 < low < first < high, or ``steps`` is no whole number above 0.
    """
    require_range("lowest", low, "first", first)
    require_range("first", first, "highest", high)
    require_whole_number("steps", steps, "a whole number above 0, for example 3", least=1)
    lams = torch.full((n_images,), float(first), dtype=torch.float64)
    below, above = torch.full_like(lams, torch.nan), torch.full_like(lams, torch.nan)
    left = torch.full_like(lams, steps)
    active = torch.arange(n_images)
    evaluations = 0
    while len(active):
        hit = reached(lams[active], active).cpu()
        evaluations += 1
        below[active[hit]], above[active[~hit]] = lams[active[hit]], lams[active[~hit]]
        known = ~below.isnan() & ~above.isnan()
        ends = (above.isnan() & (below >= high)) | (below.isnan() & (above <= low)) | (known & (left <= 0))
        left[known] -= 1
        outward = torch.where(below.isnan(), (lams / 2).clamp_min(low), (lams * 2).clamp_max(high))
        lams = torch.where(known, below.sqrt() * above.sqrt(), outward)
        active = active[~ends[active]]
    found = ~below.isnan()
    return LambdaSearch(torch.where(found, below, torch.full_like(below, low)), found.tolist(), evaluations)


def bayesian_lambdas(
    evaluate: Callable[[list[float]], list[tuple[float, float]]],
    n_images: int,
    low: float,
    high: float,
    trials: int = 8,
    seed: int = 0,
) -> LambdaSearch:
    """Find ``argmin {cost(lambda): violation(lambda) <= 0}`` per image, by constrained Bayesian optimisation.

    A Gaussian process each for the cost and the violation over ``log lambda``; the next lambda maximises the expected
    improvement times the probability of satisfying the judge (Gardner et al., ICML 2014; Gelbart et al., UAI 2014; the
    paper, footnote 1, names no more of its own settings). Every image has a study of its own and the same seed, so its
    answer does not depend on the others. The violation should be graded (a score missing, say): of a mere yes or no
    the process sees little.

    The first trials are set: ``low``, which shows whether the judge can be satisfied at all; the geometric middle; and
    ``high``. With the ends known both processes only interpolate, which is where they can be trusted, and three
    points in one dimension replace the ten random ones that Optuna would start with.

    Args:
        evaluate: maps one lam per image to one ``(cost, violation)`` per image, both finite; the cost is the change
            to be kept small, and the judge is satisfied if the violation is at most 0.
        n_images: B.
        low: smallest lambda', the largest edit.
        high: largest lambda', the smallest edit.
        trials: calls of ``evaluate``.
        seed: of the search for the best next lambda.

    Returns:
        For each image the trial that satisfies the judge at the least cost; if none does, the one with the least
        violation, flagged.

    Raises:
        UserError: not 0 < low < high < infinity, ``trials`` is no whole number above 0, or Optuna is not installed.
    """
    require_range("low", low, "high", high)
    require_whole_number("trials", trials, "a whole number above 0, for example 8", least=1)
    try:
        from optuna.distributions import BaseDistribution, FloatDistribution
    except ImportError as error:
        raise UserError("a Bayesian search for lambda needs Optuna: pip install 'dmt[auto]'") from error
    space: dict[str, BaseDistribution] = {"lam": FloatDistribution(low, high, log=True)}
    starts = [float(low), math.sqrt(low) * math.sqrt(high), float(high)]
    history: list[list[Trial]] = [[] for _ in range(n_images)]
    with _quiet_optuna():
        studies = [_study(starts, seed) for _ in range(n_images)]
        for _ in range(trials):
            with np.errstate(invalid="ignore"):  # in a study that has converged Optuna divides nothing by nothing
                asked = [study.ask(space) for study in studies]
            lams = [trial.params["lam"] for trial in asked]
            outcomes = evaluate(list(lams))
            for image, (cost, violation) in zip(range(n_images), outcomes, strict=True):
                asked[image].set_constraint("violation", violation)
                studies[image].tell(asked[image], cost)
                history[image].append(Trial(lams[image], float(cost), float(violation)))
    best = [min(tried, key=_violation_then_cost) for tried in history]
    chosen = torch.tensor([trial.lam for trial in best], dtype=torch.float64)
    return LambdaSearch(chosen, [trial.violation <= 0 for trial in best], trials, history)


def _study(starts: list[float], seed: int) -> "Study":
    """Return a study whose first lams are given and whose others come from the Gaussian processes."""
    import optuna

    sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=len(starts), deterministic_objective=True)
    study = optuna.create_study(sampler=sampler)
    for lam in starts:
        study.enqueue_trial({"lam": lam})
    return study


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep Optuna from reporting every study and from warning of options it calls experimental."""
    from optuna import logging
    from optuna.exceptions import ExperimentalWarning

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with catch_warnings():
            simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)


def _violation_then_cost(trial: Trial) -> tuple[float, float]:
    """Order trials from the best; all that satisfy the judge violate it alike."""
    return max(trial.violation, 0.0), trial.cost


def require_range(low_name: str, low: object, high_name: str, high: object) -> None:
    """Raise a ``UserError`` unless ``0 < low < high``, both finite numbers; the names are those of the settings."""
    if not (is_number(low) and is_number(high) and 0 < low < high < math.inf):
        raise UserError(
            f"{low_name} and {high_name} must be numbers above 0, the first below the second, got {low} and {high}; "
            f"for example {low_name}=0.03 {high_name}=3"
        )
