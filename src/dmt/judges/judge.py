"""What a network says of inputs and results -> columns of the table of results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from scipy.special import softmax
from torch import Tensor

from dmt.errors import UserError
from dmt.judges.verdicts import HALF, Wish
from dmt.ranges import Beyond, CountOrNone, Positive


class Judge(Protocol):
    """Says something of every picture, or of every pair of input and result.

    One whose nan is an answer ("no face here") says so by ``may_say_nan = True``; of others nan is a failure.
    """

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        """Map inputs and results, ``(3, H, W)`` in [0, 1] each, to columns of a table, each ``(n,)``.

        Args:
            name: of the judge; the columns are called after it.
            before: the inputs.
            after: the results.
        """


class Network(Protocol):
    """Maps pictures to named outputs."""

    def output(self, images: Sequence[Tensor], name: str) -> np.ndarray:
        """One output, ``(B, ...)``, for pictures ``(3, H, W)`` in [0, 1].

        Raises:
            UserError: the network has no output of that name.
        """


@dataclass(frozen=True)
class OutputJudge:
    """One number per picture: ``NAME_before`` and ``NAME_after``.

    Args:
        network: reads the pictures.
        output: which of its outputs.
        column: which number of that output; ``None``: it has only one.
        softmax: whether the output is logits, of which ``column`` is to be a probability.
        shows: labels that it knows -> the side on which it has pictures of them, ``above`` or ``below``.
        by: how far a number moves towards that side where the class changed; ``None``: it is a probability, which
            crosses one half.
    """

    network: Network
    output: str
    column: CountOrNone | None = None
    softmax: bool = False
    shows: Mapping[str, Beyond] = field(default_factory=dict)
    by: Positive | None = None
    looks_at_one: ClassVar[bool] = True  # what it says of a picture takes no others

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        return {f"{name}_before": self._read(before), f"{name}_after": self._read(after)}

    def wish(self, name: str, towards: Mapping[str, bool], before: float) -> Wish | None:
        """What it shall say of the result of an edit; ``None``: it knows none of the labels.

        Args:
            name: of the judge.
            towards: labels -> whether the result shall have them.
            before: what it says of the input.
        """
        known = {label.lower(): side for label, side in self.shows.items()}
        asked = {(known.get(label.lower()), is_wanted) for label, is_wanted in towards.items()}
        sides = {(side == "above") == is_wanted for side, is_wanted in asked if side is not None}
        if len(sides) != 1:
            return None
        (is_above,) = sides
        threshold = HALF if self.by is None else before + (self.by if is_above else -self.by)
        return Wish(name, "above" if is_above else "below", threshold)

    def _read(self, images: Sequence[Tensor]) -> np.ndarray:
        found = self.network.output(images, self.output).reshape(len(images), -1)
        if self.column is None and found.shape[1] != 1:
            raise UserError(f"output {self.output!r} has {found.shape[1]} numbers; choose one with column")
        if not 0 <= (self.column or 0) < found.shape[1]:
            raise UserError(f"output {self.output!r} has {found.shape[1]} numbers, so that there is no {self.column}")
        if self.softmax and found.shape[1] == 1:
            raise UserError(f"output {self.output!r} has 1 number, of which softmax is always 1; leave softmax=false")
        return (softmax(found, axis=1) if self.softmax else found)[:, self.column or 0]


@dataclass(frozen=True)
class LikenessJudge:
    """How much the result is like the input: the cosine of their embeddings, in [-1, 1], in a column ``NAME``.

    Args:
        network: embeds the pictures.
        output: which of its outputs is the embedding.
    """

    network: Network
    output: str
    looks_at_one: ClassVar[bool] = True

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        first, second = (
            self.network.output(images, self.output).reshape(len(images), -1) for images in (before, after)
        )
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        cosines = (first * second).sum(axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
        return {name: cosines.clip(-1, 1)}


def require_fit(judges: Mapping[str, Judge], picture: Tensor) -> None:
    """Have judges look at a picture before the work that they are to judge; those apart that may need several.

    Args:
        judges: by name, none that has yet to learn.
        picture: as inputs and results are, ``(3, H, W)`` in [0, 1].

    Raises:
        UserError: a judge lacks the output, cannot take pictures of this size, or fails otherwise; it is named.
    """
    for name, judge in judges.items():
        if getattr(judge, "may_say_nan", False) and not getattr(judge, "looks_at_one", False):
            continue
        try:
            judge.columns(name, [picture], [picture])
        except UserError as error:
            raise UserError(f"judges.{name}: {error}") from error
        except Exception as error:  # of whatever network it is
            said = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
            raise UserError(f"judges.{name} fails: {said}; mend it, or leave it out of judges") from error
