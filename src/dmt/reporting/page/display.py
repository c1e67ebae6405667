"""Pictures -> what a browser shows of them: data URIs of a bounded size, and maps of where they changed."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = 96  # pixels: sides up to here are stored without loss and shown as squares
LONGEST = 1600  # pixels of a side that are shown; the file beside the page has them all
QUALITY = 86  # of WebP
MOST_BYTES = 14_000_000  # of all pictures of a page, to which base64 adds a third
GAMMA = 0.6  # of changes before they are coloured, so that small ones are seen
FADED = 0.28  # of the contrast of a picture below the map of its changes
HOT = np.array([[255, 214, 102], [240, 110, 20], [150, 20, 10]], dtype=float)  # from a little change to the most


@dataclass(frozen=True)
class Display:
    """A picture as a page holds it.

    Args:
        content: of its file.
        kind: ``png``, without loss, of small pictures; or ``webp``.
        width: in pixels.
        height: likewise.
    """

    content: bytes
    kind: str
    width: int
    height: int

    @classmethod
    def of(cls, picture: np.ndarray, longest: int = LONGEST) -> "Display":
        """A picture ``(H, W, 3)`` of uint8, shrunk to a longest side."""
        image, file = Image.fromarray(picture), io.BytesIO()
        kind = "png" if max(image.size) <= SMALL else "webp"
        if max(image.size) > longest:
            image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        image.save(file, kind, optimize=True, quality=QUALITY)
        return cls(file.getvalue(), kind, *image.size)

    @property
    def uri(self) -> str:
        """``data:...``, the picture itself."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.content).decode()}"

    @property
    def is_small(self) -> bool:
        """Whether its pixels are shown as squares."""
        return self.kind == "png"


def displays(pictures: Sequence[np.ndarray], most_bytes: int = MOST_BYTES) -> list[Display]:
    """All pictures of a page, as large as they fit together.

    Args:
        pictures: ``(H, W, 3)`` of uint8.
        most_bytes: what their files may take.
    """
    longest = LONGEST
    while True:
        shown = [Display.of(picture, longest) for picture in pictures]
        taken = sum(len(one.content) for one in shown)
        if taken <= most_bytes or longest <= SMALL:
            return shown
        largest = max(max(one.width, one.height) for one in shown)
        longest = max(SMALL, int(0.9 * largest * math.sqrt(most_bytes / taken)))


def shrunk(picture: np.ndarray, longest: int = LONGEST) -> np.ndarray:
    """A picture ``(H, W, 3)`` of uint8 with no side longer than is shown."""
    if max(picture.shape[:2]) <= longest:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.asarray(image)


def pixels(file: Path) -> np.ndarray:
    """A picture file as ``(H, W, 3)`` of uint8; raises ``OSError``."""
    return np.asarray(Image.open(file).convert("RGB"))


def change_map(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where a picture changed: the picture in pale grey, and over it the mean change of the channels, as a colour.

    The scale is the picture's own: what changes most is darkest, what does not change stays grey.

    Args:
        before: ``(H, W, 3)`` of uint8.
        after: the same.

    Returns:
        ``(H, W, 3)`` of uint8.
    """
    change = _changes(before, after)
    share = (change / max(1.0, float(change.max()))) ** GAMMA
    grey = 255 - FADED * (255 - before.astype(float) @ [0.299, 0.587, 0.114])
    stops = np.linspace(0, 1, len(HOT))
    colour = np.stack([np.interp(share, stops, HOT[:, channel]) for channel in range(3)], axis=2)
    opacity = np.clip(1.6 * share, 0, 1)[..., None]
    return np.round((1 - opacity) * grey[..., None] + opacity * colour).astype(np.uint8)


def _changes(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.abs(after.astype(float) - before).mean(axis=2)
