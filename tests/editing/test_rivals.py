"""The shift of pixels against its formula, and the adversarial example against what makes it one."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dmt.data import Digits, ImageBatch, Sets
from dmt.editing.comparison import Contrasts
from dmt.editing.rivals import AdversarialModule, PixelMeanModule
from dmt.errors import UserError
from dmt.inversion import Inverter
from dmt.manifolds import IncrementalPCA, Manifold, Space, Span
from dmt.networks import LayeredNetwork, digits_network
from dmt.networks.extractor import FeatureExtractor, measure_scales
from dmt.traversal.kernels import RBF
from dmt.traversal.witness import Witness, WitnessBatch

SIDE = 16

Contrast = tuple[Sets, Witness]
"""What one input is edited between."""


@dataclass(frozen=True)
class Scene:
    """Pictures on a manifold, their two sides, and some more to edit."""

    images: Tensor
    sets: Sets
    inputs: Tensor
    extractor: FeatureExtractor
    manifold: Manifold

    def contrast(self, source, target) -> Contrast:
        codes = self.codes(self.images)
        return Sets(source, target), Witness(RBF(), codes[source], codes[target])

    def codes(self, images: Tensor) -> Tensor:
        return self.manifold.encode(self.extractor.vectors(images)).double()

    def module(self, method: Callable, contrasts: list[Contrast], lams: Tensor, **options):
        """Each of the inputs with its own contrast and lambda; those that have the same object share it."""

        def means(sets: Sets) -> tuple[Tensor, Tensor]:
            return self.images[sets.source].mean(dim=0), self.images[sets.target].mean(dim=0)

        distinct = list({id(contrast): contrast for contrast in contrasts}.values())
        index = torch.tensor([[one is contrast for one in distinct].index(True) for contrast in contrasts])
        sets, witnesses = zip(*distinct, strict=True)
        codes = self.codes(self.images).float()
        space = Space(self.extractor, self.manifold, codes, codes)
        return method(space, Contrasts(sets, WitnessBatch(witnesses, index), means), lams, Inverter(), **options)

    def edit(self, trainer: Callable, method: Callable, n: int, contrasts=None, lams=None, **options):
        """Edit the first n inputs, by default all between the same sets."""
        both = self.contrast(self.sets.source, self.sets.target)
        lams = torch.ones(n, dtype=torch.float64) if lams is None else lams
        module = self.module(method, contrasts or [both] * n, lams, **options)
        batch = ImageBatch(self.inputs[:n], list(range(n)), [str(i) for i in range(n)], [])
        loader = DataLoader([batch], batch_size=None, collate_fn=lambda batch: batch)
        return trainer(inference_mode=False).predict(module, loader)[0]

    def classifier(self):
        """Scikit-learn's, on the manifold coordinates of both sides."""
        points = [self.codes(self.images[side]).numpy() for side in (self.sets.source, self.sets.target)]
        regression = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
        labels = [0] * len(points[0]) + [1] * len(points[1])
        return make_pipeline(StandardScaler(), regression).fit(np.concatenate(points), labels)

    def logits(self, images: Tensor) -> np.ndarray:
        return self.classifier().decision_function(self.codes(images).numpy())


@pytest.fixture(scope="module")
def digits() -> Scene:
    """Threes to be edited towards eights, on the features of a small network with random weights."""
    catalog = Digits()
    pair = np.flatnonzero((catalog.digits == 3) | (catalog.digits == 8))
    images, is_eight = torch.stack([catalog.read(i, SIDE) for i in pair]), catalog.digits[pair] == 8
    inputs = np.flatnonzero(~is_eight)[:4]
    torch.manual_seed(0)
    network = digits_network(4)
    extractor = FeatureExtractor(network, ["conv1", "conv2", "conv3"], measure_scales(network, [images]))
    manifold = IncrementalPCA(64).partial_fit(extractor.vectors(images)).finish()
    sets = Sets(np.setdiff1d(np.flatnonzero(~is_eight), inputs), np.flatnonzero(is_eight))
    return Scene(images, sets, images[inputs], extractor, manifold)


@pytest.fixture(scope="module")
def pixels() -> Scene:
    """Noise of 4 x 4 pixels whose features are its pixels, all on the manifold: everything is linear."""
    random = torch.Generator().manual_seed(0)
    images = 0.5 + 0.05 * torch.randn(160, 3, 4, 4, generator=random)
    images[80:, 0] += 0.02
    extractor = FeatureExtractor(LayeredNetwork(nn.Identity(), {"pixels": nn.Identity()}), ["pixels"])
    manifold = IncrementalPCA(48).partial_fit(extractor.vectors(images)).finish()
    sets = Sets(np.arange(4, 80), np.arange(80, 160))
    return Scene(images, sets, images[:4], extractor, manifold)


# PixelMeanModule


def mean_shift(scene: Scene, source, target) -> np.ndarray:
    pictures = scene.images.double().numpy()
    return sum(pictures[i] for i in target) / len(target) - sum(pictures[i] for i in source) / len(source)


