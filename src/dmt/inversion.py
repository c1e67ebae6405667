"""Target activations -> pixels: bounded minimisation over images, batched, without I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dmt.errors import UserError
from dmt.features import FeatureExtractor
from dmt.regularizers import Regularizer, View
from dmt.solvers import LBFGS, Progress, Solution

MAIN_TERM = "reconstruction"


@dataclass(frozen=True)
class Inversion:
    """Pictures whose activations come close to the targets.

    Args:
        images: ``(B, 3, H, W)`` in [0, 1].
        terms: name -> ``(B,)``: the parts of the objective at the end; ``reconstruction`` is the main one.
        solution: what the solver says.
    """

    images: Tensor
    terms: Mapping[str, Tensor]
    solution: Solution


def invert(
    extractor: FeatureExtractor,
    targets: Mapping[str, Tensor],
    images: Tensor,
    regularizers: Mapping[str, Regularizer],
    solver: LBFGS,
    callback: Callable[[Progress], None] | None = None,
    start: Tensor | None = None,
) -> Inversion:
    """``argmin_x 1/2 ||Omega(x) - target||^2 + regularizers(x)`` over 0 <= x <= 1 (the paper, section 4, eq. 8).

    Args:
        extractor: Omega.
        targets: ``{layer: (B, C, h, w)}`` for the extractor's layers.
        images: ``(B, 3, H, W)`` in [0, 1]: the inputs, which are the regularizers' reference.
        regularizers: name -> penalty.
        solver: the minimiser.
        callback: told the progress after every iteration.
        start: ``(B, 3, H, W)`` in [0, 1]; the inputs by default.

    Raises:
        UserError: a regularizer has the name of the main term.
    """
    if MAIN_TERM in regularizers:
        raise UserError(f"a regularizer must not be called {MAIN_TERM!r}: that is the main term")
    penalty_layers = [layer for penalty in regularizers.values() for layer in penalty.layers]
    layers = list(dict.fromkeys([*extractor.layers, *penalty_layers]))
    with torch.no_grad():
        reference = View(images, extractor.activations(images, layers))

    def terms(x: Tensor, rows: Tensor) -> dict[str, Tensor]:
        view = View(x, extractor.activations(x, layers))
        distances = [
            (view.activations[layer] - targets[layer][rows]).square().sum(dim=(1, 2, 3)) / 2
            for layer in extractor.layers
        ]
        below = View(images[rows], {layer: value[rows] for layer, value in reference.activations.items()})
        penalties = {name: penalty(view, below) for name, penalty in regularizers.items()}
        return {MAIN_TERM: sum(distances[1:], distances[0]), **penalties}

    def objective(flat: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = flat.detach().reshape(-1, *images.shape[1:]).requires_grad_()
            values = torch.stack(list(terms(x, rows).values())).sum(dim=0)
            (gradient,) = torch.autograd.grad(values.sum(), x)
        return values.detach(), gradient.flatten(1)

    first = images if start is None else start
    solution = solver.minimise(objective, first.flatten(1), lower=0.0, upper=1.0, callback=callback)
    results = solution.value.reshape(images.shape)
    with torch.no_grad():
        everyone = torch.arange(len(images), device=images.device)
        final = terms(results, everyone)
    return Inversion(results, final, solution)
