"""Inversion on networks small enough that the answer is known, and its laws on a convolutional one."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dmt.errors import UserError
from dmt.inversion import Inversion, Inverter, Realise
from dmt.inversion.regularizers import FeatureDistance, Sparsity, TotalVariation, View, total_variation
from dmt.networks import LayeredNetwork, digits_network
from dmt.networks.extractor import FeatureExtractor
from dmt.solvers import LBFGS, Progress

EXACT = LBFGS(iterations=500, tolerance=0.0, gradient_tolerance=1e-9)
BRIEF = LBFGS(iterations=40)


def invert(extractor, targets, images, regularizers, solver, on_progress=None, **options) -> Inversion:
    """In float32, from the inputs on."""
    return Inverter(regularizers, solver, "float32", on_progress=on_progress, **options)(extractor, targets, images)


def pictures(n: int = 2, side: int = 8, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def extractor() -> FeatureExtractor:
    """Three convolutional layers in double precision, with scales as they are measured."""
    torch.manual_seed(0)
    scales = {"conv1": torch.tensor(0.2), "conv2": torch.tensor(0.1), "conv3": torch.tensor(0.05)}
    return FeatureExtractor(digits_network(4), ["conv2", "conv3"], scales).double()


@pytest.fixture
def mixing() -> FeatureExtractor:
    """One linear layer that mixes the colours of every pixel and can be inverted."""
    convolution = nn.Conv2d(3, 3, 1)
    matrix = torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, -0.5], [0.3, 0.0, 1.5]])
    convolution.weight.data = matrix[:, :, None, None]
    return FeatureExtractor(LayeredNetwork(nn.Identity(), {"mixed": convolution}), ["mixed"]).double()


@pytest.fixture
def plain() -> FeatureExtractor:
    """One layer that is the picture itself."""
    return FeatureExtractor(LayeredNetwork(nn.Identity(), {"pixels": nn.Identity()}), ["pixels"])


REGULARIZERS = {"low": FeatureDistance(0.02, ("conv1",)), "variation": TotalVariation(weight=0.5)}


@pytest.mark.parametrize("regularizers", [{}, REGULARIZERS], ids=["none", "both"])
def test_from_its_own_activations_a_picture_returns_itself(extractor, regularizers):
    images = pictures()
    found = invert(extractor, extractor(images), images, regularizers, BRIEF)
    assert torch.equal(found.images, images)
    assert found.solution.reasons == ["converged", "converged"]
    assert found.solution.iterations.tolist() == [0, 0]


def test_an_invertible_layer_gives_back_the_picture_whose_activations_were_asked_for(mixing):
    wanted = pictures(seed=1)
    found = invert(mixing, mixing(wanted), pictures(), {}, EXACT)
    torch.testing.assert_close(found.images, wanted, rtol=0, atol=1e-6)
    assert found.terms["reconstruction"].max() < 1e-9


@pytest.mark.parametrize("weight", [0.02, 1.0, 50.0])
def test_a_feature_distance_on_the_same_layer_gives_the_weighted_mean(mixing, weight):
    # 1/2 |A x - A y|^2 + w/2 |A x - A x_s|^2 is smallest at x = (y + w x_s) / (1 + w)
    images, wanted = pictures(), pictures(seed=1)
    regularizers = {"low": FeatureDistance(weight, ("mixed",))}
    found = invert(mixing, mixing(wanted), images, regularizers, EXACT)
    torch.testing.assert_close(found.images, (wanted + weight * images) / (1 + weight), rtol=0, atol=1e-6)


def test_pixels_stop_at_0_and_1(plain):
    images, wanted = pictures().float(), 4 * pictures(seed=1).float() - 1.5
    found = invert(plain, {"pixels": wanted}, images, {}, EXACT)
    torch.testing.assert_close(found.images, wanted.clamp(0, 1), rtol=0, atol=1e-6)
    assert 0 <= found.images.min() <= found.images.max() <= 1


def test_pixels_stay_within_0_and_1_whatever_the_target(extractor):
    images = pictures()
    targets = {layer: -50 + 100 * value for layer, value in extractor(pictures(seed=1)).items()}
    found = invert(extractor, targets, images, REGULARIZERS, BRIEF)
    assert 0 <= found.images.min() <= found.images.max() <= 1
    assert (found.images != images).any()


def test_another_pictures_activations_move_a_picture_towards_it(extractor):
    extractor = FeatureExtractor(extractor.backbone, ["conv1", "conv2", "conv3"], extractor.scales)
    images, others = pictures(), pictures(seed=1)
    targets = extractor(others)
    found = invert(extractor, targets, images, {}, BRIEF)

    def distance(x: Tensor) -> Tensor:
        return sum((value - targets[name]).square().sum(dim=(1, 2, 3)) for name, value in extractor(x).items())

    assert (distance(found.images) < 0.01 * distance(images)).all()
    before, after = ((x - others).mean(dim=1).norm(dim=(1, 2)) for x in (images, found.images))  # all that it sees
    assert (after < 0.1 * before).all()


def test_a_batch_equals_one_at_a_time(extractor):
    images, targets = pictures(3), extractor(pictures(3, seed=1))
    solver = LBFGS(iterations=15)
    batch = invert(extractor, targets, images, REGULARIZERS, solver)
    for row in range(3):
        target = {layer: value[row : row + 1] for layer, value in targets.items()}
        alone = invert(extractor, target, images[row : row + 1], REGULARIZERS, solver)
        torch.testing.assert_close(batch.images[row], alone.images[0], rtol=0, atol=1e-6)
        for name, term in batch.terms.items():
            torch.testing.assert_close(term[row], alone.terms[name][0], rtol=1e-6, atol=1e-9)


def test_the_terms_are_what_their_names_say_and_add_up_to_the_objective(extractor):
    images, targets = pictures(), extractor(pictures(seed=1))
    found = invert(extractor, targets, images, REGULARIZERS, BRIEF)
    reached = extractor.activations(found.images, ["conv1", "conv2", "conv3"])
    start = extractor.activations(images, ["conv1"])
    expected = {
        "reconstruction": sum(
            0.5 * (reached[layer] - targets[layer]).square().sum(dim=(1, 2, 3)) for layer in ("conv2", "conv3")
        ),
        "low": 0.01 * (reached["conv1"] - start["conv1"]).square().sum(dim=(1, 2, 3)),
        "variation": 0.5 * total_variation(found.images - images),
    }
    assert found.terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found.terms[name], value)
    torch.testing.assert_close(sum(found.terms.values()), found.solution.objective)


def test_a_stronger_penalty_on_the_change_leaves_a_smoother_change(extractor):
    images, targets = pictures(), extractor(pictures(seed=1))
    roughness = []
    for weight in (0.0, 1.0, 100.0):
        regularizers = {"variation": TotalVariation(weight)}
        found = invert(extractor, targets, images, regularizers, LBFGS(iterations=100))
        roughness.append(total_variation(found.images - images))
    assert (roughness[0] > roughness[1]).all()
    assert (roughness[1] > roughness[2]).all()


def test_it_works_where_gradients_are_switched_off_and_touches_neither_input_nor_network(extractor):
    images = pictures()
    targets, before = extractor(pictures(seed=1)), images.clone()
    heard: list[Progress] = []
    with torch.no_grad():
        found = invert(extractor, targets, images, {}, LBFGS(iterations=3), heard.append)
    assert torch.equal(images, before)
    assert not found.images.requires_grad
    assert all(parameter.grad is None for parameter in extractor.parameters())
    assert [progress.iteration for progress in heard] == [1, 2, 3]
    assert heard[-1].objective < heard[0].objective


class Silent:
    """A sparsity that does not say how it bends."""

    layers = ()
    penalty = Sparsity(weight=0.5, epsilon=1e-3)

    def __call__(self, view: View, reference: View) -> Tensor:
        return self.penalty(view, reference)


def test_sparsity_has_the_same_minimum_sooner_because_its_curvature_is_known(mixing):
    images, targets = pictures(), mixing(pictures(seed=1))
    silent, told = (invert(mixing, targets, images, {"sparse": one}, EXACT) for one in (Silent(), Silent.penalty))
    torch.testing.assert_close(told.images, silent.images, rtol=0, atol=1e-4)
    assert (told.solution.evaluations < silent.solution.evaluations / 2).all()


@pytest.mark.parametrize("in_cache", [1, 2, 4])
def test_images_that_go_through_the_network_in_parts_come_out_as_they_do_together(extractor, in_cache, monkeypatch):
    images, targets = pictures(5), extractor(pictures(5, seed=1))
    targets = {layer: torch.cat([extractor(images)[layer][1:2], target[1:]]) for layer, target in targets.items()}
    targets = {layer: target.roll(1, dims=0) for layer, target in targets.items()}  # the second is done at once
    together = invert(extractor, targets, images, REGULARIZERS, BRIEF)
    monkeypatch.setattr("dmt.inversion.inverter.IN_CACHE", in_cache)
    parted = invert(extractor, targets, images, REGULARIZERS, BRIEF)
    torch.testing.assert_close(parted.images, together.images, rtol=0, atol=1e-9)
    assert parted.solution.evaluations.tolist() == together.solution.evaluations.tolist()
    assert together.solution.iterations[1] == 0


def test_where_it_begins_is_the_input_unless_another_picture_is_given(mixing):
    images, wanted = pictures(), pictures(seed=1)
    at_rest = Inverter({}, LBFGS(iterations=0), "float32")
    assert torch.equal(at_rest(mixing, mixing(wanted), images).images, images)
    assert torch.equal(at_rest(mixing, mixing(wanted), images, wanted).images, wanted)
    found = Inverter({}, EXACT, "float32")(mixing, mixing(wanted), images, wanted)
    assert torch.equal(found.images, wanted)
    assert found.solution.iterations.tolist() == [0, 0]


def test_a_start_changes_nothing_of_what_the_regularizers_compare_with(mixing):
    # as above, at x = (y + w x_s) / (1 + w) wherever it begins
    images, wanted = pictures(), pictures(seed=1)
    inverter = Inverter({"low": FeatureDistance(1.0, ("mixed",))}, EXACT, "float32")
    found = inverter(mixing, mixing(wanted), images, pictures(seed=2))
    torch.testing.assert_close(found.images, (wanted + images) / 2, rtol=0, atol=1e-6)


def test_the_layers_that_regularizers_read_are_each_named_once():
    both = {"low": FeatureDistance(0.02, ("conv1", "conv2")), "lower": FeatureDistance(0.1, ("conv1",))}
    assert Inverter(both | {"variation": TotalVariation()}).layers == ["conv1", "conv2"]
    assert Inverter().layers == []


def test_a_regularizer_with_the_name_of_the_main_term_is_refused_before_any_work():
    with pytest.raises(
        UserError, match="a regularizer must not be called 'reconstruction': that is a term of the inversion"
    ):
        Inverter({"reconstruction": TotalVariation()})


def test_an_unknown_precision_is_refused_before_any_work():
    with pytest.raises(UserError, match=r"precision must be .*got .*float16"):
        Inverter(precision="float16")


@pytest.mark.parametrize("asked", ["float32", "bfloat16", "auto"])
def test_the_inversion_says_in_which_precision_the_network_worked(asked):
    convolution, worked_in = nn.Conv2d(3, 4, 3, padding=1), set()

    def watch(module: nn.Module, inputs: object, output: Tensor) -> None:
        if output.requires_grad and torch.is_grad_enabled():  # while pixels are sought
            worked_in.add(str(output.dtype).removeprefix("torch."))

    convolution.register_forward_hook(watch)
    convolution.requires_grad_(False)
    extractor = FeatureExtractor(LayeredNetwork(nn.Identity(), {"conv": convolution}), ["conv"])
    images = pictures().float()
    found = Inverter({}, BRIEF, asked)(extractor, extractor(images.flip(3)), images)
    assert worked_in == {found.precision}
    assert found.precision in ({"float32", "bfloat16"} if asked == "auto" else {asked})
    assert found.part(slice(0, 1)).precision == found.precision


def displaced(extractor, images: Tensor, wanted: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Target activations, and what the share of the wish is measured along."""
    (layer,) = extractor.layers
    before, targets = extractor(images)[layer], extractor(wanted)[layer]
    wish = targets - before
    lengths = wish.square().sum(dim=(1, 2, 3), keepdim=True)
    return {layer: targets.detach()}, {layer: (wish / lengths).nan_to_num().detach()}


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0, 20.0])
@pytest.mark.parametrize("stiffness", [2.0, 10.0, 100.0])
def test_the_whole_wish_is_realised_whatever_holds_it_back(mixing, weight, stiffness):
    # 1/2 |u - d|^2 + w/2 |u|^2 subject to <u, d> = |d|^2 has its minimum at u = d, with the multiplier w
    images, wanted = pictures(), 0.5 * pictures() + 0.25
    targets, along = displaced(mixing, images, wanted)
    regularizers = {"low": FeatureDistance(weight, ("mixed",))}
    inverter = Inverter(regularizers, EXACT, "float32", realise=Realise(0.01, stiffness, rounds=20))
    found = inverter(mixing, targets, images, along=along)
    assert (found.realised - 1).abs().max() <= 0.01
    expected = images + found.realised[:, None, None, None] * (wanted - images)
    torch.testing.assert_close(found.images, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.multiplier.double(), (1 + weight) * found.realised, rtol=1e-3, atol=1e-3)
    from_wish, moved = (mixing(found.images)["mixed"] - mixing(other)["mixed"] for other in (wanted, images))
    each = {"reconstruction": from_wish.square() / 2, "low": weight * moved.square() / 2}  # what realises it is no term
    assert found.terms.keys() == each.keys()
    for name, term in each.items():
        torch.testing.assert_close(found.terms[name], term.sum(dim=(1, 2, 3)), rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(found.solution.objective, sum(found.terms.values()))


def test_only_those_that_are_short_of_it_are_inverted_again(mixing):
    images = pictures(3)
    wanted = torch.stack([0.5 * images[0] + 0.25, images[1], 0.5 * images[2] + 0.25])
    targets, along = displaced(mixing, images, wanted)
    told = Told()
    loose = Realise(0.01, 2.0, rounds=20)
    inverter = Inverter({"low": FeatureDistance(9.0, ("mixed",))}, EXACT, "float32", realise=loose, on_progress=told)
    inverter(mixing, targets, images, along=along)
    assert told.again_of
    assert max(told.again_of) == 2, "that without a wish is not among them"
    told.again_of.clear()
    replace(inverter, realise=Realise(0.999, 2.0, rounds=20))(mixing, targets, images, along=along)
    assert not told.again_of, "all are within the tolerance"


class Told:
    """Hears how far an inversion is."""

    def __init__(self) -> None:
        self.again_of: list[int] = []

    def begin(self, n: int) -> None:
        pass

    def again(self, n: int) -> None:
        self.again_of.append(n)

    def walked(self, before: float, after: float) -> None:
        pass

    def briefly(self) -> None:
        return None

    def __call__(self, progress: Progress) -> None:
        pass


def test_without_it_the_share_is_what_the_regularizer_lets_through(mixing):
    images, wanted = pictures(), 0.5 * pictures() + 0.25
    targets, along = displaced(mixing, images, wanted)
    inverter = Inverter({"low": FeatureDistance(3.0, ("mixed",))}, EXACT, "float32")
    found = inverter(mixing, targets, images, along=along)
    torch.testing.assert_close(found.realised, torch.full((2,), 0.25).double(), rtol=0, atol=1e-5)
    assert found.multiplier.tolist() == [1, 1]
    assert inverter(mixing, targets, images).realised.isnan().all()


def test_a_wish_beyond_what_pixels_can_be_is_said_not_to_be_realised(plain):
    images = torch.full((1, 3, 4, 4), 0.9)
    targets, along = displaced(plain, images, torch.full((1, 3, 4, 4), 1.9))
    found = Inverter({}, EXACT, "float32", realise=Realise())(plain, targets, images, along=along)
    assert found.realised.item() == pytest.approx(0.1, abs=1e-4)
    torch.testing.assert_close(found.images, torch.ones(1, 3, 4, 4))


def test_who_has_no_wish_stays_and_the_others_go_on_as_if_alone(mixing):
    images = pictures(3)
    wanted = torch.stack([0.5 * images[0] + 0.25, images[1], 0.9 * images[2]])
    targets, along = displaced(mixing, images, wanted)
    inverter = Inverter({"low": FeatureDistance(9.0, ("mixed",))}, EXACT, "float32", realise=Realise(0.01))
    together = inverter(mixing, targets, images, along=along)
    assert torch.equal(together.images[1], images[1])
    assert together.realised.isnan().tolist() == [False, True, False]
    for row in (0, 2):
        part = slice(row, row + 1)
        alone = inverter(mixing, {"mixed": targets["mixed"][part]}, images[part], along={"mixed": along["mixed"][part]})
        torch.testing.assert_close(alone.images, together.images[part], rtol=0, atol=1e-5)


@pytest.mark.parametrize("option", [{"tolerance": 0}, {"stiffness": -1}, {"rounds": 0}, {"multiplier": float("nan")}])
def test_a_realisation_that_cannot_be_is_refused(option):
    with pytest.raises(UserError, match=next(iter(option))):
        Realise(**option)
