"""Any network as a backbone: against its own submodules run by hand, and against what cannot be read."""

import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dmt.errors import UserError
from dmt.networks import ModuleNetwork, module_backbone, network_fingerprint, timm_backbone, torchvision_backbone
from dmt.networks.extractor import FeatureExtractor, measure_scales
from dmt.networks.forms import Form, form_of, grid_of
from dmt.networks.weights import load_into, load_tensors

MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)  # as torchvision's documentation has them
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)


def pictures(n: int = 1, height: int = 64, width: int = 64, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def built(name: str, layers=None, **options) -> tuple[ModuleNetwork, nn.Module]:
    """A backbone with random weights, and torchvision's network with the same."""
    torch.manual_seed(0)
    reference = torchvision.models.get_model(name).eval()
    torch.manual_seed(0)
    return torchvision_backbone(name, layers, weights=None, **options), reference


class Toy(nn.Module):
    """Two convolutions and a head for pictures of 32 x 32, which counts what is called."""

    def __init__(self, width: int = 4):
        super().__init__()
        self.low = nn.Conv2d(3, width, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.high = nn.Conv2d(width, 2 * width, 3, padding=1, stride=2)
        self.unused = nn.Conv2d(1, 1, 1)
        self.head = nn.Linear(2 * width * 16 * 16, 5)
        self.calls: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append("low")
        x = self.low(x)
        x = self.act(x)
        self.calls.append("high")
        x = self.high(x)
        self.calls.append("head")
        return self.head(x.flatten(1))


# The networks of torchvision


@torch.no_grad()
def test_resnet50_gives_what_its_blocks_give():
    ours, reference = built("resnet50")
    x = (pictures(2, 64, 48) - MEAN) / STD
    expected = {"relu": (x := reference.relu(reference.bn1(reference.conv1(x))))}
    expected["maxpool"] = x = reference.maxpool(x)
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        for number, block in enumerate(getattr(reference, stage)):
            expected[f"{stage}.{number}"] = x = block(x)
    assert ours.layer_names == tuple(expected)
    found = ours(pictures(2, 64, 48), ours.layer_names)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


@torch.no_grad()
def test_convnext_tiny_gives_what_its_stages_give():
    ours, reference = built("convnext_tiny")
    x = (pictures() - MEAN) / STD
    found = ours(pictures(), ours.layer_names)
    assert list(found) == [f"features.{number}" for number in range(8)]
    for number, stage in enumerate(reference.features):
        x = stage(x)
        torch.testing.assert_close(found[f"features.{number}"], x)


@torch.no_grad()
def test_swin_t_gives_its_channels_first():
    ours, reference = built("swin_t")
    x = reference.features[0]((pictures() - MEAN) / STD)
    assert ours.layer_names[:2] == ("features.0", "features.1.0")
    found = ours(pictures(), ["features.0", "features.1.1", "features.2"])
    assert list(found) == ["features.0", "features.1.1", "features.2"]
    torch.testing.assert_close(found["features.0"], x.movedim(3, 1))
    torch.testing.assert_close(found["features.1.1"], (x := reference.features[1](x)).movedim(3, 1))
    torch.testing.assert_close(found["features.2"], reference.features[2](x).movedim(3, 1))


@torch.no_grad()
def test_a_vision_transformer_gives_its_tokens_as_a_grid_and_the_class_token_apart():
    ours, reference = built("vit_b_16")
    images = pictures(1, 224, 224)
    tokens = reference._process_input((images - MEAN) / STD)
    x = torch.cat([reference.class_token, tokens], dim=1) + reference.encoder.pos_embedding
    for block in reference.encoder.layers[:2]:
        x = block(x)
    name = "encoder.layers.encoder_layer_1"
    found = ours(images, [name + ".class", "conv_proj", name])
    assert list(found) == ["conv_proj", name, name + ".class"]
    torch.testing.assert_close(found[name + ".class"], x[:, 0].reshape(1, 768, 1, 1))
    for row, column in ((0, 0), (3, 5), (13, 12)):
        torch.testing.assert_close(found[name][:, :, row, column], x[:, 1 + 14 * row + column])
        torch.testing.assert_close(found["conv_proj"][:, :, row, column], tokens[:, 14 * row + column])


def test_a_network_of_one_size_has_its_pictures_brought_to_it_once_said(caplog):
    caplog.set_level("INFO")
    ours, _ = built("vit_b_16", ["conv_proj", "encoder.layers.encoder_layer_0"])
    images = pictures(1, 60, 60).requires_grad_()
    resized = interpolate(images, (224, 224), mode="bilinear", antialias=True)
    for _ in range(2):
        found = ours(images, ["encoder.layers.encoder_layer_0"])["encoder.layers.encoder_layer_0"]
    torch.testing.assert_close(
        found, ours(resized, ["encoder.layers.encoder_layer_0"])["encoder.layers.encoder_layer_0"]
    )
    assert caplog.text.count("VisionTransformer does not take pictures of 60 x 60 pixels") == 1
    assert "they are brought to 224 x 224" in caplog.text
    found.square().sum().backward()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small"])
def test_gradients_reach_the_pixels_and_no_weights(name):
    ours, _ = built(name)
    images = pictures().requires_grad_()
    ours(images, ours.layer_names[-1:])[ours.layer_names[-1]].square().sum().backward()
    assert images.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_an_input_size_is_kept_to():
    ours, _ = built("resnet18", ["layer1"], input_size=96)
    images = pictures(1, 64, 48)
    assert ours(images, ["layer1"])["layer1"].shape == (1, 64, 24, 24)
    small = interpolate(images, (96, 96), mode="bilinear", antialias=True)
    assert torch.equal(ours(images, ["layer1"])["layer1"], ours(small, ["layer1"])["layer1"])


# What is read, and how far the network runs


def test_a_network_runs_no_further_than_the_last_layer_asked_for():
    toy = Toy()
    network = ModuleNetwork(toy, ["high", "low"])
    assert network.layer_names == ("low", "high")
    network(pictures(), ["low"])  # at the first picture of a size it is seen whether the network takes it
    toy.calls.clear()
    assert list(network(pictures(), ["low"])) == ["low"]
    assert toy.calls == ["low"]
    network(pictures(), ["high", "low"])
    assert toy.calls == ["low", "low", "high"]
    assert not any(module._forward_hooks for module in toy.modules())


def test_no_hooks_stay_where_the_network_fails():
    toy = Toy()
    network = ModuleNetwork(toy, ["high"])
    network(pictures(), ["high"])
    toy.act = nn.Conv2d(1, 1, 1)  # does not take what it gets
    with pytest.raises(RuntimeError):
        network(pictures(), ["high"])
    assert not any(module._forward_hooks for module in toy.modules())


def test_a_layer_is_what_it_was_when_it_was_computed():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            x += 7
            return self.second(nn.functional.relu_(x))

    module = InPlace()
    found = ModuleNetwork(module, mean=[0.0] * 3, std=[1.0] * 3)(pictures(), ["first", "second"])
    torch.testing.assert_close(found["first"], module.first(pictures()))
    images = pictures().requires_grad_()
    ModuleNetwork(module)(images, ["first", "second"])["first"].sum().backward()
    assert images.grad.abs().sum() > 0


def test_an_activation_in_place_overwrites_nothing():
    toy = Toy()
    found = ModuleNetwork(toy, ["low", "act"])(pictures(), ["low", "act"])
    assert found["low"].min() < 0
    torch.testing.assert_close(found["act"], found["low"].relu())


def test_of_a_module_that_is_called_twice_the_last_output_counts():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 3, 1), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(-self.act(self.conv(x)))

    module = Twice()
    assert ModuleNetwork(module).layer_names == ("conv",)  # a layer is not taken by itself if it is several
    assert ModuleNetwork(module, ["act"])(pictures(), ["act"])["act"].abs().max() == 0


def test_outputs_in_tuples_and_mappings_are_found():
    class Tuple(nn.Module):
        def forward(self, x: Tensor) -> tuple[None, Tensor]:
            return None, x * 2

    class Mapping(nn.Module):
        def forward(self, found: tuple[None, Tensor]) -> dict[str, Tensor]:
            return OrderedDict(hidden=found[1] + 1, other=found[1])

    network = ModuleNetwork(nn.Sequential(OrderedDict(a=Tuple(), b=Mapping())), ["a", "b"], mean=[0] * 3, std=[1] * 3)
    found = network(pictures(), ["a", "b"])
    assert torch.equal(found["a"], pictures() * 2)
    assert torch.equal(found["b"], pictures() * 2 + 1)


def test_layers_may_have_names_of_their_own():
    toy = Toy()
    network = ModuleNetwork(toy, {"top": "high", "bottom": "low"})
    assert network.layer_names == ("bottom", "top")
    assert torch.equal(network(pictures(), ["top"])["top"], ModuleNetwork(toy, ["high"])(pictures(), ["high"])["high"])


def test_the_layers_that_are_chosen_are_few_and_in_order():
    blocks = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()) for _ in range(50)]
    names = ModuleNetwork(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(), nn.Sequential(*blocks))).layer_names
    assert len(names) == 20
    assert (names[0], names[-1]) == ("0", "2.49")
    assert [int(name.split(".")[1]) for name in names[1:]] == sorted({int(name.split(".")[1]) for name in names[1:]})


