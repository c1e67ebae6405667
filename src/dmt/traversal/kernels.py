"""Kernels between rows of points: (n, K) and (m, K) -> (n, m), with the bandwidth as a rule or a number."""

import math
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from scipy.optimize import brentq
from torch import Tensor

from dmt.errors import UserError, is_number
from dmt.ranges import Bandwidth, Count, NotNegative, Positive

CACHED = 2**16  # kernel values that a processor's cache holds, with those beside them (ours)


class CentredPoints:
    """Points ``(m, K)`` to which distances are taken, centred so that a common mean costs the distances no digits.

    Args:
        points: ``(m, K)``.
    """

    def __init__(self, points: Tensor):
        self.center = points.mean(dim=0)
        self.offsets = points - self.center
        self._squares = self.offsets.square().sum(dim=1)

    def squared_distances(self, x: Tensor) -> Tensor:
        """``||x_i - point_j||^2`` as ``(n, m)`` for rows ``x (n, K)``."""
        x = x - self.center
        squares = torch.addmm(self._squares, x, self.offsets.T, alpha=-2) + x.square().sum(dim=1, keepdim=True)
        return squares.clamp_min(0)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """``||x_i - y_j||^2`` as ``(n, m)`` for rows ``x (n, K)`` and ``y (m, K)``."""
    return CentredPoints(y).squared_distances(x)


class Expansion:
    """``f(z) = sum_i weight_i k(z, point_i)``, a function of the kernel's space, with its gradient.

    Args:
        kernel: with its bandwidth as a number.
        points: ``(n, K)``.
        weights: ``(n,)``.
    """

    def __init__(self, kernel: "Kernel", points: Tensor, weights: Tensor):
        self.kernel = kernel
        self.points = points
        self.weights = weights

    def __call__(self, z: Tensor) -> Tensor:
        """Values ``(B,)`` at ``z (B, K)``."""
        return self.kernel(z, self.points) @ self.weights

    def with_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``(B,)`` and gradients ``(B, K)`` at ``z (B, K)``."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            values = self(z)
            (gradients,) = torch.autograd.grad(values.sum(), z)
        return values.detach(), gradients


