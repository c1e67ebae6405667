"""Grids, looked at pixel by pixel."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageFont

from dmt.reporting.grids import cut, labelled_grid, stacked
from tests.reporting.pictures import COLOURS, box, tile


def test_pictures_stand_in_rows_and_columns_in_full():
    rows = [[tile(c, 100, 130) for c in COLOURS[:3]], [tile(c, 100, 130) for c in COLOURS[3:]]]
    grid = labelled_grid(rows, ["input", "two\nlines"], ["x", "y", "z"])
    boxes = [box(grid, colour) for colour in COLOURS]
    lefts, tops = [b[0] for b in boxes], [b[1] for b in boxes]
    assert all(b[2:] == (130, 100) for b in boxes)
    assert lefts[:3] == lefts[3:] == sorted(lefts[:3])
    assert len(set(tops[:3])) == len(set(tops[3:])) == 1
    assert tops[3] > tops[0] + 100
    assert all(second - first >= 130 for first, second in itertools.pairwise(lefts[:3]))
    assert grid.width >= lefts[2] + 130
    assert grid.height >= tops[3] + 100


def test_a_picture_appears_pixel_by_pixel():
    pixels = np.random.default_rng(0).integers(0, 200, (120, 110, 3), dtype=np.uint8)
    grid = np.asarray(labelled_grid([[tile((255, 0, 0), 120, 110), pixels]], ["input"], []))
    left, top, width, _ = box(grid, (255, 0, 0))
    gap = np.flatnonzero((grid[top, left + width :] < 200).all(axis=1))[0]
    start = left + width + gap
    np.testing.assert_array_equal(grid[top : top + 120, start : start + 110], pixels)


def test_small_pictures_are_enlarged_without_blur():
    picture = tile((255, 0, 0), 8, 8)
    picture[:, 4:] = (0, 0, 255)
    grid = labelled_grid([[picture]], ["input"], ["digit"])
    red, blue = box(grid, (255, 0, 0)), box(grid, (0, 0, 255))
    assert red[2:] == blue[2:] == (48, 96)
    assert blue[0] == red[0] + 48


def test_labels_are_written_beside_and_above_and_a_long_one_stays_in_its_column():
    rows = [[tile(COLOURS[0]), tile(COLOURS[1])]]
    bare = np.asarray(labelled_grid(rows, ["input"], ["", ""])).astype(int)
    labelled = np.asarray(labelled_grid(rows, ["input"], ["x" * 200, ""])).astype(int)
    left, top, width, height = box(bare, COLOURS[0])
    assert (bare[top : top + height, :left] < 128).any(), "no row label"
    changed = np.flatnonzero((bare != labelled).any(axis=(0, 2)))
    assert left - 2 <= changed[0] <= changed[-1] < left + width  # letters are smoothed over their edge
    assert not (bare != labelled)[top:].any()


def test_a_shorter_row_leaves_room():
    grid = labelled_grid([[tile(COLOURS[0]), tile(COLOURS[1])], [tile(COLOURS[2])]], ["a", "b"], [])
    assert box(grid, COLOURS[2])[0] == box(grid, COLOURS[0])[0]


@pytest.mark.parametrize("label", ["", "Zoë_Ångström", "顔", "λ' = 0.3", "a\nb\nc"])
def test_any_label_can_be_drawn(label):
    grid = labelled_grid([[tile(COLOURS[0])]], [label], [label.replace("\n", " ")])
    assert box(grid, COLOURS[0])[2:] == (100, 100)


def test_of_a_long_column_label_the_end_is_kept():
    rows = [[tile(COLOURS[0])]]
    first, *others = (
        np.asarray(labelled_grid(rows, ["input"], [name]))
        for name in ("pears/" + 40 * "w" + "_0042", "plums/" + 40 * "w" + "_0042", "pears/" + 40 * "w" + "_0043")
    )
    assert [bool((first != other).any()) for other in others] == [False, True]


@pytest.mark.parametrize(("keep_end", "expected"), [(False, "aaa…"), (True, "…bbb")])
def test_a_label_is_cut_to_its_width(keep_end, expected):
    class Typewriter(ImageFont.ImageFont):
        def getlength(self, text, *_, **__):
            return 10 * len(text)

    assert cut("aaaaabbbbb", 45, Typewriter(), keep_end=keep_end) == expected
    assert cut("aabb", 45, Typewriter(), keep_end=keep_end) == "aabb"


def test_stacked_pictures_stand_one_below_the_other():
    first, second = Image.new("RGB", (30, 20), COLOURS[0]), Image.new("RGB", (50, 10), COLOURS[1])
    whole = stacked([first, second])
    assert whole.size == (50, 30)
    assert box(whole, COLOURS[0]) == (0, 0, 30, 20)
    assert box(whole, COLOURS[1]) == (0, 20, 50, 10)
