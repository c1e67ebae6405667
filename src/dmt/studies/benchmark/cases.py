"""What a benchmark compares: cases, that is inputs and which way they go, and the contenders that edit them."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

from dmt.data import Selection, Task
from dmt.editing.editor import Method
from dmt.editing.lambda_rules import FixedLambda, LambdaRule
from dmt.judges.verdicts import Numbers, reached
from dmt.ranges import Beyond, Count

PROBE = "probe"  # the name of the judge that a case trains for its own task


@dataclass(frozen=True)
class Decision:
    """Who decides whether a picture shows the target.

    Args:
        judge: the judge's name; ``probe`` is trained for the task of the case.
        beyond: the side of the threshold on which the target lies, ``above`` or ``below``.
        threshold: where the judge is undecided.
    """

    judge: str = PROBE
    beyond: Beyond = "above"
    _: KW_ONLY
    threshold: float = 0.5

    def __call__(self, record: Numbers) -> bool:
        """Whether the result of an edit shows the target."""
        return bool(reached(record, self.judge, self.beyond, self.threshold))


@dataclass(frozen=True)
class Case:
    """What methods are compared on.

    Args:
        task: which way.
        images: the inputs, by name.
        methods: names of the methods that are tried.
        selection: chooses the sets; ``None``: as the task says.
        decision: who decides whether an edit reached the target.
        keep: labels that the edit shall leave alone; ``None``: the task's balance.
        most: of the images, from the first on; ``None``: all.
    """

    task: Task
    images: Sequence[str]
    _: KW_ONLY
    methods: Sequence[str]
    selection: Selection | None = None
    decision: Decision = Decision()
    keep: Sequence[str] | None = None
    most: Count | None = None


@dataclass(frozen=True)
class Contender:
    """A method of editing, and what makes its edits stronger: a smaller lambda', or a higher level of a rule.

    Args:
        method: makes the module that edits.
        rule: makes, from a level, the rule that chooses lambda' for each image; ``None``: lambda' is given.
        reads_lambda: whether the method looks at lambda' at all; if not, it has a single strength.
    """

    method: Method
    rule: Callable[..., LambdaRule] | None = None
    _: KW_ONLY
    reads_lambda: bool = True

    def strengths(self, lams: Sequence[float], levels: Sequence[float]) -> dict[float, LambdaRule]:
        """Lambda', level or NaN -> the rule that gives this strength, from weak to strong."""
        if not self.reads_lambda:
            return {float("nan"): FixedLambda(1.0)}
        if self.rule is not None:
            return {float(level): self.rule(level=float(level)) for level in levels}
        return {float(lam): FixedLambda(lam) for lam in lams}