def test_layers_with_dots_are_normalised_each_by_its_own_scale():
    network = ModuleNetwork(Toy(), {"a.b": "low", "a_b": "high"})
    scales = measure_scales(network, [pictures(2)])
    extractor = FeatureExtractor(network, ["a.b", "a_b"], scales)
    assert {name: value.item() for name, value in extractor.scales.items()} == {
        name: pytest.approx(float(value.abs().mean())) for name, value in network(pictures(2), ["a.b", "a_b"]).items()
    }


# Forms


@pytest.mark.parametrize(
    ("shape", "other", "channels", "form"),
    [
        ((2, 64, 56, 56), (2, 64, 56, 48), None, Form("BCHW")),
        ((2, 56, 56, 64), (2, 56, 48, 64), None, Form("BHWC")),
        ((2, 56, 56, 56), (2, 56, 48, 56), None, Form("BHWC")),  # as many channels as places
        ((2, 56, 56, 56), (2, 48, 48, 56), None, Form("BHWC")),
        ((2, 56, 56, 56), (2, 56, 48, 48), None, Form("BCHW")),
        ((2, 7, 7, 768), None, None, Form("BHWC")),  # a network of one size
        ((2, 768, 7, 7), None, None, Form("BCHW")),
        ((2, 7, 7, 7), None, None, Form("BCHW")),
        ((2, 7, 7, 7), None, "last", Form("BHWC")),
        ((2, 512, 1, 1), (2, 512, 1, 1), None, Form("BCHW")),
        ((2, 196, 384), None, None, Form("BTC")),
        ((2, 201, 384), None, None, Form("BTC", 5)),  # a class token and four registers
        ((2, 384, 196), (2, 384, 168), None, Form("BCT")),
        ((2, 384, 196), None, "first", Form("BCT")),
        ((2, 200, 384), None, None, Form("BTC", 4)),
        ((2, 300, 384), None, None, Form("BTC", 11)),
        ((2, 250, 384), None, None, Form("BTC", 0, placed=False)),  # 225 and 25 more: no class tokens
        ((2, 1000), None, None, Form("BC")),
        ((2, 3, 4, 5, 6), None, None, None),
    ],
)
def test_forms_are_told_apart(shape, other, channels, form):
    assert form_of(shape, other, channels) == form