@pytest.mark.parametrize("alpha", [0.5, 1, -2.0])
def test_the_shift_is_alpha_times_the_difference_of_the_mean_pictures(digits, quiet_trainer, alpha):
    edited = digits.edit(quiet_trainer, PixelMeanModule, 3, alpha=alpha)
    shift = alpha * mean_shift(digits, digits.sets.source, digits.sets.target)
    expected = np.clip(digits.inputs[:3].double().numpy() + shift, 0, 1)
    np.testing.assert_allclose(edited.inversion.images, expected, atol=1e-5)
    assert (expected == 0).any(), "nothing was cut off"


def test_without_alpha_the_shift_follows_each_images_lambda_and_sets(pixels, quiet_trainer):
    whole = pixels.contrast(pixels.sets.source, pixels.sets.target)
    few = pixels.contrast(np.arange(4, 10), np.arange(90, 97))
    lams = torch.tensor([0.5, 2.0, 0.5, torch.inf], dtype=torch.float64)
    edited = pixels.edit(quiet_trainer, PixelMeanModule, 4, [whole, few, few, whole], lams)
    shifts = {True: mean_shift(pixels, pixels.sets.source, pixels.sets.target)}
    shifts[False] = mean_shift(pixels, range(4, 10), range(90, 97))
    for row, (alpha, of_whole) in enumerate([(1, True), (0.25, False), (1, False), (0, True)]):
        expected = pixels.inputs[row].double().numpy() + alpha * shifts[of_whole]
        np.testing.assert_allclose(edited.inversion.images[row], expected, atol=1e-6)
    assert torch.equal(edited.traversal.lam, lams)


def test_a_shift_of_length_zero_returns_the_input(digits, quiet_trainer):
    edited = digits.edit(quiet_trainer, PixelMeanModule, 4, alpha=0)
    assert torch.equal(edited.inversion.images, digits.inputs)


def test_the_record_says_where_the_shifted_pictures_lie(digits, quiet_trainer):
    edited = digits.edit(quiet_trainer, PixelMeanModule, 3, alpha=1)
    results = edited.inversion.images
    _, witness = digits.contrast(digits.sets.source, digits.sets.target)
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(edited.traversal.start.z, digits.codes(digits.inputs[:3]), **tolerance)
    torch.testing.assert_close(edited.traversal.z, digits.codes(results), **tolerance)
    torch.testing.assert_close(edited.traversal.witness_before, witness(digits.codes(digits.inputs[:3])), **tolerance)
    torch.testing.assert_close(edited.traversal.witness_after, witness(digits.codes(results)), **tolerance)
    assert edited.frames.shape == (0, 3, 3, SIDE, SIDE)
    assert all(edited.inversion.solution.converged)


@pytest.mark.parametrize("alpha", ["far", float("nan"), True])
def test_a_length_that_is_no_number_is_an_error_that_names_it_before_any_work(digits, alpha):
    message = f"^alpha must be a number, or null to follow lambda, got {alpha!r}"
    with pytest.raises(UserError, match=message):
        PixelMeanModule.check(alpha=alpha)
    with pytest.raises(UserError, match=message):
        digits.module(
            PixelMeanModule, [digits.contrast(digits.sets.source, digits.sets.target)], torch.ones(1), alpha=alpha
        )


def test_lengths_that_can_be_are_taken():
    PixelMeanModule.check()
    PixelMeanModule.check(alpha=None)
    PixelMeanModule.check(alpha=-0.5)


def test_the_shift_says_its_length_where_it_does_not_follow_lambda(digits):
    contrasts = [digits.contrast(digits.sets.source, digits.sets.target)]
    following, given = (digits.module(PixelMeanModule, contrasts, torch.ones(1), alpha=alpha) for alpha in (None, 0.5))
    assert following.describe("lambda' 0.3") == "lambda' 0.3"
    assert given.describe("lambda' 0.3") == "alpha 0.5"


# AdversarialModule


def test_the_classifier_sees_the_target_as_surely_as_asked_and_a_reader_of_pixels_still_sees_the_source(
    digits, quiet_trainer
):
    confidence, inputs = 0.6, digits.inputs
    edited = digits.edit(quiet_trainer, AdversarialModule, 4, confidence=confidence)
    results = edited.inversion.images
    margin, logits = np.log(confidence / (1 - confidence)), digits.logits(results)
    assert (digits.logits(inputs) < 0).all()
    assert (logits > 0.98 * margin).all()
    assert np.median(logits) < 1.2 * margin, "more than was asked for"
    assert 0 <= results.min() <= results.max() <= 1

    sides = [pixel_rows(digits.images[side]) for side in (digits.sets.source, digits.sets.target)]
    reader = SVC(C=10).fit(np.concatenate(sides), ["3"] * len(sides[0]) + ["8"] * len(sides[1]))
    assert reader.predict(pixel_rows(results)).tolist() == ["3"] * 4
    change = np.linalg.norm(pixel_rows(results) - pixel_rows(inputs), axis=1)
    to_eights = cdist(pixel_rows(inputs), sides[1]).min(axis=1)
    assert (change < to_eights / 3).all()
    assert edited.inversion.solution.reasons == ["converged"] * 4
    np.testing.assert_allclose(edited.inversion.terms["squared_change"], change**2, rtol=1e-4)


