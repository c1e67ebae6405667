"""Number formats by name, and that an inversion in a reduced one ends where one in float32 does."""

import pytest
import torch

from dmt.errors import UserError
from dmt.inversion import Inverter
from dmt.inversion.regularizers import FeatureDistance, Sparsity, TotalVariation
from dmt.networks import vgg19_distilled
from dmt.networks.extractor import FeatureExtractor, measure_scales
from dmt.networks.precision import working_precision
from dmt.solvers import LBFGS

CPU = torch.device("cpu")
REGULARIZERS = {"low": FeatureDistance(0.1, ("conv1_1",)), "smooth": TotalVariation(0.1), "sparse": Sparsity(0.01)}


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    torch.manual_seed(0)
    network = vgg19_distilled(None, last_layer="conv3_1")
    scales = measure_scales(network, [torch.rand(4, 3, 32, 32)])
    return FeatureExtractor(network, ["conv3_1"], scales)


def test_names_give_formats_and_auto_one_of_them():
    assert working_precision("float32", CPU) == torch.float32
    assert working_precision("bfloat16", CPU) == torch.bfloat16
    assert working_precision("auto", CPU) in (torch.float32, torch.bfloat16)
    assert working_precision("auto", torch.device("mps")) == torch.float32
    assert working_precision("auto", torch.device("cuda")) == torch.float32


def test_an_unknown_name_is_an_error_that_lists_the_known():
    with pytest.raises(UserError, match=r"precision must be auto, float32 or bfloat16, got 'half'"):
        working_precision("half", CPU)


def test_bfloat16_ends_within_half_a_percent_of_the_objective_of_float32(extractor):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 32, 32, generator=generator)
    targets = {  # as after a walk: features that no picture has
        layer: value + 0.3 * torch.randn(value.shape, generator=generator) for layer, value in extractor(images).items()
    }
    ends = []
    for precision in ("float32", "bfloat16"):
        found = Inverter(REGULARIZERS, LBFGS(150), precision)(extractor, targets, images)
        assert (found.images - images).abs().max() > 0.01
        ends.append(torch.stack(list(found.terms.values())).sum(dim=0))
    torch.testing.assert_close(ends[1], ends[0], rtol=5e-3, atol=0)


def test_an_input_with_nothing_to_change_is_the_minimum_in_bfloat16_too(extractor):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = Inverter(REGULARIZERS, LBFGS(20), "bfloat16")(extractor, extractor(images), images)
    assert torch.equal(found.images, images)
    assert all((value == 0).all() for value in found.terms.values())
