"""A photograph of any size and format -> the same photograph with one region changed, and all else as it came."""

import io
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from dmt.data.deep_tiff import BAND, bands, deep_tiff, is_deep_tiff, of_opencv, turned
from dmt.data.depth import in_range, white_of
from dmt.data.images import ImageError, header, in_a_line, opened, orientation_of, require_pixels
from dmt.storage.files import replacing

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"),
    *(".avif", ".heic", ".heif", ".hif"),
)
"""Suffixes of the files that come back in their own format. Whatever else Pillow decodes is read too, and saved as PNG.
"""

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_XMP_OF_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@dataclass(frozen=True)
class Record:
    """What a file says beside its pixels, and how it stores them.

    Args:
        format: Pillow's name of the format it is saved in.
        suffix: the file's own.
        exif: the EXIF block, or empty.
        icc: the colour profile, or empty.
        xmp: the XMP packet, or empty.
        pieces: of a PNG, its chunks; of a JPEG, its segments: all that is kept but the XMP, byte for byte.
        tags: of a TIFF, tag -> (type, value).
        options: what Pillow is told when it saves: quantisation tables, resolution, compression.
    """

    format: str = "PNG"
    suffix: str = ".png"
    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    pieces: bytes = b""
    tags: dict[int, tuple[int, Any]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


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
    record: Record = Record()
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
            return _photograph(image, path)

    @classmethod
    def of(cls, image: Image.Image) -> "Photograph":
        """A copy of a Pillow image of any mode, with what Pillow knows of the file it came from, if any.

        Raises:
            ImageError: it has no pixels, too many, or does not decode.
        """
        try:
            return _photograph(image, None)
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
        record = replace(record, pieces=_chunks(record))
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
        table = _table(self.stored) if self.palette else None
        record = self.record
        has_no_place = (record.format == "GIF" and self.colours != "L" and table is None) or (
            record.format == "BMP" and self.colours == "RGBA" and table is None
        )
        if has_no_place:
            record = replace(record, format="PNG", suffix=".png", pieces=_chunks(record))
        note = with_note(record.xmp) if altered else record.xmp
        name = path.stem if path.suffix.lower() in EXTENSIONS else path.name
        target = path.with_name(name + record.suffix)
        with replacing(target) as partial:
            _write(self, record, table, note, partial)
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


def with_note(packet: bytes) -> bytes:
    """An XMP packet, or none -> the same that says that the picture was altered with a generative model.

    The IPTC term is set (one that was there is replaced, since a picture has one), and ``xmp:CreatorTool`` and
    ``photoshop:History`` where there are none. All else stays as it is.
    """
    text = packet.decode("utf-8", "surrogateescape")
    ends = list(re.finditer(r"</([\w.-]+):RDF\s*>", text))
    if not ends:
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            f"{_description('rdf', '', '')}</rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
        ).encode()
    end = ends[-1]
    before, after = text[: end.start()], text[end.start() :]
    before = re.sub(r"<([\w.-]+:DigitalSourceType)\b(?:[^>]*/>|.*?</\1\s*>)", "", before, flags=re.DOTALL)
    before = re.sub(r"""\s[\w.-]+:DigitalSourceType\s*=\s*("[^"]*"|'[^']*')""", "", before)
    about = re.search(rf"""\b{end[1]}:about\s*=\s*["']([^"'<>]*)["']""", before)
    merged = before + _description(end[1], about[1] if about else "", before) + after
    return merged.encode("utf-8", "surrogateescape")


def _description(rdf: str, about: str, known: str) -> str:
    tool = "" if ":CreatorTool" in known else ' xmp:CreatorTool="dmt"'
    history = "" if "photoshop:History" in known else ' photoshop:History="altered with dmt"'
    return (
        f'<{rdf}:Description {rdf}:about="{about}" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f"Iptc4xmpExt:DigitalSourceType={quoteattr(_COMPOSITE)}{tool}{history}/>"
    )


