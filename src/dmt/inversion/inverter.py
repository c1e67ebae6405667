"""Target activations -> pixels: bounded minimisation over images, batched, without I/O."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from dmt.errors import UserError, is_number, require_whole_number
from dmt.inversion.parametrizations import PIXELS, Parametrization, Pixels
from dmt.inversion.regularizers import HasCurvature, Regularizer, View, half_squared_distance, inner_product
from dmt.networks.extractor import FeatureExtractor
from dmt.networks.precision import NOISE, working_precision
from dmt.ranges import Count, Positive
from dmt.solvers import LBFGS, Diagonal, Progress, Solution

MAIN_TERM = "reconstruction"
DEED = "displacement"
MOST_TIMES = 50.0  # as far as wished is what is asked for at the most (ours: beyond it pictures break)
IN_CACHE = (
    8  # images whose low layers a processor passes over at a good rate (ours, measured: 16 take 7 to 15 % longer)
)


@dataclass(frozen=True)
class Inversion:
    """Pictures whose activations come close to the targets.

    Args:
        images: ``(B, 3, H, W)`` in [0, 1].
        terms: name -> ``(B,)``: the parts of the objective at the end; ``reconstruction`` is the main one.
        solution: what the solver says, all rounds together.
        realised: ``(B,)``, the share of the wished displacement that the pictures' own features have moved; NaN where
            nothing was wished, or nobody said along what.
        multiplier: ``(B,)``, how many times as far the wish would have had to go for that; 1 without ``Realise``.
        precision: which the network worked in while pixels were sought: ``float32`` or ``bfloat16``.
        activations: ``{layer: (B, C, h, w)}`` of the pictures, of the extractor's layers; empty: nobody has read them.
    """

    images: Tensor
    terms: Mapping[str, Tensor]
    solution: Solution
    realised: Tensor
    multiplier: Tensor
    precision: str = "float32"
    activations: Mapping[str, Tensor] = field(default_factory=dict)

    def part(self, rows: slice) -> Self:
        """Those of some of the pictures."""
        terms = {name: value[rows] for name, value in self.terms.items()}
        found = self.solution.part(rows)
        return type(self)(self.images[rows], terms, found, self.realised[rows], self.multiplier[rows], self.precision)

    @classmethod
    def at_rest(cls, images: Tensor, terms: Mapping[str, Tensor], solution: Solution) -> Self:
        """Pictures that no displacement was inverted for."""
        unknown = torch.full((len(images),), torch.nan)
        return cls(images, terms, solution, unknown, torch.ones(len(images)))


@dataclass(frozen=True)
class Realise:
    """Have the finished picture itself move as far as was wished: lambda is a deed, not a wish (ours).

    Regularizers let a part of the wished displacement through, each another part. With ``p(x)`` the share of it that
    the picture's own features have moved, the inversion is subject to ``p(x) = 1``, by an augmented Lagrangian
    (Nocedal and Wright, section 17.3) whose scale is the main term's: ``s (stiffness / 2 (p - 1)^2 - m (p - 1))``,
    where s is the squared length of the wish and m the multiplier. m + 1 is how many times as far the wish would have
    had to go without this; where an inversion fell short, the next one begins at its picture with the m that is right
    if pictures follow the wish in proportion.

    Args:
        tolerance: how far from 1 the share may be.
        stiffness: of the penalty.
        multiplier: m of the first inversion. Near what it comes to, one inversion is enough, and the penalty need not
            be stiff, so that it takes no more evaluations than without.
        rounds: the most inversions, the first one included; what has not arrived then is said to have not.

    Raises:
        UserError: a number out of range.
    """

    tolerance: Positive = 0.05
    stiffness: Positive = 10.0
    multiplier: float = 3.0
    rounds: Count = 4

    def __post_init__(self) -> None:
        for name in ("tolerance", "stiffness"):
            value = getattr(self, name)
            if not (is_number(value) and 0 < value < math.inf):
                raise UserError(f"realise.{name} must be a number above 0, got {value!r}")
        if not (is_number(self.multiplier) and math.isfinite(self.multiplier)):
            raise UserError(f"realise.multiplier must be a number, got {self.multiplier!r}")
        require_whole_number("realise.rounds", self.rounds, "a whole number above 0", least=1)


class OnProgress(Protocol):
    """Told about inversions."""

    def begin(self, n_images: int) -> None:
        """So many images are about to be inverted, in batches."""

    def again(self, n_images: int) -> None:
        """So many images of the last batch are inverted once more, to come as far as was wished."""

    def walked(self, before: float, after: float) -> None:
        """The points of the next batch have been moved; the mean witness of its things before and after."""

    def briefly(self) -> "OnProgress | None":
        """Who is to be told of inversions that are many and short each; ``None``: nobody."""

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
        realise: how the whole of a wished displacement is reached; ``None``: what the regularizers let through (the
            paper).

    Raises:
        UserError: a regularizer has the name of the main term, or an unknown precision.
    """

    regularizers: Mapping[str, Regularizer] = field(default_factory=dict)
    solver: LBFGS = field(default_factory=lambda: LBFGS(150, tolerance=0.01))
    precision: str = "auto"
    parametrization: Parametrization = PIXELS
    on_progress: OnProgress | None = None
    realise: Realise | None = None

    def __post_init__(self) -> None:
        for name in {MAIN_TERM, DEED} & set(self.regularizers):
            raise UserError(f"a regularizer must not be called {name!r}: that is a term of the inversion itself")
        working_precision(self.precision, torch.device("cpu"))

    @property
    def layers(self) -> list[str]:
        """The layers that the regularizers read."""
        return list(dict.fromkeys(layer for penalty in self.regularizers.values() for layer in penalty.layers))

    def __call__(
        self,
        extractor: FeatureExtractor,
        targets: Mapping[str, Tensor],
        images: Tensor,
        start: Tensor | None = None,
        along: Mapping[str, Tensor] | None = None,
    ) -> Inversion:
        """The pictures whose activations come close to the targets.

        Args:
            extractor: Omega.
            targets: ``{layer: (B, C, h, w)}`` for the extractor's layers.
            images: ``(B, 3, H, W)`` in [0, 1]: the inputs, which are the regularizers' reference.
            start: ``(B, 3, H, W)`` in [0, 1]; the inputs by default.
            along: ``{layer: (B, C, h, w)}``: the share of the wish that a picture has realised is the scalar product of
                this and the change of its activations; zeros for a picture that shall stay as it is.
        """
        precision = working_precision(self.precision, images.device)
        layers = list(dict.fromkeys([*extractor.layers, *self.layers]))
        with torch.no_grad():
            inputs = View(images, extractor.activations(images, layers))
            wish = None if along is None else _Wish.of(along, targets, inputs.activations, self.realise)
            exact = _Problem(extractor, targets, inputs, self.regularizers, wish)
            if wish is not None and self.realise is not None:
                exact = exact.with_multiplier(torch.full_like(wish.aim, self.realise.multiplier))
            problem = exact if precision == torch.float32 else exact.in_precision(precision)
        first = self.parametrization.values(images if start is None else start, images)
        return self._rounds(exact, problem, first)

    def _rounds(self, exact: "_Problem", problem: "_Problem", first: Tensor) -> Inversion:
        """Invert from ``first (B, 3, H, W)``; what misses its wish goes on from there with another multiplier."""
        images = exact.inputs.images
        solution = self._solved(problem, first)
        values = solution.value.reshape(images.shape)
        realise = self.realise if exact.wish is not None else None
        multiplier = images.new_full((len(images),), 0.0 if realise is None else realise.multiplier)
        for _ in range(realise.rounds - 1 if realise is not None else 0):
            assert realise is not None
            assert exact.wish is not None
            share = exact.realised(self.parametrization.pictures(values, images))
            short = ((share - 1).abs() > realise.tolerance) & exact.wish.is_wished
            if not short.any():
                break
            at_work = 1 + multiplier + realise.stiffness * (1 - share)  # what the last inversion amounted to
            multiplier[short] = (at_work / share.clamp_min(1 / MOST_TIMES)).clamp_max(MOST_TIMES)[short] - 1
            part = short.nonzero()[:, 0]
            if self.on_progress is not None:
                self.on_progress.again(len(part))
            again = self._solved(problem.of(part).with_multiplier(multiplier[part]), values[part])
            values[part] = again.value.reshape(-1, *images.shape[1:])
            solution = solution.gone_on(part, again)
        results = self.parametrization.pictures(values, images)
        terms, share, activations = exact.outcome(results)
        found = torch.stack(list(terms.values())).sum(dim=0)
        if realise is not None:
            multiplier += realise.stiffness * (1 - share).nan_to_num()
        solution = replace(solution, value=results.flatten(1), objective=found)
        precision = str(problem.precision).removeprefix("torch.")
        return Inversion(results, terms, solution, share, multiplier + 1, precision, activations)

    def _solved(self, problem: "_Problem", first: Tensor) -> Solution:
        images = problem.inputs.images

        def part_of_objective(flat: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                moved = flat.detach().reshape(-1, *images.shape[1:]).requires_grad_()
                x = self.parametrization.pictures(moved, images[rows])
                values = torch.stack(list(problem.terms(x, rows))).sum(dim=0)
                (gradient,) = torch.autograd.grad(values.sum(), moved)
            return values.detach(), gradient.flatten(1)

        def objective(flat: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            size = images_at_once(len(rows), images.device)
            parts = [part_of_objective(*part) for part in zip(flat.split(size), rows.split(size), strict=True)]
            values, gradients = zip(*parts, strict=True)
            return torch.cat(values), torch.cat(gradients)

        moves_pixels = isinstance(self.parametrization, Pixels)
        return self.solver.minimise(
            objective,
            first.flatten(1),
            *self.parametrization.bounds,
            callback=self.on_progress,
            noise=NOISE[problem.precision],
            known_curvature=_pixel_curvature(self.regularizers, images) if moves_pixels else None,
        )


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
class _Wish:
    """What share of the wish a picture has realised, and what a lack of it costs.

    Args:
        along: see ``Inverter``.
        lengths: ``(B,)``, the squared lengths of the wishes.
        stiffness: of the penalty; 0: there is none.
        aim: ``(B,)``, the share at which the penalty is 0: 1 and what the multiplier adds to it.
    """

    along: Mapping[str, Tensor]
    lengths: Tensor
    stiffness: float
    aim: Tensor

    @classmethod
    def of(
        cls,
        along: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        before: Mapping[str, Tensor],
        realise: Realise | None,
    ) -> Self:
        distances = [2 * half_squared_distance(targets[layer], before[layer]) for layer in along]
        lengths = sum(distances[1:], distances[0])
        is_wished = torch.stack([value.flatten(1).any(dim=1) for value in along.values()]).any(dim=0)
        lengths = lengths * is_wished
        return cls(along, lengths, 0.0 if realise is None else realise.stiffness, torch.ones_like(lengths))

    @property
    def is_wished(self) -> Tensor:
        """Which pictures shall change at all, ``(B,)`` of bool."""
        return self.lengths > 0

    def penalty(self, share: Tensor) -> Tensor:
        return self.stiffness / 2 * self.lengths * (share - self.aim).square()

    def of_rows(self, place: slice | Tensor) -> "_Wish":
        along = {layer: value[place] for layer, value in self.along.items()}
        return replace(self, along=along, lengths=self.lengths[place], aim=self.aim[place])


@dataclass(frozen=True)
class _Problem:
    """What is minimised, with the network in one precision; ``inputs`` are the regularizers' reference."""

    extractor: FeatureExtractor
    targets: Mapping[str, Tensor]
    inputs: View
    regularizers: Mapping[str, Regularizer]
    wish: _Wish | None = None
    precision: torch.dtype = torch.float32

    def in_precision(self, precision: torch.dtype) -> "_Problem":
        exact = self.inputs.activations
        found = self.extractor.activations(self.inputs.images, list(exact), precision)
        targets = {
            layer: (found[layer] + (target - exact[layer])).to(found[layer]) for layer, target in self.targets.items()
        }
        return replace(self, targets=targets, inputs=View(self.inputs.images, found), precision=precision)

    def with_multiplier(self, multiplier: Tensor) -> "_Problem":
        assert self.wish is not None
        return replace(self, wish=replace(self.wish, aim=1 + multiplier / self.wish.stiffness))

    def terms(self, x: Tensor, rows: Tensor) -> list[Tensor]:
        """The parts of the objective ``(b,)`` at pictures ``x (b, 3, H, W)`` of the inputs ``rows (b,)``."""
        chosen = self if len(rows) == len(self.inputs.images) else self.of(rows)
        view = self._seen(x)
        found = list(chosen._named_terms(view).values())
        if chosen.wish is not None and chosen.wish.stiffness:
            found.append(chosen.wish.penalty(chosen._share(view.activations)))
        return found

    @torch.no_grad()
    def outcome(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """What finished pictures ``x (B, 3, H, W)`` are, by one pass through the network.

        Returns:
            The parts of the objective but for ``displacement``, ``(B,)`` each; the share of the wish that is realised,
            ``(B,)``; and the activations of the extractor's layers, ``{layer: (B, C, h, w)}``.
        """
        terms, shares, activations = [], [], []
        for rows in torch.arange(len(x), device=x.device).split(images_at_once(len(x), x.device)):
            part, view = self.of(rows), self._seen(x[rows])
            terms.append(part._named_terms(view))
            shares.append(part._realised(view.activations))
            activations.append({layer: view.activations[layer] for layer in self.extractor.layers})
        return _joined(terms), torch.cat(shares), _joined(activations)

    def _seen(self, x: Tensor) -> View:
        return View(x, self.extractor.activations(x, list(self.inputs.activations), self.precision))

    def _named_terms(self, view: View) -> dict[str, Tensor]:
        distances = [half_squared_distance(view.activations[layer], target) for layer, target in self.targets.items()]
        penalties = {name: penalty(view, self.inputs) for name, penalty in self.regularizers.items()}
        return {MAIN_TERM: sum(distances[1:], distances[0]), **penalties}

    @torch.no_grad()
    def realised(self, x: Tensor) -> Tensor:
        """The share of the wish ``(B,)`` that pictures ``x (B, 3, H, W)`` have realised; NaN where there is none."""
        assert self.wish is not None
        parts = []
        for rows in torch.arange(len(x), device=x.device).split(images_at_once(len(x), x.device)):
            found = self.extractor.activations(x[rows], list(self.wish.along), self.precision)
            parts.append(self.of(rows)._realised(found))
        return torch.cat(parts)

    def _realised(self, activations: Mapping[str, Tensor]) -> Tensor:
        if self.wish is None:
            return torch.full((len(self.inputs.images),), torch.nan, device=self.inputs.images.device)
        return self._share(activations).where(self.wish.is_wished, torch.nan)

    def _share(self, activations: Mapping[str, Tensor]) -> Tensor:
        assert self.wish is not None
        moved = [
            inner_product(activations[layer], self.inputs.activations[layer], along)
            for layer, along in self.wish.along.items()
        ]
        return sum(moved[1:], moved[0])

    def of(self, rows: Tensor) -> "_Problem":
        """The problem of some ascending rows; where they are consecutive nothing is copied."""
        first, last = int(rows[0]), int(rows[-1])
        place = slice(first, last + 1) if last - first + 1 == len(rows) else rows
        inputs = View(
            self.inputs.images[place], {name: value[place] for name, value in self.inputs.activations.items()}
        )
        targets = {layer: target[place] for layer, target in self.targets.items()}
        wish = None if self.wish is None else self.wish.of_rows(place)
        return replace(self, targets=targets, inputs=inputs, wish=wish)


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors by name, of several batches."""
    return parts[0] if len(parts) == 1 else {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
