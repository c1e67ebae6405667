"""Target activations -> pixels: bounded minimisation over images, batched, without I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from dmt.errors import UserError
from dmt.inversion.parametrizations import PIXELS, Parametrization, Pixels
from dmt.inversion.regularizers import HasCurvature, Regularizer, View, half_squared_distance
from dmt.networks.extractor import FeatureExtractor
from dmt.networks.precision import NOISE, working_precision
from dmt.solvers import LBFGS, Diagonal, Progress, Solution

MAIN_TERM = "reconstruction"
IN_CACHE = (
    8  # images whose low layers a processor passes over at a good rate (ours, measured: 16 take 7 to 15 % longer)
)


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


class OnProgress(Protocol):
    """Told about inversions."""

    def begin(self, n_images: int) -> None:
        """So many images are about to be inverted, in batches."""

    def __call__(self, progress: Progress) -> None:
        """An iteration of a batch is done."""


@dataclass(frozen=True)
class Inverter:
    """``argmin_x 1/2 ||Omega(x) - target||^2 + regularizers(x)`` over 0 <= x <= 1 (the paper, section 4, eq. 8).

    Args:
        regularizers: name -> penalty.
        solver: the minimiser.
        precision: of the network while the minimum is sought: ``float32``, ``bfloat16`` or ``auto``; see
            ``working_precision``. Targets and references are moved by what a reduced precision makes of the inputs, so
            that an input that has nothing to change is still the minimum (ours). The terms that come back are in
            float32.
        parametrization: what the solver moves.
        on_progress: told the progress after every iteration.

    Raises:
        UserError: a regularizer has the name of the main term, or an unknown precision.
    """

    regularizers: Mapping[str, Regularizer] = field(default_factory=dict)
    solver: LBFGS = field(default_factory=lambda: LBFGS(150, tolerance=0.01))
    precision: str = "auto"
    parametrization: Parametrization = PIXELS
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        if MAIN_TERM in self.regularizers:
            raise UserError(f"a regularizer must not be called {MAIN_TERM!r}: that is the main term")
        working_precision(self.precision, torch.device("cpu"))

    @property
    def layers(self) -> list[str]:
        """The layers that the regularizers read."""
        return list(dict.fromkeys(layer for penalty in self.regularizers.values() for layer in penalty.layers))

    def __call__(
        self, extractor: FeatureExtractor, targets: Mapping[str, Tensor], images: Tensor, start: Tensor | None = None
    ) -> Inversion:
        """The pictures whose activations come close to the targets.

        Args:
            extractor: Omega.
            targets: ``{layer: (B, C, h, w)}`` for the extractor's layers.
            images: ``(B, 3, H, W)`` in [0, 1]: the inputs, which are the regularizers' reference.
            start: ``(B, 3, H, W)`` in [0, 1]; the inputs by default.
        """
        precision = working_precision(self.precision, images.device)
        layers = list(dict.fromkeys([*extractor.layers, *self.layers]))
        with torch.no_grad():
            inputs = View(images, extractor.activations(images, layers))
            exact = _Problem(extractor, targets, inputs, self.regularizers)
            problem = exact if precision == torch.float32 else exact.in_precision(precision)

        def part_of_objective(flat: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                moved = flat.detach().reshape(-1, *images.shape[1:]).requires_grad_()
                x = self.parametrization.pictures(moved, images[rows])
                values = torch.stack(list(problem.terms(x, rows).values())).sum(dim=0)
                (gradient,) = torch.autograd.grad(values.sum(), moved)
            return values.detach(), gradient.flatten(1)

        def objective(flat: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            size = images_at_once(len(rows), images.device)
            parts = [part_of_objective(*part) for part in zip(flat.split(size), rows.split(size), strict=True)]
            values, gradients = zip(*parts, strict=True)
            return torch.cat(values), torch.cat(gradients)

        first = self.parametrization.values(images if start is None else start, images)
        moves_pixels = isinstance(self.parametrization, Pixels)
        solution = self.solver.minimise(
            objective,
            first.flatten(1),
            *self.parametrization.bounds,
            callback=self.on_progress,
            noise=NOISE[precision],
            known_curvature=_pixel_curvature(self.regularizers, images) if moves_pixels else None,
        )
        results = self.parametrization.pictures(solution.value.reshape(images.shape), images)
        with torch.no_grad():
            terms = exact.terms(results, torch.arange(len(images), device=images.device))
        found = torch.stack(list(terms.values())).sum(dim=0)
        return Inversion(results, terms, replace(solution, value=results.flatten(1), objective=found))


def images_at_once(n: int, device: torch.device) -> int:
    """How many of ``n`` images go through the network together."""
    return min(n, IN_CACHE) if device.type == "cpu" else n


def _pixel_curvature(regularizers: Mapping[str, Regularizer], images: Tensor) -> Diagonal | None:
    """What regularizers know of their curvature, summed."""
    knowing = [penalty for penalty in regularizers.values() if isinstance(penalty, HasCurvature)]
    if not knowing:
        return None

    def curvature(flat: Tensor, rows: Tensor) -> Tensor:
        x, reference = flat.reshape(-1, *images.shape[1:]), images[rows]
        return torch.stack([penalty.curvature(x, reference) for penalty in knowing]).sum(dim=0).flatten(1)

    return curvature


@dataclass(frozen=True)
class _Problem:
    """What is minimised, with the network in one precision; ``inputs`` are the regularizers' reference."""

    extractor: FeatureExtractor
    targets: Mapping[str, Tensor]
    inputs: View
    regularizers: Mapping[str, Regularizer]
    precision: torch.dtype = torch.float32

    def in_precision(self, precision: torch.dtype) -> "_Problem":
        exact = self.inputs.activations
        found = self.extractor.activations(self.inputs.images, list(exact), precision)
        targets = {
            layer: (found[layer] + (target - exact[layer])).to(found[layer]) for layer, target in self.targets.items()
        }
        return replace(self, targets=targets, inputs=View(self.inputs.images, found), precision=precision)

    def terms(self, x: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """The parts of the objective ``(b,)`` at pictures ``x (b, 3, H, W)`` of the inputs ``rows (b,)``."""
        chosen = self if len(rows) == len(self.inputs.images) else self._of(rows)
        view = View(x, self.extractor.activations(x, list(self.inputs.activations), self.precision))
        distances = [half_squared_distance(view.activations[layer], target) for layer, target in chosen.targets.items()]
        penalties = {name: penalty(view, chosen.inputs) for name, penalty in self.regularizers.items()}
        return {MAIN_TERM: sum(distances[1:], distances[0]), **penalties}

    def _of(self, rows: Tensor) -> "_Problem":
        """The problem of some ascending rows; where they are consecutive nothing is copied."""
        first, last = int(rows[0]), int(rows[-1])
        place = slice(first, last + 1) if last - first + 1 == len(rows) else rows
        inputs = View(
            self.inputs.images[place], {name: value[place] for name, value in self.inputs.activations.items()}
        )
        return replace(self, targets={layer: target[place] for layer, target in self.targets.items()}, inputs=inputs)