class RadialExpansion(Expansion):
    """The same for a radial kernel: two products with the points, which are centred once for all."""

    kernel: "RadialKernel"

    def __init__(self, kernel: "RadialKernel", points: Tensor, weights: Tensor):
        super().__init__(kernel, points, weights)
        self._centred = CentredPoints(points)

    def __call__(self, z: Tensor) -> Tensor:
        return self.kernel.profile(self._centred.squared_distances(z)) @ self.weights

    @torch.no_grad()
    def with_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Expansion``; the gradient is ``2 sum_i weight_i profile'(||z - point_i||^2) (z - point_i)``."""
        # Ours: on the processor so few rows at a time that their kernel values stay in its cache, which halves the time
        at_once = max(1, CACHED // max(1, len(self.points))) if z.device.type == "cpu" else max(1, len(z))
        parts = [self._of_few(part) for part in z.split(at_once)]
        return torch.cat([values for values, _ in parts]), torch.cat([gradients for _, gradients in parts])

    def _of_few(self, z: Tensor) -> tuple[Tensor, Tensor]:
        values, slopes = self.kernel.profile_and_slope(self._centred.squared_distances(z))
        pulls = slopes.mul_(self.weights)
        offset = z - self._centred.center
        gradients = 2 * (pulls.sum(dim=1, keepdim=True) * offset - pulls @ self._centred.offsets)
        return values @ self.weights, gradients


@dataclass(frozen=True)
class Kernel:
    """A positive semidefinite kernel with one length scale sigma.

    Args:
        bandwidth: sigma^2 as a number, or a rule: ``mean`` (the mean kernel value over pairs of points is 0.5, as
            in the authors' code; the paper names none), or ``median`` (2 sigma^2 is the median squared distance).
    """

    bandwidth: Bandwidth = "mean"

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Kernel values ``(n, m)`` of rows ``x (n, K)`` and ``y (m, K)``."""
        raise NotImplementedError

    def expansion(self, points: Tensor, weights: Tensor) -> Expansion:
        """``sum_i weights_i k(z, points_i)`` as a function of z; ``points (n, K)``, ``weights (n,)``."""
        return Expansion(self, points, weights)

    @property
    def sigma2(self) -> float:
        """sigma^2; only after ``fit`` where the bandwidth is a rule."""
        assert not isinstance(self.bandwidth, str), "fit the kernel first"
        return self.bandwidth

    def lambda_weight(self, lam: Tensor) -> Tensor:
        """Lambda ``(B,)`` in ``witness + lambda ||delta||^2`` from the dimensionless ``lam`` = 2 sigma^2 lambda."""
        return lam / (2 * self.sigma2)

    def fit(self, points: Tensor, most: int = 1000) -> Self:
        """The same kernel with its bandwidth as a number, by its rule.

        Args:
            points: ``(n, K)``; source and target together.
            most: a rule looks at no more than this many of them, evenly spaced.

        Raises:
            UserError: an unknown rule, a bandwidth that is not a positive number, or points that are all alike.
        """
        if not isinstance(self.bandwidth, str):
            if not (is_number(self.bandwidth) and 0 < self.bandwidth < math.inf):
                raise UserError(f"kernel.bandwidth must be a positive number, got {self.bandwidth}")
            return self
        if self.bandwidth not in ("mean", "median"):
            raise UserError(f"kernel.bandwidth must be mean, median or a number, got {self.bandwidth!r}")
        points = points[torch.linspace(0, len(points) - 1, min(most, len(points))).long()]
        first, second = torch.triu_indices(len(points), len(points), offset=1)
        distances = squared_distances(points, points)[first, second]
        median = distances.median().item()
        if not median > 0:
            raise UserError("the points are all alike, so that no bandwidth can be chosen; set kernel.bandwidth")
        return replace(self, bandwidth=median / 2 if self.bandwidth == "median" else self._mean_rule(distances))

    def _mean_rule(self, squared: Tensor) -> float:
        raise NotImplementedError


class RadialKernel(Kernel):
    """A kernel that depends on the Euclidean distance of two points alone."""

    def profile(self, squared: Tensor) -> Tensor:
        """Kernel values at squared distances."""
        raise NotImplementedError

    def profile_and_slope(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """``profile`` and its derivative at ``squared``."""
        raise NotImplementedError

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return self.profile(squared_distances(x, y))

    def expansion(self, points: Tensor, weights: Tensor) -> Expansion:
        return RadialExpansion(self, points, weights)

    def _mean_rule(self, squared: Tensor) -> float:
        def mean_value(log_bandwidth: float) -> float:
            return float(replace(self, bandwidth=math.exp(log_bandwidth)).profile(squared).mean()) - 0.5

        scale = math.log(squared.mean().item())
        try:
            return math.exp(brentq(mean_value, scale - 20, scale + 20, xtol=1e-9))
        except ValueError as error:
            raise UserError(f"no bandwidth gives {self} a mean value of 0.5; set kernel.bandwidth=median") from error


@dataclass(frozen=True)
class RBF(RadialKernel):
    """``exp(-||x - y||^2 / (2 sigma^2))``, the kernel of the paper's authors' code; the paper names none."""

    def profile(self, squared: Tensor) -> Tensor:
        return torch.exp(-squared / (2 * self.sigma2))

    def profile_and_slope(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        values = self.profile(squared)
        return values, values / (-2 * self.sigma2)


@dataclass(frozen=True)
class Laplacian(RadialKernel):
    """``exp(-||x - y|| / sigma)`` with the Euclidean distance, so that sigma means what it means for RBF."""

    def profile(self, squared: Tensor) -> Tensor:
        return torch.exp(self._distances(squared) / -(self.sigma2**0.5))

    def profile_and_slope(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        distances = self._distances(squared)
        values = torch.exp(distances / -(self.sigma2**0.5))
        return values, values / distances.mul_(-2 * self.sigma2**0.5)

    def _distances(self, squared: Tensor) -> Tensor:
        return (squared + 1e-12 * self.sigma2).sqrt()  # differentiable at 0


@dataclass(frozen=True)
class RationalQuadratic(RadialKernel):
    """``(1 + ||x - y||^2 / (2 alpha sigma^2))^-alpha``: RBF kernels of many bandwidths added up."""

    alpha: Positive = 1.0

    def profile(self, squared: Tensor) -> Tensor:
        return (1 + squared / (2 * self.alpha * self.sigma2)) ** -self.alpha

    def profile_and_slope(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        values = self.profile(squared)
        return values, -values / (2 * self.sigma2 + squared / self.alpha)


@dataclass(frozen=True)
class Polynomial(Kernel):
    """``(<x, y> / (2 sigma^2) + offset)^degree``.

    A dot product has no distance at which it falls to a half, so that both rules are ``median``. From degree 3 on the
    witness falls without bound, faster than any budget: the solver then says that it did not converge.
    """

    degree: Count = 2
    offset: NotNegative = 1.0

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / (2 * self.sigma2) + self.offset) ** self.degree

    def _mean_rule(self, squared: Tensor) -> float:
        return squared.median().item() / 2


@dataclass(frozen=True)
class Linear(Polynomial):
    """``<x, y> / (2 sigma^2)``: traversal becomes Deep Feature Interpolation (Upchurch et al., CVPR 2017)."""

    degree: int = field(default=1, init=False)
    offset: float = field(default=0.0, init=False)
