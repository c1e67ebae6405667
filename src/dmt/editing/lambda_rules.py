"""How lambda' is chosen for an edit: a number, what is typical of the target, or what convinces a judge.

What is typical of the target is looked for in z, before any picture is made, or in the finished pictures.
"""

import importlib.util
import logging
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from dmt.editing.records import UNJUDGED, EditedImage
from dmt.editing.search import bayesian_lambdas, bracketed_crossing, largest_crossing, require_range
from dmt.errors import UserError, is_number, nearest_name, require_side, require_whole_number
from dmt.manifolds import Points
from dmt.networks.probe import fit_probe, held_out_logits
from dmt.ranges import Beyond, Count, Positive, Seed
from dmt.traversal.walks import Traversal, check_lambda
from dmt.traversal.witness import Witness, WitnessBatch

log = logging.getLogger(__name__)

CLASSIFIER = "classifier"  # among the judges, the one that is explained; its columns begin so
SCAN = 16  # parts of the interval that are looked at before the bisection: a straight walk can overshoot the target


@dataclass(frozen=True)
class Trials:
    """What a rule may look at and try out before the edit of n inputs.

    Args:
        start: where the inputs lie.
        witnesses: one for each input.
        walk: how their points move, with a lambda each.
        edited: lambdas ``(m,)`` and which of the inputs they are of, ``(m,)`` -> these, edited with them.
        arrived: lambdas ``(n,)`` -> the mean point of each finished picture, ``(n, K)``.
        sides: the mean points of the pictures of the whole source and target, ``(., K)`` each.
        keep: which inputs, of those tried last, became what they shall be unless a better trial follows.
        things: what the inputs are called.
    """

    start: Points
    witnesses: WitnessBatch
    walk: Callable[[Points, WitnessBatch, Tensor], Traversal]
    edited: Callable[[Tensor, Tensor], list[EditedImage]]
    arrived: Callable[[Tensor], Tensor]
    sides: Callable[[], tuple[Tensor, Tensor]]
    keep: Callable[[Tensor], None] = lambda rows: None
    things: str = "images"

    @property
    def n_images(self) -> int:
        """How many inputs there are."""
        return self.start.n_things


class LambdaRule(Protocol):
    """A way to choose lambda'."""

    exact: bool = True
    """Whether pictures must realise their lambda to the letter; otherwise what becomes of them is all that counts."""

    @property
    def title(self) -> str:
        """The rule in a few words."""

    def require(self, judges: Collection[str]) -> None:
        """Make sure, before any work, that the judges asked for are there; raises ``UserError``."""
        return None

    def choose(self, trials: Trials) -> tuple[Tensor, int]:
        """Lambda' of each input, ``(n,)``, and how many edits of all of them it took."""


@dataclass(frozen=True)
class FixedLambda(LambdaRule):
    """One lambda' for every image.

    Args:
        value: above 0, or infinite: then the input comes back.

    Raises:
        UserError: it is no such number.
    """

    value: float

    def __post_init__(self) -> None:
        check_lambda(self.value)

    @property
    def title(self) -> str:
        return f"lambda' {self.value:g}"

    def choose(self, trials: Trials) -> tuple[Tensor, int]:
        return torch.full((trials.n_images,), float(self.value), dtype=torch.float64), 0


@dataclass(frozen=True)
class TypicalOfTarget(LambdaRule):
    """The largest lambda' that takes an image to the target's typical value, by bisection (the paper, footnote 1).

    Nothing is inverted, so that it costs little. What "typical" means is ours: the median over the target's
    images, each left out of its own witness.

    Args:
        of: the value: ``witness``, or ``classifier``, the logit of a logistic regression between the two sets.
        lowest: the smallest lambda' that is tried.
        highest: the largest.
        steps: of the bisection.

    Raises:
        UserError: an unknown value, or an impossible range.
    """

    of: Literal["witness", "classifier"] = "witness"
    lowest: Positive = 0.03
    highest: Positive = 3.0
    steps: Count = 12

    def __post_init__(self) -> None:
        if self.of not in ("witness", "classifier"):
            raise UserError(f"of must be witness or classifier, got {self.of!r}")
        require_range("lowest", self.lowest, "highest", self.highest)
        require_whole_number("steps", self.steps, "a whole number above 0", least=1)

    @property
    def title(self) -> str:
        return f"lambda' by the {self.of}"

    def choose(self, trials: Trials) -> tuple[Tensor, int]:
        witnesses = trials.witnesses[trials.start.owner]
        excess = [(self._excess(witness), rows) for witness, rows in witnesses.shared()]

        def reached(lams: Tensor) -> Tensor:
            z = trials.walk(trials.start, trials.witnesses, lams).z
            values = z.new_empty(len(z))
            for of_witness, rows in excess:
                values[rows] = of_witness(z[rows])
            return trials.start.mean(values) >= 0

        search = largest_crossing(reached, trials.n_images, self.lowest, self.highest, self.steps, SCAN)
        if not all(search.reached):
            log.warning(
                "lambda=auto: %d of %d images become typical of the target at no lambda above %g, which they get",
                *(search.reached.count(False), trials.n_images, self.lowest),
            )
        return search.lams, 0

    def _excess(self, witness: Witness) -> Callable[[Tensor], Tensor]:
        """By how much points ``(m, K)`` are more of the target than is typical, ``(m,)``."""
        if self.of == "witness":
            typical = witness.at_target().median()
            return lambda z: typical - witness(z)
        probe = fit_probe(witness.source, witness.target)
        median = held_out_logits(witness.source, witness.target)[len(witness.source) :].median()
        return lambda z: probe(z) - median


