"""JPEG: its segments, and how it was encoded."""

import re
import struct
from typing import Any

from PIL import JpegImagePlugin

from dmt.data.photographs.xmp import COMPOSITE

XMP = b"http://ns.adobe.com/xap/1.0/\0"


def segments(image: JpegImagePlugin.JpegImageFile) -> bytes:
    """EXIF, colour profile, IPTC and comments, byte for byte.

    Not what lists other pictures in the file by their place (MPF), nor what Pillow writes itself (JFIF, Adobe).
    """
    kept = b""
    for name, data in image.applist:
        is_xmp = data.startswith(XMP)
        if name in ("APP1", "APP13", "COM") or (name == "APP2" and data.startswith(b"ICC_PROFILE\0")):
            kept += b"" if is_xmp else segment(0xFE if name == "COM" else 0xE0 + int(name[3:]), data)
    return kept


def segment(marker: int, data: bytes) -> bytes:
    """A segment, with its length."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def options(image: JpegImagePlugin.JpegImageFile) -> dict[str, Any]:
    """What Pillow is told to encode another picture in the same way."""
    tables = [image.quantization[key] for key in sorted(image.quantization)]
    is_stored_as_rgb = image.mode == "RGB" and image.info.get("adobe_transform") == 0
    sampling = 0 if is_stored_as_rgb else JpegImagePlugin.get_sampling(image)
    return {
        "qtables": tables,
        "subsampling": max(sampling, 0),
        "progressive": bool(image.info.get("progressive")),
        "keep_rgb": is_stored_as_rgb,
    }


def with_xmp(segments: bytes, packet: bytes, note: bytes) -> bytes:
    """The segments and the packet with the note; the packet as it came and a comment if there is no room for both."""
    most = 65533 - len(XMP)
    if len(note) > most:
        note = re.sub(rb"\s+(?=<\?xpacket end)", b"\n", note)  # room that other programs leave for their own notes
    if len(note) > most:
        segments, note = segments + segment(0xFE, f"altered with dmt: {COMPOSITE}".encode()), packet
    return segments + segment(0xE1, XMP + note) if note else segments
