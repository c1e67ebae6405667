"""What a GPU computes against what the processor does. Skipped where there is none."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from dmt.data import LabelledImages
from dmt.inversion import Inverter, Realise
from dmt.inversion.regularizers import FeatureDistance, Sparsity, TotalVariation
from dmt.manifolds import ExactPCA, IncrementalPCA, Points
from dmt.networks import digits_network
from dmt.networks.extractor import FeatureExtractor
from dmt.networks.precision import compute_exact_float32
from dmt.solvers import LBFGS
from dmt.studies.transfer import narrow_network
from dmt.studies.transfer.classifier import Schedule, _Graphs, _Scored
from dmt.studies.transfer.training import train_network
from dmt.traversal.kernels import RBF
from dmt.traversal.walks import WitnessDescent, walked
from dmt.traversal.witness import Witness, WitnessBatch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

GPU = torch.device("cuda")
REGULARIZERS = {"low": FeatureDistance(0.02, ("conv1",)), "variation": TotalVariation(0.5), "sparsity": Sparsity(1.0)}


@pytest.fixture(autouse=True)
def exact_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the commands have it, and undone."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    compute_exact_float32()


@pytest.fixture
def extractor() -> FeatureExtractor:
    torch.manual_seed(0)
    scales = {"conv1": torch.tensor(0.2), "conv2": torch.tensor(0.1), "conv3": torch.tensor(0.05)}
    return FeatureExtractor(digits_network(8), ["conv2", "conv3"], scales)


def pictures(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_features_are_those_of_the_processor(extractor):
    expected = extractor.vectors(pictures(5))
    found = extractor.to(GPU).vectors(pictures(5).to(GPU))
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [ExactPCA, partial(IncrementalPCA, oversampling=8)], ids=["exact", "streaming"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_manifolds_are_those_of_the_processor(kind, dtype):
    rows = (torch.randn(60, 12, generator=torch.Generator().manual_seed(0)) * 0.7 ** torch.arange(12)).to(dtype)
    rows = torch.cat([rows, rows.flip(1) / 4], dim=1)
    fits = []
    for device in ("cpu", GPU):
        manifold = kind(4).to(device)
        for batch in rows.to(device).split(25):
            manifold.partial_fit(batch)
        fits.append(manifold.finish())
    expected, found = fits
    assert found.components.device.type == "cuda"
    torch.testing.assert_close(found.mean.cpu(), expected.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.explained_variance, expected.explained_variance, rtol=1e-4, atol=1e-6)
    along = (found.components.cpu() * expected.components).sum(dim=1).abs()
    torch.testing.assert_close(along, torch.ones(4), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-3), ("bfloat16", 2e-2)])
def test_inversions_end_as_low_as_on_the_processor(extractor, precision, tolerance):
    images = pictures(6)
    targets = {layer: value.detach() for layer, value in extractor(pictures(6, seed=1)).items()}
    solver = LBFGS(iterations=150, tolerance=0.0)
    expected = Inverter(REGULARIZERS, solver, "float32")(extractor, targets, images)
    moved = {layer: value.to(GPU) for layer, value in targets.items()}
    found = Inverter(REGULARIZERS, solver, precision)(extractor.to(GPU), moved, images.to(GPU))
    assert found.images.device.type == "cuda"
    ends = expected.solution.objective
    torch.testing.assert_close(found.solution.objective.cpu(), ends, rtol=tolerance, atol=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_pictures_move_as_far_as_was_wished_as_on_the_processor(extractor, precision):
    images = pictures(6)
    before, other = ({layer: value.detach() for layer, value in extractor(pictures(6, s)).items()} for s in (0, 1))
    wish = {layer: 0.2 * (other[layer] - before[layer]) for layer in before}
    squares = sum(value.square().flatten(1).sum(dim=1) for value in wish.values())
    along = {layer: value / squares[:, None, None, None] for layer, value in wish.items()}
    along = {layer: value.where(torch.arange(6)[:, None, None, None] > 0, 0.0) for layer, value in along.items()}
    targets = {layer: before[layer] + value for layer, value in wish.items()}
    inverter = Inverter(REGULARIZERS, LBFGS(150, tolerance=0.003), precision, realise=Realise(rounds=6))
    expected = replace(inverter, precision="float32")(extractor, targets, images, along=along)
    moved = [{layer: value.to(GPU) for layer, value in part.items()} for part in (targets, along)]
    found = inverter(extractor.to(GPU), moved[0], images.to(GPU), along=moved[1])
    for inversion in (expected, found):
        shares = inversion.realised.cpu()
        assert shares[0].isnan()  # nothing was wished of the first
        torch.testing.assert_close(shares[1:], torch.ones(5), rtol=0, atol=0.05)
    assert found.realised.device.type == found.multiplier.device.type == "cuda"
    torch.testing.assert_close(found.multiplier.cpu()[1:], expected.multiplier[1:], rtol=0.2, atol=0)


def test_places_walk_as_on_the_processor():
    generator = torch.Generator().manual_seed(0)
    source, target, z = (torch.randn(n, 9, generator=generator).double() + i for i, n in enumerate((300, 400, 640)))
    start = Points(z / 2, torch.arange(640) // 64, 10)
    kept = torch.eye(9, dtype=torch.float64)[7:]
    sides = [Witness(RBF(), source, target, kept=kept, unit=0.3), Witness(RBF(), source[:200], target)]
    witnesses = WitnessBatch(sides, torch.arange(10) % 2)
    lam = torch.linspace(0.3, 2, 10, dtype=torch.float64)
    walk = WitnessDescent(LBFGS(iterations=1000, tolerance=0.0, gradient_tolerance=1e-7))
    expected = walk(start, witnesses, lam)
    found = walked(walk, start, witnesses, lam, GPU)
    assert found.delta.device.type == found.solution.value.device.type == "cpu"
    torch.testing.assert_close(found.delta, expected.delta, rtol=1e-4, atol=1e-5)
    assert found.converged == expected.converged


@pytest.mark.parametrize("n_frozen", [0, 3])
def test_networks_are_trained_as_on_the_processor(n_frozen, quiet_trainer):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 4
    noise = torch.randint(0, 128, (64, 3, 16, 16), generator=generator)
    noise[torch.arange(64), labels % 3] += 60 * (labels[:, None, None] // 3 + 1)
    train = LabelledImages(noise.to(torch.uint8), labels)
    runs = []
    for accelerator in ("cpu", "gpu"):
        torch.manual_seed(0)
        network = narrow_network(4, image_size=16, channels=(6, 8, 8, 8, 8), hidden=12, dropout=0.0)
        network = type(network)(dict(network.named_children()), n_frozen)
        schedule = Schedule(epochs=4, batch_size=10, learning_rate=0.02)  # the last batch has 4 pictures
        trainer = partial(quiet_trainer, accelerator=accelerator)
        runs.append(train_network(network, train, validation=train, schedule=schedule, seed=3, trainer=trainer))
    for expected, found in zip(runs[0].epochs, runs[1].epochs, strict=True):
        for name in ("train_loss", "val_loss"):
            assert found[name] == pytest.approx(expected[name], rel=2e-3)


@pytest.mark.parametrize("n", [4, 3])
def test_a_step_as_a_graph_is_the_step_itself(n):
    """Whatever the size of a batch; running statistics and random numbers are not those of the capture."""

    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 2))

    inputs, labels = pictures(n)[..., :8, :8].to(GPU), torch.arange(n, device=GPU) % 2
    ways = []
    for step in (_Scored, _Graphs):
        scored = step(trained := network().to(GPU))
        torch.manual_seed(1)
        for _ in range(3):
            loss, right = scored(inputs, labels)
            trained.zero_grad()
            loss.backward()
        gradients = [parameter.grad.clone() for parameter in trained.parameters()]
        ways.append((loss.detach().clone(), right.clone(), *gradients, *trained.buffers(), torch.rand(1, device=GPU)))
    for expected, found in zip(*ways, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