@dataclass(frozen=True)
class TypicalPicture(LambdaRule):
    """The largest lambda' whose *finished picture* has gone as far from source to target as is asked for.

    Each picture starts elsewhere between the sides, hence a look at what became of it: its features are read again,
    along the difference of the sides' means. Ours; by bisection, every step of which edits all inputs. No judge is
    asked. (A classifier would tell the sides apart along more directions than their few hundred pictures show.)

    Args:
        level: how far: 0 is the median of the source's pictures along the difference, 1 that of the target's, each
            picture left out of its own side's mean.
        lowest: the smallest lambda' that is tried.
        highest: the largest.
        steps: of the bisection.

    Raises:
        UserError: a value that cannot be.
    """

    level: float = 1.0
    lowest: Positive = 0.05
    highest: Positive = 0.5
    steps: Count = 5

    def __post_init__(self) -> None:
        if not (is_number(self.level) and math.isfinite(self.level)):
            raise UserError(f"level must be a number, such as 0.7, got {self.level!r}")
        require_range("lowest", self.lowest, "highest", self.highest)
        require_whole_number("steps", self.steps, "a whole number above 0", least=1)

    @property
    def title(self) -> str:
        return f"lambda' by the finished picture, level {self.level:g}"

    def choose(self, trials: Trials) -> tuple[Tensor, int]:
        source, target = trials.sides()
        direction = target.mean(dim=0) - source.mean(dim=0)
        of_source, of_target = along_means(source, target)
        wanted = of_source.median() + self.level * (of_target.median() - of_source.median())
        search = largest_crossing(
            lambda lams: trials.arrived(lams) @ direction >= wanted,
            trials.n_images,
            self.lowest,
            self.highest,
            self.steps,
        )
        short = search.reached.count(False)
        if short:
            log.warning("lambda=auto: %d of %d images do not get there at any lambda tried", short, trials.n_images)
        return search.lams, search.evaluations


