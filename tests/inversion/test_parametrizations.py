"""The spectrum of a change against the discrete Fourier transform written out, and inversion by it."""

import numpy as np
import pytest
import torch

from dmt.errors import UserError
from dmt.inversion.parametrizations import COLOUR_ROOT, Pixels, Spectrum
from dmt.solvers import LBFGS
from tests.inversion.test_inverter import invert, mixing, pictures  # noqa: F401


def test_pixels_are_themselves():
    images = pictures()
    assert torch.equal(Pixels().pictures(images, images), images)
    assert Pixels().bounds == (0, 1)


@pytest.mark.parametrize("side", [8, 9])
def test_a_wave_is_damped_by_its_frequency_to_the_power_of_the_decay(side):
    cycles, decay = 2, 1.5
    wave = torch.cos(2 * np.pi * cycles * torch.arange(side, dtype=torch.float64) / side).expand(1, 3, side, side)
    grey = torch.full_like(wave, 0.5)
    found = Spectrum(decay, decorrelate=False).pictures(0.01 * wave, grey)
    torch.testing.assert_close(found, 0.5 + 0.01 * wave * (cycles / side / 0.5) ** -decay)


def test_the_mean_is_treated_as_one_wave_across_the_picture():
    ones = torch.ones(1, 3, 10, 10, dtype=torch.float64)
    found = Spectrum(1.0, decorrelate=False).pictures(0.01 * ones, 0.5 * ones)
    torch.testing.assert_close(found, 0.5 + 0.01 * ones * (0.1 / 0.5) ** -1)


def test_colours_are_mixed_by_the_root_of_their_covariance():
    values = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    values[:, 1] = 0.01 * torch.tensor([1.0, -1.0]).repeat(2)  # as fast as columns can: its gain is 1
    change = Spectrum().pictures(values, torch.full_like(values, 0.5))[0, :, 0, 0] - 0.5
    root = np.array(COLOUR_ROOT)
    expected = 0.01 * root[:, 1] / np.linalg.norm(root, axis=0).max()
    np.testing.assert_allclose(change, expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 8), (7, 10)])
def test_values_and_pictures_are_inverse_and_the_input_is_zero(shape):
    random = torch.Generator().manual_seed(0)
    images, reference = (torch.rand(2, 3, *shape, generator=random, dtype=torch.float64) for _ in range(2))
    written = Spectrum()
    values = written.values(images, reference)
    torch.testing.assert_close(written.pictures(values, reference), images)
    assert torch.equal(written.values(reference, reference), torch.zeros_like(images))


def test_inversion_by_the_spectrum_finds_the_picture_that_pixels_find(mixing):  # noqa: F811
    wanted = 0.3 + 0.4 * pictures(seed=1)
    solver = LBFGS(iterations=500, tolerance=0.0, gradient_tolerance=1e-9)
    found = invert(mixing, mixing(wanted), 0.3 + 0.4 * pictures(), {}, solver, parametrization=Spectrum())
    torch.testing.assert_close(found.images, wanted, rtol=0, atol=1e-5)
    assert torch.equal(found.solution.value, found.images.flatten(1))


def test_a_decay_that_is_no_number_is_an_error_that_names_it():
    with pytest.raises(UserError, match=r"parametrization\.decay must be a number"):
        Spectrum(decay="steep")
