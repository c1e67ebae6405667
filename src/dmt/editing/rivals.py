"""Ways to edit that the traversal is compared with: a shift of pixels, and the imperceptible adversarial example."""

import torch
from torch import Tensor

from dmt.data import ImageBatch
from dmt.editing.module import EditModule, EditTools
from dmt.errors import UserError, is_number, require_whole_number
from dmt.inversion.inverter import Inversion
from dmt.networks.probe import fit_probe
from dmt.solvers import Solution
from dmt.traversal.walks import LinearInterpolation, Traversal, interpolation_length
from dmt.traversal.witness import Witness, witness_values

ENOUGH = 0.99  # of the margin


class PixelMeanModule(EditModule):
    """``x + alpha (mean target picture - mean source picture)``: what no network is needed for.

    Args:
        tools: what the edit works with.
        alpha: how far; ``None``: as ``dmt.traversal.walks.LinearInterpolation``, whose walk lambda=auto looks at, too.
    """

    def __init__(self, tools: EditTools, alpha: float | None = None):
        super().__init__(tools)
        self.alpha = alpha

    def how(self, budget: str) -> str:
        return LinearInterpolation(self.alpha).how(budget)

    def edited(self, batch: ImageBatch) -> tuple[Traversal, Inversion]:
        z0 = self.coordinates(batch.images)
        contrasts = self.tools.contrasts(batch.names, z0)
        witnesses = [contrast.witness for contrast in contrasts]
        budget = self.tools.budgets(batch.indices, z0, witnesses, LinearInterpolation(self.alpha))
        alpha = interpolation_length(self.alpha, budget).to(batch.images)
        distinct = {id(contrast): contrast for contrast in contrasts}
        means = {key: self.tools.mean_pictures(contrast.sets) for key, contrast in distinct.items()}
        shifts = torch.stack([target - source for source, target in (means[id(c)] for c in contrasts)])
        images = (batch.images + alpha[:, None, None, None] * shifts.to(batch.images)).clamp(0, 1)
        solution = Solution.at_rest(images, torch.zeros(len(images)))
        traversal = _observed(z0, self.coordinates(images), witnesses, budget)
        return traversal, Inversion(images, {}, solution)


class AdversarialModule(EditModule):
    """The smallest change of pixels for which a classifier on the same features sees the target (Szegedy et al., 2013).

    ``argmin_r ||r||^2 where logit(x + r) >= margin`` and ``x + r`` within [0, 1]: r follows the multiplier times the
    gradient of the logit, which is what it is at the solution, while the multiplier grows by what the margin lacks
    (ours: a tenth of the evaluations of a penalty by L-BFGS, at no longer changes). Of all r on the way that reach the
    margin, up to a hundredth, the shortest is taken. The classifier is a logistic regression on the manifold
    coordinates of both sets. lambda is not used: the change is as small as can be.

    Args:
        tools: what the edit works with.
        confidence: the classifier's probability of the target that is reached, in (0.5, 1).
        steps: evaluations of the logit and its gradient.
        damping: share of the way that r and the multiplier go at a step, in (0, 1].

    Raises:
        UserError: one of these is out of its range.
    """

    def __init__(self, tools: EditTools, confidence: float = 0.55, steps: int = 40, damping: float = 0.3):
        super().__init__(tools)
        if not (is_number(confidence) and 0.5 < confidence < 1):
            raise UserError(f"method.confidence must be a number between 0.5 and 1, got {confidence}")
        require_whole_number("method.steps", steps, "a whole number above 0, for example 40", least=1)
        if not (is_number(damping) and 0 < damping <= 1):
            raise UserError(f"method.damping must be a number above 0, at most 1, got {damping}")
        self.margin = float(torch.logit(torch.tensor(confidence, dtype=torch.float64)))
        self.steps = steps
        self.damping = damping

    def how(self, budget: str) -> str:
        return "the least change"

    def edited(self, batch: ImageBatch) -> tuple[Traversal, Inversion]:
        z0 = self.coordinates(batch.images)
        witnesses = [contrast.witness for contrast in self.tools.contrasts(batch.names, z0)]
        directions, offsets = self._classifiers(witnesses, batch.images)
        change, least = self._smallest_change(batch.images, directions, offsets)
        images = batch.images + change
        reasons = ["converged" if found else "the classifier was not convinced" for found in least.isfinite()]
        counts = torch.full((len(images),), self.steps)
        solution = Solution(images.flatten(1), least, counts, counts, reasons)
        traversal = _observed(z0, self.coordinates(images), witnesses, torch.full((len(images),), torch.nan).double())
        return traversal, Inversion(images, {"squared_change": least}, solution)

    def _classifiers(self, witnesses: list[Witness], images: Tensor) -> tuple[Tensor, Tensor]:
        """Each image's classifier as a direction ``(B, D)`` in feature space and an offset ``(B,)``."""
        distinct = {id(witness): witness for witness in witnesses}
        probes = {key: fit_probe(witness.source, witness.target) for key, witness in distinct.items()}
        mean = self.manifold.mean[None].clone().requires_grad_()
        linear = {}
        with torch.enable_grad():
            center = self.manifold.encode(mean)
            for key, probe in probes.items():
                (direction,) = torch.autograd.grad(probe(center).sum(), mean, retain_graph=True)
                offset = probe(center) - (direction * mean).sum()
                linear[key] = direction[0], float(offset.detach())
        chosen = [linear[id(witness)] for witness in witnesses]
        directions = torch.stack([direction for direction, _ in chosen]).detach().to(images)
        return directions, images.new_tensor([offset for _, offset in chosen])

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


def _observed(z0: Tensor, z: Tensor, witnesses: list[Witness], budget: Tensor) -> Traversal:
    """The way on the manifold of pictures that were made without it."""
    before, after = witness_values(z0, witnesses), witness_values(z, witnesses)
    return Traversal(z0, z - z0, budget, before, after, Solution.at_rest(z - z0, after))
