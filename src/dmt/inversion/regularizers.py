"""What a reconstruction pays besides its distance from the target features: one number per image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from dmt.errors import UserError, is_number
from dmt.ranges import Exponent, NotNegative, Positive


@dataclass(frozen=True)
class View:
    """An image batch with the activations that were computed from it.

    Args:
        images: ``(B, 3, H, W)`` in [0, 1].
        activations: ``{layer: (B, C, h, w)}``, normalised.
    """

    images: Tensor
    activations: Mapping[str, Tensor]


class Regularizer(Protocol):
    """A penalty on a picture, given the input it was made from."""

    layers: Sequence[str]
    """The layers whose activations the penalty reads."""

    def __call__(self, view: View, reference: View) -> Tensor:
        """The weighted penalty ``(B,)`` of a picture against its input."""


@runtime_checkable
class HasCurvature(Protocol):
    """A penalty that knows how it bends, which spares the solver finding out."""

    def curvature(self, images: Tensor, reference: Tensor) -> Tensor:
        """An estimate of the diagonal of its Hessian with respect to ``images (B, 3, H, W)``, 0 or more; same shape."""


@dataclass(frozen=True)
class FeatureDistance:
    """``weight / 2 * sum_l ||a_l(x) - a_l(x_s)||^2``: keeps the low layers of the input (R_12 in the paper, section 4).

    Args:
        weight: the paper prints 0.02; its code divides each group's loss by its number of layers, so that 0.03
            relative to the main term is what it used.
        layers: the layers compared.
    """

    weight: NotNegative = 0.02
    layers: Sequence[str] = ("conv1_1", "conv2_1")

    def __call__(self, view: View, reference: View) -> Tensor:
        distances = [
            half_squared_distance(view.activations[layer], reference.activations[layer]) for layer in self.layers
        ]
        return self.weight * sum(distances[1:], distances[0])


@dataclass(frozen=True)
class TotalVariation:
    """``weight * sum_ij (dx_ij^2 + dy_ij^2)^(exponent / 2)`` over pixels in [0, 1] (Mahendran and Vedaldi, CVPR 2015).

    Args:
        weight: for pixels in [0, 1]. The paper's 0.001 is for pixels in [0, 255]: at exponent 2 that is 65.
        exponent: beta; 2 in the paper.
        of: ``image`` (the paper) or ``change``, that is ``x - x_s``. The change is ours: it still forbids the spikes
            that max pooling makes, and an unchanged image costs nothing, so that no detail of the input is blurred.
        epsilon: added under a root of exponent below 2, whose gradient would be NaN on flat areas.
        layers: none are read.

    Raises:
        UserError: unknown ``of``.
    """

    weight: NotNegative = 40.0
    exponent: Exponent = 2.0
    of: Literal["change", "image"] = "change"
    epsilon: Positive = 1e-8
    layers: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.of not in ("image", "change"):
            raise UserError(f"total variation is of the image or of the change, got {self.of!r}")

    def __call__(self, view: View, reference: View) -> Tensor:
        images = view.images - reference.images if self.of == "change" else view.images
        return self.weight * total_variation(images, self.exponent, self.epsilon)


@dataclass(frozen=True)
class Sparsity:
    """``weight * sum_p (sqrt(||x_p - x_s,p||^2 + epsilon^2) - epsilon)`` over pixels p: most pixels stay as they are.

    Ours: the length of each pixel's change in colour, not its square (a group lasso), so that a faint change of the
    whole picture costs more than a strong change of the part that matters.

    Args:
        weight: for pixels in [0, 1].
        epsilon: the change below which the penalty is round, above 0.
        layers: none are read.

    Raises:
        UserError: ``epsilon`` is not above 0.
    """

    weight: NotNegative = 1.0
    epsilon: Positive = 2e-3
    layers: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not (is_number(self.epsilon) and self.epsilon > 0):
            raise UserError(f"the epsilon of a sparsity must be above 0, such as 0.002, got {self.epsilon}")

    def __call__(self, view: View, reference: View) -> Tensor:
        return self.weight * (self._lengths(view.images - reference.images) - self.epsilon).sum(dim=(1, 2, 3))

    def curvature(self, images: Tensor, reference: Tensor) -> Tensor:
        """``weight / sqrt(||x_p - x_s,p||^2 + epsilon^2)``: across the change's direction; along it there is less."""
        return (self.weight / self._lengths(images - reference)).expand_as(images)

    def _lengths(self, change: Tensor) -> Tensor:
        return (change.square().sum(dim=1, keepdim=True) + self.epsilon**2).sqrt()


def half_squared_distance(first: Tensor, second: Tensor) -> Tensor:
    """``1/2 ||first - second||^2`` per image, ``(B, C, h, w) -> (B,)``; sums over places are in float32 at least.

    Only ``first`` gets a gradient. Fast where both have one type and one layout in memory.
    """
    return _HalfSquaredDistance.apply(first, second)


class _HalfSquaredDistance(torch.autograd.Function):
    """The difference is kept for the gradient, so that activations are passed over three times in all, not nine."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        difference = first - second
        ctx.save_for_backward(difference)
        ctx.kind = first.dtype
        lengths = torch.linalg.vector_norm(difference, dim=1).flatten(1)
        return lengths.to(torch.promote_types(lengths.dtype, torch.float32)).square().sum(dim=1) / 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        shape = [-1] + [1] * (difference.ndim - 1)
        return (difference * gradients[0].reshape(shape).to(difference.dtype)).to(ctx.kind), None


def inner_product(first: Tensor, second: Tensor, along: Tensor) -> Tensor:
    """``<first - second, along>`` per image, ``(B, C, h, w) -> (B,)``, summed in float32 at least.

    Only ``first`` gets a gradient.
    """
    return _InnerProduct.apply(first, second, along)


class _InnerProduct(torch.autograd.Function):
    """Nothing but ``along`` is kept for the gradient."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, along: Tensor) -> Tensor:
        ctx.save_for_backward(along)
        ctx.kind = first.dtype
        products = ((first - second) * along).sum(dim=1)
        return products.to(torch.promote_types(products.dtype, torch.float32)).flatten(1).sum(dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (along,) = ctx.saved_tensors
        shape = [-1] + [1] * (along.ndim - 1)
        return (along * gradients[0].reshape(shape)).to(ctx.kind), None, None


def total_variation(images: Tensor, exponent: float = 2.0, epsilon: float = 0.0) -> Tensor:
    """``sum (dx^2 + dy^2)^(exponent / 2)`` per image, ``(B, C, H, W) -> (B,)``; differences past the border are 0.

    >>> import torch
    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]))
    tensor([2.])
    """
    if exponent == 2:
        rows = images.diff(dim=2).square().sum(dim=(1, 2, 3))
        return rows + images.diff(dim=3).square().sum(dim=(1, 2, 3))
    squares = images.new_zeros(images.shape)
    squares[:, :, :-1] = images.diff(dim=2).square()
    squares[:, :, :, :-1] = squares[:, :, :, :-1] + images.diff(dim=3).square()
    return ((squares + epsilon).pow(exponent / 2) - epsilon ** (exponent / 2)).sum(dim=(1, 2, 3))
