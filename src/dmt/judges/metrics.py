"""How far two pictures are apart."""

import numpy as np
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from dmt.data.images import to_pixels

FACE = 0.52  # side of the central square in which LFW's faces lie, as a share of the picture's (ours)


def psnr(image: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of ``(3, H, W)`` in [0, 1], higher is closer, infinite if equal."""
    if bool((image == reference).all()):
        return float("inf")
    return float(peak_signal_noise_ratio(_float(reference), _float(image), data_range=1.0))


def ssim(image: Tensor, reference: Tensor) -> float:
    """Structural similarity (Wang et al., 2004) of ``(3, H, W)`` in [0, 1], mean over channels, 1 if equal.

    The window is 7 pixels wide, or as wide as a smaller picture allows.
    """
    window = min(7, image.shape[1] - (image.shape[1] + 1) % 2, image.shape[2] - (image.shape[2] + 1) % 2)
    return float(
        structural_similarity(_float(reference), _float(image), data_range=1.0, channel_axis=2, win_size=window)
    )


def mean_absolute_change(image: Tensor, reference: Tensor) -> float:
    """Mean absolute difference (L1) of the 8-bit pixels, 0 ... 255, lower is closer."""
    return float(_change(image, reference).mean())


def root_mean_square_change(image: Tensor, reference: Tensor) -> float:
    """Root of the mean squared difference (L2) of the 8-bit pixels, 0 ... 255, lower is closer.

    It is never below the mean absolute change, and as much above it as the change is concentrated on few pixels.
    """
    return float(mean_squared_error(to_pixels(image), to_pixels(reference)) ** 0.5)


def largest_change(image: Tensor, reference: Tensor) -> int:
    """Largest absolute difference (L-infinity) of the 8-bit pixels, in any channel, 0 ... 255, lower is closer."""
    return int(_change(image, reference).max())


def central_square(height: int, width: int, share: float = FACE) -> np.ndarray:
    """Which pixels lie in the middle, ``(height, width)`` of bool: a rectangle with a share of the picture's sides."""
    top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
    inside = np.zeros((height, width), dtype=bool)
    inside[top : height - top, left : width - left] = True
    return inside


def split_change(image: Tensor, reference: Tensor, center: float = FACE) -> tuple[float, float]:
    """Mean absolute difference of the 8-bit pixels within the central square and outside it, each 0 ... 255.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        reference: the same.
        center: side of the square as a share of the picture's; the default is where faces lie in LFW.
    """
    change = _change(image, reference).mean(axis=2)
    inside = central_square(change.shape[0], change.shape[1], center)
    return float(change[inside].mean()), float(change[~inside].mean())


def _change(image: Tensor, reference: Tensor) -> np.ndarray:
    """Absolute differences of the 8-bit pixels, ``(H, W, 3)``."""
    return np.abs(to_pixels(image).astype(int) - to_pixels(reference).astype(int))


def _float(image: Tensor) -> np.ndarray:
    return image.detach().cpu().permute(1, 2, 0).double().numpy()
