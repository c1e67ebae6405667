"""LPIPS against its laws, a hand-computed layer, and torchmetrics' own network with the same trunk."""

import pytest
import torch
from torchmetrics.functional.image.lpips import _LPIPS

from dmt.errors import UserError
from dmt.judges.perceptual import LAYERS, PerceptualDistance, layer_distance, squeezenet_heads
from dmt.networks import ModuleNetwork, torchvision_backbone

NODES = dict(zip(LAYERS, [f"features.{i}" for i in (1, 4, 7, 9, 10, 11, 12)], strict=True))

FILES = ("squeezenet1_1-b8a52dc0.pth", "squeezenet1_1_gluon.safetensors")


def squeezenet(weights=None, folder="/nonexistent") -> ModuleNetwork:
    torch.manual_seed(0)
    return torchvision_backbone("squeezenet1_1", NODES, weights=weights, weights_dir=folder)


def reference(network: ModuleNetwork) -> _LPIPS:
    """Torchmetrics' LPIPS with its own heads and our trunk; ``pnet_rand`` keeps it from a download."""
    lpips = _LPIPS(net="squeeze", pnet_rand=True)
    ours = network.network.state_dict()
    trunk = {key: ours["features." + key.split(".", 2)[2]] for key in lpips.net.state_dict()}
    lpips.net.load_state_dict(trunk)
    return lpips


def pictures(count: int, *size: int) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1))


def require_the_reference(network: ModuleNetwork) -> None:
    lpips = reference(network)
    for size in [(64, 64), (33, 40)]:
        before, after = pictures(6, *size).split(3)
        after = 0.5 * before + 0.5 * after
        expected = lpips(before, after, normalize=True).flatten()
        found = PerceptualDistance(network).columns("lpips", list(before), list(after))
        assert list(found) == ["lpips"]
        assert expected.min() > 0
        assert found["lpips"] == pytest.approx(expected.numpy(), rel=1e-4)


def test_it_is_torchmetrics_lpips_with_a_random_trunk():
    require_the_reference(squeezenet())


def test_it_is_torchmetrics_lpips_with_a_trained_trunk(weights_dir):
    files = [name for name in FILES if (weights_dir / name).is_file()]
    if not files:
        pytest.skip(f"{weights_dir} has no weights of SqueezeNet")
    require_the_reference(squeezenet(files, weights_dir))


def test_it_is_at_most_what_its_docstring_says():
    assert sum(2 * float(weights.max()) for weights in squeezenet_heads()) == pytest.approx(11.3, abs=0.05)
    assert all((weights >= 0).all() for weights in squeezenet_heads())


def test_equal_pictures_are_0_apart_and_more_noise_is_farther():
    judge = PerceptualDistance(squeezenet())
    picture, noise = 0.25 + pictures(2, 48, 48) / 2
    found = [judge.distance(picture, picture + share * (noise - picture)) for share in (0, 0.1, 0.3, 1)]
    assert found[0] == 0
    assert found == sorted(set(found))


def test_it_does_not_matter_which_picture_comes_first():
    judge = PerceptualDistance(squeezenet())
    first, second = pictures(2, 32, 32)
    assert judge.distance(first, second) == pytest.approx(judge.distance(second, first))


def test_one_layer_by_hand():
    first = torch.tensor([[3.0, 2.0], [4.0, 0.0]]).reshape(2, 1, 2)  # two channels at two places
    second = torch.tensor([[4.0, 9.0], [3.0, 0.0]]).reshape(2, 1, 2)
    weights = torch.tensor([10.0, 100.0])
    # at the first place (.6, .8) against (.8, .6), at the second the same direction
    assert layer_distance(torch.stack([first, second]), weights) == pytest.approx((10 + 100) * 0.04 / 2)


def test_a_place_without_activation_is_as_far_as_a_unit_vector():
    pair = torch.tensor([[0.0, 0.0], [0.0, 5.0]]).reshape(2, 2, 1, 1)
    assert layer_distance(pair, torch.tensor([1.0, 7.0])) == pytest.approx(7)


def test_pictures_may_not_be_too_small():
    judge = PerceptualDistance(squeezenet())
    assert judge.distance(*pictures(2, 17, 30)) > 0
    with pytest.raises(UserError, match=r"30 x 16 pixels are too small for LPIPS, which needs 17; set a larger"):
        judge.distance(*pictures(2, 30, 16))


def test_missing_weights_are_an_error_that_names_them(tmp_path):
    with pytest.raises(UserError, match=r"weights not found: put one of nobody\.safetensors"):
        squeezenet(["nobody.safetensors"], tmp_path)


def test_a_network_without_the_layers_is_refused():
    network = torchvision_backbone("squeezenet1_1", {"conv1": "features.1"}, weights=None)
    with pytest.raises(UserError, match="the backbone has no layer 'fire3'"):
        PerceptualDistance(network)
