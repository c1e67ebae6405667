"""Damaged pictures and odd files: each is read, or refused in one line; and no odd entry stops a folder.

``campaign(seed, count)`` damages that many pictures. *Silent* is a damaged picture that is taken without a word though
it can be known for damaged or is understood in two ways:

- a file that was cut off, or a PNG with another checksum, that decodes to other pixels than the intact file;
- a file of which ``read_image`` and ``Photograph.read`` see different pictures, or only one of them any;
- a result of another shape, or with values that are not in [0, 1].
"""

import io
import logging
import os
import random
import re
import socket
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from dmt.data import Folder, Unlabelled, read_image
from dmt.data.given import Given
from dmt.data.photographs import Photograph
from dmt.errors import UserError
from dmt.storage.limits import Limits, limited
from tests.faults.tally import tally

SIDE = 24  # pixels at which pictures are read
LIMITS = Limits(pixels=4e6, picture_megabytes=5)
LOSSY_TOLERANCE = 0.03  # mean, of two ways to the same picture
Content = tuple[str, bytes]  # suffix, bytes


def scene() -> np.ndarray:
    """A smooth picture with an edge, ``(40, 56, 3)`` of uint8."""
    y, x = np.mgrid[:40, :56] / 56
    channels = [120 + 100 * np.sin(5 * x), 130 + 90 * np.cos(6 * y), 110 + 80 * np.sin(4 * (x + y))]
    picture = np.stack(channels, axis=2)
    picture[12:28, 20:36] = (230, 40, 60)
    return picture.astype(np.uint8)


@cache
def intact() -> dict[str, Content]:
    """Pictures of every format, depth and kind of colours that is read: name -> suffix and bytes."""
    rgb = Image.fromarray(scene())
    grey = rgb.convert("L")
    alpha = rgb.convert("RGBA")
    alpha.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    palette = rgb.quantize(64)
    deep = (np.asarray(grey).astype(np.uint16) * 257)[:, :, None].repeat(3, 2)
    frames = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    found = {
        "jpeg": _saved(rgb, "JPEG", quality=90),
        "jpeg progressive": _saved(rgb, "JPEG", progressive=True),
        "jpeg grey": _saved(grey, "JPEG"),
        "jpeg cmyk": _saved(rgb.convert("CMYK"), "JPEG"),
        "jpeg turned": _saved(rgb, "JPEG", exif=exif, icc_profile=icc),
        "png": _saved(rgb, "PNG"),
        "png alpha": _saved(alpha, "PNG"),
        "png palette": _saved(palette, "PNG", transparency=3),
        "png grey": _saved(grey, "PNG"),
        "png bits": _saved(grey.convert("1"), "PNG"),
        "png turned": _saved(rgb, "PNG", exif=exif, icc_profile=icc),
        "png 16 grey": _saved(Image.fromarray(deep[..., 0]), "PNG"),
        "png 16": (".png", cv2.imencode(".png", deep)[1].tobytes()),
        "webp": _saved(rgb, "WEBP", quality=80),
        "webp lossless": _saved(alpha, "WEBP", lossless=True, exact=True),
        "webp animated": _saved(rgb, "WEBP", **frames),
        "gif": _saved(palette, "GIF"),
        "gif animated": _saved(palette, "GIF", save_all=True, append_images=[palette.rotate(90)]),
        "bmp": _saved(rgb, "BMP"),
        "bmp palette": _saved(palette, "BMP"),
        "tiff": _saved(rgb, "TIFF"),
        "tiff lzw": _saved(rgb, "TIFF", compression="tiff_lzw"),
        "tiff deflate": _saved(alpha, "TIFF", compression="tiff_deflate"),
        "tiff jpeg": _saved(rgb, "TIFF", compression="jpeg"),
        "tiff cmyk": _saved(rgb.convert("CMYK"), "TIFF"),
        "tiff float": _saved(Image.fromarray(np.asarray(grey).astype(np.float32) / 255), "TIFF"),
        "tiff int": _saved(Image.fromarray(np.asarray(grey).astype(np.int32) * 100), "TIFF"),
        "tiff 16": (".tif", _deep_tiff(deep, None)),
        "tiff 16 planes": (".tif", _deep_tiff(np.moveaxis(deep, 2, 0), None)),
        "tiff 16 deflate": (".tif", _deep_tiff(deep, "zlib")),
        "avif": _saved(rgb, "AVIF", quality=80),
        "jpeg 2000": _saved(rgb, "JPEG2000"),
        "ico": _saved(rgb.resize((32, 32)), "ICO"),
        "ppm": _saved(rgb, "PPM"),
        "tga": _saved(rgb, "TGA"),
    }
    return {name: content for name, content in found.items() if content[1]}


