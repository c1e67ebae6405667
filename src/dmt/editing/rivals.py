"""Ways to edit that the traversal is compared with: a shift of pixels, and the imperceptible adversarial example."""

from typing import Any

import torch
from torch import Tensor

from dmt.data import ImageBatch
from dmt.editing.comparison import Contrasts
from dmt.editing.module import EditModule
from dmt.errors import UserError, is_number, require_whole_number
from dmt.inversion import Inversion, Inverter
from dmt.manifolds import Representation
from dmt.networks.probe import fit_probe
from dmt.ranges import Count, SomeShare, SureOfIt
from dmt.solvers import Solution
from dmt.traversal.walks import LinearInterpolation, Traversal
from dmt.traversal.witness import WitnessBatch

ENOUGH = 0.99  # of the margin


class PixelMeanModule(EditModule):
    """``x + alpha (mean target picture - mean source picture)``: what no network is needed for; see ``EditModule``.

    Args:
        space: where pictures are points.
        contrasts: what each input is edited between.
        lams: ``(n,)``, lambda' of each input.
        inverter: not used.
        alpha: how far; ``None``: as ``dmt.traversal.walks.LinearInterpolation``, whose walk lambda=auto looks at, too.
    """

    walk: LinearInterpolation

    def __init__(
        self,
        space: Representation,
        contrasts: Contrasts,
        lams: Tensor,
        inverter: Inverter,
        *,
        alpha: float | None = None,
    ):
        super().__init__(space, contrasts, lams, inverter)
        self.walk = LinearInterpolation(alpha)
        self._shifts: dict[int, Tensor] = {}

    @classmethod
    def check(cls, alpha: float | None = None, **options: Any) -> None:
        LinearInterpolation(alpha)

    def edited(self, batch: ImageBatch) -> tuple[Traversal, Inversion]:
        start = self.space.encode(batch.images).points
        witnesses, lam = self._own(batch)
        alpha = self.walk.length(lam).to(batch.images)
        shifts = torch.stack([self._shift(position) for position in witnesses.index.tolist()])
        images = (batch.images + alpha[:, None, None, None] * shifts.to(batch.images)).clamp(0, 1)
        solution = Solution.at_rest(images, torch.zeros(len(images)))
        return self._observed(start, images, lam, witnesses), Inversion.at_rest(images, {}, solution)

    def _shift(self, position: int) -> Tensor:
        """From the mean picture of the source to that of the target, for one of the distinct pairs of sets."""
        if position not in self._shifts:
            source, target = self.contrasts.mean_pictures(self.contrasts.sets[position])
            self._shifts[position] = target - source
        return self._shifts[position]


class AdversarialModule(EditModule):
    """The smallest change of pixels for which a classifier on the same features sees the target (Szegedy et al., 2013).

    ``argmin_r ||r||^2 where logit(x + r) >= margin`` and ``x + r`` within [0, 1]: r follows the multiplier times the
    gradient of the logit, which is what it is at the solution, while the multiplier grows by what the margin lacks
    (ours: a tenth of the evaluations of a penalty by L-BFGS, at no longer changes). Of all r on the way that reach the
    margin, up to a hundredth, the shortest is taken. The classifier is a logistic regression on the manifold
    coordinates of both sets. lambda is not used: the change is as small as can be.

    Args:
        space: where pictures are points.
        contrasts: what each input is edited between.
        lams: not used.
        inverter: not used.
        confidence: the classifier's probability of the target that is reached, in (0.5, 1).
        steps: evaluations of the logit and its gradient.
        damping: share of the way that r and the multiplier go at a step, in (0, 1].

    Raises:
        UserError: one of these is out of its range.
    """

    def __init__(
        self,
        space: Representation,
        contrasts: Contrasts,
        lams: Tensor,
        inverter: Inverter,
        *,
        confidence: SureOfIt = 0.55,
        steps: Count = 40,
        damping: SomeShare = 0.3,
    ):
        super().__init__(space, contrasts, lams, inverter)
        if space.catalog_points() is None:
            raise UserError("method=adversarial needs pictures that are points: manifold=span or manifold=pca")
        self.walk = LinearInterpolation()
        self.check(confidence, steps, damping)
        self.margin = float(torch.logit(torch.tensor(confidence, dtype=torch.float64)))
        self.steps = steps
        self.damping = damping

    @classmethod
    def check(cls, confidence: float = 0.55, steps: int = 40, damping: float = 0.3, **options: Any) -> None:
        if not (is_number(confidence) and 0.5 < confidence < 1):
            raise UserError(f"confidence must be a number between 0.5 and 1, got {confidence}")
        require_whole_number("steps", steps, "a whole number above 0, for example 40", least=1)
        if not (is_number(damping) and 0 < damping <= 1):
            raise UserError(f"damping must be a number above 0, at most 1, got {damping}")

    def describe(self, strength: str) -> str:
        return "the least change"

    def edited(self, batch: ImageBatch) -> tuple[Traversal, Inversion]:
        start = self.space.encode(batch.images).points
        witnesses, _ = self._own(batch)
        directions, offsets = self._classifiers(witnesses, batch.images)
        change, least = self._smallest_change(batch.images, directions, offsets)
        images = batch.images + change
        reasons = ["converged" if found else "the classifier was not convinced" for found in least.isfinite()]
        counts = torch.full((len(images),), self.steps)
        solution = Solution(images.flatten(1), least, counts, counts, reasons)
        unused = torch.full((len(images),), torch.nan).double()
        traversal = self._observed(start, images, unused, witnesses)
        return traversal, Inversion.at_rest(images, {"squared_change": least}, solution)

    def _classifiers(self, witnesses: WitnessBatch, images: Tensor) -> tuple[Tensor, Tensor]:
        """Each image's classifier as a direction ``(B, D)`` in feature space and an offset ``(B,)``."""
        mean = self.manifold.mean
        directions = images.new_zeros(len(images), len(mean))
        offsets = images.new_zeros(len(images))
        for witness, rows in witnesses.shared():
            probe = fit_probe(witness.source, witness.target)
            direction = self.manifold.adjoint(probe.weights[None].float().to(mean.device))[0]
            directions[rows] = direction.to(images)
            offsets[rows] = float(probe.offset - (direction.double() * mean.double()).sum())  # the mean is the origin
        return directions, offsets

    def _smallest_change(self, images: Tensor, directions: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """The shortest change ``(B, 3, H, W)`` and its squared length ``(B,)``; 0 and infinity where none is found."""
        change, best = torch.zeros_like(images), torch.zeros_like(images)
        least = images.new_full((len(images),), torch.inf)
        multiplier = torch.zeros_like(least)
        for _ in range(self.steps):
            with torch.enable_grad():
                edited = (images + change).requires_grad_()
                logits = (self.extractor.vectors(edited) * directions).sum(dim=1) + offsets
                (gradient,) = torch.autograd.grad(logits.sum(), edited)
            logits = logits.detach()
            length = _inner(change, change)
            better = (logits >= ENOUGH * self.margin) & (length < least)
            best[better], least[better] = change[better], length[better]
            missing = (self.margin - logits) / _inner(gradient, gradient)
            multiplier = (multiplier + self.damping * missing).clamp(min=0)
            ahead = (images + multiplier[:, None, None, None] * gradient).clamp(0, 1) - images
            change = torch.lerp(change, ahead, self.damping)
        return best, least


def _inner(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum(dim=(1, 2, 3))
