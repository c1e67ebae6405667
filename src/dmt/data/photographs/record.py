"""What a photograph's file says beside its pixels."""

from dataclasses import dataclass, field
from typing import Any


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
