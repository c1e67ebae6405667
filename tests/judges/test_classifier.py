"""A user's classifier by its function or by its file: the same numbers, which are known of a mean colour."""

import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dmt.errors import UserError
from dmt.judges.classifier import ModuleClassifier, OnnxClassifier, classifier_of
from tests.judges.classifiers import CHANCES, LOGITS, SIGMOID, MeanColour, colour, onnx_of, said_by_hand

COLOURS = [(1.0, 0.4, 0.2), (0.0, 0.6, 0.8), (0.2, 0.2, 0.2)]  # whole numbers of 255
NETWORKS = [
    MeanColour([[2.0, -1.0, 0.0], [0.0, 3.0, -2.0]], [0.1, -0.3], LOGITS),
    MeanColour([[2.0, -1.0, 0.0], [0.0, 3.0, -2.0], [1.0, 1.0, 1.0]], [0.1, -0.3, 0.0], CHANCES),
    MeanColour([[5.0, -1.0, 0.0]], [0.1], SIGMOID),
    MeanColour([[50.0, 0.0, 0.0]], [20.0], LOGITS),
]


@pytest.fixture
def builder(tmp_path, monkeypatch):
    """Writes a module whose function ``build`` makes a network; returns what names it."""
    written = []

    def write(body: str) -> str:
        name = f"mine_{len(written)}_{tmp_path.name.replace('-', '_')}"
        written.append(name)
        text = "import torch\nfrom tests.judges.classifiers import MeanColour\n\n\ndef build():\n    " + body
        (tmp_path / f"{name}.py").write_text(text + "\n")
        return f"{name}:build"

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: f"{network.says}{network.linear.out_features}")
def test_the_function_and_the_file_say_the_same_of_pictures(network, builder, tmp_path):
    weights, bias = network.linear.weight.tolist(), network.linear.bias.tolist()
    by_function = classifier_of(builder(f"return MeanColour({weights}, {bias}, {network.says!r})"))
    by_file = classifier_of(onnx_of(network, tmp_path / "net.onnx", side=8))
    assert isinstance(by_function, ModuleClassifier)
    assert isinstance(by_file, OnnxClassifier)
    pictures = [colour(*each) for each in COLOURS]
    expected = said_by_hand(network, COLOURS)
    for classifier in (by_function, by_file):
        found = classifier.outputs(pictures)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (by_function.title.partition(":")[2], by_file.title) == ("build", "net.onnx")


def test_any_number_of_pictures_is_read_each_for_itself(tmp_path):
    network = NETWORKS[0]
    colours = [(i / 255, 2 * i / 255, 0.0) for i in range(70)]
    for classifier in (ModuleClassifier(network), classifier_of(onnx_of(network, tmp_path / "net.onnx", side=8))):
        found = classifier.outputs([colour(*each) for each in colours])
        np.testing.assert_allclose(found, said_by_hand(network, colours), rtol=1e-4, atol=1e-4)


# What a network wants


class Shown(nn.Module):
    """Says the first pixel, the height and the width of what it is given."""

    def forward(self, images):
        sizes = torch.tensor([float(side) for side in images.shape[-2:]]).expand(len(images), 2)
        return torch.cat([images[:, :, 0, 0], sizes], dim=1)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 0.4, 0.2, 8, 8]),
        ({"size": 5}, [1, 0.4, 0.2, 5, 5]),
        ({"mean": 0.2}, [0.8, 0.2, 0, 8, 8]),
        ({"mean": [1, 0.2, 0.1], "std": [1, 0.1, 0.2]}, [0, 2, 0.5, 8, 8]),
        ({"std": 0.5, "size": None}, [2, 0.8, 0.4, 8, 8]),
    ],
)
def test_pictures_are_made_into_what_the_network_wants(settings, expected, builder, monkeypatch):
    monkeypatch.setattr("dmt.judges.classifier.built_network", lambda where, weights: Shown())
    classifier = classifier_of("mine:build", preprocessing=settings)
    np.testing.assert_allclose(classifier.outputs([colour(1.0, 0.4, 0.2)])[0], expected, rtol=1e-5, atol=1e-6)


def test_the_network_is_put_to_use_not_to_training():
    network = nn.Sequential(nn.Dropout(0.5), MeanColour([[1.0, 1.0, 1.0]], [0.0]))
    classifier = ModuleClassifier(network)
    twice = [classifier.outputs([colour(0.5, 0.5, 0.5)]) for _ in range(2)]
    assert twice[0] == twice[1] == pytest.approx(1.5)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_one_number_a_picture_without_a_second_axis_will_do():
    class Flat(nn.Module):
        def forward(self, images):
            return images.mean(dim=(1, 2, 3))

    found = ModuleClassifier(Flat()).outputs([colour(0.3, 0.3, 0.3), colour(0.6, 0.6, 0.6)])
    np.testing.assert_allclose(found, [[0.3], [0.6]], rtol=1e-5)


