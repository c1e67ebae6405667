"""Colours of results beside NumPy's means and deviations."""

import numpy as np
import torch

from dmt.colors import with_colors_of


def test_every_channel_gets_the_mean_and_the_spread_of_its_inputs():
    random = np.random.default_rng(0)
    reference = random.uniform(0.35, 0.65, (2, 3, 9, 7))
    edited = random.uniform(0.2, 0.5, (2, 3, 9, 7)) ** 2
    found = with_colors_of(torch.from_numpy(edited), torch.from_numpy(reference)).numpy()
    assert 0 < found.min() < found.max() < 1, "clamped: the numbers below would not hold"
    np.testing.assert_allclose(found.mean((2, 3)), reference.mean((2, 3)))
    np.testing.assert_allclose(found.std((2, 3)), reference.std((2, 3)))
    np.testing.assert_allclose(np.corrcoef(found[1, 2].ravel(), edited[1, 2].ravel())[0, 1], 1)


def test_a_flat_channel_gets_the_mean_and_nothing_leaves_the_range():
    reference = torch.tensor([0.0, 1.0]).repeat(2, 3, 4, 1)
    flat = with_colors_of(torch.full_like(reference, 0.25), reference)
    torch.testing.assert_close(flat, torch.full_like(reference, 0.5))
    peaks = torch.full_like(reference, 0.5)
    peaks[..., 0, :] = reference[..., 0, :]
    found = with_colors_of(peaks, reference)
    assert (found.min(), found.max()) == (0, 1)