# Pixels


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


def _table(stored: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """``(H, W, C)`` of uint8 as indices ``(H, W)`` into a table ``(n, C)``, or None if it needs more than 256."""
    if stored.ndim != 3:
        return None
    colours = np.empty(0, np.uint32)
    for rows in bands(stored):
        colours = np.union1d(colours, _packed(stored[rows]))
        if len(colours) > 256:
            return None
    indices = np.empty(stored.shape[:2], np.uint8)
    for rows in bands(stored):
        indices[rows] = np.searchsorted(colours, _packed(stored[rows]))
    return indices, colours[:, None].view(np.uint8)[:, : stored.shape[2]]


def _packed(pixels: np.ndarray) -> np.ndarray:
    """``(H, W, C)`` of uint8, C at most 4 -> ``(H, W)`` of uint32, one number a colour."""
    padded = np.full((*pixels.shape[:2], 4), 255, np.uint8)
    padded[..., : pixels.shape[2]] = pixels
    return padded.view(np.uint32)[..., 0]


# Reading


def _photograph(image: Image.Image, path: Path | None) -> Photograph:
    require_pixels(image.width, image.height, "a picture given as a PIL image" if path is None else str(path))
    palette = image.mode in ("P", "PA")
    is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    orientation = orientation_of(image) if is_tiff else 1  # before Pillow decodes a TIFF, turns it and forgets
    tags = _tags(image, orientation) if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    deep = _deep_pixels(image, path) if path is not None else None
    if not is_tiff:
        if deep is None:
            image.load()  # before a PNG is asked for its EXIF, which decodes it and is not told whether that worked
        orientation = orientation_of(image)
    if deep is None:
        stored, colours = _pixels(image)
        if tags and orientation_of(image) != orientation:  # Pillow turns a TIFF as it decodes it, and forgets the tag
            stored = turned(stored, {6: 8, 8: 6}.get(orientation, orientation))
    else:
        stored, colours = deep
    record = replace(_record(image, path), tags=tags)
    return Photograph(stored, colours, white_of(stored), orientation, record, palette)


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


def _pixels(image: Image.Image) -> tuple[np.ndarray, str]:
    """The pixels of a Pillow image, and what the channels are. Row by row: a second copy of all is too much."""
    image.load()
    wanted = _plain_mode(image)
    out: np.ndarray | None = None
    rows = max(1, BAND // image.width)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        if image.mode != wanted:
            if "transparency" in image.info:
                band.info["transparency"] = image.info["transparency"]
            band = band.convert(wanted)
        values = np.asarray(band)
        if out is None:
            out = np.empty((image.height, *values.shape[1:]), values.dtype.newbyteorder("="))
        out[top : top + rows] = values
    assert out is not None
    if wanted == "I" and image.format == "PNG":
        out = out.astype(np.uint16)  # 16-bit grey, as a Pillow before 11 reads it
    return out, "L" if wanted.startswith(("I", "F")) else wanted


def _plain_mode(image: Image.Image) -> str:
    if image.mode in ("P", "PA", "RGBa") or (image.mode == "RGB" and "transparency" in image.info):
        return "RGBA" if image.mode != "P" or "transparency" in image.info else "RGB"
    if image.mode == "La" or (image.mode == "L" and "transparency" in image.info):
        return "LA"
    if image.mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "F", "I") or image.mode.startswith("I;16"):
        return image.mode
    if image.mode == "LAB":
        raise ValueError("its colours are CIE Lab; convert it to RGB first")
    return "RGB"


def _deep_pixels(image: Image.Image, path: Path) -> tuple[np.ndarray, str] | None:
    """Colours of 16 bits a channel, which Pillow would cut to 8; None for all else."""
    if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA"):
        with path.open("rb") as file:
            head = file.read(26)
        if head[24] != 16:
            return None
        if head[25] == 4:  # grey with alpha, which OpenCV repeats to four channels
            if not any(name == b"IEND" for name, _ in _chunks_of(path)):
                raise OSError("image file is truncated")
            return np.ascontiguousarray(of_opencv(path)[..., [0, 3]]), "LA"
        return _deep_png(image, path), image.mode
    if is_deep_tiff(image):
        return deep_tiff(image, path, orientation_of(image)), image.mode
    return None


def _deep_png(image: Image.Image, path: Path) -> np.ndarray:
    """16-bit RGB or RGBA, decoded once for the high and once for the low bytes.

    Pillow takes the high byte of each value; told that the order is the other, it takes the low one. 100 megapixels
    need 1 GB (measured), and what is damaged is said as for any other PNG.
    """
    colours = image.mode
    out = np.empty((image.height, image.width, len(colours)), np.uint16)
    halves = out.view(np.uint8).reshape(*out.shape, 2)
    image.info.update(_decode_halves(path, f"{colours};16B", halves[..., int(sys.byteorder == "little")]))
    image.info.setdefault("exif", b"")  # or Pillow decodes once more, in search of it
    _decode_halves(path, f"{colours};16L", halves[..., int(sys.byteorder == "big")])
    return out


def _decode_halves(path: Path, order: str, out: np.ndarray) -> dict[Any, Any]:
    with path.open("rb") as file, header(file) as image:
        assert isinstance(image, ImageFile.ImageFile)
        image.tile = [(*image.tile[0][:3], order)]  # type: ignore[list-item]
        image.load()
        for rows in bands(out):
            bottom = min(rows.stop, image.height)
            out[rows] = np.asarray(image.crop((0, rows.start, image.width, bottom)))
        return dict(image.info)


# What is beside the pixels


def _record(image: Image.Image, path: Path | None) -> Record:
    info = image.info
    format = {"MPO": "JPEG"}.get(image.format or "", image.format or "")
    if format not in _SUFFIXES:
        format = "PNG"
    own = "" if path is None else path.suffix
    record = Record(
        format=format,
        suffix=own if own.lower() in _SUFFIXES[format] else _SUFFIXES[format][0],
        exif=info.get("exif") or b"",
        icc=info.get("icc_profile") or b"",
        xmp=_xmp(info),
        options={"dpi": info["dpi"]} if "dpi" in info else {},
    )
    if format == "PNG":
        is_png = path is not None and image.format == "PNG"
        return replace(record, pieces=_kept_chunks(path) if is_png and path else _chunks(record))
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return replace(record, pieces=_segments(image), options=record.options | _jpeg_options(image))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return replace(record, options={"compression": info.get("compression", "raw")})
    if format == "GIF":
        return replace(record, options={"comment": info["comment"]} if "comment" in info else {})
    if format == "WEBP":
        lossless = path is not None and _is_lossless_webp(path)
        return replace(record, options={"lossless": True, "exact": True} if lossless else {"quality": 95})
    if format in ("AVIF", "HEIF"):
        chroma = {"chroma": int(info["chroma"])} if info.get("chroma") in (420, 422, 444) else {}
        return replace(record, options={"quality": 95} | chroma)
    return record


def _xmp(info: dict) -> bytes:
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    return packet.encode("utf-8", "surrogateescape") if isinstance(packet, str) else bytes(packet)


def _chunks_of(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG, name and data, but those of the pixels."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">L4s", head)
            if name in (b"IDAT", b"fdAT"):
                file.seek(length + 4, io.SEEK_CUR)
                continue
            yield name, file.read(min(length, size))
            file.seek(4, io.SEEK_CUR)


def _kept_chunks(path: Path) -> bytes:
    """What the specification calls safe to copy, and what says which colours are meant; the XMP is kept elsewhere."""
    colour = (b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI")
    return b"".join(
        _chunk(name, data)
        for name, data in _chunks_of(path)
        if (name[:1].islower() and name[3:].islower()) or name in colour
        if not (name == b"iTXt" and data.startswith(b"XML:com.adobe.xmp\0"))
    )


def _chunks(record: Record) -> bytes:
    """The chunks of a PNG that was none."""
    chunks = _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(record.icc)) if record.icc else b""
    if "dpi" in record.options:
        metre = [round(float(value) / 0.0254) for value in record.options["dpi"]]
        chunks += _chunk(b"pHYs", struct.pack(">LLB", *metre, 1))
    if record.exif:
        chunks += _chunk(b"eXIf", record.exif.removeprefix(b"Exif\0\0"))
    return chunks


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def _segments(image: JpegImagePlugin.JpegImageFile) -> bytes:
    """EXIF, colour profile, IPTC and comments, byte for byte.

    Not what lists other pictures in the file by their place (MPF), nor what Pillow writes itself (JFIF, Adobe).
    """
    kept = b""
    for name, data in image.applist:
        is_xmp = data.startswith(_XMP_OF_JPEG)
        if name in ("APP1", "APP13", "COM") or (name == "APP2" and data.startswith(b"ICC_PROFILE\0")):
            kept += b"" if is_xmp else _segment(0xFE if name == "COM" else 0xE0 + int(name[3:]), data)
    return kept


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _jpeg_options(image: JpegImagePlugin.JpegImageFile) -> dict[str, Any]:
    tables = [image.quantization[key] for key in sorted(image.quantization)]
    is_stored_as_rgb = image.mode == "RGB" and image.info.get("adobe_transform") == 0
    sampling = 0 if is_stored_as_rgb else JpegImagePlugin.get_sampling(image)
    return {
        "qtables": tables,
        "subsampling": max(sampling, 0),
        "progressive": bool(image.info.get("progressive")),
        "keep_rgb": is_stored_as_rgb,
    }


def _is_lossless_webp(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sL", head)
            if name in (b"VP8L", b"VP8 "):
                return name == b"VP8L"
            file.seek(length + length % 2, io.SEEK_CUR)
    return False


# Tags that say how the pixels lie in the file: whoever writes them says so anew. The last is XMP.
_LAYOUT = {
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 330),
    *(338, 339, 347, 512, 513, 514, 519, 520, 521, 529, 530, 531, 532, 700),
}
_GROUPS = (34665, 34853)


def _tags(image: TiffImagePlugin.TiffImageFile, orientation: int) -> dict[int, tuple[int, Any]]:
    tags = {tag: (image.tag_v2.tagtype[tag], value) for tag, value in image.tag_v2.items() if tag not in _LAYOUT}
    if 274 in tags:
        tags[274] = (3, orientation)
    for group in _GROUPS:
        if group in tags:
            tags[group] = (4, dict(image.getexif().get_ifd(group)))
    return tags


# Writing


def _write(
    photograph: Photograph, record: Record, table: tuple[np.ndarray, np.ndarray] | None, note: bytes, path: Path
) -> None:
    stored, colours = photograph.stored, photograph.colours
    if record.format == "PNG":
        text = _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + note) if note else b""
        _write_png(path, *_for_png(photograph), table, record.pieces + text)
    elif record.format == "TIFF":
        if stored.ndim == 3 and stored.dtype == np.uint16:
            _write_deep_tiff(path, stored, colours, record, note)
        else:
            compression = record.options["compression"]
            _encoded(stored, colours, table).save(path, "TIFF", compression=compression)
            _append_tags(path, record.tags, note)
    elif record.format == "JPEG":
        extra = _with_xmp(record.pieces, record.xmp, note)
        _encoded(stored, colours, None).save(path, "JPEG", extra=extra, **record.options)
    else:
        given = {"exif": record.exif, "icc_profile": record.icc, "xmp": note}
        options = record.options | {name: value for name, value in given.items() if value}
        _encoded(stored, colours, table).save(path, record.format, **options)


def _encoded(stored: np.ndarray, colours: str, table: tuple[np.ndarray, np.ndarray] | None) -> Image.Image:
    """The Pillow image of stored pixels."""
    if table is not None:
        image = Image.frombytes("P", (table[0].shape[1], table[0].shape[0]), table[0].tobytes())
        image.putpalette(table[1][:, :3].tobytes())
        if table[1].shape[1] == 4 and (table[1][:, 3] == 0).any():
            image.info["transparency"] = int(np.flatnonzero(table[1][:, 3] == 0)[0])
        return image
    if stored.dtype == bool:
        return Image.fromarray(stored)
    mode = {"uint8": colours, "uint16": "I;16", "int32": "I", "float32": "F"}[stored.dtype.name]
    size = (stored.shape[1], stored.shape[0])
    return Image.frombuffer(mode, size, np.ascontiguousarray(stored), "raw", mode, 0, 1)


def _with_xmp(segments: bytes, packet: bytes, note: bytes) -> bytes:
    """The segments and the packet with the note; the packet as it came and a comment if there is no room for both."""
    most = 65533 - len(_XMP_OF_JPEG)
    if len(note) > most:
        note = re.sub(rb"\s+(?=<\?xpacket end)", b"\n", note)  # room that other programs leave for their own notes
    if len(note) > most:
        segments, note = segments + _segment(0xFE, f"altered with dmt: {_COMPOSITE}".encode()), packet
    return segments + _segment(0xE1, _XMP_OF_JPEG + note) if note else segments


def _for_png(photograph: Photograph) -> tuple[np.ndarray, str]:
    stored, colours, white = photograph.stored, photograph.colours, photograph.white
    if colours == "CMYK":
        return photograph.rgb(), "RGB"  # never: no PNG was CMYK
    if stored.dtype in (bool, np.uint8, np.uint16):
        return stored, colours
    return np.rint(in_range(stored, white) * (65535 / white)).astype(np.uint16), colours


def _write_png(
    path: Path, stored: np.ndarray, colours: str, table: tuple[np.ndarray, np.ndarray] | None, pieces: bytes
) -> None:
    """Write a PNG of any depth, band by band (ours: Pillow does not write 16-bit colour, and copies all pixels)."""
    kind = {"1": 0, "L": 0, "LA": 4, "RGB": 2, "RGBA": 6}[colours]
    depth = {"bool": 1, "uint8": 8, "uint16": 16}[stored.dtype.name]
    lines, extra = stored, b""
    if table is not None:
        kind, lines = 3, table[0]
        extra = _chunk(b"PLTE", table[1][:, :3].tobytes())
        extra += _chunk(b"tRNS", table[1][:, 3].tobytes()) if table[1].shape[1] == 4 else b""
    head = struct.pack(">LLBBBBB", stored.shape[1], stored.shape[0], depth, kind, 0, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + pieces + extra)
        packer = zlib.compressobj(6)
        above = None
        for rows in bands(lines):
            filtered, above = _filtered(lines[rows], above, kind != 3 and depth >= 8)
            file.write(_chunk(b"IDAT", packer.compress(filtered)))
        file.write(_chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b""))


