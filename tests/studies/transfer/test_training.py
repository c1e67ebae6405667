import math
from functools import partial

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn

from dmt.data import LabelledBatches, LabelledImages
from dmt.errors import UserError
from dmt.networks.network import network_fingerprint
from dmt.studies.transfer import Schedule, WeightLayers, narrow_network
from dmt.studies.transfer.training import EpochCheckpoint, Training, train_network
from dmt.studies.transfer.treatments import TREATMENTS, Cell, treated

SCHEDULE = Schedule(epochs=3, batch_size=8, learning_rate=0.02, drops=[0.7])
NARROW = partial(narrow_network, image_size=16, channels=(3, 4, 4, 4, 4), hidden=6)


def network(seed: int, classes: int = 3) -> WeightLayers:
    torch.manual_seed(seed)
    return NARROW(classes)


def noise(count: int, seed: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return LabelledImages(images, torch.arange(count) % 3)


TRAIN, VALIDATION = noise(30, 0), noise(12, 1)


def weights(layers) -> list[torch.Tensor]:
    return [tensor for layer in layers for tensor in layer.state_dict().values()]


def same(one, other) -> bool:
    return all(a.equal(b) for a, b in zip(one, other, strict=True))


def trained(net, trainer, **options) -> Training:
    return train_network(net, TRAIN, validation=VALIDATION, schedule=SCHEDULE, seed=5, trainer=trainer, **options)


def watched(trainer, *callbacks: Callback):
    """A trainer with more callbacks than it is asked to have."""
    return lambda **options: trainer(**{**options, "callbacks": [*options["callbacks"], *callbacks]})


# Treatments


def on_b(treatment, n) -> Cell:
    return Cell(treatment, n, split_seed=0, target="B")


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("treatment", ["selffer", "transfer", "selffer_finetuned", "transfer_finetuned"])
def test_a_treated_network_computes_what_the_base_does_below_the_cut(treatment, n):
    base, fresh = network(0), network(1)
    own_above = [tensor.clone() for tensor in weights(list(fresh)[n:])]
    made = treated(fresh, on_b(treatment, n), base.state_dict())
    images = torch.rand(4, 3, 16, 16)
    assert made.part(0, n).eval()(images).equal(base.part(0, n).eval()(images))
    assert same(weights(list(made)[n:]), own_above)
    assert made.n_frozen == (0 if treatment.endswith("finetuned") else n)


@pytest.mark.parametrize("n", range(1, 8))
def test_random_layers_are_frozen_as_they_were_drawn(n):
    fresh = network(1)
    drawn = [tensor.clone() for tensor in weights(fresh)]
    made = treated(fresh, on_b("random", n), None)
    assert same(weights(made), drawn)
    assert made.n_frozen == n


def test_treatments_take_layers_from_where_the_paper_says():
    def source(treatment, target):
        base = Cell(treatment, 1, split_seed=0, target=target).source
        return base and base.target

    assert {name: (source(name, "A"), source(name, "B")) for name in TREATMENTS} == {
        "base": (None, None),
        "base_long": (None, None),
        "selffer": ("A", "B"),
        "transfer": ("B", "A"),
        "selffer_finetuned": ("A", "B"),
        "transfer_finetuned": ("B", "A"),
        "random": (None, None),
    }


def test_a_base_keeps_its_weights_when_a_network_made_of_it_is_trained(quiet_trainer):
    base = network(0)
    kept = [tensor.clone() for tensor in weights(base)]
    trained(treated(network(1), on_b("transfer_finetuned", 3), base.state_dict()), quiet_trainer)
    assert same(weights(base), kept)


# What learns and what does not


class WithGradient(Callback):
    """Notes which of the layers that are trained have a gradient."""

    def on_after_backward(self, trainer, pl_module):
        layers = pl_module.network.named_children()
        self.names = {name for name, layer in layers if any(p.grad is not None for p in layer.parameters())}


@pytest.mark.parametrize("n", [0, 1, 4, 6, 7])
@pytest.mark.parametrize("cache_bytes", [0, 1e9])
def test_frozen_layers_stay_and_all_others_learn(n, cache_bytes, quiet_trainer):
    watch = WithGradient()
    net = WeightLayers(dict(network(0).named_children()), n)
    before = [network_fingerprint(layer) for layer in net]
    trained(net, watched(quiet_trainer, watch), cache_bytes=cache_bytes)
    after = [network_fingerprint(layer) for layer in net]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True] * n + [False] * (8 - n)
    assert watch.names == set(net.names[n:])


