"""A photograph of any size and format -> the same photograph with one region changed, and all else as it came."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from dmt.data.deep_tiff import BAND, bands, turned
from dmt.data.depth import in_range
from dmt.data.images import ImageError, in_a_line, opened, require_pixels
from dmt.data.photographs import png, reading, writing
from dmt.data.photographs.record import Record
from dmt.data.photographs.xmp import with_note
from dmt.storage.files import replacing

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"),
    *(".avif", ".heic", ".heif", ".hif"),
)
"""Suffixes of the files that come back in their own format. Whatever else Pillow decodes is read too, and saved as PNG.
"""

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture at its own resolution, and what its file says beside the pixels.

    One array holds the pixels as the file stores them: in its depth, its colours and its orientation. Upright is a
    view of it, so that a large picture is in memory once.

    Args:
        stored: ``(H, W)`` or ``(H, W, C)`` of bool, uint8, uint16, int32 or floats.
        colours: what the channels are: ``1`` (black and white), ``L``, ``LA``, ``RGB``, ``RGBA`` or ``CMYK``.
        white: the stored value of white.
        orientation: of EXIF, 1 to 8.
        record: the rest of the file.
        palette: whether the colours came from a table.
    """

    stored: np.ndarray
    colours: str
    white: float
    orientation: int = 1
    record: Record = field(default_factory=Record)
    palette: bool = False

    @classmethod
    def read(cls, path: str | Path) -> "Photograph":
        """Read a file at full size; of several frames, the first.

        JPEG, PNG, TIFF, WebP, BMP, GIF and AVIF (with a Pillow that can), HEIC with ``pillow-heif``. Grey, palette,
        CMYK and 16 bits a channel stay so.

        Raises:
            ImageError: the file is damaged, no image, without pixels, or beyond ``dmt.storage.limits``.
            UnreadableError: it is missing, or cannot be read.
        """
        path = Path(path)
        with opened(path) as image:
            return cls(*reading.read(image, path))

    @classmethod
    def of(cls, image: Image.Image) -> "Photograph":
        """A copy of a Pillow image of any mode, with what Pillow knows of the file it came from, if any.

        Raises:
            ImageError: it has no pixels, too many, or does not decode.
        """
        try:
            return cls(*reading.read(image, None))
        except ImageError:
            raise
        except Exception as error:  # whatever the decoder of its format raises
            raise ImageError(f"a picture given as a PIL image does not decode ({in_a_line(error)})") from error

    @classmethod
    def of_pixels(cls, pixels: np.ndarray) -> "Photograph":
        """A copy of ``(H, W, 3)`` RGB, uint8, or floats in [0, 1], which are kept as floats and saved as 16-bit PNG.

        Raises:
            ImageError: another shape or type, no pixels, or floats outside [0, 1].
        """
        pixels = np.asarray(pixels)
        is_float = np.issubdtype(pixels.dtype, np.floating)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or not (is_float or pixels.dtype == np.uint8):
            raise ImageError(
                f"a photograph given as an array must be (H, W, 3), of uint8 or of floats in [0, 1], got "
                f"{pixels.shape} of {pixels.dtype}"
            )
        require_pixels(pixels.shape[1], pixels.shape[0], "a photograph given as an array")
        if is_float and not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ImageError(
                f"a photograph given as an array of floats must have values in [0, 1], got some from "
                f"{pixels.min():.3g} to {pixels.max():.3g}"
            )
        return cls(np.array(pixels, order="C"), "RGB", 1.0 if is_float else 255.0)

    @property
    def height(self) -> int:
        """Of the upright picture, in pixels."""
        return int(self._upright.shape[0])

    @property
    def width(self) -> int:
        """Of the upright picture, in pixels."""
        return int(self._upright.shape[1])

    @property
    def suffix(self) -> str:
        """Of the file as it came, such as ``.jpg``; ``.png`` for what was no file."""
        return self.record.suffix

    @property
    def _upright(self) -> np.ndarray:
        return turned(self.stored, self.orientation)

    def rgb(self, top: int = 0, left: int = 0, height: int | None = None, width: int | None = None) -> np.ndarray:
        """A region of the upright picture as 8-bit RGB.

        Grey is repeated, 16 bits are scaled, transparency is laid on white; CMYK becomes ``(1 - C) (1 - K)`` and so
        on, without its profile.

        Returns:
            ``(height, width, 3)`` of uint8; by default all from (top, left) on.

        Raises:
            ValueError: the region reaches outside the picture.
        """
        region = self._region(top, left, height, width)
        out = np.empty((*region.shape[:2], 3), np.uint8)
        for rows in bands(region):
            out[rows] = _rgb(region[rows], self.colours, self.white)
        return out

    def changed(self, change: np.ndarray, top: int, left: int) -> "Photograph":
        """The same with a change added to the upright region that begins at (top, left).

        Values are rounded (halves to even) and clipped to the stored type; where the change is exactly 0 the stored
        value stays bit for bit. Grey takes the luma of the change (ITU-R BT.601); of CMYK the change is subtracted
        from C, M and Y, and K stays (ours: ink is the complement of light, and black ink hides a change as it hides
        the colours). Alpha is never touched.

        Args:
            change: ``(h, w, 3)`` in [-1, 1], of RGB in [0, 1].
            top: row of the region's first pixel.
            left: column of it.

        Raises:
            ValueError: another shape, values that are not finite, or a region that reaches outside the picture.
        """
        change = np.asarray(change)
        if change.ndim != 3 or change.shape[2] != 3:
            raise ValueError(f"change must be (h, w, 3), got {change.shape}")
        self._region(top, left, *change.shape[:2])
        if not np.isfinite(change).all():
            raise ValueError("change must be finite, got NaN or infinity")
        if not change.any():
            return self
        result = replace(self, stored=self.stored.copy())
        region = result._region(top, left, *change.shape[:2])
        for rows in bands(region):
            _add(region[rows], change[rows], self.colours, self.white)
        return result

    def reduced(self, longest: int) -> tuple[np.ndarray, float]:
        """The upright picture shrunk with a box filter until its longer side is at most ``longest``.

        Returns:
            ``(h, w, 3)`` of uint8 RGB, and the factor, small / large, at most 1.
        """
        size = max(self.height, self.width)
        if size <= longest:
            return self.rgb(), 1.0
        factor = longest / size
        height, width = max(1, round(self.height * factor)), max(1, round(self.width * factor))
        out = np.empty((height, width, 3), np.uint8)
        step = max(1, int(BAND * factor / self.width))
        for first in range(0, height, step):
            last = min(first + step, height)
            begin, end = first * self.height / height, last * self.height / height
            top, bottom = max(0, int(begin) - 1), min(self.height, int(end) + 2)
            band = Image.fromarray(self.rgb(top, 0, bottom - top))
            box = (0, begin - top, self.width, end - top)
            out[first:last] = np.asarray(band.resize((width, last - first), Image.Resampling.BOX, box=box))
        return out, factor

    def as_png(self) -> "Photograph":
        """The same, to be saved as PNG: turned upright, with its EXIF, profile and XMP; CMYK as ``rgb`` shows it."""
        if self.record.format == "PNG":
            return self
        is_ink = self.colours == "CMYK"
        stored = self.rgb() if is_ink else np.ascontiguousarray(self._upright)
        exif, icc = _as_upright(self.record.exif), b"" if is_ink else self.record.icc
        record = replace(self.record, format="PNG", suffix=".png", exif=exif, icc=icc)
        record = replace(record, pieces=png.chunks_that_say(record))
        colours, white = ("RGB", 255.0) if is_ink else (self.colours, self.white)
        return Photograph(stored, colours, white, 1, record, self.palette)

    def save(self, path: str | Path, altered: bool = True) -> Path:
        """Write it as it came: format, colours, depth, orientation, EXIF, colour profile, resolution, comments, XMP.

        PNG, TIFF, BMP, GIF and lossless WebP keep every pixel. JPEG is encoded with its own quantisation tables and
        subsampling: on its own grid most of the pixels of untouched blocks come back the same, which a higher quality
        does not do (measured: 88 to 97 % of them against 39 to 76 %). Lossy WebP, AVIF and HEIC are encoded at quality
        95. A picture whose colours no longer fit a table of 256 is saved as true colour; a GIF then becomes a PNG, and
        so does a format that Pillow only reads.

        Args:
            path: where; its suffix becomes that of the format (a suffix of no image is part of the name).
            altered: say so in XMP (``Iptc4xmpExt:DigitalSourceType``); GIF and BMP have no place for it.

        Returns:
            The path written, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        path = Path(path)
        table = writing.colour_table(self.stored) if self.palette else None
        record = self.record
        has_no_place = (record.format == "GIF" and self.colours != "L" and table is None) or (
            record.format == "BMP" and self.colours == "RGBA" and table is None
        )
        if has_no_place:
            record = replace(record, format="PNG", suffix=".png", pieces=png.chunks_that_say(record))
        note = with_note(record.xmp) if altered else record.xmp
        name = path.stem if path.suffix.lower() in EXTENSIONS else path.name
        target = path.with_name(name + record.suffix)
        with replacing(target) as partial:
            writing.write(partial, self.stored, self.colours, self.white, record, table, note)
        return target

    def _region(self, top: int, left: int, height: int | None, width: int | None) -> np.ndarray:
        upright = self._upright
        bottom = upright.shape[0] if height is None else top + height
        right = upright.shape[1] if width is None else left + width
        if not (0 <= top <= bottom <= upright.shape[0] and 0 <= left <= right <= upright.shape[1]):
            raise ValueError(
                f"the region must lie within {upright.shape[0]} rows and {upright.shape[1]} columns, got rows {top} to "
                f"{bottom} and columns {left} to {right}"
            )
        return upright[top:bottom, left:right]


def _rgb(stored: np.ndarray, colours: str, white: float) -> np.ndarray:
    if stored.dtype == np.uint8 and colours == "RGB":
        return stored
    scaled = stored if stored.dtype == np.uint8 else np.rint(in_range(stored, white) * (255 / white))
    if stored.dtype == np.uint8 and colours == "L":
        return scaled[..., None]
    values: np.ndarray = scaled.astype(np.float32) if scaled.ndim == 3 else scaled[..., None].astype(np.float32)
    if colours == "CMYK":
        values = (255 - values[..., :3]) * (255 - values[..., 3:]) / 255
    elif colours in ("LA", "RGBA"):
        values = 255 + (values[..., :-1] - 255) * (values[..., -1:] / 255)
    return np.rint(values).astype(np.uint8)


def _add(stored: np.ndarray, change: np.ndarray, colours: str, white: float) -> None:
    change = change.astype(np.float64)
    if colours in ("1", "L", "LA"):
        change = (change @ _LUMA)[..., None]
    light = stored[..., None] if stored.ndim == 2 else stored[..., : change.shape[2]]
    added = light + (-white if colours == "CMYK" else white) * change
    if stored.dtype.kind == "f":
        # beyond white, a float keeps what it had
        values = np.clip(added, np.minimum(light, 0), np.maximum(light, white))
    else:
        values = np.rint(np.clip(added, 0, white))
    light[...] = np.where(change != 0, values, light).astype(stored.dtype)


def _as_upright(exif: bytes) -> bytes:
    """An EXIF block, or none, that says so of pixels which have been turned."""
    if not exif:
        return b""
    tags = Image.Exif()
    tags.load(exif)
    if tags.get(0x0112, 1) == 1:
        return exif
    tags[0x0112] = 1
    return tags.tobytes()
