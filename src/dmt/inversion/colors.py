"""Edited pictures -> the same with the colours of their inputs."""

from torch import Tensor

SMALLEST = 1e-6  # spread of a channel below which it is flat


def with_colors_of(pictures: Tensor, reference: Tensor) -> Tensor:
    """Each channel of ``pictures (B, 3, H, W)`` with the mean and the standard deviation of its input's.

    An affine map per channel, clamped to [0, 1]; a flat channel gets the mean alone.
    """
    mean, wanted = pictures.mean(dim=(2, 3), keepdim=True), reference.mean(dim=(2, 3), keepdim=True)
    spread, wanted_spread = pictures.std(dim=(2, 3), keepdim=True), reference.std(dim=(2, 3), keepdim=True)
    scale = (wanted_spread / spread).where(spread > SMALLEST, 0)
    return (wanted + (pictures - mean) * scale).clamp(0, 1)
