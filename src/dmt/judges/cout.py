"""Input, result and a judge's probability -> how soon and how far the change takes the picture to its target (COUT)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.integrate import trapezoid
from torch import Tensor

from dmt.errors import UserError, require_side, require_whole_number
from dmt.judges.judge import Judge
from dmt.ranges import Beyond, Count


def cout(
    before: Tensor, after: Tensor, probability_of_target: Callable[[Sequence[Tensor]], np.ndarray], steps: int = 10
) -> float:
    """Counterfactual transition, in [-1, 1], higher is better.

    The result's pixels are pasted into the input, those first that change most (mean over channels), in equal steps
    from none to all of them. ``COUT = AUPC(target) - AUPC(source)``, where AUPC is the area (trapezoids) below the
    class's probability over the share of pixels that are pasted. With two classes, p(source) = 1 - p(target), so that
    -1 says that the judge never sees the target, and 1 that it always does, in the input already.

    Source: Khorram and Fuxin, Cycle-Consistent Counterfactuals by Latent Transformations, CVPR 2022; code derived from
    the authors' takes 50 steps, 10 are ours. Pixels that change alike are pasted in reading order (ours).

    Args:
        before: the input, ``(3, H, W)`` in [0, 1].
        after: the result.
        probability_of_target: pictures -> ``(n,)`` in [0, 1]; it is asked once, for ``steps + 1`` of them.
        steps: from none to all pixels.

    Raises:
        UserError: there is no step.
    """
    require_whole_number("steps", steps, "a whole number above 0", least=1)
    target = probability_of_target(transition(before, after, steps))
    source = 1 - target
    share = np.linspace(0, 1, steps + 1)
    return float(trapezoid(target, share) - trapezoid(source, share))


def transition(before: Tensor, after: Tensor, steps: int) -> list[Tensor]:
    """Pictures from ``before`` to ``after``, ``steps + 1``: the pixels that change most are pasted first."""
    change = (after - before).abs().mean(dim=0).flatten()
    order = change.argsort(descending=True, stable=True)
    pictures = []
    for step in range(steps + 1):
        picture = before.flatten(1).clone()
        pasted = order[: round(step * len(order) / steps)]
        picture[:, pasted] = after.flatten(1)[:, pasted]
        pictures.append(picture.reshape(before.shape))
    return pictures


@dataclass(frozen=True)
class CoutJudge:
    """COUT by a judge whose number is a probability, in a column ``NAME``; see ``cout``.

    Args:
        judge: gives the probability of one of two classes.
        beyond: the side of .5 on which the target lies: ``above``, the probability is the target's, or ``below``, it is
            the source's.
        steps: from none to all pixels; the judge reads ``steps + 1`` pictures for each result.

    Raises:
        UserError: ``beyond`` is neither, or there is no step.
    """

    judge: Judge
    beyond: Beyond
    steps: Count = 10

    def __post_init__(self) -> None:
        require_side("beyond", self.beyond)
        require_whole_number("steps", self.steps, "a whole number above 0", least=1)

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        pairs = zip(before, after, strict=True)
        return {name: np.array([cout(x, y, self._probability_of_target, self.steps) for x, y in pairs])}

    def _probability_of_target(self, images: Sequence[Tensor]) -> np.ndarray:
        found = self.judge.columns("p", images[:1], images[1:])
        values = np.concatenate([found["p_before"], found["p_after"]]).astype(float)
        if not ((values >= 0) & (values <= 1)).all():
            outside = values[~((values >= 0) & (values <= 1))][0]
            raise UserError(f"COUT needs a judge of probabilities, this one says {outside:.4g}; choose another output")
        return values if self.beyond == "above" else 1 - values
