"""Image files of any kind -> square RGB tensors in [0, 1]."""

import io
import warnings
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import EpsImagePlugin, Image, ImageFile, ImageOps
from skimage.color import rgb2lab
from torch import Tensor

from dmt.errors import UserError

HEIF_SUFFIXES = (".heic", ".heif", ".hif")
NO_PICTURES = {"MPEG"}  # formats that Pillow tells by their first bytes and does not decode, beside its stubs


class ImageError(UserError):
    """An image file that does not decode."""


class UnreadableError(UserError):
    """An image file whose bytes cannot be had: nothing is known of the picture, so that the run ends."""


def content_of(path: Path) -> bytes:
    """The bytes of a picture's file.

    Raises:
        UnreadableError: they cannot be read, for now or for ever: no right to, no such file, an error of the drive.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableError(f"{path}: there is no such file") from error
    except OSError as error:
        remedy = "see to it that it can be read, or remove it, and run again; what was finished is kept"
        raise UnreadableError(f"{path} could not be read ({error.strerror or error}); {remedy}") from error


def read_image(path: Path, size: int) -> Tensor:
    """Read a file as ``(3, size, size)`` in [0, 1]: turned upright, RGB, the centre square, resized (Lanczos).

    Grey, palette, 16-bit and CMYK images become RGB; transparency is laid on white; the EXIF orientation is applied.
    Large JPEG files are decoded at a reduced size.

    Raises:
        ImageError: the file is damaged, or no image.
        UnreadableError: it is missing or cannot be read.
    """
    path = Path(path)
    require_regular_file(path)
    file = io.BytesIO(content_of(path))
    try:
        require_decoder(file, path)
        with Image.open(file) as image:
            image.draft("RGB", (2 * size, 2 * size))
            return to_tensor(ImageOps.exif_transpose(image), size)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} is too large to decode ({error}); scale it down first") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"{path} does not decode as an image ({error})") from error


def is_picture_name(name: str) -> bool:
    """Whether a file's suffix, in whatever case, is of a format that can be read here.

    >>> is_picture_name("a.JPG"), is_picture_name("a.txt"), is_picture_name("a.mpg")
    (True, False, False)
    """
    return Path(name).suffix.lower() in readable_suffixes()


def opens(path: Path) -> bool:
    """Whether a file begins as a picture does; its pixels are not decoded."""
    try:
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            require_decoder(file, path)
            with Image.open(file):
                return True
    except Image.DecompressionBombError:
        return True
    except (OSError, SyntaxError, ValueError, EOFError, ImageError):
        return False


def shorter_side(path: Path) -> int | None:
    """The shorter side of a picture in pixels, as its file says; ``None`` if it does not begin as a picture does."""
    try:
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            require_decoder(file, path)
            with Image.open(file) as image:
                return min(image.size)
    except (OSError, SyntaxError, ValueError, EOFError, ImageError, Image.DecompressionBombError):
        return None


@cache
def readable_suffixes() -> frozenset[str]:
    """The suffixes of all formats that Pillow decodes here, in lower case; HEIC where ``pillow-heif`` is installed."""
    _register_heif()
    suffixes = Image.registered_extensions()
    return frozenset(suffix.lower() for suffix, format in suffixes.items() if _decodes(format))


def _decodes(format: str) -> bool:
    if format == "EPS":
        return bool(EpsImagePlugin.has_ghostscript())
    if format == "MPO":  # a JPEG of several pictures
        return True
    if format not in Image.OPEN or format in NO_PICTURES:
        return False
    opener = Image.OPEN[format][0]
    return not (isinstance(opener, type) and issubclass(opener, ImageFile.StubImageFile))


def require_regular_file(path: Path) -> None:
    """Raise an ``ImageError`` for a folder, and for a pipe or a device, whose end would never come."""
    try:
        is_special = path.exists() and not path.is_file()
    except OSError:  # whoever opens it says what is wrong
        return
    if is_special:
        raise ImageError(f"{path} is no regular file; name the file of a picture")


def require_decoder(file: IO[bytes], path: Path) -> None:
    """Raise an ``ImageError`` for HEIC where ``pillow-heif`` is missing; the file is left at its beginning."""
    head = file.read(12)
    file.seek(0)
    if head[4:8] != b"ftyp" or head[8:12] in (b"avif", b"avis"):
        return
    if not _register_heif():
        raise ImageError(f"{path}: reading HEIC needs pillow-heif: pip install 'dmt[heic]'")


def _register_heif() -> bool:
    """Teach Pillow HEIC; whether ``pillow-heif`` is there."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


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