def test_running_statistics_of_frozen_layers_stay_and_those_of_others_do_not(quiet_trainer):
    layers = {name: nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Dropout(0.1)) for name in "abc"}
    net = WeightLayers({**layers, "head": nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 3))}, n_frozen=2)
    kept = [layer[1].running_mean.clone() for layer in list(net)[:3]]
    trained(net, quiet_trainer)
    moved = [not layer[1].running_mean.equal(mean) for layer, mean in zip(net, kept, strict=False)]
    assert moved == [False, False, True]


class SetAside(nn.Module):
    """A layer that breaks the rule: it changes in whatever mode it is."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        self.count += 1
        return x


def test_a_frozen_layer_that_changes_all_the_same_is_found_out(quiet_trainer):
    net = WeightLayers({"a": SetAside(), "head": nn.Sequential(nn.Flatten(), nn.Linear(768, 3))}, n_frozen=1)
    with pytest.raises(AssertionError, match="a frozen layer has changed"):
        trained(net, quiet_trainer)


@pytest.mark.parametrize("n", [1, 4, 5, 7])
def test_training_on_cached_activations_is_the_training_itself(n, quiet_trainer):
    def made():
        return WeightLayers(dict(network(0).named_children()), n)

    cached, whole = made(), made()
    with_cache, without = trained(cached, quiet_trainer), trained(whole, quiet_trainer, cache_bytes=0)
    for one, other in zip(weights(cached), weights(whole), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    for one, other in zip(with_cache.epochs, without.epochs, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-5)
        assert one["top1"] == other["top1"]


def test_what_is_cached_is_not_computed_again(quiet_trainer):
    calls = []
    net = WeightLayers(dict(network(0).named_children()), 4)
    net[0].register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    trained(net, quiet_trainer)
    assert sum(calls) == 1 + len(TRAIN.labels) + len(VALIDATION.labels)  # one to know the size


def test_the_dropout_of_frozen_layers_stays_on_in_training(quiet_trainer):
    modes = []
    net = WeightLayers(dict(network(0).named_children()), 7)
    net.fc7[2].register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    trained(net, quiet_trainer)
    assert {True, False} == set(modes)  # on while it trains, off while it is tested


# What a run says


def test_losses_and_accuracies_are_those_of_the_network_that_comes_out(quiet_trainer):
    net = network(0)
    last = trained(net, quiet_trainer).epochs[-1]
    with torch.no_grad():
        logits = net.eval()(VALIDATION.images.float() / 255)
    expected = nn.functional.cross_entropy(logits, VALIDATION.labels)
    assert last["val_loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert last["top1"] == pytest.approx(100 * (logits.argmax(1) == VALIDATION.labels).float().mean().item())


def training_of(losses, top1=(50.0,)) -> Training:
    return Training([{"train_loss": loss, "top1": accuracy} for loss, accuracy in zip(losses, top1, strict=True)], 10)


def test_reported_accuracies_are_means_of_ten_or_of_all():
    accuracies = [float(i) for i in (3, 12, 1, 11, 2, 10, 4, 9, 5, 8, 6, 7)]
    many = training_of([1.0] * 12, accuracies)
    assert many.top1_best10 == 7.5  # of 3 ... 12
    assert many.top1_last == 6.3  # of all but 3 and 12
    assert training_of([1.0] * 2, [1.0, 4.0]).top1_best10 == 2.5


@pytest.mark.parametrize(
    ("losses", "status"),
    [
        ([1.0] * 20, "ok"),
        ([2.0] * 16 + [1.0, 1.0, 0.97, 0.95], "ok"),
        ([2.0] * 16 + [1.0, 1.0, 0.95, 0.93], "unconverged"),
        ([2.2] * 20, "unconverged"),  # guessing among ten is log(10) = 2.303
        ([1.0] * 18 + [0.04, 0.04], "saturated"),
        ([1.0], "ok"),
        ([1.0] * 18 + [math.nan, math.nan], "unconverged"),
        ([1.0] * 18 + [math.inf, math.inf], "unconverged"),
        ([math.inf] + [1.0] * 19, "unconverged"),
        ([math.nan], "unconverged"),
    ],
)
def test_a_network_that_has_not_converged_or_is_saturated_says_so(losses, status):
    assert math.log(10) == pytest.approx(2.303, abs=1e-3)
    assert training_of(losses, [50.0] * len(losses)).status(0.05, 0.05) == status


def test_the_rate_falls_where_the_schedule_says(quiet_trainer):
    rates = []

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    schedule = Schedule(epochs=8, batch_size=30, learning_rate=1.0, drops=[0.5, 0.75])
    options = {"schedule": schedule, "seed": 0, "trainer": watched(quiet_trainer, Watch())}
    train_network(network(0), TRAIN, validation=VALIDATION, **options)
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_every_epoch_serves_every_picture_once_in_an_order_of_its_own():
    batches = LabelledBatches(TRAIN, VALIDATION, batch_size=8, seed=0)
    orders = []
    for epoch in (0, 1, 1):
        batches.trainer = type("Trainer", (), {"current_epoch": epoch})()
        served = torch.cat([images for images, _ in batches.train_dataloader()])
        orders.append([next(i for i, own in enumerate(TRAIN.images) if own.equal(image)) for image in served])
    assert all(sorted(order) == list(range(30)) for order in orders)
    assert orders[0] != orders[1] == orders[2]


# Interrupted runs


class KilledError(Exception):
    pass


class KillBefore(Callback):
    def __init__(self, epoch: int):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            raise KilledError


@pytest.mark.parametrize("n", [0, 4])
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(n, tmp_path, quiet_trainer):
    def made():
        return WeightLayers(dict(network(0).named_children()), n)

    def checkpoint():
        return EpochCheckpoint(tmp_path / "run.ckpt", seconds=0)

    resumed, whole = made(), made()
    with pytest.raises(KilledError):
        trained(made(), watched(quiet_trainer, KillBefore(2)), checkpoint=checkpoint())
    assert (tmp_path / "run.ckpt").is_file()
    second = trained(resumed, quiet_trainer, checkpoint=checkpoint())
    first = trained(whole, quiet_trainer)
    assert same(weights(resumed), weights(whole))
    without_time = [
        [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in run.epochs]
        for run in (first, second)
    ]
    assert without_time[0] == without_time[1]
    checkpoint().remove()
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_removed_and_said_and_its_network_is_trained_from_the_start(
    tmp_path, quiet_trainer, caplog
):
    path = tmp_path / "run.ckpt"
    path.write_bytes(b"no checkpoint")
    trained(network(0), quiet_trainer, checkpoint=EpochCheckpoint(path))
    assert f"{path} is damaged" in caplog.text
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "net.schedule.epochs must be a whole number above 0, got 0"),
        ({"batch_size": 1.5}, "net.schedule.batch_size must be .*, got 1.5"),
        ({"learning_rate": -1}, "net.schedule.learning_rate must be a number above 0, got -1"),
        ({"drops": [10]}, "net.schedule.drops must be shares of the epochs, between 0 and 1"),
    ],
)
def test_a_schedule_that_cannot_be_is_an_error(options, message):
    with pytest.raises(UserError, match=message):
        Schedule(**{"epochs": 1, "batch_size": 1, "learning_rate": 0.1, **options})


def test_a_run_that_was_killed_after_its_last_epoch_has_nothing_left_to_do(tmp_path, quiet_trainer):
    one, other = network(0), network(0)
    first, second = (
        trained(net, quiet_trainer, checkpoint=EpochCheckpoint(tmp_path / "run.ckpt", seconds=0))
        for net in (one, other)
    )
    assert same(weights(one), weights(other))
    assert [epoch["val_loss"] for epoch in first.epochs] == [epoch["val_loss"] for epoch in second.epochs]
    assert sum(epoch["seconds"] for epoch in first.epochs[1:]) == sum(epoch["seconds"] for epoch in second.epochs[1:])
