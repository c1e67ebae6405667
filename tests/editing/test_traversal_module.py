from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.decomposition import IncrementalPCA as ReferencePCA
from sklearn.svm import SVC
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from dmt.data import Digits, EditData, ImageBatch, Serving, Sets
from dmt.editing.comparison import Contrasts
from dmt.editing.traversal_module import TraversalModule
from dmt.errors import UserError
from dmt.inversion import Inverter
from dmt.inversion.regularizers import TotalVariation
from dmt.manifolds import IncrementalPCA, Space
from dmt.manifolds.module import ManifoldModule
from dmt.networks import digits_backbone, digits_network
from dmt.networks.extractor import FeatureExtractor, measure_scales
from dmt.solvers import LBFGS
from dmt.studies.transfer.classifier import ClassifierModule
from dmt.traversal.kernels import RBF
from dmt.traversal.walks import WitnessDescent
from dmt.traversal.witness import Witness, WitnessBatch


def batches_of(*batches) -> DataLoader:
    return DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch)


def image_batch(images: Tensor) -> ImageBatch:
    numbers = list(range(len(images)))
    return ImageBatch(images, numbers, [str(number) for number in numbers], [])


def psnr(images: Tensor, references: Tensor) -> Tensor:
    return -10 * (images - references).square().mean(dim=(1, 2, 3)).clamp_min(1e-20).log10()


# ManifoldModule


