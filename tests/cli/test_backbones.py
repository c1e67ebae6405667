"""Networks other than VGG-19 from the command line: which of their layers are taken, and what is said."""

import sys

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from safetensors.torch import save_file
from torchvision.models import get_model

import dmt
from dmt.cli import build
from dmt.cli.front_door import composed
from dmt.networks import ModuleNetwork
from dmt.networks.extractor import FeatureExtractor

RESNET = ["backbone=torchvision", "backbone.name=resnet18", "backbone.weights=null"]


@pytest.fixture(autouse=True)
def hydra(tmp_path):
    GlobalHydra.instance().clear()


def settled(*overrides: str):
    """The configuration after an editor of digits was made."""
    cfg = composed("data=digits", "task=digits", "data.image_size=64", *overrides)
    build.editor_of(cfg)
    return cfg


def test_the_default_is_what_the_configuration_says():
    cfg = composed()
    assert cfg.layers == build.PAPER_LAYERS
    assert cfg.regularizer.features.layers == build.PAPER_LOW_LAYERS


def test_a_network_without_the_layers_of_vgg_has_layers_of_its_own(caplog):
    caplog.set_level("INFO")
    cfg = settled(*RESNET)  # its stages have 32, 16, 8, 4 and 2 places a side of 64 pixels
    assert list(cfg.layers) == ["layer1.1", "layer2.1", "layer3.1"]
    assert list(cfg.regularizer.features.layers) == ["relu", "layer1.0"]
    assert "the network has none of conv345; layer1.1, layer2.1, layer3.1 are taken" in caplog.text
    assert "the network has no conv1_1 and conv2_1; relu, layer1.0 are taken" in caplog.text


def test_layers_of_ones_own_are_left_alone(caplog):
    caplog.set_level("INFO")
    own = ["layers=[layer1.0,layer3.1]", "regularizer.features.layers=[maxpool]"]
    cfg = settled(*RESNET, *own)
    assert list(cfg.layers) == ["layer1.0", "layer3.1"]
    assert list(cfg.regularizer.features.layers) == ["maxpool"]
    assert "are taken" not in caplog.text


def test_a_network_of_one_resolution_has_layers_from_its_middle_upwards():
    chain = [torch.nn.Conv2d(3, 4, 16, 16), *(torch.nn.Sigmoid() for _ in range(20))]
    network = ModuleNetwork(torch.nn.Sequential(*chain))
    assert network.layer_names == tuple(str(number) for number in range(1, 21))
    found = build.upper_layers(FeatureExtractor(network, network.layer_names), 64)
    assert found == ["10", "14", "19"]  # .45, .7 and .95 of the 19 steps from the first to the last


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["layers=[layer1.1,layer9]"], r"no layer 'layer9'.*\(layers: relu, maxpool, .*backbone\.layers=\[NAME"),
        (["layers=conv4"], r"no layer 'conv4_1'"),
        (["backbone.layers=[layer1.7]"], r"backbone: ResNet has no module 'layer1\.7'; did you mean 'layer1\.\d"),
        (["backbone.name=resnet19"], "backbone: torchvision has no network 'resnet19'; did you mean 'resnet1"),
        (["backbone.weights=no.pth"], r"weights not found: put one of no\.pth into"),
    ],
)
def test_what_a_network_does_not_have_is_said(overrides, message):
    with pytest.raises(dmt.UserError, match=message):
        settled(*RESNET, *overrides)


def test_a_three_becomes_an_eight_by_a_network_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "nets_of_a_cli_test.py").write_text(
        "from torch import nn\n"
        "def build(width):\n"
        "    return nn.Sequential(nn.Conv2d(3, width, 5, 2, 2), nn.ReLU(), nn.Conv2d(width, 32, 3, 2, 1), nn.ReLU())\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    torch.manual_seed(0)
    options = ["backbone=module", "backbone.builder=nets_of_a_cli_test:build", "backbone.options={width: 16}"]
    small = ["progress=false", "manifold.n_components=32", "solver.inversion.iterations=20", "layers=[1,3]"]
    edit = dmt.Editor.default("digits", *options, *small).edit("digits", images=1, lam=0.3)
    assert (edit.table["witness_before"] > 0).all()
    assert (edit.table["witness_after"] < 0).all()
    assert (edit.table["realised"] > 0.8).all()


def test_a_space_says_which_network_it_was_fitted_with_and_finds_it_again(tmp_path):
    torch.manual_seed(0)
    save_file(get_model("squeezenet1_1").state_dict(), tmp_path / "w.safetensors")
    options = ["backbone.name=squeezenet1_1", f"backbone.weights='{tmp_path / 'w.safetensors'}'", "progress=false"]
    space = dmt.fit(dmt.Digits(), *options, backbone="torchvision", n_components=4, cache=tmp_path, image_size=32)
    space.save(tmp_path / "m.safetensors")
    again = dmt.load_space(tmp_path / "m.safetensors")
    pictures = torch.rand(2, 3, 32, 32)
    assert again.coordinates(pictures).equal(space.coordinates(pictures))


def test_a_network_that_is_not_named_is_asked_for():
    with pytest.raises(dmt.UserError, match=r"backbone\.name must be given: backbone\.name=VALUE"):
        dmt.fit(dmt.Digits(), backbone="torchvision")
