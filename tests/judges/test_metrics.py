"""Distances between pictures against hand-computed values."""

from math import inf, log10

import pytest
import torch

from dmt.judges.metrics import largest_change, mean_absolute_change, psnr, root_mean_square_change, split_change, ssim


def flat(value: float, height: int = 12, width: int = 9) -> torch.Tensor:
    return torch.full((3, height, width), value)


def noise(seed: int, height: int = 12, width: int = 9) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def test_psnr_by_hand():
    assert psnr(flat(0.5), flat(0.4)) == pytest.approx(20, abs=1e-4)  # a mean square of 0.01 of a range of 1
    image = flat(0.0)
    image[0, :6] = 1  # half of one channel of three
    assert psnr(image, flat(0.0)) == pytest.approx(10 * log10(6))
    assert psnr(noise(0), noise(0)) == inf


def test_psnr_and_ssim_do_not_care_which_picture_comes_first():
    assert psnr(noise(0), noise(1)) == pytest.approx(psnr(noise(1), noise(0)))
    assert ssim(noise(0), noise(1)) == pytest.approx(ssim(noise(1), noise(0)))


@pytest.mark.parametrize("size", [(12, 9), (7, 7), (8, 6), (5, 3)])
def test_ssim_of_flat_pictures_is_the_luminance_term(size):
    a, b, c1 = 0.2, 0.7, 0.01**2
    luminance = (2 * a * b + c1) / (a**2 + b**2 + c1)  # the contrast term is 1: neither has any
    assert ssim(flat(a, *size), flat(b, *size)) == pytest.approx(luminance, abs=1e-6)


def test_ssim_is_one_for_equal_pictures_and_negative_for_a_negative():
    assert ssim(noise(0), noise(0)) == pytest.approx(1)
    assert ssim(1 - noise(0), noise(0)) < 0


def test_the_mean_absolute_change_by_hand():
    image = flat(0.0)
    image[:, :3] = 10 / 255  # a quarter of the rows
    assert mean_absolute_change(image, flat(0.0)) == pytest.approx(2.5)
    assert mean_absolute_change(flat(0.0), image) == pytest.approx(2.5)  # no wrap-around in 8 bits
    assert mean_absolute_change(flat(0.0), flat(1.0)) == 255


def test_the_root_mean_square_change_by_hand():
    image = flat(0.0)
    image[:, :3] = 10 / 255  # a quarter of the rows
    assert root_mean_square_change(image, flat(0.0)) == pytest.approx(5)  # the root of 100 / 4
    assert root_mean_square_change(flat(0.0), image) == pytest.approx(5)
    assert root_mean_square_change(flat(0.0), flat(1.0)) == 255
    assert root_mean_square_change(noise(0), noise(0)) == 0


def test_the_largest_change_is_that_of_one_pixel_in_one_channel():
    image = flat(100 / 255)
    image[1, 4, 5] = 3 / 255
    image[0, 2, 2] = 180 / 255
    assert largest_change(image, flat(100 / 255)) == 97
    assert largest_change(flat(100 / 255), image) == 97
    assert largest_change(flat(0.0), flat(1.0)) == 255
    assert largest_change(noise(0), noise(0)) == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_three_changes_are_in_order(seed):
    pair = noise(seed), noise(seed + 10)
    assert 0 < mean_absolute_change(*pair) < root_mean_square_change(*pair) < largest_change(*pair) <= 255


def test_a_change_below_half_a_level_of_an_8_bit_picture_is_none():
    assert mean_absolute_change(flat(100.4 / 255), flat(100 / 255)) == 0


def test_the_change_within_the_central_square_and_outside_it_by_hand():
    image = flat(0.0, 10, 10)
    image[:, 3, 3] = 48 / 255  # a corner of the middle 4 x 4 pixels
    image[0, 2, 3] = 63 / 255  # the pixel above it, in one channel of three
    inside, outside = split_change(image, flat(0.0, 10, 10), center=0.4)
    assert inside == pytest.approx(48 / 16)
    assert outside == pytest.approx(63 / 3 / 84)
    assert split_change(flat(0.0, 10, 10), image, center=0.4) == pytest.approx((inside, outside))


def test_the_centre_of_a_picture_that_is_no_square_has_its_shape():
    image = flat(0.0, 20, 10)
    image[:, 5:15, 2:8] = 10 / 255  # half of the height, and 5 pixels of the width rounded to an even margin
    inside, outside = split_change(image, flat(0.0, 20, 10), center=0.5)
    assert inside == pytest.approx(10)
    assert outside == pytest.approx(0)


def test_the_default_centre_is_that_of_lfw():
    image = flat(0.0, 125, 125)
    image[:, 30:95, 30:95] = 1  # 65 of 125 pixels are 0.52
    assert split_change(image, flat(0.0, 125, 125)) == pytest.approx((255, 0))
    image[:, 30, 30:95] = 0
    assert split_change(image, flat(0.0, 125, 125)) == pytest.approx((255 * 64 / 65, 0))


def test_both_parts_of_the_change_make_up_the_whole():
    image, reference = noise(0, 10, 10), noise(1, 10, 10)
    inside, outside = split_change(image, reference, center=0.4)
    assert (16 * inside + 84 * outside) / 100 == pytest.approx(mean_absolute_change(image, reference))


@pytest.mark.parametrize("side", [8, 32])
def test_small_pictures_have_a_centre_and_an_outside_too(side):
    assert split_change(flat(1.0, side, side), flat(0.0, side, side)) == (255, 255)
