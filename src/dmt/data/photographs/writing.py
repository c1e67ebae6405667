"""Pixels and what is beside them -> a file of the format they came in."""

from pathlib import Path

import numpy as np
from PIL import Image

from dmt.data.deep_tiff import bands
from dmt.data.depth import in_range
from dmt.data.photographs import jpeg, png, tiff
from dmt.data.photographs.record import Record

Table = tuple[np.ndarray, np.ndarray]  # indices (H, W) of uint8, and the colours (n, C) that they stand for


def write(
    path: Path, stored: np.ndarray, colours: str, white: float, record: Record, table: Table | None, note: bytes
) -> None:
    """Write what ``Photograph.save`` says."""
    if record.format == "PNG":
        text = png.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + note) if note else b""
        png.write(path, *_for_png(stored, colours, white), table, record.pieces + text)
    elif record.format == "TIFF":
        if stored.ndim == 3 and stored.dtype == np.uint16:
            tiff.write_deep(path, stored, colours, record, note)
        else:
            compression = record.options["compression"]
            _encoded(stored, colours, table).save(path, "TIFF", compression=compression)
            tiff.append_tags(path, record.tags, note)
    elif record.format == "JPEG":
        extra = jpeg.with_xmp(record.pieces, record.xmp, note)
        _encoded(stored, colours, None).save(path, "JPEG", extra=extra, **record.options)
    else:
        given = {"exif": record.exif, "icc_profile": record.icc, "xmp": note}
        options = record.options | {name: value for name, value in given.items() if value}
        _encoded(stored, colours, table).save(path, record.format, **options)


def _encoded(stored: np.ndarray, colours: str, table: Table | None) -> Image.Image:
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


def _for_png(stored: np.ndarray, colours: str, white: float) -> tuple[np.ndarray, str]:
    if stored.dtype in (bool, np.uint8, np.uint16):
        return stored, colours
    return np.rint(in_range(stored, white) * (65535 / white)).astype(np.uint16), colours


def colour_table(stored: np.ndarray) -> Table | None:
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
