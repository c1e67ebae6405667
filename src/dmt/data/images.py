"""Image files of any kind -> square RGB tensors in [0, 1]."""

import io
import itertools
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps
from skimage.color import rgb2lab
from torch import Tensor

from dmt.data.deep_tiff import BAND, deep_tiff, has_separate_planes, is_deep_tiff, turned
from dmt.data.depth import MOST_LOOKED_AT, in_range, white_of
from dmt.errors import UserError
from dmt.storage.limits import limits, require_file_size

HEIF_SUFFIXES = (".heic", ".heif", ".hif")
NO_PICTURES = {"MPEG", "EPS"}  # what Pillow tells by its first bytes and does not decode, and programs

_OPENING = threading.Lock()
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(UserError):
    """An image file that does not decode, or is beyond a limit: reading it again gives the same."""


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

    Grey, palette, 16-bit, float and CMYK images become RGB (which number is white: ``white_of``); transparency is laid
    on white; the EXIF orientation is applied. Large JPEG files are decoded at a reduced size.

    Raises:
        ImageError: the file is damaged, no image, or beyond ``dmt.storage.limits``.
        UnreadableError: it is missing, or cannot be read.
    """
    path = Path(path)
    with opened(path) as image:
        image.draft("RGB", (2 * size, 2 * size))
        is_misread = is_deep_tiff(image) and has_separate_planes(image)
        return to_tensor(_of_planes(image, path) if is_misread else upright(image), size)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture whose header is read, as long as the block lasts; what goes wrong in it is said in a line.

    Raises:
        ImageError: it is no image, too large, or the block does not decode it.
        UnreadableError: it is missing, or cannot be read.
    """
    require_regular_file(path)
    try:
        if path.is_file():
            require_file_size(path, "picture")
        file = io.BytesIO(content_of(path))
        require_decoder(file, path)
        _require_checksums(file)
        with header(file) as image:
            require_pixels(image.width, image.height, str(path))
            yield image
    except (ImageError, UnreadableError):
        raise
    except UserError as error:
        raise ImageError(str(error)) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{path} is no image that can be read; save it as JPEG, PNG or TIFF first") from error
    except MemoryError as error:
        raise UnreadableError(f"{path} does not fit into the memory that is left; scale it down first") from error
    except Exception as error:  # decoders of formats raise whatever their authors did not think of
        if isinstance(error, OSError) and error.errno:
            remedy = "make it readable, or take it out of the folder"
            raise UnreadableError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
        raise ImageError(f"{path} does not decode as an image ({in_a_line(error)})") from error


def _of_planes(image: Image.Image, path: Path) -> Image.Image:
    pixels = turned(deep_tiff(image, path, 1), orientation_of(image))
    return Image.frombytes(image.mode, pixels.shape[1::-1], (pixels >> 8).astype(np.uint8).tobytes())


def _require_checksums(file: IO[bytes]) -> None:
    """Raise an ``OSError`` for a PNG whose pixels have another checksum, which Pillow leaves unread."""
    if file.read(8) == b"\x89PNG\r\n\x1a\n":
        while len(head := file.read(8)) == 8:
            length, name, check = int.from_bytes(head[:4], "big"), head[4:], zlib.crc32(head[4:])
            while length > 0 and (part := file.read(min(length, 2**20))):
                check, length = zlib.crc32(part, check), length - len(part)
            if file.read(4) != check.to_bytes(4, "big") and name.upper() in (b"IHDR", b"PLTE", b"IDAT"):
                raise OSError("its checksum is another: it is damaged or cut off")
            if name == b"IEND":
                break
    file.seek(0)


@contextmanager
def header(file: IO[bytes]) -> Iterator[Image.Image]:
    """The header of an open file read, without Pillow's limit of size, which is lifted no longer than that takes."""
    with _OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file, formats=readable_formats())
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    try:
        yield image
    finally:
        image.close()  # which also frees the pixels, now and not when cycles are collected


def require_pixels(width: int, height: int, what: str) -> None:
    """Raise an ``ImageError`` for a picture without pixels, or with more than ``limits.pixels``."""
    if width * height <= 0:
        raise ImageError(f"{what} has no pixels: {width} x {height}")
    most = limits().pixels
    if width * height > most:
        raise ImageError(
            f"{what} is too large: {width} x {height} are {width * height / 1e6:.3g} megapixels, and the limit is "
            f"{most / 1e6:.3g} (limits.pixels); scale it down first"
        )


def in_a_line(error: BaseException) -> str:
    """The first line of what an error says; its kind if it says nothing."""
    return next(itertools.chain(str(error).splitlines(), [type(error).__name__]))