@pytest.mark.parametrize(("n", "size", "grid"), [(196, (8, 8), (14, 14)), (12, (60, 80), (3, 4)), (7, (9, 9), (1, 7))])
def test_a_grid_of_tokens_has_the_shape_of_the_picture(n, size, grid):
    assert sorted(grid_of(n, *size)) == sorted(grid)
    assert n == 7 or grid_of(n, *size) == grid


def test_channels_last_are_found_where_there_are_as_many_channels_as_places():
    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.movedim(1, 3)

    module = nn.Sequential(nn.Conv2d(3, 14, 16, stride=16), Last(), nn.LayerNorm(14))
    found = ModuleNetwork(module, ["0", "2"])(pictures(), ["0", "2"])
    torch.testing.assert_close(found["2"], module[2](found["0"].movedim(1, 3)).movedim(3, 1))


def test_vectors_have_one_place():
    network = ModuleNetwork(Toy(), ["head"])
    assert network.taken_size == 32  # the first that it takes
    assert network(pictures(3, 32, 32), ["head"])["head"].shape == (3, 5, 1, 1)
    assert network(pictures(3, 40, 40), ["head"])["head"].shape == (3, 5, 1, 1)


def test_layers_below_the_head_take_any_size():
    network = ModuleNetwork(Toy())
    assert network.layer_names == ("act", "high")
    assert network(pictures(1, 41, 41), ["high"])["high"].shape == (1, 8, 21, 21)


