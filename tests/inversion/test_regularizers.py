"""Penalties on pictures against hand-computed values."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dmt.errors import UserError
from dmt.inversion.regularizers import FeatureDistance, Sparsity, TotalVariation, View, total_variation

laws = settings(deadline=None, max_examples=20, derandomize=True)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def checkerboard(height: int, width: int) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((rows + columns) % 2).double()[None, None]


@pytest.mark.parametrize(
    ("exponent", "expected"),
    [
        # 4 x 5 fields: 12 with both neighbours other, 3 + 4 at the border with one
        (2.0, 12 * 2 + 7),
        (1.0, 12 * 2**0.5 + 7),
        (4.0, 12 * 4 + 7),
    ],
)
def test_the_total_variation_of_a_checkerboard_by_hand(exponent, expected):
    assert total_variation(checkerboard(4, 5), exponent).tolist() == pytest.approx([expected])


@laws
@given(
    seed=st.integers(0, 1000),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    exponent=st.sampled_from([1.0, 1.5, 2.0, 3.0]),
)
def test_total_variation_is_the_sum_over_pixels_written_out(seed, shape, exponent):
    images = noise(*shape, seed=seed)
    expected = []
    for image in images.numpy():
        padded = np.pad(image, ((0, 0), (0, 1), (0, 1)), mode="edge")  # no difference past the border
        down, right = padded[:, 1:, :-1] - image, padded[:, :-1, 1:] - image
        expected.append(((down**2 + right**2) ** (exponent / 2)).sum())
    assert total_variation(images, exponent).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0, 2.5])
def test_gradients_of_total_variation_are_those_of_finite_differences(exponent):
    images = noise(2, 2, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: total_variation(x, exponent, 1e-3), images)


@pytest.mark.parametrize("of", ["image", "change"])
@pytest.mark.parametrize("exponent", [1.0, 1.25, 1.9, 2.0])
def test_flat_pictures_have_a_gradient_of_zero_at_any_exponent(exponent, of):
    images = torch.full((1, 3, 5, 5), 0.5, requires_grad=True)
    penalty = TotalVariation(exponent=exponent, of=of)
    penalty(View(images, {}), View(torch.full((1, 3, 5, 5), 0.25), {})).sum().backward()
    assert torch.equal(images.grad, torch.zeros_like(images))


def test_the_weight_of_total_variation_multiplies_it():
    board = View(checkerboard(4, 5), {})
    assert TotalVariation(weight=0.5, of="image")(board, board).tolist() == [15.5]


def test_the_papers_weight_for_255_levels_is_65_for_pixels_up_to_1():
    board = checkerboard(4, 5)
    by_levels = 0.001 * total_variation(255 * board)
    assert TotalVariation(weight=65, of="image")(View(board, {}), View(board, {})).tolist() == pytest.approx(
        by_levels.tolist(), rel=1e-3
    )


def test_the_variation_of_the_change_is_that_of_the_difference():
    images, reference = noise(2, 3, 5, 4), noise(2, 3, 5, 4, seed=1)
    penalty = TotalVariation(weight=3.0, of="change")
    expected = 3 * total_variation(images - reference)
    torch.testing.assert_close(penalty(View(images, {}), View(reference, {})), expected)


def test_an_unchanged_picture_costs_nothing_and_neither_does_a_picture_that_is_brighter_throughout():
    images = View(noise(2, 3, 5, 4), {})
    penalty = TotalVariation(of="change")
    assert penalty(images, images).tolist() == [0, 0]
    assert penalty(View(images.images + 0.25, {}), images).tolist() == pytest.approx([0, 0], abs=1e-20)


def test_total_variation_is_of_the_image_or_of_the_change():
    with pytest.raises(UserError, match="input"):
        TotalVariation(of="input")


def test_the_feature_distance_by_hand():
    reference = View(torch.zeros(2, 3, 1, 1), {"low": torch.zeros(2, 1, 1, 2), "high": torch.zeros(2, 1, 1, 1)})
    activations = {
        "low": torch.tensor([[[[1.0, 2.0]]], [[[0.0, 3.0]]]]),
        "high": torch.tensor([[[[4.0]]], [[[0.0]]]]),
        "other": torch.full((2, 1, 1, 1), 100.0),
    }
    view = View(torch.zeros(2, 3, 1, 1), activations)
    penalty = FeatureDistance(weight=0.5, layers=("low", "high"))
    assert penalty(view, reference).tolist() == [0.25 * (1 + 4 + 16), 0.25 * 9]
    assert FeatureDistance(weight=2.0, layers=("low",))(view, reference).tolist() == [5, 9]
    assert penalty(reference, reference).tolist() == [0, 0]


def test_an_unchanged_picture_costs_nothing_at_an_exponent_below_2():
    images = View(noise(1, 3, 32, 32), {})
    assert TotalVariation(exponent=1.0, of="change")(images, images).tolist() == pytest.approx([0], abs=1e-6)


def test_sparsity_is_the_sum_of_the_lengths_of_the_pixels_changes():
    before = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    after = before.clone()
    after[0, :, 0, 0] = torch.tensor([0.3, 0.0, 0.4])  # length 0.5
    after[0, :, 1, 1] = torch.tensor([0.0, 0.2, 0.0])
    penalty = Sparsity(weight=2.0, epsilon=1e-9)
    assert penalty(View(after, {}), View(before, {})).tolist() == pytest.approx([2 * 0.7])


def test_sparsity_of_an_unchanged_picture_is_nothing_and_its_gradient_too():
    before = noise(2, 3, 4, 4)
    after = before.clone().requires_grad_()
    value = Sparsity()(View(after, {}), View(before, {}))
    (gradient,) = torch.autograd.grad(value.sum(), after)
    assert value.tolist() == [0, 0]
    assert not gradient.any()


def test_the_gradient_of_sparsity_is_right():
    before = noise(1, 3, 3, 3, seed=1)
    assert torch.autograd.gradcheck(
        lambda x: Sparsity(epsilon=0.05)(View(x, {}), View(before, {})), (noise(1, 3, 3, 3, seed=2).requires_grad_(),)
    )


def test_the_curvature_of_sparsity_is_the_largest_in_any_direction():
    before, after = noise(1, 3, 2, 2, seed=1), noise(1, 3, 2, 2, seed=2)
    penalty = Sparsity(weight=3.0, epsilon=0.05)
    hessian = torch.autograd.functional.hessian(lambda x: penalty(View(x, {}), View(before, {})).sum(), after)
    pixels = hessian.reshape(3, 4, 3, 4).permute(1, 3, 0, 2)
    largest = torch.stack([torch.linalg.eigvalsh(pixels[i, i]).max() for i in range(4)])
    torch.testing.assert_close(penalty.curvature(after, before), largest.reshape(1, 1, 2, 2).expand(1, 3, 2, 2))


def test_one_strong_change_is_cheaper_than_many_faint_ones_of_the_same_square():
    before = torch.zeros(1, 3, 10, 10, dtype=torch.float64)
    strong = before.clone()
    strong[0, 0, 0, 0] = 0.5
    faint = torch.full_like(before, (0.25 / 300) ** 0.5)
    assert strong.square().sum().item() == pytest.approx(faint.square().sum().item())
    penalty = Sparsity()
    assert penalty(View(strong, {}), View(before, {})) < penalty(View(faint, {}), View(before, {})) / 5
