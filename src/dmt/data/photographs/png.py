"""PNG: its chunks, colours of 16 bits a channel, and files of any depth."""

import io
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from dmt.data.deep_tiff import bands
from dmt.data.images import header
from dmt.data.photographs.record import Record


def chunks_of(path: Path) -> Iterator[tuple[bytes, bytes]]:
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


def kept_chunks(path: Path) -> bytes:
    """What the specification calls safe to copy, and what says which colours are meant; the XMP is kept elsewhere."""
    colour = (b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI")
    return b"".join(
        chunk(name, data)
        for name, data in chunks_of(path)
        if (name[:1].islower() and name[3:].islower()) or name in colour
        if not (name == b"iTXt" and data.startswith(b"XML:com.adobe.xmp\0"))
    )


def chunks_that_say(record: Record) -> bytes:
    """What a record holds, as the chunks of a PNG that was none."""
    chunks = chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(record.icc)) if record.icc else b""
    if "dpi" in record.options:
        metre = [round(float(value) / 0.0254) for value in record.options["dpi"]]
        chunks += chunk(b"pHYs", struct.pack(">LLB", *metre, 1))
    if record.exif:
        chunks += chunk(b"eXIf", record.exif.removeprefix(b"Exif\0\0"))
    return chunks


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk, with its length and checksum."""
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def read_deep(image: Image.Image, path: Path) -> np.ndarray:
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


def write(
    path: Path, stored: np.ndarray, colours: str, table: tuple[np.ndarray, np.ndarray] | None, pieces: bytes
) -> None:
    """Write a PNG of any depth, band by band (ours: Pillow does not write 16-bit colour, and copies all pixels)."""
    kind = {"1": 0, "L": 0, "LA": 4, "RGB": 2, "RGBA": 6}[colours]
    depth = {"bool": 1, "uint8": 8, "uint16": 16}[stored.dtype.name]
    lines, extra = stored, b""
    if table is not None:
        kind, lines = 3, table[0]
        extra = chunk(b"PLTE", table[1][:, :3].tobytes())
        extra += chunk(b"tRNS", table[1][:, 3].tobytes()) if table[1].shape[1] == 4 else b""
    head = struct.pack(">LLBBBBB", stored.shape[1], stored.shape[0], depth, kind, 0, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pieces + extra)
        packer = zlib.compressobj(6)
        above = None
        for rows in bands(lines):
            filtered, above = _filtered(lines[rows], above, kind != 3 and depth >= 8)
            file.write(chunk(b"IDAT", packer.compress(filtered)))
        file.write(chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b""))


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
