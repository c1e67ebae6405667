import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from dmt.data import ImageError, read_image, to_pixels
from dmt.data.images import UnreadableError, shorter_side
from dmt.data.photographs import Photograph
from dmt.errors import UserError
from dmt.storage.limits import Limits, limited

UPRIGHT = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)

# What a camera held that way stores, from the EXIF standard: where row 0 and column 0 lie in the scene
STORED = {
    1: lambda scene: scene,  # top, left
    2: lambda scene: scene[:, ::-1],  # top, right
    3: lambda scene: scene[::-1, ::-1],  # bottom, right
    4: lambda scene: scene[::-1],  # bottom, left
    5: lambda scene: scene.swapaxes(0, 1),  # left, top
    6: lambda scene: scene[:, ::-1].swapaxes(0, 1),  # right, top
    7: lambda scene: scene[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda scene: scene[::-1].swapaxes(0, 1),  # left, bottom
}


def saved(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def uniform(colour, mode: str = "RGB", size: tuple[int, int] = (12, 12)) -> Image.Image:
    return Image.new(mode, size, colour)


def colour_of(image: torch.Tensor) -> np.ndarray:
    assert image.amax((1, 2)).allclose(image.amin((1, 2)), atol=2 / 255), "not of one colour"
    return image.mean((1, 2)).numpy() * 255


def test_a_square_picture_at_its_own_size_keeps_every_pixel(tmp_path):
    path = saved(Image.fromarray(UPRIGHT[:, :30]), tmp_path / "a.png")
    image = read_image(path, 30)
    assert image.shape == (3, 30, 30)
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image.numpy(), UPRIGHT[:, :30].transpose(2, 0, 1) / 255, atol=1e-7)


def test_the_centre_square_is_cut_out(tmp_path):
    path = saved(Image.fromarray(UPRIGHT), tmp_path / "a.png")
    np.testing.assert_array_equal(to_pixels(read_image(path, 30)), UPRIGHT[:, 5:35])


@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_gives_the_same_upright_picture(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](UPRIGHT))
    path = saved(Image.fromarray(stored), tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(to_pixels(read_image(path, 30)), UPRIGHT[:, 5:35])


@pytest.mark.parametrize(
    ("image", "suffix", "expected"),
    [
        (uniform(77, "L"), "png", (77, 77, 77)),
        (uniform(1, "1"), "png", (255, 255, 255)),
        (uniform((200, 255), "LA"), "png", (200, 200, 200)),
        (uniform((0, 51), "LA"), "png", (204, 204, 204)),  # black at a fifth on white
        (uniform((255, 0, 0, 0), "RGBA"), "png", (255, 255, 255)),
        (uniform((255, 0, 0, 51), "RGBA"), "png", (255, 204, 204)),
        (uniform((10, 20, 30)), "bmp", (10, 20, 30)),
        (uniform((10, 20, 30)), "tif", (10, 20, 30)),
        (uniform((10, 20, 30)), "gif", (10, 20, 30)),
        (uniform((0, 255, 255, 0), "CMYK"), "jpg", (255, 0, 0)),
        (uniform((0, 0, 0, 153), "CMYK"), "jpg", (102, 102, 102)),
        (uniform(round(0.25 * 65535), "I;16"), "png", (64, 64, 64)),
        (uniform(65535, "I;16"), "tif", (255, 255, 255)),
        (uniform(0, "I;16"), "png", (0, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb_on_white(tmp_path, image, suffix, expected):
    path = saved(image, tmp_path / f"a.{suffix}", **({"quality": 100} if suffix == "jpg" else {}))
    np.testing.assert_allclose(colour_of(read_image(path, 8)), expected, atol=1.5)


def test_a_transparent_palette_entry_lies_on_white(tmp_path):
    image = Image.new("P", (16, 16))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (8, 0, 16, 16))
    path = saved(image, tmp_path / "a.png", transparency=0)
    pixels = to_pixels(read_image(path, 16))
    assert (pixels[:, :8] == 255).all()
    assert (pixels[:, 8:] == (0, 0, 255)).all()


def test_a_16_bit_picture_keeps_its_brightness_however_dark_it_is(tmp_path):
    path = saved(uniform(200, "I;16"), tmp_path / "a.png")
    np.testing.assert_allclose(colour_of(read_image(path, 8)), 200 / 65535 * 255, atol=0.6)


def test_one_pixel_fills_the_picture(tmp_path):
    path = saved(uniform((10, 200, 30), size=(1, 1)), tmp_path / "a.png")
    np.testing.assert_allclose(colour_of(read_image(path, 125)), (10, 200, 30), atol=0.5)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_narrow_strip_shows_its_centre(tmp_path, suffix):
    strip = Image.new("RGB", (3, 4000), "black")
    strip.paste((255, 255, 255), (0, 1984, 3, 2016))
    assert read_image(saved(strip, tmp_path / f"a.{suffix}"), 125).min() > 0.95


def test_a_large_jpeg_keeps_its_layout(tmp_path):
    scene = Image.new("RGB", (6000, 4000), (200, 0, 0))
    scene.paste((0, 200, 0), (3000, 0, 6000, 2000))
    scene.paste((0, 0, 200), (0, 2000, 3000, 4000))
    scene.paste((200, 200, 200), (3000, 2000, 6000, 4000))
    image = to_pixels(read_image(saved(scene, tmp_path / "a.jpg", quality=90), 125)).astype(int)
    corners = image[[[10], [114]], [10, 114]]
    expected = [[(200, 0, 0), (0, 200, 0)], [(0, 0, 200), (200, 200, 200)]]
    np.testing.assert_allclose(corners, expected, atol=4)


def test_an_animation_shows_its_first_frame(tmp_path):
    frames = [uniform((0, 0, 255)), uniform((255, 0, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(colour_of(read_image(tmp_path / "a.gif", 8)), (0, 0, 255), atol=0.5)


def a_text_file(path: Path) -> None:
    path.write_text("no picture\nat all\n")


def an_empty_file(path: Path) -> None:
    path.touch()


def a_truncated_jpeg(path: Path) -> None:
    Image.fromarray(UPRIGHT).save(path)
    path.write_bytes(path.read_bytes()[:-400])


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [a_text_file, an_empty_file, a_truncated_jpeg, a_folder])
def test_what_is_no_picture_is_an_error_of_one_line_that_names_the_file(tmp_path, make):
    path = tmp_path / "portrait.jpg"
    make(path)
    with pytest.raises(UserError, match=r"portrait\.jpg") as caught:
        read_image(path, 8)
    assert isinstance(caught.value, ImageError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [lambda path: read_image(path, 8), Photograph.read])
def test_what_cannot_be_read_is_another_error_than_what_does_not_decode(tmp_path, monkeypatch, read):
    path = tmp_path / "portrait.jpg"
    with pytest.raises(UnreadableError, match=r"portrait\.jpg: there is no such file"):
        read(path)
    Image.fromarray(UPRIGHT).save(path)

    def failing(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(UnreadableError, match=r"portrait\.jpg could not be read \(Input/output error\)"):
        read(path)


def test_a_picture_too_large_to_decode_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    path = saved(uniform((1, 2, 3), size=(30, 30)), tmp_path / "poster.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's own limit is not ours
    assert read_image(path, 8).shape == (3, 8, 8)
    with limited(Limits(pixels=899)), pytest.raises(ImageError, match=r"poster\.png is too large.*limits\.pixels"):
        read_image(path, 8)
    with limited(Limits(picture_megabytes=1e-6)), pytest.raises(ImageError, match=r"limits\.picture_megabytes"):
        read_image(path, 8)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it finds damaged
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]),
    st.integers(0, 2000),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
)
def test_a_damaged_file_either_decodes_or_is_an_image_error(tmp_path, file_format, length, damage):
    buffer = io.BytesIO()
    Image.fromarray(UPRIGHT[:16, :16]).save(buffer, file_format)
    content = bytearray(buffer.getvalue()[:length])
    for position, value in damage:
        if position < len(content):
            content[position] = value
    path = tmp_path / "damaged"
    path.write_bytes(content)
    try:
        image = read_image(path, 8)
    except ImageError:
        return
    assert image.shape == (3, 8, 8)
    assert 0 <= image.min() <= image.max() <= 1


@given(arrays(np.uint8, (5, 4, 3)))
def test_pixels_survive_the_way_to_a_tensor_and_back(pixels):
    tensor = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)
    np.testing.assert_array_equal(to_pixels(tensor), pixels)


def test_pixels_are_rounded_and_clamped():
    tensor = torch.tensor([-0.5, 0.4 / 255, 0.6 / 255, 254.6 / 255, 7.0]).expand(3, 1, 5)
    assert to_pixels(tensor)[0, :, 0].tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif"])
@pytest.mark.parametrize("size", [(12, 30), (30, 12), (17, 17)])
def test_the_shorter_side_is_what_the_file_says(suffix, size, tmp_path):
    assert shorter_side(saved(uniform((9, 9, 9), size=size), tmp_path / f"a.{suffix}")) == min(size)


def test_what_is_no_picture_has_no_side_and_a_cut_one_has_that_of_its_beginning(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    whole = saved(uniform((9, 9, 9), size=(40, 50)), tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    sides = [shorter_side(tmp_path / name) for name in ("text.png", "empty.png", "nowhere.png", "cut.png")]
    assert sides == [None, None, None, 40]
