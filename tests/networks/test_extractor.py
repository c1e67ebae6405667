"""Feature vectors: their layout, the normalisation of the layers, and what determines them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dmt.errors import UserError
from dmt.networks import LayeredNetwork, digits_network, vgg19, vgg19_distilled
from dmt.networks.extractor import FeatureExtractor, FeatureLayout, measure_scales

laws = settings(deadline=None, max_examples=25, derandomize=True)
shapes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))


def pictures(n: int = 3, side: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def network() -> LayeredNetwork:
    torch.manual_seed(0)
    return digits_network(4)


def grey_scaler(*factors: float) -> LayeredNetwork:
    """One layer, ``out``, whose channels are the first colour channel times a factor each."""
    convolution = nn.Conv2d(3, len(factors), 1, bias=False)
    convolution.weight.data = torch.zeros_like(convolution.weight)
    convolution.weight.data[:, 0, 0, 0] = torch.tensor(factors)
    return LayeredNetwork(nn.Identity(), {"out": convolution})


@laws
@given(layers=st.lists(shapes, min_size=1, max_size=4), batch=st.integers(1, 4))
def test_unpacking_undoes_packing(layers, batch):
    layout = FeatureLayout({f"layer{i}": shape for i, shape in enumerate(layers)})
    activations = {name: torch.randn(batch, *shape) for name, shape in layout.shapes.items()}
    features = layout.pack(activations)
    assert features.shape == (batch, sum(c * h * w for c, h, w in layers)) == (batch, layout.size)
    unpacked = layout.unpack(features)
    assert list(unpacked) == list(activations)
    assert all(torch.equal(unpacked[name], activations[name]) for name in activations)
    assert torch.equal(layout.pack(unpacked), features)


def test_layers_lie_one_after_the_other_channel_by_channel():
    layout = FeatureLayout({"low": (2, 1, 2), "high": (1, 1, 1)})
    activations = {"high": torch.tensor([[[[5]]]]), "low": torch.tensor([[[[1, 2]], [[3, 4]]]])}
    assert layout.pack(activations).tolist() == [[1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("build", "arguments", "size"),
    [
        (vgg19, {}, 425_984),  # 256 x 32 x 32 + 512 x 16 x 16 + 512 x 8 x 8: the paper's
        (vgg19, {"ceil_mode": False}, 386_304),  # 256 x 31 x 31 + 512 x 15 x 15 + 512 x 7 x 7
        (vgg19_distilled, {}, 106_496),  # a quarter of the channels
    ],
)
def test_the_size_of_a_feature_vector_of_vgg19_at_125_pixels(build, arguments, size):
    with torch.device("meta"):  # shapes without numbers
        network = build(weights=None, **arguments)
    assert FeatureExtractor(network, ["conv3_1", "conv4_1", "conv5_1"]).layout(125, 125).size == size


def test_the_layout_is_that_of_the_vectors_whatever_the_shape_of_the_picture(network):
    extractor = FeatureExtractor(network, ["conv1", "conv3"])
    images = torch.rand(2, 3, 16, 12)
    layout = extractor.layout(16, 12)
    assert dict(layout.shapes) == {"conv1": (4, 16, 12), "conv3": (16, 4, 3)}
    assert torch.equal(layout.pack(extractor(images)), extractor.vectors(images))


def test_layers_come_in_the_order_of_the_network_whatever_order_they_are_asked_for(network):
    extractor = FeatureExtractor(network, ["conv3", "conv1"])
    assert extractor.layers == ("conv1", "conv3")
    assert list(extractor(pictures())) == ["conv1", "conv3"]
    same = FeatureExtractor(network, ["conv1", "conv3"])
    assert torch.equal(extractor.vectors(pictures()), same.vectors(pictures()))


def test_activations_are_divided_by_their_scales_and_others_are_left_alone(network):
    scales = {"conv1": torch.tensor(4.0), "conv2": torch.tensor([0.5, 2.0] * 4).reshape(8, 1, 1)}
    extractor = FeatureExtractor(network, ["conv3"], scales)
    images, names = pictures(), ("conv1", "conv2", "conv3")
    raw, found = network(images, names), extractor.activations(images, names)
    torch.testing.assert_close(found["conv1"], raw["conv1"] / 4)
    torch.testing.assert_close(found["conv2"][:, 0], raw["conv2"][:, 0] * 2)
    torch.testing.assert_close(found["conv2"][:, 1], raw["conv2"][:, 1] / 2)
    assert torch.equal(found["conv3"], raw["conv3"])
    assert {name: scale.tolist() for name, scale in extractor.scales.items()} == {
        name: scale.tolist() for name, scale in scales.items()
    }


@pytest.mark.parametrize("sizes", [(12,), (5, 1, 6)])
@pytest.mark.parametrize(("per", "axes"), [("layer", (0, 1, 2, 3)), ("channel", (0, 2, 3))])
def test_measured_scales_make_every_mean_activation_one(network, per, axes, sizes):
    images = pictures(12)
    scales = measure_scales(network, images.split(sizes), per, floor=1e-6)
    extractor = FeatureExtractor(network, ["conv3"], scales)
    for layer, activation in extractor.activations(images, network.layer_names).items():
        means = activation.double().numpy().mean(axis=axes)
        alive = scales[layer].flatten().numpy() > 1e-4  # a channel may be dead with random weights
        assert np.atleast_1d(alive).any()
        np.testing.assert_allclose(np.atleast_1d(means)[alive], 1, rtol=1e-5)


def test_scales_by_hand():
    images = torch.full((2, 3, 4, 4), 0.5)
    network = grey_scaler(1.0, 3.0, 0.0, 0.08)  # channel means 0.5, 1.5, 0 and 0.04; the layer's is 0.51
    assert measure_scales(network, [images])["out"].item() == pytest.approx(0.51)
    by_channel = measure_scales(network, [images], "channel", floor=0.1)["out"]
    assert by_channel.shape == (4, 1, 1)
    assert by_channel.flatten().tolist() == pytest.approx([0.5, 1.5, 0.051, 0.051])


def test_every_image_counts_the_same_in_batches_of_any_size():
    dark, bright = torch.zeros(3, 3, 2, 2), torch.ones(1, 3, 2, 2)
    assert measure_scales(grey_scaler(1.0), [dark, bright])["out"].item() == pytest.approx(0.25)


def test_no_normalisation_has_no_scales_and_looks_at_no_images(network):
    assert measure_scales(network, iter(()), "none") == {}


def test_scales_need_images_and_a_known_name(network):
    with pytest.raises(UserError, match="no images"):
        measure_scales(network, [])
    with pytest.raises(UserError, match=r"normalization.*pixel"):
        measure_scales(network, [pictures()], "pixel")


def test_the_extractor_stays_in_evaluation_mode_and_frozen(network):
    extractor = FeatureExtractor(network, ["conv3"])
    extractor.train()
    assert not any(module.training for module in extractor.modules())
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


def test_gradients_reach_the_pixels_through_the_frozen_network(network):
    images = pictures(1, 8).requires_grad_()
    FeatureExtractor(network, ["conv3"]).vectors(images).sum().backward()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize(("asked", "meant"), [("conv33", "conv3"), ("Conv_2", "conv2"), ("pool_1", "pool1")])
def test_an_unknown_layer_is_a_user_error_that_suggests_the_nearest(network, asked, meant):
    with pytest.raises(UserError, match=f"no layer '{asked}'; did you mean '{meant}'"):
        FeatureExtractor(network, ["conv1", asked])


def test_no_layers_at_all_is_a_user_error(network):
    with pytest.raises(UserError, match="at least one layer"):
        FeatureExtractor(network, [])


def test_the_fingerprint_tells_networks_layers_and_normalisations_apart(network):
    torch.manual_seed(1)
    other_network = digits_network(4)
    scales = {"conv1": torch.tensor(2.0)}
    extractors = [
        FeatureExtractor(network, ["conv3"]),
        FeatureExtractor(network, ["conv2", "conv3"]),
        FeatureExtractor(network, ["conv3"], scales),
        FeatureExtractor(network, ["conv3"], {"conv1": torch.tensor(2.1)}),
        FeatureExtractor(network, ["conv3"], {"conv2": torch.tensor(2.0)}),
        FeatureExtractor(other_network, ["conv3"]),
    ]
    fingerprints = [tuple(extractor.fingerprint.items()) for extractor in extractors]
    assert len(set(fingerprints)) == len(extractors)
    assert FeatureExtractor(network, ["conv3"], scales).fingerprint == extractors[2].fingerprint


def test_a_layer_that_never_responds_does_not_make_features_infinite():
    images = torch.rand(2, 3, 4, 4)
    network = grey_scaler(0.0, 0.0)
    try:
        scales = measure_scales(network, [images])
    except UserError:
        return  # to refuse it by name is as good
    assert FeatureExtractor(network, ["out"], scales).vectors(images).isfinite().all()


def test_the_columns_of_some_layers_are_where_pack_puts_them():
    activations = {"a": torch.rand(2, 1, 2, 2), "b": torch.rand(2, 3, 1, 1), "c": torch.rand(2, 2, 1, 2)}
    layout = FeatureLayout.of(activations)
    packed = layout.pack(activations)
    first, last = (packed[:, part] for part in layout.columns(["c", "a"]))
    assert first.equal(activations["a"].flatten(1))
    assert last.equal(activations["c"].flatten(1))
