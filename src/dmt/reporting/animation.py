"""Pictures along an edit -> a looping GIF or an MP4 that runs forward and back."""

import importlib.util
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from dmt.errors import UserError, is_number, require_whole_number
from dmt.reporting.grids import SMALLEST
from dmt.storage.files import replacing

FASTEST = 50  # frames per second; browsers slow down GIFs that ask for more
BT709 = "scale=out_color_matrix=bt709,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709"

Frame = TypeVar("Frame")


def write_animation(frames: Sequence[np.ndarray], path: Path, frames_per_second: float = 8.0, hold: int = 4) -> None:
    """Write the frames forward and back, so that the loop does not jump, as a GIF or an MP4 by the path's suffix.

    GIF: one palette of up to 256 colours per frame, without dithering, which would flicker; times are whole hundredths
    of a second, rounded so that they do not drift. Pillow stores a run of equal frames as one that lasts as long.
    MP4: H.264 with yuv420p and its colour matrix named, which browsers play alike; an odd side gets one more row or
    column, the last one again.
    Frames below 96 pixels are enlarged by a whole factor without smoothing. The file is written whole or not at all.

    Args:
        frames: at least one ``(H, W, 3)`` of uint8, all of one size.
        path: ends in ``.gif`` or ``.mp4``.
        frames_per_second: 1 ... 50.
        hold: for how many frames' time the first and the last frame stand still, 1 ... 100.

    Raises:
        UserError: another suffix, a number out of its range, or an MP4 without imageio-ffmpeg installed.
    """
    if path.suffix.lower() not in WRITERS:
        raise UserError(f"an animation's path must end in {' or '.join(WRITERS)}, got {path}")
    if not (is_number(frames_per_second) and 1 <= frames_per_second <= FASTEST):
        raise UserError(
            f"frames_per_second must be a number from 1 to {FASTEST}, for example 8, got {frames_per_second}"
        )
    require_whole_number("hold", hold, "a whole number from 1 to 100, for example 4", least=1, most=100)
    write, shown = WRITERS[path.suffix.lower()], [_enlarged(frame) for frame in frames]
    with replacing(path) as partial:
        film = partial.with_name(partial.name + path.suffix)  # writers go by the suffix
        try:
            write(shown, film, frames_per_second, hold)
            film.replace(partial)
        finally:
            film.unlink(missing_ok=True)


def require_writer(kind: str) -> None:
    """Make sure, before any work, that a film of this kind can be written; raises ``UserError``."""
    if kind == "mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise UserError("an MP4 needs imageio-ffmpeg: pip install 'dmt[animation]', or take output.animation=gif")


def there_and_back(frames: Sequence[Frame], hold: int) -> list[Frame]:
    """Return one period of the loop: the first frame ``hold`` times, those between, the last likewise, and back.

    >>> there_and_back("abcd", hold=2)
    ['a', 'a', 'b', 'c', 'd', 'd', 'c', 'b']
    >>> there_and_back("a", hold=2)
    ['a', 'a']
    """
    first, *others = frames
    if not others:
        return [first] * hold
    *between, last = others
    return [first] * hold + between + [last] * hold + between[::-1]


def _enlarged(frame: np.ndarray) -> np.ndarray:
    factor = max(1, -(-SMALLEST // min(frame.shape[:2])))
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def _write_gif(frames: list[np.ndarray], path: Path, frames_per_second: float, hold: int) -> None:
    film = there_and_back([_indexed(frame) for frame in frames], hold)
    ends = [round(100 * index / frames_per_second) for index in range(len(film) + 1)]
    milliseconds = [10 * (end - start) for start, end in pairwise(ends)]
    film[0].save(path, save_all=True, append_images=film[1:], duration=milliseconds, loop=0)


def _indexed(frame: np.ndarray) -> Image.Image:
    """Return the picture in its own 256 colours; of Pillow's ways this one errs least, on average and at the worst."""
    picture = Image.fromarray(frame)
    return picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)


def _write_mp4(frames: list[np.ndarray], path: Path, frames_per_second: float, hold: int) -> None:
    try:
        import imageio.v2 as imageio
        import imageio_ffmpeg  # noqa: F401
    except ImportError as error:
        raise UserError("an MP4 needs imageio-ffmpeg: pip install 'dmt[animation]', or write a .gif") from error
    imageio.mimwrite(
        path,
        there_and_back([_even(frame) for frame in frames], hold),
        fps=frames_per_second,
        codec="libx264",
        pixelformat="yuv420p",
        quality=8,
        macro_block_size=2,
        output_params=["-vf", BT709, "-movflags", "+faststart"],
    )


def _even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    return np.pad(frame, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")


WRITERS = {".gif": _write_gif, ".mp4": _write_mp4}
