"""Networks as named layers against torchvision's own, and weight files of every kind of quality."""

import hashlib
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import VGG19_Weights, vgg

import dmt.networks.vgg
from dmt.errors import UserError
from dmt.networks import (
    Backbone,
    JointNetwork,
    LayeredNetwork,
    digits_network,
    network_fingerprint,
    torchvision_backbone,
    vgg19,
    vgg19_distilled,
)
from dmt.networks.extractor import FeatureExtractor, measure_scales
from dmt.networks.vgg import _with_torchvision_keys
from dmt.networks.weights import find_weights, first_of, load_tensors, tensors_sha256

SQUEEZENET_LAYERS = {"raw": "features.0", "conv1": "features.1", "fire3": "features.4", "fire8": "features.11"}


def pictures(n: int = 2, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def normalised(images: Tensor) -> Tensor:
    """As torchvision prepares pictures for its networks."""
    preset = VGG19_Weights.DEFAULT.transforms()
    return torchvision.transforms.functional.normalize(images, preset.mean, preset.std)


def layers_of_torchvision(features: nn.Sequential, images: Tensor) -> dict[str, Tensor]:
    """What torchvision's VGG computes, every ReLU and pooling under the name that Simonyan's paper gives it."""
    found, block, position = {}, 1, 0
    x = normalised(images)
    with torch.no_grad():
        for module in features:
            x = module(x)
            if isinstance(module, nn.ReLU):
                position += 1
                found[f"conv{block}_{position}"] = x
            elif isinstance(module, nn.MaxPool2d):
                found[f"pool{block}"] = x
                block, position = block + 1, 0
    return found


@pytest.fixture(scope="module")
def torchvision_vgg19() -> nn.Sequential:
    """The convolutions of torchvision's VGG-19 up to conv5_1, with random weights."""
    torch.manual_seed(0)
    return vgg.make_layers(vgg.cfgs["E"])[:30]


@pytest.fixture(scope="module")
def vgg19_file(torchvision_vgg19: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vgg19.safetensors"
    tensors = {f"features.{name}": value for name, value in torchvision_vgg19.state_dict().items()}
    save_file({**tensors, "classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


@pytest.fixture
def network() -> LayeredNetwork:
    torch.manual_seed(0)
    return digits_network(4)


def test_every_layer_of_vgg19_is_that_of_torchvision(torchvision_vgg19, vgg19_file):
    ours = vgg19(weights=[str(vgg19_file)], ceil_mode=False)
    images = pictures(height=36, width=50)  # odd sizes on the way: 18 x 25, 9 x 12, 4 x 6
    expected = layers_of_torchvision(torchvision_vgg19, images)
    found = ours(images, ours.layer_names)
    assert list(found) == list(ours.layer_names) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5 * float(value.max()))


def test_ceil_mode_rounds_the_sizes_of_the_pooled_layers_up():
    with torch.device("meta"):  # shapes without numbers
        images, up, down = torch.zeros(1, 3, 125, 125), vgg19(None), vgg19(None, ceil_mode=False)
    names = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
    assert [up(images, names)[name].shape[-1] for name in names] == [125, 63, 32, 16, 8]
    assert [down(images, names)[name].shape[-1] for name in names] == [125, 62, 31, 15, 7]


def test_pooling_takes_the_largest_or_the_mean_of_what_is_there():
    torch.manual_seed(0)
    images = pictures(height=5, width=7)
    for pooling, reference in (("max", F.max_pool2d), ("average", F.avg_pool2d)):
        network = vgg19(None, last_layer="pool1", pooling=pooling)
        found = network(images, ["conv1_2", "pool1"])
        assert found["pool1"].shape == (2, 64, 3, 4)
        torch.testing.assert_close(found["pool1"], reference(found["conv1_2"], 2, ceil_mode=True))


def test_the_last_layer_ends_the_network():
    assert vgg19(None, last_layer="conv2_1").layer_names == ("conv1_1", "conv1_2", "pool1", "conv2_1")


@pytest.mark.parametrize("build", [vgg19, vgg19_distilled])
def test_vgg_refuses_what_it_does_not_have(build):
    with pytest.raises(UserError, match="no layer 'conv51'; did you mean 'conv5_1'"):
        build(None, last_layer="conv51")
    with pytest.raises(UserError, match=r"pooling must be one of max, average, got 'median'"):
        build(None, pooling="median")


def test_the_authors_key_names_become_torchvisions():
    authors = ["conv0.weight", "conv11.bias", "conv12.weight", "conv21.weight", "conv31.weight", "conv34.bias"]
    authors += ["conv41.weight", "conv44.weight", "conv51.bias", "conv31_aux.weight", "conv51_aux.bias"]
    expected = ["pre.weight", "features.0.bias", "features.2.weight", "features.5.weight", "features.10.weight"]
    expected += ["features.16.bias", "features.19.weight", "features.25.weight", "features.28.bias"]
    expected += ["aux.10.weight", "aux.28.bias"]
    values = {name: torch.tensor(float(i)) for i, name in enumerate(authors)}
    converted = _with_torchvision_keys(values)
    assert {name: value.item() for name, value in converted.items()} == dict(
        zip(expected, range(len(authors)), strict=True)
    )
    assert _with_torchvision_keys(converted) == converted  # a file that has been converted stays as it is


def test_the_distilled_network_pads_by_reflection_after_its_own_normalisation(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    shapes = {"conv0": (3, 3, 1, 1), "conv11": (16, 3, 3, 3), "conv12": (16, 16, 3, 3)}
    tensors: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = torch.randn(*shape, generator=generator)
        tensors[f"{name}.bias"] = torch.randn(shape[0], generator=generator)
    path = tmp_path / "authors.pth"
    torch.save({"model": tensors}, path)
    with pytest.raises(UserError, match=r"authors\.pth is not the published distilled VGG-19"):
        vgg19_distilled([str(path)])

    checksum = tensors_sha256(_with_torchvision_keys(tensors))
    monkeypatch.setattr(dmt.networks.vgg, "NARROW_SHA256", checksum)
    network = vgg19_distilled([str(path)], last_layer="conv1_2")
    images = pictures()
    x = F.conv2d(images, tensors["conv0.weight"], tensors["conv0.bias"])
    for name in ("conv11", "conv12"):
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = F.conv2d(padded, tensors[f"{name}.weight"], tensors[f"{name}.bias"]).relu()
    torch.testing.assert_close(network(images, ["conv1_2"])["conv1_2"], x)


def test_a_network_runs_no_further_than_the_last_layer_asked_for():
    class Trap(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("this layer was not asked for")

    network = LayeredNetwork(nn.Identity(), {"first": nn.ReLU(), "second": nn.Identity(), "third": Trap()})
    assert list(network(pictures(), {"second", "first"})) == ["first", "second"]
    with pytest.raises(AssertionError, match="not asked for"):
        network(pictures(), ["third"])


def test_a_network_is_frozen_and_in_evaluation_mode(network):
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(module.training for module in network.modules())


def test_the_digits_network_sees_nothing_but_brightness(network):
    images = pictures(8, 8, 8)
    grey = images.mean(dim=1, keepdim=True).expand_as(images)
    assert {name: tuple(value.shape[1:]) for name, value in network(images, network.layer_names).items()} == {
        "conv1": (4, 8, 8),
        "pool1": (4, 4, 4),
        "conv2": (8, 4, 4),
        "pool2": (8, 2, 2),
        "conv3": (16, 2, 2),
    }
    torch.testing.assert_close(network(images, ["conv3"])["conv3"], network(grey, ["conv3"])["conv3"])


def test_a_joint_network_gives_of_each_network_the_layers_named():
    torch.manual_seed(0)
    low, high = digits_network(4), vgg19_distilled(None, last_layer="conv2_1")
    joint = JointNetwork([low, high], [["conv1", "conv2"], ["conv2_1"]])
    assert joint.layer_names == ("conv1", "conv2", "conv2_1")
    images = pictures()
    found = joint(images, ["conv2_1", "conv1"])
    assert set(found) == {"conv1", "conv2_1"}
    assert torch.equal(found["conv1"], low(images, ["conv1"])["conv1"])
    assert torch.equal(found["conv2_1"], high(images, ["conv2_1"])["conv2_1"])


def test_a_joint_network_refuses_a_layer_named_twice_or_not_at_all(network):
    with pytest.raises(UserError, match="must differ"):
        JointNetwork([network, network], [["conv1"], ["conv1"]])
    with pytest.raises(UserError, match="no layer 'conv3'; did you mean 'conv2'"):
        JointNetwork([network], [["conv2"]])(pictures(), ["conv3"])


def test_a_torchvision_network_gives_the_activations_of_torchvision(tmp_path):
    torch.manual_seed(0)
    reference = torchvision.models.squeezenet1_1(weights=None).eval()
    path = tmp_path / "squeezenet.pth"
    torch.save(reference.state_dict(), path)
    ours = torchvision_backbone("squeezenet1_1", SQUEEZENET_LAYERS, weights=[str(path)])
    images = pictures(height=64, width=48)
    found = ours(images, ["fire8", "conv1", "raw"])
    assert list(found) == ["raw", "conv1", "fire8"]
    assert found["raw"].min() < 0  # what lies before a ReLU is not overwritten by it
    with torch.no_grad():
        for layer, activation in found.items():
            end = int(SQUEEZENET_LAYERS[layer].split(".")[1]) + 1
            assert torch.equal(activation, reference.features[:end](normalised(images)))
    assert not any(module.training for module in ours.modules())
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_a_torchvision_network_with_random_weights_needs_no_file():
    network = torchvision_backbone("squeezenet1_1", SQUEEZENET_LAYERS, weights=None)
    assert network(pictures(), ["fire3"])["fire3"].shape == (2, 128, 7, 7)


def test_unknown_networks_nodes_and_layers_of_torchvision_are_user_errors():
    with pytest.raises(UserError, match="no network 'squeezenet11'; did you mean 'squeezenet1_1'"):
        torchvision_backbone("squeezenet11", SQUEEZENET_LAYERS, weights=None)
    with pytest.raises(UserError, match=r"SqueezeNet has no module 'features\.99'; did you mean 'features\.9'"):
        torchvision_backbone("squeezenet1_1", {"last": "features.99"}, weights=None)
    with pytest.raises(UserError, match="no layer 'fire9'; did you mean 'fire8'"):
        torchvision_backbone("squeezenet1_1", SQUEEZENET_LAYERS, weights=None)(pictures(), ["fire9"])


def test_the_fingerprint_changes_with_one_weight_and_with_nothing_else(network):
    before = network_fingerprint(network)
    network(pictures(), ["conv3"])
    assert network_fingerprint(network) == before
    weight = network.layers["conv3"][0].weight
    weight[0, 0, 0, 0] += 1e-6
    assert network_fingerprint(network) != before


def test_the_fingerprint_changes_with_what_has_no_weights():
    def fingerprint(**arguments: object) -> str:
        torch.manual_seed(0)
        return network_fingerprint(vgg19(None, last_layer="conv2_1", **arguments))

    variants = [fingerprint(), fingerprint(pooling="average"), fingerprint(ceil_mode=False)]
    assert len(set(variants)) == 3
    assert fingerprint() == variants[0]


def test_the_fingerprint_of_a_joint_network_changes_with_its_layers(network):
    first, second = (JointNetwork([network], [names]) for names in (["conv1"], ["conv2"]))
    assert network_fingerprint(first) != network_fingerprint(second)


# Weight files


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_damaged_file_is_a_user_error_that_names_it(suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    tensors = {"features.0.weight": torch.randn(64, 3, 3, 3)}
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"<html>404 not found</html>", b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match=str(path)):
            load_tensors(path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")  # a whole module, not its tensors
    with pytest.raises(UserError, match="more than plain tensors"):
        load_tensors(tmp_path / "module.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_tensors_are_read_back_from_both_kinds_of_file(suffix, tmp_path):
    path, tensors = tmp_path / f"weights{suffix}", {"a": torch.arange(3.0), "b": torch.ones(1, 2)}
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    loaded = load_tensors(path)
    assert {name: value.tolist() for name, value in loaded.items()} == {"a": [0, 1, 2], "b": [[1, 1]]}
    assert tensors_sha256(loaded) == tensors_sha256(dict(reversed(tensors.items())))
    assert tensors_sha256({**loaded, "a": loaded["a"] + 1}) != tensors_sha256(loaded)


def test_weights_of_another_network_are_refused(tmp_path, vgg19_file):
    with pytest.raises(UserError, match="another network"):
        torchvision_backbone("squeezenet1_1", SQUEEZENET_LAYERS, weights=[str(vgg19_file)])
    narrow = tmp_path / "narrow.safetensors"
    save_file({"features.0.weight": torch.zeros(16, 3, 3, 3), "features.0.bias": torch.zeros(16)}, narrow)
    with pytest.raises(UserError, match=r"narrow.*\(16, 3, 3, 3\).*\(64, 3, 3, 3\)"):
        vgg19([str(narrow)], last_layer="conv1_1")


def test_the_best_of_several_files_is_taken_from_the_folder(tmp_path):
    for name in ("second.pth", "third.pth"):
        (tmp_path / name).touch()
    assert find_weights(["first.pth", "second.pth", "third.pth"], tmp_path) == tmp_path / "second.pth"


def test_the_first_network_that_can_be_had_stands_in_for_better_ones(tmp_path, caplog):
    def missing() -> Backbone:
        return vgg19(["nowhere.pth"], tmp_path)

    there = vgg19(None)
    with caplog.at_level("WARNING"):
        assert first_of(full=missing, otherwise=lambda: there) is there
        assert first_of(full=lambda: there, otherwise=lambda: pytest.fail("one was there")) is there
    assert "nowhere.pth" in caplog.text
    assert "another network stands in" in caplog.text
    with pytest.raises(UserError, match=r"nowhere\.pth"):
        first_of(full=missing, otherwise=missing)


def test_missing_weights_are_a_user_error_with_a_remedy(tmp_path):
    with pytest.raises(UserError, match=r"absent\.pth.*DMT_WEIGHTS.*experiment=digits"):
        vgg19(["absent.pth"], tmp_path)


def test_missing_weights_are_downloaded_and_verified(tmp_path, capsys):
    origin = tmp_path / "origin.pth"
    torch.save({"a": torch.ones(2)}, origin)
    checksum = hashlib.sha256(origin.read_bytes()).hexdigest()
    folder = tmp_path / "to be made"
    with pytest.raises(UserError, match="could not download"):
        find_weights(["weights.pth"], folder, origin.as_uri(), "0123abcd")
    assert list(folder.iterdir()) == []
    path = find_weights(["weights.pth"], folder, origin.as_uri(), checksum[:8])
    assert path == folder / "weights.pth"
    assert load_tensors(path)["a"].tolist() == [1, 1]
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("content", [[torch.zeros(2)], torch.zeros(2), {"epoch": 3}], ids=["list", "tensor", "number"])
def test_a_file_that_holds_no_named_tensors_is_a_user_error(content, tmp_path):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"weights\.pth"):
        load_tensors(tmp_path / "weights.pth")


def test_a_joint_network_refuses_layers_that_its_networks_lack(network):
    with pytest.raises(UserError, match="no layer 'conv4'"):
        JointNetwork([network], [["conv1", "conv4"]])


def test_a_layer_may_keep_torchvisions_name_when_it_is_normalised():
    network = torchvision_backbone("squeezenet1_1", {"features.1": "features.1"}, weights=None)
    scales = measure_scales(network, [pictures()])
    assert FeatureExtractor(network, ["features.1"], scales).scales.keys() == {"features.1"}