@pytest.mark.parametrize("sizes", [(40,), (12, 12, 12, 4), (25, 15)])
def test_a_fit_over_feature_batches_is_scikit_learns_incremental_pca(quiet_trainer, sizes):
    rows = np.random.default_rng(0).normal(3, 1, (40, 60)) * np.linspace(3, 0.1, 60)
    batches = np.split(rows, np.cumsum(sizes)[:-1])
    reference = ReferencePCA(n_components=8, batch_size=8).fit(rows)

    manifold = IncrementalPCA(4, oversampling=2)
    module = ManifoldModule(FeatureExtractor(digits_network(2), ["conv3"]), manifold)
    quiet_trainer(max_epochs=1).fit(module, batches_of(*map(torch.from_numpy, batches)))

    np.testing.assert_allclose(manifold.mean, reference.mean_, atol=1e-10)
    theirs = reference.components_[:4]
    signs = np.sign((manifold.components.numpy() * theirs).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(signs * manifold.components.numpy(), theirs, atol=1e-7)
    codes = (rows - reference.mean_) @ theirs.T
    np.testing.assert_allclose(manifold.encode(torch.from_numpy(rows)), codes * signs.T, atol=1e-6)
    np.testing.assert_allclose(manifold.explained_variance, codes.var(axis=0, ddof=1), rtol=1e-8)


def test_a_fit_over_images_is_a_fit_over_their_features(quiet_trainer):
    extractor = FeatureExtractor(digits_network(2), ["conv2", "conv3"])
    data = EditData(Digits(), image_size=8, serving=Serving(batch_size=30))
    images = torch.stack([data.catalog.read(i, 8) for i in range(90)])
    features = extractor.vectors(images).double().numpy()
    reference = ReferencePCA(n_components=15, batch_size=15).fit(features)

    manifold = IncrementalPCA(5, oversampling=3)
    quiet_trainer(max_epochs=1).fit(ManifoldModule(extractor, manifold), data.all_dataloader(0, 90))

    assert manifold.n_images == 90
    overlap = manifold.components.double().numpy() @ reference.components_[:5].T
    np.testing.assert_allclose(np.linalg.svd(overlap)[1], 1, atol=1e-5)


def test_prediction_gives_feature_vectors_and_leaves_the_manifold_alone(quiet_trainer):
    extractor = FeatureExtractor(digits_network(2), ["conv1", "conv3"])
    images = torch.rand(5, 3, 8, 8)
    manifold = IncrementalPCA(2)
    predicted = quiet_trainer().predict(ManifoldModule(extractor, manifold), batches_of(image_batch(images)))
    found = extractor.backbone(images, ["conv1", "conv3"])
    expected = torch.cat([found["conv1"].flatten(1), found["conv3"].flatten(1)], dim=1)
    torch.testing.assert_close(predicted[0], expected)
    assert manifold.n_images == 0


def test_a_fit_changes_no_weight_of_the_network(quiet_trainer):
    network = digits_network(2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    module = ManifoldModule(FeatureExtractor(network, ["conv3"]), IncrementalPCA(2))
    quiet_trainer(max_epochs=1).fit(module, batches_of(image_batch(torch.rand(6, 3, 8, 8))))
    assert all(network.state_dict()[name].equal(tensor) for name, tensor in before.items())
    assert not network.training


# TraversalModule: a 3 becomes an 8


@dataclass(frozen=True)
class Eights:
    """Threes to edit, and all that an edit to an eight needs; what is edited was seen by nothing here."""

    threes: Tensor
    extractor: FeatureExtractor
    manifold: IncrementalPCA
    source: Tensor
    target: Tensor
    reader: SVC

    def edited(self, trainer, images: Tensor, lam: float, **options) -> Tensor:
        return self.edit(trainer, [images], lam, **options)[0].inversion.images

    def edit(self, trainer, batches, lam, **options):
        source, target = options.pop("source", self.source), options.pop("target", self.target)
        sets = Sets(np.arange(len(source)), np.arange(len(target)))
        n = len(self.threes)
        contrasts = Contrasts(
            [sets],
            WitnessBatch.of_one(Witness(RBF(), source.double(), target.double()), n),
            mean_pictures=lambda sets: pytest.fail("a traversal asks for no mean picture"),
        )
        inverter = Inverter(
            {"tv": TotalVariation(1.0)},
            LBFGS(150, tolerance=0.01),
            "float32",
            on_progress=options.pop("on_progress", None),
        )
        space = Space(self.extractor, options.pop("manifold", self.manifold), source, target)
        walk = WitnessDescent(LBFGS(200, tolerance=1e-6))
        lams = torch.full((n,), lam, dtype=torch.float64)
        module = TraversalModule(space, contrasts, lams, inverter, walk=walk, **options)
        return trainer(inference_mode=False).predict(module, batches_of(*map(image_batch, batches)))

    def read(self, images: Tensor) -> np.ndarray:
        return self.reader.predict(small(images))


def small(images: Tensor) -> np.ndarray:
    """Back to scikit-learn's 8 x 8 pixels."""
    return nn.functional.avg_pool2d(images.mean(dim=1), 4).flatten(1).numpy()


@pytest.fixture(scope="module")
def eights():
    backbone = digits_backbone()
    catalog = Digits()
    digits = catalog.digits
    images = torch.stack([catalog.read(i, 32) for i in range(len(digits))])
    edited = np.random.default_rng(0).permutation(np.flatnonzero(digits == 3))[:20]
    rest = np.setdiff1d(np.arange(len(digits)), edited)
    pair = rest[(digits[rest] == 3) | (digits[rest] == 8)]
    scales = measure_scales(backbone, images[pair].split(64))
    extractor = FeatureExtractor(backbone, ["conv1", "conv2", "conv3"], scales)
    features = torch.cat([extractor.vectors(part) for part in images[pair].split(64)])
    manifold = IncrementalPCA(128).partial_fit(features).finish()
    codes = manifold.encode(features)
    reader = SVC(C=10).fit(small(images[rest]), digits[rest])
    source, target = codes[digits[pair] == 3], codes[digits[pair] == 8]
    return Eights(images[edited], extractor, manifold, source, target, reader)


def test_an_independent_reader_calls_the_results_what_they_were_to_become(eights, quiet_trainer):
    results = eights.edited(quiet_trainer, eights.threes, 0.5)
    assert (eights.read(eights.threes) == 3).mean() > 0.9
    assert (eights.read(results) == 8).mean() > 0.8


def test_a_huge_lambda_returns_the_input(eights, quiet_trainer):
    results = eights.edited(quiet_trainer, eights.threes, 1e9)
    assert psnr(results, eights.threes).min() > 35


def test_an_infinite_lambda_returns_the_input(eights, quiet_trainer):
    results = eights.edited(quiet_trainer, eights.threes[:2], float("inf"))
    assert psnr(results, eights.threes[:2]).min() > 35


def test_a_smaller_lambda_changes_more(eights, quiet_trainer):
    closeness = [psnr(eights.edited(quiet_trainer, eights.threes[:6], b), eights.threes[:6]) for b in (5, 1, 0.2)]
    assert (closeness[0] > closeness[1]).all()
    assert (closeness[1] > closeness[2]).all()


def test_the_other_way_round_a_three_stays_a_three(eights, quiet_trainer):
    swapped = eights.edited(quiet_trainer, eights.threes, 0.5, source=eights.target, target=eights.source)
    assert (eights.read(swapped) == 3).mean() > 0.8


def test_the_residual_keeps_what_the_manifold_cannot_represent_and_the_projection_does_not(eights, quiet_trainer):
    coarse = IncrementalPCA(3)
    coarse.partial_fit(eights.extractor.vectors(eights.threes)).finish()
    others = {
        "manifold": coarse,
        "source": torch.randn(5, 3, generator=torch.Generator().manual_seed(0)),
        "target": torch.randn(5, 3, generator=torch.Generator().manual_seed(1)),
    }
    kept, lost = (
        psnr(eights.edited(quiet_trainer, eights.threes[:4], 1e9, target_features=which, **others), eights.threes[:4])
        for which in ("residual", "projected")
    )
    assert kept.min() > 35
    assert lost.max() < 30


def test_where_the_manifold_holds_the_input_both_ways_to_the_target_features_agree(eights, quiet_trainer):
    images = eights.threes[:6]
    whole = IncrementalPCA(5)
    whole.partial_fit(eights.extractor.vectors(images)).finish()  # six points span five dimensions
    codes = whole.encode(eights.extractor.vectors(images))
    sets = {"manifold": whole, "source": codes[:3], "target": codes[3:]}
    residual, projected = (
        eights.edited(quiet_trainer, images[:2], 0.5, target_features=which, **sets)
        for which in ("residual", "projected")
    )
    assert psnr(residual, images[:2]).max() < 35, "nothing was changed"
    torch.testing.assert_close(residual, projected, atol=0.05, rtol=0)


def test_a_batch_gives_what_its_images_give_alone(eights, quiet_trainer):
    images = eights.threes[:4]
    together = eights.edited(quiet_trainer, images, 0.5)
    alone = eights.edit(quiet_trainer, images.split(1), 0.5)
    alone = torch.cat([edited.inversion.images for edited in alone])
    assert (together - alone).abs().mean() < 0.02
    assert psnr(together, images).max() < 30, "nothing was changed"


def test_results_are_pictures_and_the_record_says_what_happened(eights, quiet_trainer):
    (edited,) = eights.edit(quiet_trainer, [eights.threes[:3]], 0.3)
    assert edited.inversion.images.shape == (3, 3, 32, 32)
    assert 0 <= edited.inversion.images.min() <= edited.inversion.images.max() <= 1
    assert edited.batch.names == ["0", "1", "2"]
    assert edited.traversal.lam.tolist() == [0.3] * 3
    assert edited.frames.shape == (0, 3, 3, 32, 32)
    assert (edited.traversal.witness_after < edited.traversal.witness_before).all()
    torch.testing.assert_close(
        edited.traversal.start.z, eights.manifold.encode(eights.extractor.vectors(eights.threes[:3])).double()
    )
    assert edited.seconds > 0
    again = eights.manifold.encode(eights.extractor.vectors(edited.inversion.images)).double()
    torch.testing.assert_close(edited.arrived, again, rtol=1e-4, atol=1e-4)
    assert [part.arrived.tolist() for part in edited.parts()] == edited.arrived[:, None].tolist()
    assert not edited.inversion.activations, "they are large"


class Told(list):
    """What is told, in order."""

    __call__ = list.append

    def walked(self, before, after):
        self.walk = (before, after)


def test_progress_is_told_after_every_walk_and_every_iteration(eights, quiet_trainer):
    told = Told()
    (edited,) = eights.edit(quiet_trainer, [eights.threes[:2]], 0.5, on_progress=told)
    walk = edited.traversal
    assert told.walk == pytest.approx((float(walk.witness_before.mean()), float(walk.witness_after.mean())))
    assert [progress.iteration for progress in told] == list(range(1, len(told) + 1))
    assert len(told) == int(edited.inversion.solution.iterations.max())
    assert all(progress.problems == 2 for progress in told)
    assert told[-1].objective < told[0].objective


def test_frames_are_the_way_from_the_input_to_the_result(eights, quiet_trainer):
    images = eights.threes[:2]
    (edited,) = eights.edit(quiet_trainer, [images], 0.4, frames=3)
    assert edited.frames.shape == (3, 2, 3, 32, 32)
    way = [*edited.frames, edited.inversion.images]
    closeness = torch.stack([psnr(frame, images) for frame in way])
    assert (closeness.diff(dim=0) < 0).all(), "each frame is further from the input than the one before"
    (without,) = eights.edit(quiet_trainer, [images], 0.4)
    assert torch.equal(edited.inversion.images, without.inversion.images)
    # lambda' grows by 4 / 3, 4 / 2 and 4 / 1 from the result back; each frame starts from another picture than an edit
    for frame, factor in zip(edited.frames, (4, 2, 4 / 3), strict=True):
        alone = eights.edited(quiet_trainer, images, 0.4 * factor)
        assert psnr(frame, alone).min() > psnr(alone, images).max() + 3


def test_unknown_target_features_are_an_error_that_names_both_before_any_work(eights, quiet_trainer):
    message = "^target_features must be residual or projected, got 'both'"
    with pytest.raises(UserError, match=message):
        TraversalModule.check(walk=WitnessDescent(LBFGS()), target_features="both")
    with pytest.raises(UserError, match=message):
        eights.edited(quiet_trainer, eights.threes[:1], 0.5, target_features="both")


@pytest.mark.parametrize("which", ["residual", "projected"])
def test_known_target_features_are_taken_whatever_the_walk(which):
    TraversalModule.check(target_features=which)
    TraversalModule.check(walk=WitnessDescent(LBFGS()), target_features=which, frames=2)


# The classifier


def test_a_classifier_learns_what_can_be_told_apart(quiet_trainer):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    images = torch.rand(64, 3, 4, 4, generator=generator) * 0.5 + labels[:, None, None, None] * 0.5
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    module = ClassifierModule(network, partial(torch.optim.AdamW, lr=0.05))
    loader = DataLoader(TensorDataset(images, labels), batch_size=16)
    quiet_trainer(max_epochs=10).fit(module, loader, loader)
    assert (network(images).argmax(1) == labels).float().mean() > 0.95