def _filtered(pixels: np.ndarray, above: np.ndarray | None, predict: bool) -> tuple[bytes, np.ndarray]:
    """Rows as a PNG holds them, each with the filter (none, left, up) whose sum of differences is least."""
    step = pixels.itemsize * (pixels.shape[2] if pixels.ndim == 3 else 1)
    if pixels.dtype == bool:
        rows = np.packbits(pixels, axis=1)
    else:
        rows = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(len(pixels), -1)
    out = np.zeros((len(rows), rows.shape[1] + 1), np.uint8)
    out[:, 1:] = rows
    if predict:
        before = np.zeros_like(rows[:1]) if above is None else above
        left, up = rows.copy(), rows.copy()
        left[:, step:] -= rows[:, :-step]
        up -= np.concatenate([before, rows[:-1]])
        cost = [np.abs(kind.view(np.int8).astype(np.int16)).sum(axis=1) for kind in (rows, left, up)]
        best = np.argmin(cost, axis=0)
        out[:, 0] = best
        for number, kind in ((1, left), (2, up)):
            out[best == number, 1:] = kind[best == number]
    return out.tobytes(), rows[-1:]


def _write_deep_tiff(path: Path, stored: np.ndarray, colours: str, record: Record, note: bytes) -> None:
    """Write 16-bit colours as TIFF in strips, plain or deflated (which also stands for LZW)."""
    deflate = record.options["compression"] not in ("raw", None)
    offsets, counts = [], []
    with path.open("wb") as file:
        file.write(b"II*\0\0\0\0\0")
        rows = max(1, 2**18 // stored[0].nbytes)
        for top in range(0, len(stored), rows):
            strip = stored[top : top + rows]
            if deflate:
                strip = np.concatenate([strip[:, :1], strip[:, 1:] - strip[:, :-1]], axis=1)
            data = strip.astype("<u2").tobytes()
            data = zlib.compress(data, 6) if deflate else data
            offsets.append(file.tell())
            counts.append(len(data))
            file.write(data)
    channels = stored.shape[2]
    layout: dict[int, tuple[int, Any]] = {
        256: (4, stored.shape[1]),
        257: (4, stored.shape[0]),
        258: (3, (16,) * channels),
        259: (3, 8 if deflate else 1),
        262: (3, {"LA": 1, "RGB": 2, "RGBA": 2, "CMYK": 5}[colours]),
        273: (4, tuple(offsets)),
        277: (3, channels),
        278: (4, rows),
        279: (4, tuple(counts)),
        284: (3, 1),
        317: (3, 2 if deflate else 1),
    }
    if colours in ("LA", "RGBA"):
        layout[338] = (3, (2,))
    _append_tags(path, record.tags, note, layout)


def _append_tags(
    path: Path, tags: dict[int, tuple[int, Any]], note: bytes, layout: dict[int, tuple[int, Any]] | None = None
) -> None:
    """Give a TIFF a new directory, at its end: its own layout of pixels, all other tags, and the XMP."""
    if layout is None:
        with path.open("rb") as opened_file, header(opened_file) as image:
            assert isinstance(image, TiffImagePlugin.TiffImageFile)
            own = image.tag_v2
            layout = {tag: (own.tagtype[tag], own[tag]) for tag in own if tag in _LAYOUT}
    with path.open("r+b") as file:
        head = file.read(8)
        directory = TiffImagePlugin.ImageFileDirectory_v2(head)
        for tag, (kind, value) in (tags | layout | ({700: (1, note)} if note else {})).items():
            directory[tag] = value
            directory.tagtype[tag] = 4 if tag == 273 else kind
        base = file.seek(0, io.SEEK_END)
        base += file.write(b"\0" * (base % 2))
        order = "<" if head[:2] == b"II" else ">"
        file.write(_with_places(directory.tobytes(base), base, np.atleast_1d(layout[273][1]).tolist(), order))
        file.seek(4)
        file.write(struct.pack(order + "L", base))


def _with_places(directory: bytes, base: int, places: list[int], order: str) -> bytes:
    """A directory whose strip offsets are these: Pillow counts them from the directory's end."""
    (count,) = struct.unpack_from(order + "H", directory)
    out = bytearray(directory)
    entry = next(at for at in range(2, 2 + 12 * count, 12) if struct.unpack_from(order + "H", out, at) == (273,))
    at = entry + 8 if len(places) == 1 else struct.unpack_from(order + "L", out, entry + 8)[0] - base
    struct.pack_into(f"{order}{len(places)}L", out, at, *places)
    return bytes(out)
