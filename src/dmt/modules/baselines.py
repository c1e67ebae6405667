"""Ways to edit that the traversal is compared with: a shift of pixels, and the imperceptible adversarial example."""

import torch
from torch import Tensor

from dmt.budgets import largest_crossing_budgets
from dmt.data import ImageBatch
from dmt.errors import UserError, is_number
from dmt.inversion import Inversion
from dmt.modules.edit import EditModule, EditTools
from dmt.precision import working_precision
from dmt.probe import fit_probe
from dmt.solvers import LBFGS, Solution
from dmt.traversal import LinearInterpolation, Traversal, interpolation_length
from dmt.witness import Witness, witness_values

ENOUGH = 0.99  # of the margin


class PixelMeanModule(EditModule):
    """``x + alpha (mean target picture - mean source picture)``: what no network is needed for.

    Args:
        tools: what the edit works with.
        alpha: how far; ``None``: as ``dmt.traversal.LinearInterpolation``, whose walk lambda=auto looks at, too.
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

    ``argmin_r c ||r||^2 + log(1 + exp(-2 (logit(x + r) - margin)))`` within [0, 1], for the largest c at which the
    logit reaches the margin (99 % of it, since it is approached from below), found by bisection. The classifier is a
    logistic regression on the manifold coordinates of both sets. lambda is not used: the change is as small as can be.

    Args:
        tools: what the edit works with.
        confidence: the classifier's probability of the target that is reached, in (0.5, 1).
        largest: c where the search begins, per pixel value squared; the smallest is a millionth of it.
        steps: of the bisection.

    Raises:
        UserError: the confidence is no number between 0.5 and 1.
    """

    def __init__(self, tools: EditTools, confidence: float = 0.9, largest: float = 1e3, steps: int = 8):
        super().__init__(tools)
        if not (is_number(confidence) and 0.5 < confidence < 1):
            raise UserError(f"method.confidence must be a number between 0.5 and 1, got {confidence}")
        self.margin = float(torch.logit(torch.tensor(confidence, dtype=torch.float64)))
        self.largest = largest
        self.steps = steps

    def how(self, budget: str) -> str:
        return "the least change"

    def edited(self, batch: ImageBatch) -> tuple[Traversal, Inversion]:
        z0 = self.coordinates(batch.images)
        witnesses = [contrast.witness for contrast in self.tools.contrasts(batch.names, z0)]
        directions, offsets = self._classifiers(witnesses, batch.images)
        best = batch.images.clone()
        least = torch.full((len(best),), torch.inf).to(best)
        objective = least.clone()
        found: list[Solution] = []

        def reached(weights: Tensor) -> Tensor:
            solution = self._smallest_change(batch.images, directions, offsets, weights.to(batch.images))
            found.append(solution)
            images = solution.value.reshape(best.shape)
            with torch.no_grad():
                done = (self.extractor.vectors(images) * directions).sum(dim=1) + offsets >= ENOUGH * self.margin
            change = (images - batch.images).square().sum(dim=(1, 2, 3))
            better = done & (change < least)
            best[better], least[better], objective[better] = images[better], change[better], solution.objective[better]
            return done.cpu()

        search = largest_crossing_budgets(reached, len(best), self.largest / 1e6, self.largest, self.steps)
        counts = [sum(getattr(solution, name) for solution in found) for name in ("iterations", "evaluations")]
        reasons = ["converged" if done else "the classifier was not convinced" for done in search.reached]
        solution = Solution(best.flatten(1), objective, counts[0], counts[1], reasons)
        traversal = _observed(z0, self.coordinates(best), witnesses, torch.full((len(best),), torch.nan).double())
        return traversal, Inversion(best, {"squared_change": least}, solution)

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

    def _smallest_change(self, images: Tensor, directions: Tensor, offsets: Tensor, weights: Tensor) -> Solution:
        flat = images.flatten(1)
        precision = working_precision(self.tools.precision, images.device)

        def objective(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                features = self.extractor.vectors(x.reshape(-1, *images.shape[1:]), precision)
                logits = (features * directions[rows]).sum(dim=1) + offsets[rows]
                change = (x - flat[rows]).square().sum(dim=1)
                values = weights[rows] * change + torch.nn.functional.softplus(2 * (self.margin - logits))
                (gradient,) = torch.autograd.grad(values.sum(), x)
            return values.detach(), gradient

        solver = LBFGS(iterations=self.tools.pixel_solver.iterations, tolerance=1e-4)
        return solver.minimise(objective, flat, lower=0.0, upper=1.0)


def _observed(z0: Tensor, z: Tensor, witnesses: list[Witness], budget: Tensor) -> Traversal:
    """The way on the manifold of pictures that were made without it."""
    before, after = witness_values(z0, witnesses), witness_values(z, witnesses)
    return Traversal(z0, z - z0, budget, before, after, Solution.at_rest(z - z0, after))