def pixel_rows(images: Tensor) -> np.ndarray:
    return images.flatten(1).double().numpy()


def test_more_confidence_takes_more_change(pixels, quiet_trainer):
    changes = [
        pixels.edit(quiet_trainer, AdversarialModule, 3, confidence=confidence).inversion.terms["squared_change"]
        for confidence in (0.6, 0.8, 0.95)
    ]
    assert (changes[0] < changes[1]).all()
    assert (changes[1] < changes[2]).all()


def test_where_all_is_linear_the_change_is_the_shortest_way_to_the_boundary(pixels, quiet_trainer):
    edited = pixels.edit(quiet_trainer, AdversarialModule, 4, confidence=0.9, steps=100)
    change = (edited.inversion.images - pixels.inputs).flatten(1).double().numpy()
    one_each = torch.eye(48).reshape(48, 3, 4, 4)
    first = pixels.inputs[:1]
    slope = pixels.logits(first + one_each) - pixels.logits(first)
    missing = np.log(9) - pixels.logits(pixels.inputs)
    assert (missing > 0).all()
    shortest = missing / np.linalg.norm(slope)
    np.testing.assert_allclose(np.linalg.norm(change, axis=1), shortest, rtol=0.03)
    np.testing.assert_allclose(change @ slope / np.linalg.norm(slope), shortest, rtol=0.03)


def test_each_image_is_changed_as_if_alone_with_its_own_sets(pixels, quiet_trainer):
    there = pixels.contrast(pixels.sets.source, pixels.sets.target)
    few = pixels.contrast(np.arange(4, 40), np.arange(90, 130))
    contrasts = [there, few, few]
    together = pixels.edit(quiet_trainer, AdversarialModule, 3, contrasts).inversion.images
    for row in range(3):
        batch = pixels.edit(quiet_trainer, AdversarialModule, 3, [contrasts[row]] * 3).inversion.images
        torch.testing.assert_close(together[row], batch[row], atol=2e-3, rtol=0)


def test_an_input_that_the_classifier_takes_for_the_target_is_hardly_changed(pixels, quiet_trainer):
    sure = pixels.images[80:].clone()
    sure[:, 0] = (sure[:, 0] + 0.2).clamp(0, 1)
    scene = Scene(pixels.images, pixels.sets, sure[:2], pixels.extractor, pixels.manifold)
    assert (scene.logits(scene.inputs) > np.log(9)).all()
    results = scene.edit(quiet_trainer, AdversarialModule, 2).inversion.images
    torch.testing.assert_close(results, scene.inputs, atol=1e-3, rtol=0)


def test_an_image_that_cannot_convince_comes_back_and_the_record_says_so(pixels, quiet_trainer):
    edited = pixels.edit(quiet_trainer, AdversarialModule, 2, steps=1)
    assert torch.equal(edited.inversion.images, pixels.inputs[:2])
    assert edited.inversion.solution.reasons == ["the classifier was not convinced"] * 2


@pytest.mark.parametrize(
    "setting",
    [
        *({"confidence": value} for value in (0.5, 1.0, 0, 1.5, "sure", True)),
        *({"steps": value} for value in (0, 2.5)),
        *({"damping": value} for value in (0, 1.5, "half")),
    ],
)
def test_options_out_of_range_are_errors_that_name_them_before_any_work(digits, setting):
    ((name, value),) = setting.items()
    between = "a number between 0.5 and 1, " if name == "confidence" else ".*"
    with pytest.raises(UserError, match=f"^{name} must be {between}got {value}"):
        AdversarialModule.check(**setting)
    with pytest.raises(UserError, match=f"^{name} must be {between}got {value}"):
        digits.module(
            AdversarialModule, [digits.contrast(digits.sets.source, digits.sets.target)], torch.ones(1), **setting
        )


def test_options_within_their_ranges_are_taken():
    AdversarialModule.check()
    AdversarialModule.check(confidence=0.99, steps=1, damping=1)


@pytest.mark.parametrize("z_score", [False, True])
def test_an_adversarial_example_is_found_on_a_span_by_its_own_classifier(digits, quiet_trainer, z_score):
    span = Span(z_score).partial_fit(digits.extractor.vectors(digits.images)).finish()
    on_span = replace(digits, manifold=span)
    edited = on_span.edit(quiet_trainer, AdversarialModule, 2, confidence=0.6)
    assert all(reason == "converged" for reason in edited.inversion.solution.reasons)
    before, after = on_span.logits(digits.inputs[:2]), on_span.logits(edited.inversion.images)
    assert (before < 0).all()
    assert (after > 0.98 * np.log(0.6 / 0.4)).all()
