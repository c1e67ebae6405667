"""Image files of any kind -> square RGB tensors in [0, 1]."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from skimage.color import rgb2lab
from torch import Tensor

from dmt.errors import UserError


class ImageError(UserError):
    """An image file that does not decode."""


def read_image(path: Path, size: int) -> Tensor:
    """Read a file as ``(3, size, size)`` in [0, 1]: turned upright, RGB, the centre square, resized (Lanczos).

    Grey, palette, 16-bit and CMYK images become RGB; transparency is laid on white; the EXIF orientation is applied.
    Large JPEG files are decoded at a reduced size.

    Raises:
        ImageError: the file is missing, damaged, or no image.
    """
    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * size, 2 * size))
            return to_tensor(ImageOps.exif_transpose(image), size)
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such file") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} is too large to decode ({error}); scale it down first") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"{path} does not decode as an image ({error})") from error


def to_tensor(image: Image.Image, size: int) -> Tensor:
    """A Pillow image of any mode -> ``(3, size, size)`` in [0, 1]: RGB, the centre square, resized (Lanczos)."""
    square = ImageOps.fit(to_rgb(image), (size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square, dtype=np.float32) / 255).permute(2, 0, 1)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB; 16-bit grey and floats in [0, 1] are scaled to 8 bits, transparency laid on white."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        most = _white(image.mode, values.max(initial=0))
        image = Image.fromarray((values.clip(0, most) / most * 255).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return image.convert("RGB")


def _white(mode: str, largest: float) -> float:
    if mode.startswith("I;16") or largest > 255:
        return 65535.0
    return 1.0 if mode == "F" and largest <= 1 else 255.0


def to_pixels(image: Tensor) -> np.ndarray:
    """``(3, H, W)`` in [0, 1] -> ``(H, W, 3)`` of uint8, rounded."""
    return (image.detach().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def desaturated(image: Tensor) -> Tensor:
    """``(3, H, W)`` in [0, 1] -> the same picture in grey: every channel is the luma of ITU-R BT.601."""
    luma = image.new_tensor([0.299, 0.587, 0.114])
    return (luma[:, None, None] * image).sum(dim=0, keepdim=True).expand(3, -1, -1).clone()


def chroma(image: Tensor) -> float:
    """Mean distance from grey of ``(3, H, W)`` in [0, 1]: the length of (a, b) in CIE Lab, 0 for a grey picture."""
    lab = rgb2lab(image.permute(1, 2, 0).numpy())
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())