@pytest.mark.parametrize(("side", "given", "seen"), [(6, None, 6), ("side", None, 224), ("side", 10, 10), (6, 6, 6)])
def test_a_file_says_the_size_that_it_wants_unless_it_takes_any(side, given, seen, tmp_path):
    path = onnx_of(NETWORKS[0], tmp_path / "net.onnx", side)
    assert classifier_of(path, preprocessing={"size": given}).network.size == seen
    assert classifier_of(str(path)).network.range == (0, 1)


def test_another_output_of_a_file_may_be_asked(tmp_path):
    path = onnx_of(NETWORKS[0], tmp_path / "net.onnx", side=8)
    np.testing.assert_allclose(
        classifier_of(path, output="mean").outputs([colour(*COLOURS[0])]), COLOURS[:1], atol=1e-5
    )
    with pytest.raises(UserError, match="no output 'men'; it has said, mean"):
        classifier_of(path, output="men").outputs([colour(*COLOURS[0])])


def test_weights_of_ones_own_are_those_of_the_function(builder, tmp_path):
    network = NETWORKS[0]
    save_file(network.state_dict(), tmp_path / "own.safetensors")
    where = builder("return MeanColour([[0.0] * 3] * 2, [0.0, 0.0])")
    found = classifier_of(where, str(tmp_path / "own.safetensors")).outputs([colour(*COLOURS[0])])
    np.testing.assert_allclose(found, said_by_hand(network, COLOURS[:1]), rtol=1e-5)


# What cannot be


@pytest.mark.parametrize(
    ("where", "options", "message"),
    [
        ("net.pt", {}, "a classifier must be an .onnx file or MODULE:FUNCTION, such as .*, got 'net.pt'"),
        ("nowhere.onnx", {}, "there is no .*nowhere.onnx"),
        ("net.ONNX", {"weights": "w.pth"}, "task.weights belongs to a network that a function builds"),
        ("no_such_module:build", {}, "builder no_such_module:build: ModuleNotFoundError.*; run the command in the"),
    ],
)
def test_what_is_no_classifier_is_an_error_that_names_it(where, options, message):
    with pytest.raises(UserError, match=message) as caught:
        classifier_of(where, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "preprocessing.size must be null or a whole number above 0, got 0"),
        ({"mean": "grey"}, "preprocessing.mean must be a number or a list of three, got 'grey'"),
        ({"std": [1, 2]}, r"preprocessing.std must be a number or a list of three, got \[1, 2\]"),
        ({"std": 0}, "preprocessing.std must be above 0, got 0"),
        ({"std": [1.0, 0.0, 1.0]}, "preprocessing.std must be above 0, got"),
        ({"crop": 0.5}, "preprocessing: .*crop.*; it takes size, mean and std, and of an ONNX file crop, range"),
        ({"sise": 3}, "preprocessing: .*sise"),
    ],
)
def test_a_bad_setting_is_an_error_that_names_it(settings, message, monkeypatch):
    monkeypatch.setattr("dmt.judges.classifier.built_network", lambda where, weights: Shown())
    with pytest.raises(UserError, match=message):
        classifier_of("mine:build", preprocessing=settings)


def test_a_bad_setting_of_a_file_is_an_error_that_names_it(tmp_path):
    path = onnx_of(NETWORKS[0], tmp_path / "net.onnx", side=6)
    with pytest.raises(UserError, match=r"preprocessing: .*sise.*"):
        classifier_of(path, preprocessing={"sise": 3})
    with pytest.raises(UserError, match="size must be a whole number above 0, got 0"):
        classifier_of(path, preprocessing={"size": 0})
    with pytest.raises(UserError, match="size=5 make 3 x 5 x 5"):
        classifier_of(path, preprocessing={"size": 5})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (lambda images: images, r"the classifier must give a tensor \(B, C\) for a batch"),
        (lambda images: images.mean(dim=0)[:, 0], "must give a tensor"),
        (lambda images: {"logits": images}, "must give a tensor"),
        (lambda images: images.reshape(-1, 7), "does not take pictures of 8 x 8 pixels .*set preprocessing.size"),
    ],
)
def test_what_a_network_should_not_say_is_an_error_in_one_line(said, message):
    class Says(nn.Module):
        def forward(self, images):
            return said(images)

    with pytest.raises(UserError, match=message) as caught:
        ModuleClassifier(Says()).outputs([colour(*COLOURS[0]), colour(*COLOURS[1])])
    assert "\n" not in str(caught.value)