def _saved(image: Image.Image, file_format: str, **options: object) -> Content:
    buffer = io.BytesIO()
    try:
        image.save(buffer, file_format, **options)
    except (OSError, KeyError):  # a Pillow without this format
        return "", b""
    suffixes = {"JPEG": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}
    return suffixes.get(file_format, f".{file_format.lower()}"), buffer.getvalue()


def _deep_tiff(pixels: np.ndarray, compression: str | None) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", compression=compression)
    return buffer.getvalue()


# Damage: what it is called, and what becomes of the bytes

Damage = Callable[[random.Random, bytes], bytes]


def cut_off(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def cut_off_at_its_end(rng: random.Random, content: bytes) -> bytes:
    return content[: -rng.randint(1, 40)]


def flipped_bits(rng: random.Random, content: bytes) -> bytes:
    out = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def flipped_bits_of_the_head(rng: random.Random, content: bytes) -> bytes:
    out = bytearray(content)
    for _ in range(rng.choice([1, 2, 4])):
        out[rng.randrange(min(len(out), 120))] = rng.randrange(256)
    return bytes(out)


def absurd_numbers(rng: random.Random, content: bytes) -> bytes:
    """Four or two bytes at an even place of the head become a huge number, 0 or -1."""
    out = bytearray(content)
    size = rng.choice([2, 4])
    at = rng.randrange(0, min(len(out) - 8, 200), 2)
    order = rng.choice("<>")
    number = rng.choice([0, 1, 0x7FFF, 0xFFFF, 15_000] if size == 2 else [0, 0x7FFFFFFF, 0xFFFFFFFF, 14_000, 100_000])
    out[at : at + size] = struct.pack(order + ("H" if size == 2 else "L"), number)
    return bytes(out)


def absurd_size_of_a_png(rng: random.Random, content: bytes) -> bytes:
    """Another width and height in its header, with the checksum that belongs to it; of others, absurd numbers."""
    if not content.startswith(b"\x89PNG"):
        return absurd_numbers(rng, content)
    width, height = (rng.choice([0, 1, 7, 56, 300, 60_000, 2**31 - 1]) for _ in range(2))
    head = content[12:16] + struct.pack(">LL", width, height) + content[24:29]
    return content[:12] + head + struct.pack(">L", zlib.crc32(head)) + content[33:]


def spliced(rng: random.Random, content: bytes) -> bytes:
    """The head of another picture before the rest of this one."""
    other = rng.choice(list(intact().values()))[1]
    return other[: rng.randint(2, 200)] + content[rng.randint(0, 200) :]


def with_a_hole(rng: random.Random, content: bytes) -> bytes:
    at, size = rng.randrange(len(content)), rng.randint(1, 200)
    filler = rng.choice([b"", b"\0" * size, b"\xff" * size, rng.randbytes(size)])
    return content[:at] + filler + content[at + size :]


def with_more_behind(rng: random.Random, content: bytes) -> bytes:
    return content + rng.choice([rng.randbytes(300), content, b"\0" * 1000])


def with_a_broken_exif_or_profile(rng: random.Random, content: bytes) -> bytes:
    """A JPEG, PNG or WebP whose EXIF block or colour profile is noise."""
    noise = rng.randbytes(rng.randint(1, 300))
    head = rng.choice([b"Exif\0\0II*\0\x08\0\0\0", b"Exif\0\0MM\0*\0\0\0\x08", b"Exif\0\0", b""])
    named = {"exif": head + noise} if rng.random() < 0.6 else {"icc_profile": noise}
    return _saved(Image.fromarray(scene()), rng.choice(["JPEG", "PNG", "WEBP"]), **named)[1]


DAMAGES: list[Damage] = [
    cut_off,
    cut_off_at_its_end,
    flipped_bits,
    flipped_bits_of_the_head,
    absurd_numbers,
    absurd_size_of_a_png,
    spliced,
    with_a_hole,
    with_more_behind,
    with_a_broken_exif_or_profile,
]
CUTS = (cut_off, cut_off_at_its_end)


def campaign(seed: int, count: int) -> dict[str, int]:
    """Damage pictures and read them."""
    rng, pictures = random.Random(seed), list(intact().items())
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"), limited(LIMITS):

        def trial(number: int) -> tuple[list[str], str]:
            name, (suffix, content) = rng.choice(pictures)
            damage = rng.choice(DAMAGES)
            if rng.random() < 0.1:
                suffix = rng.choice([".jpg", ".png", ".tif", ".gif", ".webp", ".avif"])
            path = Path(folder) / f"damaged{suffix}"
            path.write_bytes(damage(rng, content))
            wrong, why = _judged(path, name, damage)
            path.unlink()
            return [wrong] if wrong else [], f"{damage.__name__} of {name}{suffix}: {why}"

        return tally(count, trial)


def _judged(path: Path, name: str, damage: Damage) -> tuple[str, str]:
    """What is wrong with how a damaged picture is read, and why; empty if nothing is."""
    seen: list[np.ndarray | None] = []
    for read in (_as_the_network_sees_it, _as_it_comes_back):
        try:
            seen.append(read(path))
        except UserError as error:
            if "\n" in str(error):
                return "tracebacks", f"several lines: {error}"
            seen.append(None)
        except Exception as error:
            return "tracebacks", f"{read.__name__}: {type(error).__name__}: {error}"
    first, second = seen
    if first is None and second is None:
        return "", ""
    if second is None and name.startswith("tiff 16"):
        return "", ""  # said when it is edited, for which its 16 bits are needed
    if first is None or second is None:
        return "silent", f"only {'Photograph' if first is None else 'read_image'} reads it"
    if first.shape != (SIDE, SIDE, 3) or not (first.min() >= 0 and first.max() <= 1):
        return "silent", f"read as {first.shape} from {first.min()} to {first.max()}"
    if (distance := np.abs(first - second).mean()) > LOSSY_TOLERANCE:
        return "silent", f"two different pictures, by {distance:.3f}"
    if damage in CUTS or (name.startswith("png") and damage is flipped_bits):
        distance = np.abs(first - _expected(name)).max()
        if distance > 1 / 255:
            return "silent", f"other pixels than the intact file's, by {distance:.3f}"
    return "", ""


@cache
def _expected(name: str) -> np.ndarray:
    """What the intact file shows, as the network sees it."""
    suffix, content = intact()[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        path.write_bytes(content)
        return _as_the_network_sees_it(path)


def _as_the_network_sees_it(path: Path) -> np.ndarray:
    return read_image(path, SIDE).permute(1, 2, 0).numpy()


def _as_it_comes_back(path: Path) -> np.ndarray:
    """The photograph, its centre square brought to the same size by another library."""
    pixels = Photograph.read(path).rgb()
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) / 2, (pixels.shape[1] - side) / 2
    square = Image.fromarray(pixels).resize(
        (SIDE, SIDE), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side)
    )
    return np.asarray(square, dtype=np.float32) / 255


