"""TIFF: its tags, and files of 16-bit colours."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import TiffImagePlugin

from dmt.data.images import header
from dmt.data.photographs.record import Record

# Tags that say how the pixels lie in the file: whoever writes them says so anew. The last is XMP.
LAYOUT = {
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 330),
    *(338, 339, 347, 512, 513, 514, 519, 520, 521, 529, 530, 531, 532, 700),
}
GROUPS = (34665, 34853)


def tags_of(image: TiffImagePlugin.TiffImageFile, orientation: int) -> dict[int, tuple[int, Any]]:
    """Tag -> (type, value), of all that say more than how the pixels lie in the file."""
    tags = {tag: (image.tag_v2.tagtype[tag], value) for tag, value in image.tag_v2.items() if tag not in LAYOUT}
    if 274 in tags:
        tags[274] = (3, orientation)
    for group in GROUPS:
        if group in tags:
            tags[group] = (4, dict(image.getexif().get_ifd(group)))
    return tags


def write_deep(path: Path, stored: np.ndarray, colours: str, record: Record, note: bytes) -> None:
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
    append_tags(path, record.tags, note, layout)


def append_tags(
    path: Path, tags: dict[int, tuple[int, Any]], note: bytes, layout: dict[int, tuple[int, Any]] | None = None
) -> None:
    """Give a TIFF a new directory, at its end: its own layout of pixels, all other tags, and the XMP."""
    if layout is None:
        with path.open("rb") as opened_file, header(opened_file) as image:
            assert isinstance(image, TiffImagePlugin.TiffImageFile)
            own = image.tag_v2
            layout = {tag: (own.tagtype[tag], own[tag]) for tag in own if tag in LAYOUT}
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
