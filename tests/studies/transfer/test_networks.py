import pytest
import torch
import torchvision
from torch import nn

from dmt.errors import UserError
from dmt.studies.transfer import WeightLayers, caffenet, narrow_network, torchvision_network

WEIGHTED = nn.Conv2d | nn.Linear


@pytest.fixture(scope="module")
def paper_network():
    torch.manual_seed(0)
    return caffenet(500)


def weights_in(layer: nn.Module) -> int:
    return sum(isinstance(module, WEIGHTED) for module in layer.modules())


def sides_after(network: WeightLayers, size: int) -> dict[str, tuple[int, ...]]:
    """The shape after each layer's own convolution or linear map."""
    shapes, x = {}, torch.rand(1, 3, size, size)
    for name, layer in network.named_children():
        for module in layer:
            x = module(x)
            if isinstance(module, WEIGHTED):
                shapes[name] = tuple(x.shape[1:])
    return shapes


def test_caffenet_has_the_sizes_that_are_printed(paper_network):
    # Krizhevsky et al. 2012, figure 2: 96 maps of 55, 256 of 27, 384, 384 and 256 of 13, then 4096, 4096, classes
    assert sides_after(paper_network, 227) == {
        "conv1": (96, 55, 55),
        "conv2": (256, 27, 27),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 13, 13),
        "fc6": (4096,),
        "fc7": (4096,),
        "fc8": (500,),
    }


def test_caffenet_has_as_many_parameters_as_the_published_one(paper_network):
    # 60,965,224 with a thousand classes (BVLC's reference CaffeNet); 500 fewer outputs of 4096 weights and a bias
    assert sum(parameter.numel() for parameter in paper_network.parameters()) == 60965224 - 500 * 4097


def test_caffenet_begins_with_the_weights_of_the_prototxt(paper_network):
    expected = {"conv1": (0.01, 0), "conv2": (0.01, 1), "conv3": (0.01, 0), "conv4": (0.01, 1), "conv5": (0.01, 1)}
    expected |= {"fc6": (0.005, 1), "fc7": (0.005, 1), "fc8": (0.01, 0)}
    for name, layer in paper_network.named_children():
        (weighted,) = (module for module in layer if isinstance(module, WEIGHTED))
        std, bias = expected[name]
        assert weighted.weight.std().item() == pytest.approx(std, rel=0.02)
        assert abs(weighted.weight.mean().item()) < 0.001
        assert weighted.bias.eq(bias).all()


def test_caffenet_reads_pixels_of_0_to_255_less_their_mean(paper_network):
    scaled = paper_network[0][0](torch.ones(1, 3, 1, 1)).flatten()
    assert scaled.tolist() == pytest.approx([255 - 122.7, 255 - 116.7, 255 - 104.0], abs=1e-4)


@pytest.mark.parametrize(("size", "stride"), [(32, 1), (32, 4), (64, 2), (64, 4), (16, 1)])
def test_narrow_networks_have_eight_layers_with_one_map_each_and_no_batch_normalisation(size, stride):
    network = narrow_network(7, size, channels=(2, 3, 4, 5, 6), hidden=8, stride=stride)
    assert network.names == ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    assert [weights_in(layer) for layer in network] == [1] * 8
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    assert network(torch.rand(2, 3, size, size)).shape == (2, 7)


ALEXNET_CUTS = [
    *("features.2", "features.5", "features.7", "features.9", "features.12"),
    *("classifier.2", "classifier.5"),
]


def test_torchvisions_alexnet_cut_behind_each_nonlinearity_has_eight_layers():
    network = torchvision_network(5, 64, name="alexnet", cuts=ALEXNET_CUTS)
    assert len(network) == 8
    assert [weights_in(layer) for layer in network] == [1] * 8


@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("alexnet", ALEXNET_CUTS),
        ("resnet18", ["maxpool", "layer1.0", "layer3"]),
        ("squeezenet1_1", ["features.1", "features.3", "features.12"]),
        ("efficientnet_b0", ["features.2", "features.5"]),
    ],
)
def test_a_cut_network_computes_what_the_whole_does(name, cuts):
    torch.manual_seed(0)
    network = torchvision_network(5, 64, name=name, cuts=cuts).eval()
    torch.manual_seed(0)
    whole = torchvision.models.get_model(name, weights=None, num_classes=5).eval()
    images = torch.rand(2, 3, 64, 64)
    standardized = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(images)
    assert len(network) == len(cuts) + 1
    torch.testing.assert_close(network(images), whole(standardized))


def test_frozen_layers_stay_in_evaluation_but_for_their_dropout():
    layers = {
        "first": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)),
        "second": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)),
    }
    network = WeightLayers(layers, n_frozen=1)
    assert [module.training for module in network[0]] == [False, False, True]
    assert all(module.training for module in network[1])
    assert not any(parameter.requires_grad for parameter in network[0].parameters())
    assert all(parameter.requires_grad for parameter in network[1].parameters())
    assert not any(module.training for module in network.eval().modules())


@pytest.mark.parametrize(("first", "stop", "frozen"), [(0, 2, 2), (0, 4, 3), (2, 5, 1), (3, 5, 0)])
def test_a_part_is_made_of_the_same_layers_and_freezes_those_that_were(first, stop, frozen):
    network = WeightLayers({name: nn.Linear(1, 1) for name in "abcde"}, n_frozen=3)
    part = network.part(first, stop)
    assert part.names == tuple("abcde"[first:stop])
    assert all(own is other for own, other in zip(part, list(network)[first:stop], strict=True))
    assert part.n_frozen == frozen


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: caffenet(5, 66), "at least 67 pixels, got data.image_size=66"),
        (lambda: narrow_network(5, 60, stride=1), "multiple of 8 .* got 60"),
        (lambda: narrow_network(5, 16, stride=4), "multiple of 32 .* got 16"),
        (lambda: narrow_network(5, 32, channels=[4, 4]), "five numbers, got \\[4, 4\\]"),
        (lambda: torchvision_network(5, 64, name="alexnett", cuts=[]), "did you mean 'alexnet'"),
        (
            lambda: torchvision_network(5, 64, name="alexnet", cuts=["features.99"]),
            "alexnet has no module 'features.99'",
        ),
        (
            lambda: torchvision_network(5, 64, name="alexnet", cuts=["features.5", "features.2"]),
            "in the network's order",
        ),
        (
            lambda: torchvision_network(5, 64, name="resnet18", cuts=["layer1.0.bn1"]),
            "after .layer1.0.bn1., for several tensors are in use there",
        ),
        (lambda: torchvision_network(5, 224, name="vit_b_16", cuts=["encoder"]), "vit_b_16 cannot be cut at all"),
        (lambda: torchvision_network(5, 64, name="googlenet", cuts=["conv1"]), "more than the scores of classes"),
        (lambda: torchvision_network(5, 16, name="alexnet", cuts=["features.2"]), "cannot take pictures of 16 pixels"),
    ],
)
@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
def test_what_cannot_be_built_is_an_error_of_one_line(make, message):
    with pytest.raises(UserError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_the_smallest_picture_for_caffenet_is_the_one_the_error_names():
    assert caffenet(2, 67).eval()(torch.rand(1, 3, 67, 67)).shape == (1, 2)