def test_the_intact_pictures_show_the_scene():
    assert len(intact()) >= 30
    plain = _expected("png")
    for name in ("jpeg", "jpeg progressive", "webp", "bmp", "tiff", "tiff lzw", "avif", "ppm", "jpeg 2000"):
        if name in intact():
            assert np.abs(_expected(name) - plain).mean() < 0.03, name


def test_damaged_pictures_are_refused_in_a_line_or_read_in_one_way():
    assert campaign(0, 300) == {"tried": 300, "silent": 0, "tracebacks": 0, "failures": 0}


# Odd entries of folders


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(here)


def _unreadable(path: Path) -> None:
    Image.fromarray(scene()).save(path)
    path.chmod(0)


def _unreadable_folder(path: Path) -> None:
    path.mkdir()
    path.chmod(0)


def _deep(path: Path) -> None:
    """A folder in a folder, longer than a path may be."""
    here = os.open(path.parent, os.O_RDONLY)
    os.mkdir(path.name, dir_fd=here)
    inner = os.open(path.name, os.O_RDONLY, dir_fd=here)
    os.close(here)
    for _ in range(300):
        os.mkdir("d" * 20, dir_fd=inner)
        deeper = os.open("d" * 20, os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = deeper
    os.close(inner)


def _picture(path: Path) -> None:
    path.write_bytes(intact()["png"][1])


def _link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


ODD: dict[str, tuple[str, Callable[[Path], object]]] = {
    "pipe": ("pipe.png", lambda path: os.mkfifo(path)),
    "pipe without a suffix": ("pipe", lambda path: os.mkfifo(path)),
    "socket": ("socket.png", _socket),
    "link to a device without end": ("zero.png", _link("/dev/zero")),
    "link to a device": ("null.png", _link("/dev/null")),
    "link to a terminal": ("tty.png", _link("/dev/tty")),
    "link to random bytes": ("random.jpg", _link("/dev/urandom")),
    "link to nothing": ("nothing.png", _link("missing.png")),
    "link to nowhere": ("nowhere.png", _link("/no/such/folder/a.png")),
    "link to itself": ("itself.png", _link("itself.png")),
    "link to too long a name": ("long.png", _link("x" * 300 + ".png")),
    "link to its own folder": ("own", _link(".")),
    "link to the folder above": ("up", _link("..")),
    "link to a pipe": ("piped.png", _link_to_a_pipe),
    "not UTF-8": (os.fsdecode(b"caf\xe9.png"), _picture),
    "not UTF-8, a folder": (os.fsdecode(b"caf\xe9"), lambda path: path.mkdir()),
    "not UTF-8, a link": (os.fsdecode(b"\xff\xfe.jpg"), _link("missing.png")),
    "new line": ("a\nb.png", _picture),
    "new line, a folder": ("a\nb", lambda path: path.mkdir()),
    "tab": ("a\tb.png", _picture),
    "escape sequence": ("a\x1b[31mb.png", _picture),
    "line separator": ("a\u2028b.png", _picture),
    "empty": ("empty.png", _bytes(b"")),
    "text": ("notes.txt", _bytes(b"nothing to see")),
    "deeper than a path may be": ("deep", _deep),
    "process memory": ("memory.png", _link("/proc/self/mem")),
    "process information": ("maps.png", _link("/proc/self/maps")),
    "folder of a picture's name": ("folder.png", lambda path: path.mkdir()),
    "may not be read": ("secret.png", _unreadable),
    "folder that may not be read": ("secrets", _unreadable_folder),
}
ROOT_CAN_READ = {"may not be read", "folder that may not be read"}
SAYS_NOTHING = {"folder of a picture's name"}  # an empty folder


def _read(catalog: Folder | Unlabelled, name: str) -> None:
    given = Given.of(catalog, [name])
    given.read_named(given.asked[0], 8)


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_entry_is_left_out_and_named_and_stops_nothing(tmp_path, caplog, odd):
    if odd in ROOT_CAN_READ and os.geteuid() == 0:
        pytest.skip("root may read everything")
    name, make = ODD[odd]
    for kind in ("cats", "dogs"):
        (tmp_path / kind).mkdir()
        for number in range(3):
            _picture(tmp_path / kind / f"{number}.png")
    good = [f"{kind}/{number}.png" for kind in ("cats", "dogs") for number in range(3)]
    make(tmp_path / "cats" / name)
    caplog.set_level(logging.INFO)
    for kind in (Folder, Unlabelled):
        catalog = kind(tmp_path)
        assert list(catalog.files) == good
        assert odd in SAYS_NOTHING or re.search("left out [12] file", caplog.text)
        assert all(catalog.read(i, 8).shape == (3, 8, 8) for i in range(6))
        caplog.clear()
        assert Given.of(catalog, [str(tmp_path)]).asked == [str(tmp_path / file) for file in good]
        caplog.clear()
        if not os.path.isdir(tmp_path / "cats" / name):
            with pytest.raises(UserError) as caught:
                _read(catalog, str(tmp_path / "cats" / name))
            assert "\n" not in str(caught.value)
            str(caught.value).encode()
