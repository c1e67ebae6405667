import gc

import pytest
import torch
from torch import nn

from dmt.errors import UserError
from dmt.inversion.memory import POINTS_OF_A_STEP, inversion_bytes, require_memory
from dmt.networks import ModuleNetwork, digits_network, vgg19
from dmt.networks.extractor import FeatureExtractor


def test_a_convolution_with_its_activation_is_counted_by_hand():
    extractor = FeatureExtractor(digits_network(4), ["conv1"])
    size = 16
    needed = inversion_bytes(extractor, ["conv1"], size, batch_size=1, history=0)
    luminance, convolved = (
        size**2 * 4,
        4 * size**2 * 4,
    )  # bytes: autograd keeps the input of the convolution and its ReLU
    fixed = 3 * convolved + 10 * 3 * size**2 * 4
    assert 2 * (luminance + convolved) <= needed - fixed <= 2 * (3 * luminance + 2 * convolved)


def test_memory_grows_with_the_batch_and_with_the_area():
    extractor = FeatureExtractor(vgg19(None), ["conv3_1"])
    one, eight = (inversion_bytes(extractor, ["conv3_1"], 64, n, 10) for n in (1, 8))
    assert eight == pytest.approx(8 * one)
    assert inversion_bytes(extractor, ["conv3_1"], 128, 1, 10) == pytest.approx(4 * one, rel=0.01)


def test_what_is_brought_to_one_size_costs_the_same_but_for_the_pictures():
    network = ModuleNetwork(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), input_size=32)
    extractor = FeatureExtractor(network, network.layer_names)
    small, large = (inversion_bytes(extractor, network.layer_names, side, 1, 10) for side in (64, 256))
    per_pixel = (large - small) / (256**2 - 64**2)
    assert per_pixel == pytest.approx(4 * 3 * (2 * 10 + POINTS_OF_A_STEP)), "the pictures that the solver remembers"


def test_counting_leaves_nothing_in_memory():
    def graphs() -> int:
        gc.collect()
        return sum(type(one) is torch.Tensor and one.grad_fn is not None for one in gc.get_objects())

    extractor = FeatureExtractor(vgg19(None), ["conv3_1"])
    before = graphs()
    inversion_bytes(extractor, ["conv3_1"], 64, 1, 10)
    assert graphs() == before


def test_each_step_that_the_solver_remembers_is_two_pictures():
    extractor = FeatureExtractor(digits_network(2), ["conv1"])
    without, with_ten = (inversion_bytes(extractor, ["conv1"], 32, 1, history) for history in (0, 10))
    assert with_ten - without == 10 * 2 * 3 * 32 * 32 * 4


def test_what_does_not_fit_is_an_error_with_the_remedy():
    with pytest.raises(UserError, match=r"^memory: about 1000000\.0 GB for the inversion, .* GB free; set it lower$"):
        require_memory(1e15, torch.device("cpu"), "set it lower")


def test_what_fits_is_said(caplog):
    caplog.set_level("INFO", "dmt")
    require_memory(2e9 / 1000, torch.device("cpu"), "")
    assert "memory: about 2 MB for the inversion" in caplog.text
