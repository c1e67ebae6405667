"""Distances between pictures against hand-computed values."""

from math import inf, log10

import pytest
import torch

from dmt.metrics import mean_absolute_change, psnr, ssim


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


def test_a_change_below_half_a_level_of_an_8_bit_picture_is_none():
    assert mean_absolute_change(flat(100.4 / 255), flat(100 / 255)) == 0