# A network of one's own


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a module of two networks in it."""
    (tmp_path / "toy_nets_of_a_test.py").write_text(
        "from torch import nn\n"
        "def build(width=4):\n"
        "    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2))\n"
        "def number():\n    return 3\n"
        "def broken():\n    raise KeyError('depth')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "toy_nets_of_a_test", raising=False)
    return tmp_path


def test_a_network_is_built_by_a_function_in_the_working_folder(folder):
    network = module_backbone("toy_nets_of_a_test:build", options={"width": 6}, mean=[0] * 3, std=[1] * 3)
    assert network.layer_names == ("2", "3")
    assert network(pictures(), ["2"])["2"].shape == (1, 6, 62, 62)
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: {"state_dict": t, "epoch": 3}, lambda t: {"model": t}])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module."])
def test_weights_come_from_checkpoints_of_every_kind(folder, prefix, wrap):
    torch.manual_seed(1)
    reference = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    tensors = {prefix + name: value for name, value in reference.state_dict().items() if "num" not in name}
    torch.save(wrap({**tensors, "loss.weight": torch.zeros(3)}), folder / "w.pth")
    network = module_backbone("toy_nets_of_a_test:build", ["1"], weights="w.pth", weights_dir=folder)
    torch.testing.assert_close(network(pictures(), ["1"])["1"], reference((pictures() - MEAN) / STD))


def test_weights_may_be_a_path_or_the_best_of_several(folder):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    (folder / "kept").mkdir()
    save_file(module.state_dict(), folder / "kept/w.safetensors")
    fingerprints = {
        network_fingerprint(module_backbone("toy_nets_of_a_test:build", weights=weights, weights_dir=folder / "kept"))
        for weights in (str(folder / "kept/w.safetensors"), "w.safetensors", ["no.pth", "w.safetensors"])
    }
    assert len(fingerprints) == 1


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        ("toy_nets_of_a_test", "builder must be MODULE:FUNCTION"),
        ("no_such_nets:build", "No module named 'no_such_nets'; run the command in the folder where no_such_nets lies"),
        ("toy_nets_of_a_test:bild", "there is no 'bild' in it; did you mean 'build'"),
        ("toy_nets_of_a_test:number", "must make a torch.nn.Module, got int"),
        ("toy_nets_of_a_test:broken", "failed: KeyError: 'depth'"),
    ],
)
def test_a_builder_that_does_not_work_is_a_user_error(folder, builder, message):
    with pytest.raises(UserError, match=message):
        module_backbone(builder)


# What cannot be read


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["hihg"], r"Toy has no module 'hihg'; did you mean 'high'\? \(its own: low, act, high"),
        ({"x": "low.0"}, "no module 'low.0'; did you mean 'low'"),
        (["unused"], "takes no batch|not called"),
        ("low", "layers must be a list of names of modules"),
        ([], "layers must be a list of names of modules"),
    ],
)
def test_layers_that_are_not_there_are_user_errors(layers, message):
    with pytest.raises(UserError, match=message):
        ModuleNetwork(Toy(), layers)


def test_a_module_that_is_no_layer_says_what_it_gives():
    class Windows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(-1, 3, 4, 4)

    with pytest.raises(UserError, match=r"module '0' of Sequential gives \(6272, 3, 4, 4\) for a batch of 2"):
        ModuleNetwork(nn.Sequential(Windows()), ["0"])


def test_a_network_that_takes_no_picture_is_a_user_error():
    with pytest.raises(UserError, match=r"Sequential takes no batch of pictures.*224.*set input_size"):
        ModuleNetwork(nn.Sequential(nn.Conv2d(1, 1, 1)))
    with pytest.raises(UserError, match="has no modules whose activations could be read"):
        ModuleNetwork(nn.Sequential(nn.Flatten()))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"channels": "middle"}, "channels must be first, last or null"), ({"input_size": 0}, "input_size must be")],
)
def test_options_are_checked(options, message):
    with pytest.raises(UserError, match=message):
        ModuleNetwork(Toy(), **options)


def test_options_that_torchvision_does_not_take_are_user_errors():
    assert torchvision_backbone("resnet18", weights=None, options={"num_classes": 7}).network.fc.out_features == 7
    with pytest.raises(UserError, match=r"options of resnet18:.*'depth'"):
        torchvision_backbone("resnet18", weights=None, options={"depth": 7})


def test_weights_that_cannot_be_downloaded_are_one_line_with_a_remedy(monkeypatch):
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(UserError, match=r"resnet18-\w+\.pth could not be downloaded \(no route to host\): put it into"):
        torchvision_backbone("resnet18")


def test_the_fingerprint_tells_layers_and_sizes_apart():
    torch.manual_seed(0)
    toy = Toy()
    networks = [ModuleNetwork(toy, ["low"]), ModuleNetwork(toy, ["high"]), ModuleNetwork(toy, ["low"], input_size=40)]
    fingerprints = [network_fingerprint(network) for network in networks]
    assert len(set(fingerprints)) == 3
    networks[0](pictures(), ["low"])
    assert network_fingerprint(networks[0]) == fingerprints[0] == network_fingerprint(ModuleNetwork(toy, ["low"]))


# timm


@torch.no_grad()
def test_a_network_of_timm_gives_what_its_stages_give():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    ours = timm_backbone("test_resnet.r160_in1k", weights=None)
    torch.manual_seed(0)
    reference = timm.create_model("test_resnet").eval()
    found = ours(pictures(), ours.layer_names)
    x = (pictures() - 0.5) / 0.5  # as timm says of these weights
    assert timm.get_pretrained_cfg("test_resnet.r160_in1k").mean == (0.5, 0.5, 0.5)
    torch.testing.assert_close(found["layer4.0"], reference.forward_features(x))


@torch.no_grad()
def test_a_vision_transformer_of_timm_takes_what_its_options_say():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    ours = timm_backbone("test_vit", weights=None, options={"dynamic_img_size": True})
    torch.manual_seed(0)
    reference = timm.create_model("test_vit", dynamic_img_size=True).eval()
    images = pictures(1, 64, 96)
    mean, std = (torch.tensor(reference.pretrained_cfg[key]).reshape(3, 1, 1) for key in ("mean", "std"))
    tokens = reference.forward_features((images - mean) / std)
    found = ours(images, ["norm", "norm.class"])
    torch.testing.assert_close(found["norm"], tokens[:, 1:].reshape(1, 4, 6, -1).movedim(3, 1))
    torch.testing.assert_close(found["norm.class"][..., 0, 0], tokens[:, 0])


def test_a_vision_transformer_of_timm_says_which_size_it_takes():
    pytest.importorskip("timm")
    network = timm_backbone("vit_tiny_patch16_224", ["norm"], weights=None, options={"img_size": 80})
    assert network(pictures(), ["norm"])["norm"].shape == (1, 192, 5, 5)  # places of 16 x 16 pixels


def test_an_unknown_network_of_timm_is_a_user_error():
    pytest.importorskip("timm")
    with pytest.raises(UserError, match="timm has no network 'resnet51'; did you mean 'resnet"):
        timm_backbone("resnet51")


def test_timm_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"pip install 'dmt\[timm\]'"):
        timm_backbone("resnet50")


# Weight files


def test_a_prefix_is_taken_off_only_if_all_tensors_have_it(tmp_path):
    network = nn.Sequential(nn.Linear(2, 2))
    some = {"module.0.weight": torch.zeros(2, 2), "0.bias": torch.zeros(2)}
    with pytest.raises(UserError, match=r"no tensor '0\.weight'"):
        load_into(network, some, tmp_path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1)}, "hparams": Toy()}, tmp_path / "w.ckpt")
    with pytest.raises(UserError, match="more than plain tensors"):
        load_tensors(tmp_path / "w.ckpt")
