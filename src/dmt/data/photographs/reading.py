"""A file or a Pillow image -> its pixels as they are stored, and what is beside them."""

import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin, TiffImagePlugin

from dmt.data.deep_tiff import BAND, deep_tiff, is_deep_tiff, of_opencv, turned
from dmt.data.depth import white_of
from dmt.data.images import orientation_of, require_pixels
from dmt.data.photographs import jpeg, png, tiff, xmp
from dmt.data.photographs.record import Record

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}


# What a Photograph is made of, in its order
Parts = tuple[np.ndarray, str, float, int, Record, bool]


def read(image: Image.Image, path: Path | None) -> Parts:
    """Read an image that Pillow has opened; of a file, more than Pillow does."""
    require_pixels(image.width, image.height, "a picture given as a PIL image" if path is None else str(path))
    palette = image.mode in ("P", "PA")
    is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    orientation = orientation_of(image) if is_tiff else 1  # before Pillow decodes a TIFF, turns it and forgets
    tags = tiff.tags_of(image, orientation) if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
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
    return stored, colours, white_of(stored), orientation, record, palette


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
            if not any(name == b"IEND" for name, _ in png.chunks_of(path)):
                raise OSError("image file is truncated")
            return np.ascontiguousarray(of_opencv(path)[..., [0, 3]]), "LA"
        return png.read_deep(image, path), image.mode
    if is_deep_tiff(image):
        return deep_tiff(image, path, orientation_of(image)), image.mode
    return None


def _record(image: Image.Image, path: Path | None) -> Record:
    info = image.info
    format = {"MPO": "JPEG"}.get(image.format or "", image.format or "")
    if format not in SUFFIXES:
        format = "PNG"
    own = "" if path is None else path.suffix
    record = Record(
        format=format,
        suffix=own if own.lower() in SUFFIXES[format] else SUFFIXES[format][0],
        exif=info.get("exif") or b"",
        icc=info.get("icc_profile") or b"",
        xmp=xmp.packet_of(info),
        options={"dpi": info["dpi"]} if "dpi" in info else {},
    )
    if format == "PNG":
        is_png = path is not None and image.format == "PNG"
        return replace(record, pieces=png.kept_chunks(path) if is_png and path else png.chunks_that_say(record))
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return replace(record, pieces=jpeg.segments(image), options=record.options | jpeg.options(image))
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


def _is_lossless_webp(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sL", head)
            if name in (b"VP8L", b"VP8 "):
                return name == b"VP8L"
            file.seek(length + length % 2, io.SEEK_CUR)
    return False