def along_means(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """How far each point of both sides ``(n, K)``, ``(m, K)`` lies along the difference of their means.

    Each is left out of its own side's mean: in many dimensions a point is a good part of the mean of a few hundred.

    >>> import torch
    >>> along_means(torch.tensor([[0.0], [2.0]]), torch.tensor([[10.0], [12.0]]))
    (tensor([ 0., 22.]), tensor([110., 108.]))
    """

    def left_out(points: Tensor) -> Tensor:
        n = len(points)
        return (points.sum(dim=0) - points) / max(1, n - 1)

    of_source = (source * (target.mean(dim=0) - left_out(source))).sum(dim=1)
    return of_source, (target * (left_out(target) - source.mean(dim=0))).sum(dim=1)


@dataclass(frozen=True)
class ConvincesJudge(LambdaRule):
    """For each image the lambda' of the least change that convinces a judge, by constrained Bayesian optimisation.

    Gardner et al., ICML 2014; Gelbart et al., UAI 2014; the paper, footnote 1. Every trial edits all inputs.

    Args:
        judge: the name of a judge.
        threshold: what the judge says of a result must lie beyond it.
        beyond: ``above`` or ``below`` the threshold.
        lowest: the smallest lambda' that is tried.
        highest: the largest.
        trials: edits.
        seed: of the search.

    Raises:
        UserError: ``beyond`` is neither, or a number is none.
    """

    judge: str
    threshold: float = 0.5
    beyond: Beyond = "above"
    lowest: Positive = 0.05
    highest: Positive = 1.0
    trials: Count = 8
    seed: Seed = 0

    def __post_init__(self) -> None:
        _require_threshold(self.threshold, self.beyond)
        require_range("lowest", self.lowest, "highest", self.highest)
        if importlib.util.find_spec("optuna") is None:
            raise UserError("a Bayesian search for lambda needs Optuna: pip install 'dmt[auto]'")

    @property
    def title(self) -> str:
        return f"lambda' by the judge of {self.judge}"

    def require(self, judges: Collection[str]) -> None:
        _require_judge(self.judge, judges)

    def choose(self, trials: Trials) -> tuple[Tensor, int]:
        sign = 1 if self.beyond == "above" else -1

        def evaluate(lams: list[float]) -> list[tuple[float, float]]:
            images = trials.edited(torch.tensor(lams, dtype=torch.float64), torch.arange(len(lams)))
            return [
                (float(image.record["change"]), _excess(sign * (self.threshold - _number_after(image, self.judge))))
                for image in images
            ]

        search = bayesian_lambdas(evaluate, trials.n_images, self.lowest, self.highest, self.trials, self.seed)
        unconvinced = search.reached.count(False)
        if unconvinced:
            log.warning(
                "lambda=auto: %d of %d images convinced the judge at no lambda tried", unconvinced, trials.n_images
            )
        return search.lams, search.evaluations


@dataclass(frozen=True)
class LeastChange(LambdaRule):
    """For each image the largest lambda' whose finished picture convinces a judge: bracketed, then bisected.

    Ours; a trial edits those images only that are not settled yet, five or six trials in all where edits are neither
    tiny nor huge. Each is one inversion, so that what is realised of lambda is only about 1: what counts is the result.
    ``ConvincesJudge`` asks the same by Bayesian optimisation, as the paper does.

    Args:
        judge: the name of a judge.
        threshold: what the judge says of a result must lie beyond it.
        beyond: ``above`` or ``below`` the threshold.
        first: the lambda' that is tried first.
        lowest: the smallest lambda' that is tried.
        highest: the largest.
        steps: bisections, each of which halves a factor of 2 in ``log lambda``.

    Raises:
        UserError: ``beyond`` is neither, a number is none, or an impossible range.
    """

    exact = False

    judge: str
    threshold: float = 0.5
    beyond: Beyond = "above"
    first: Positive = 0.7
    lowest: Positive = 0.05
    highest: Positive = 6.0
    steps: Count = 2

    def __post_init__(self) -> None:
        _require_threshold(self.threshold, self.beyond)
        require_range("lowest", self.lowest, "first", self.first)
        require_range("first", self.first, "highest", self.highest)
        require_whole_number("steps", self.steps, "a whole number above 0", least=1)

    @property
    def title(self) -> str:
        who = "the classifier" if self.judge == CLASSIFIER else f"the judge of {self.judge}"
        return f"the least change that convinces {who}"

    def require(self, judges: Collection[str]) -> None:
        _require_judge(self.judge, judges)

    def choose(self, trials: Trials) -> tuple[Tensor, int]:
        def reached(lams: Tensor, rows: Tensor) -> Tensor:
            found = torch.tensor([_number_after(image, self.judge) for image in trials.edited(lams, rows)])
            hit = found > self.threshold if self.beyond == "above" else found < self.threshold
            trials.keep(rows[hit])
            return hit

        search = bracketed_crossing(reached, trials.n_images, self.first, self.lowest, self.highest, self.steps)
        unconvinced = search.reached.count(False)
        if unconvinced:
            log.warning(
                "lambda=auto: %d of %d %s convinced the judge at no lambda down to %g",
                *(unconvinced, trials.n_images, trials.things, self.lowest),
            )
        return search.lams, search.evaluations


def _require_threshold(threshold: object, beyond: str) -> None:
    require_side("beyond", beyond)
    if not is_number(threshold):
        raise UserError(f"threshold must be a number, got {threshold!r}")


def _require_judge(judge: str, judges: Collection[str]) -> None:
    if judge not in judges:
        raise UserError(
            f"lambda by a judge needs a judge {judge!r}{nearest_name(judge, judges)}; add judges=faces, or choose "
            "auto=witness"
        )


def _excess(value: float) -> float:
    """How far a result is from convincing; a judge that says nan is not convinced."""
    return 1.0 if math.isnan(value) else value


def _number_after(image: EditedImage, judge: str) -> float:
    """What a judge says of a result."""
    column = f"{judge}_after"
    if column not in image.record and UNJUDGED in image.record:
        raise UserError(f"lambda by a judge needs one that works; {image.record[UNJUDGED]}")
    if column not in image.record:
        raise UserError(f"the judge {judge!r} compares pictures; lambda needs one that gives a number")
    return float(image.record[column])
