"""A TIFF with 16 bits a channel, which Pillow cuts to 8 -> its pixels."""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

BAND = 2**21  # pixels worked on at a time: what a temporary array may cost
MOST_CHANNELS = 8
_BITS, _PLANAR, _EXTRA = 258, 284, 338  # tags
_SEPARATE = 2


def is_deep_tiff(image: Image.Image) -> bool:
    """Whether a picture is a TIFF in colours of 16 bits a channel."""
    is_colour = isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode in ("RGB", "RGBA", "CMYK", "LA")
    return is_colour and max(image.tag_v2.get(_BITS, (8,))) == 16  # type: ignore[attr-defined]


def has_separate_planes(image: Image.Image) -> bool:
    """Whether its channels lie one after the other, which Pillow misreads where they have 16 bits."""
    return image.tag_v2.get(_PLANAR) == _SEPARATE  # type: ignore[attr-defined]


def deep_tiff(image: Image.Image, path: Path, orientation: int) -> np.ndarray:
    """The pixels as the file stores them, ``(H, W, C)`` of uint16.

    Args:
        image: the TIFF, not decoded.
        path: its file.
        orientation: of EXIF.

    Raises:
        OSError: they cannot be read, or Pillow reads others.
    """
    are_separate = has_separate_planes(image)
    pixels = _pixels(path, image.mode, *image.size, is_checked=not are_separate)
    is_premultiplied = 1 in image.tag_v2.get(_EXTRA, ())  # type: ignore[attr-defined]  # which Pillow undoes
    if not (are_separate or is_premultiplied):
        _require_same(turned(pixels, orientation), image)
    return pixels


def turned(stored: np.ndarray, orientation: int) -> np.ndarray:
    """A view of ``(H, W, ...)`` turned upright, by the orientation of EXIF.

    >>> turned(np.array([[1, 2], [3, 4]]), 6).tolist()
    [[3, 1], [4, 2]]
    """
    view = stored.swapaxes(0, 1) if orientation >= 5 else stored
    if orientation in (3, 4, 7, 8):
        view = view[::-1]
    return view[:, ::-1] if orientation in (2, 3, 6, 7) else view


def bands(pixels: np.ndarray) -> Iterator[slice]:
    """Some rows at a time."""
    rows = max(1, BAND // max(1, pixels.shape[1]))
    for first in range(0, pixels.shape[0], rows):
        yield slice(first, first + rows)


def of_opencv(source: Path | bytes) -> np.ndarray:
    """Colours of 16 bits, as OpenCV reads them; raises ``OSError``."""
    import cv2

    if isinstance(source, bytes):
        pixels = cv2.imdecode(np.frombuffer(source, np.uint8), cv2.IMREAD_UNCHANGED)
    else:
        pixels = cv2.imread(str(source), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise OSError("its 16-bit pixels cannot be read")
    for rows in bands(pixels):
        pixels[rows, :, :3] = pixels[rows, :, 2::-1].copy()
    return pixels


def _pixels(path: Path, colours: str, width: int, height: int, is_checked: bool) -> np.ndarray:
    """Colours of 16 bits, as tifffile reads them; where somebody checks them after that, as OpenCV does, too."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            if page.size > width * height * MOST_CHANNELS:
                raise ValueError("more numbers than its size says")
            pixels = page.asarray()
            if "S" in page.axes:
                pixels = np.moveaxis(pixels, page.axes.index("S"), -1)
    except MemoryError:
        raise
    except Exception as error:  # a compression that tifffile alone does not know, or damage
        if not is_checked:  # OpenCV gives out whatever was in memory where a file is cut off
            raise OSError("its 16-bit pixels cannot be read") from error
        pixels = of_opencv(_laid_flat(path.read_bytes()))
    channels = len(colours)
    if pixels.dtype != np.uint16 or pixels.ndim != 3 or pixels.shape[2] < channels:
        raise OSError("its 16-bit pixels cannot be read")
    return np.ascontiguousarray(pixels[..., :channels])


def _require_same(pixels: np.ndarray, image: Image.Image) -> None:
    """Raise an ``OSError`` unless Pillow decodes the same, in 8 bits: others fill in what is missing of a TIFF."""
    image.load()
    if pixels.shape[:2] != (image.height, image.width):
        raise OSError("its size is read in two ways: it is damaged")
    for rows in bands(pixels):
        own = np.asarray(image.crop((0, rows.start, image.width, min(rows.stop, image.height))))
        if (np.abs((pixels[rows] >> 8).astype(np.int16) - own) > 1).any():
            raise OSError("its pixels are read in two ways: it is damaged")


def _laid_flat(tiff: bytes) -> bytes:
    """The bytes of a TIFF with the orientation 1, which OpenCV cannot be told to leave alone."""
    order = "<" if tiff[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "L", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, first)
    for entry in range(first + 2, first + 2 + 12 * count, 12):
        if struct.unpack_from(order + "H", tiff, entry) == (274,):
            return tiff[: entry + 8] + struct.pack(order + "H", 1) + tiff[entry + 10 :]
    return tiff
