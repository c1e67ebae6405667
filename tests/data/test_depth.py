"""Which stored number is white, of pictures whose format does not say."""

import numpy as np
import pytest
from PIL import Image

from dmt.data import ImageError, read_image
from dmt.data.depth import in_range, white_of
from dmt.data.photographs import Photograph

HALF = np.full((40, 40), 0.5, np.float32)


def with_some(values: np.ndarray, *odd: float) -> np.ndarray:
    out = values.copy()
    out.reshape(-1)[: len(odd)] = odd
    return out


@pytest.mark.parametrize(
    "odd",
    [(1.02,), (np.nan,), (np.inf,), (-np.inf,), (1e30,), (-0.2,), (np.nan,) * 800, (1.9,) * 400, (-0.1,) * 400],
    ids=["1.02", "nan", "inf", "-inf", "1e30", "-0.2", "half nan", "highlights", "undershoot"],
)
def test_odd_pixels_of_a_float_picture_leave_the_others_as_bright_as_they_are(tmp_path, odd):
    path = tmp_path / "a.tif"
    Image.fromarray(with_some(HALF, *odd)).save(path)
    assert read_image(path, 40)[:, -10:].mean() == pytest.approx(0.5, abs=1 / 255)
    assert Photograph.read(path).rgb()[-10:].mean() == pytest.approx(127.5, abs=1)


def test_what_is_no_number_is_black_and_infinity_white(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(with_some(HALF, np.nan, np.inf, -np.inf)).save(path)
    np.testing.assert_array_equal(Photograph.read(path).rgb()[0, :3, 0], [0, 255, 0])


@pytest.mark.parametrize(
    ("values", "white"),
    [
        (np.linspace(0, 1, 5000), 1.0),
        (np.linspace(0, 255, 5000), 255.0),
        (np.linspace(0, 65535, 5000), 65535.0),
        (np.arange(256, dtype=np.int32), 255.0),
        (np.arange(-5, 256, dtype=np.int32), 255.0),
        (np.arange(4096, dtype=np.int32), 65535.0),
        (np.zeros(9, np.float32), 1.0),
        (np.zeros(9, np.int32), 255.0),
        (np.full(9, -1e-7), 1.0),
        (np.arange(5, dtype=np.uint16), 65535.0),
        (np.arange(5, dtype=">u2"), 65535.0),
        (np.arange(5, dtype=np.uint8), 255.0),
        (np.array([False]), 1.0),
    ],
)
def test_white_is_the_least_that_the_values_keep_to(values, white):
    assert white_of(values) == white


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.linspace(-1, 1, 5000), "black is 0"),
        (np.linspace(-1000, 3000, 5000).astype(np.int32), "black is 0"),
        (np.linspace(0, 2**31 - 1, 5000).astype(np.int32), "white is 1, 255 or 65535"),
        (np.full(100, np.nan), "none of its values is a number"),
    ],
)
def test_values_that_say_neither_white_nor_black_are_refused(tmp_path, values, said):
    path = tmp_path / "a.tif"
    Image.fromarray(values.reshape(50, -1).astype(values.dtype if values.dtype.kind == "i" else np.float32)).save(path)
    for read in (lambda: read_image(path, 8), lambda: Photograph.read(path)):
        with pytest.raises(ImageError, match=said):
            read()


def test_a_large_picture_is_judged_by_pixels_drawn_from_it():
    values = np.random.default_rng(1).random(3 * 2**20, dtype=np.float32)
    assert white_of(values) == 1.0
    assert white_of(values * 200) == 255.0


def test_in_range_clips_and_makes_black_of_what_is_no_number():
    np.testing.assert_array_equal(in_range(np.array([np.nan, -1, 0.5, 2, np.inf]), 1.0), [0, 0, 0.5, 1, 1])
