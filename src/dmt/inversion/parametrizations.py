"""What a solver moves -> pictures: their pixels, or the spectrum of their change."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dmt.errors import UserError, is_number
from dmt.ranges import Decay

# How natural images' colours vary together: the root of their covariance in ImageNet (Olah et al., Feature
# Visualization, Distill 2017), one row a channel
COLOUR_ROOT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


class Parametrization(Protocol):
    """How pictures ``(B, 3, H, W)`` in [0, 1] are written as numbers of the same shape, between two bounds."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which the numbers may lie."""

    def values(self, pictures: Tensor, reference: Tensor) -> Tensor:
        """The numbers of pictures, beside their inputs."""

    def pictures(self, values: Tensor, reference: Tensor) -> Tensor:
        """The pictures of numbers, beside their inputs; the inverse of ``values``."""


@dataclass(frozen=True)
class Pixels:
    """The pixels themselves, within [0, 1] (the paper, section 4)."""

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0

    def values(self, pictures: Tensor, reference: Tensor) -> Tensor:
        return pictures

    def pictures(self, values: Tensor, reference: Tensor) -> Tensor:
        return values


PIXELS = Pixels()


@dataclass(frozen=True)
class Spectrum:
    """The change as ``colours (F^-1 |f|^-decay F) u``, clamped to [0, 1]: steps in u are coarse before they are fine.

    As Olah et al. (2017) write pictures, but for the change of one, so that u = 0 is the input (ours). An orthonormal
    transform does not matter to L-BFGS: u is kept in pixels, and only the decay and the colours are left of theirs.

    Args:
        decay: of the amplitude with the frequency; 0 leaves the spectrum flat.
        decorrelate: whether u is in colours that vary independently in natural images.

    Raises:
        UserError: the decay is no finite number.
    """

    decay: Decay = 1.0
    decorrelate: bool = True

    def __post_init__(self) -> None:
        if not (is_number(self.decay) and math.isfinite(self.decay)):
            raise UserError(f"parametrization.decay must be a number, such as 1, got {self.decay}")

    @property
    def bounds(self) -> tuple[float, float]:
        return -math.inf, math.inf

    def values(self, pictures: Tensor, reference: Tensor) -> Tensor:
        colours = torch.linalg.inv(self._colours(pictures))
        return self._filtered(_mixed(pictures - reference, colours), -self.decay)

    def pictures(self, values: Tensor, reference: Tensor) -> Tensor:
        change = _mixed(self._filtered(values, self.decay), self._colours(values))
        return (reference + change).clamp(0, 1)

    def _colours(self, like: Tensor) -> Tensor:
        if not self.decorrelate:
            return torch.eye(3, dtype=like.dtype, device=like.device)
        root = like.new_tensor(COLOUR_ROOT)
        return root / root.norm(dim=0).max()

    def _filtered(self, values: Tensor, decay: float) -> Tensor:
        height, width = values.shape[-2:]
        rows = torch.fft.fftfreq(height, dtype=values.dtype, device=values.device)[:, None]
        columns = torch.fft.rfftfreq(width, dtype=values.dtype, device=values.device)
        frequencies = (rows.square() + columns.square()).sqrt().clamp_min(1 / max(height, width))
        gain = (frequencies / 0.5) ** -decay
        return torch.fft.irfft2(torch.fft.rfft2(values) * gain, s=(height, width))


def _mixed(pictures: Tensor, colours: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", colours, pictures)