def is_picture_name(name: str) -> bool:
    """Whether a file's suffix, in whatever case, is of a format that can be read here.

    >>> is_picture_name("a.JPG"), is_picture_name("a.txt"), is_picture_name("a.mpg")
    (True, False, False)
    """
    return Path(name).suffix.lower() in readable_suffixes()


def opens(path: Path) -> bool:
    """Whether a file begins as a picture does; its pixels are not decoded."""
    return _size(path) is not None


def shorter_side(path: Path) -> int | None:
    """The shorter side of a picture in pixels, as its file says; ``None`` if it does not begin as a picture does."""
    size = _size(path)
    return None if size is None else min(size)


def _size(path: Path) -> tuple[int, int] | None:
    try:
        require_regular_file(path)
        require_file_size(path, "picture")
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            require_decoder(file, path)
            with header(file) as image:
                require_pixels(image.width, image.height, str(path))
                return image.size
    except Exception:  # as decoders raise
        return None


@cache
def readable_formats() -> list[str]:
    """Pillow's names of the formats that it decodes here; HEIF where ``pillow-heif`` is installed.

    Not EPS, which is a program that somebody else would have to run.
    """
    _register_heif()
    Image.init()
    return [format for format in Image.OPEN if _decodes(format)]


@cache
def readable_suffixes() -> frozenset[str]:
    """The suffixes of all formats that are read here, in lower case."""
    formats = {*readable_formats(), "MPO"}  # several JPEG pictures in a file, which that decoder reads
    suffixes = Image.registered_extensions()
    return frozenset(suffix.lower() for suffix, format in suffixes.items() if format in formats)


def _decodes(format: str) -> bool:
    if format in NO_PICTURES:
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


def orientation_of(image: Image.Image) -> int:
    """Of EXIF, 1 to 8; 1, upright, where it says nothing or what cannot be read."""
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # as decoders raise
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def upright(image: Image.Image) -> Image.Image:
    """A picture, decoded and turned by its orientation of EXIF; itself where it is upright."""
    image.load()  # which turns a TIFF, and forgets its orientation
    turn = _TURNS.get(orientation_of(image))
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info.pop("exif", None)
    return turned


def to_tensor(image: Image.Image, size: int) -> Tensor:
    """A Pillow image of any mode -> ``(3, size, size)`` in [0, 1]: RGB, the centre square, resized (Lanczos)."""
    square = ImageOps.fit(_eight_bits(image), (size, size), Image.Resampling.LANCZOS).convert("RGB")
    return torch.from_numpy(np.array(square, dtype=np.float32) / 255).permute(2, 0, 1)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB; what is deeper than 8 bits is scaled (``white_of``), transparency laid on white."""
    return _eight_bits(image).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """RGB, or L of what is grey; band by band, for a second copy of a large picture's numbers is too much."""
    is_deep = image.mode.startswith("I") or image.mode == "F"
    if image.mode in ("L", "RGB") and not image.has_transparency_data:
        return image
    white = white_of(_some_numbers(image)) if is_deep else 255.0
    out = Image.new("L" if is_deep else "RGB", image.size)
    for top, band in _bands(image):
        if is_deep:
            values = in_range(_numbers(band, image.format).astype(np.float64), white)
            band = Image.fromarray((values / white * 255).round().astype(np.uint8))
        elif image.has_transparency_data:
            if "transparency" in image.info:
                band.info["transparency"] = image.info["transparency"]
            band = band.convert("RGBA")
            band = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band)
        out.paste(band.convert(out.mode), (0, top))
    return out


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Some rows at a time, each with where they begin."""
    rows = max(1, BAND // max(1, image.width))
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _some_numbers(image: Image.Image) -> np.ndarray:
    """Enough of the numbers of a picture deeper than 8 bits to tell which is white; all of a small one."""
    rng, share = np.random.default_rng(0), MOST_LOOKED_AT / (image.width * image.height)
    parts = []
    for _, band in _bands(image):
        values = _numbers(band, image.format).reshape(-1)
        parts.append(values if share >= 1 else rng.choice(values, max(1, int(share * len(values)))))
    return np.concatenate(parts)


def _numbers(image: Image.Image, format: str | None) -> np.ndarray:
    """The numbers of a picture deeper than 8 bits; of a PNG and a PGM unsigned ones, as their formats have them."""
    values = np.asarray(image)
    return values.astype(np.uint16) if image.mode == "I" and format in ("PNG", "PPM") else values


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
