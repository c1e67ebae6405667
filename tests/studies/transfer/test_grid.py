import inspect
import multiprocessing
from functools import partial

import pytest
from pytorch_lightning import Callback
from torch import nn

from dmt.data import Digits
from dmt.errors import UserError
from dmt.storage.tensors import read_tensors
from dmt.studies.transfer import (
    HalvesByKind,
    ListedHalves,
    RandomHalves,
    Schedule,
    Setting,
    Tasks,
    TransferStudy,
    WeightLayers,
    narrow_network,
)
from dmt.studies.transfer.grid import Grid
from dmt.studies.transfer.rows import COLUMNS, RunStore
from dmt.studies.transfer.treatments import Cell, cells_of

FROZEN = ["selffer", "transfer", "random"]


@pytest.fixture
def study(tmp_path):
    """Makes studies of digits with a network so small that it learns nothing in no time."""

    defaults = {
        "catalog": Digits(),
        "image_size": 16,
        "splits": {"random": RandomHalves(), "listed": ListedHalves([0, 1], [1, 2])},
        "split": "random",
        "images_per_class": 8,
        "network": partial(narrow_network, channels=(2, 2, 2, 2, 2), hidden=4),
        "schedule": Schedule(epochs=2, batch_size=20, learning_rate=0.01),
        "treatments": ["base", "transfer"],
        "depths": [2],
        "split_seeds": [0],
        "targets": ["A", "B"],
        "store": tmp_path / "rows.csv",
        "folder": tmp_path,
    }

    def make(**options):
        values = defaults | options

        def own(kind):
            return {name: values.pop(name) for name in inspect.signature(kind).parameters if name in values}

        study = TransferStudy(setting=Setting(tasks=Tasks(**own(Tasks)), **own(Setting)), **own(TransferStudy))
        assert not values
        return study

    return make


@pytest.fixture
def counted(quiet_trainer):
    """A trainer that counts how many networks were trained."""

    def trainer(**options):
        trainer.made += 1
        return quiet_trainer(**options)

    trainer.made = 0
    return trainer


def grid_of(study, trainer) -> Grid:
    return Grid(study.setting, RunStore(study.store), folder=study.folder, trainer=trainer)


def at(treatment, n, split_seed, target) -> Cell:
    return Cell(treatment, n, split_seed=split_seed, target=target)


# Cells


def test_a_whole_study_of_a_split_is_37_networks_a_target():
    treatments = ["base", "base_long", "selffer", "transfer", "selffer_finetuned", "transfer_finetuned", "random"]
    cells = cells_of(treatments, range(1, 8), split_seeds=range(5), targets=["A", "B"], layers=8)
    assert len(set(cells)) == len(cells) == 5 * 2 * (2 + 5 * 7)
    seen = set()
    for cell in cells:  # bases come before what is made of them
        assert cell.source is None or cell.source in seen
        seen.add(cell)


@pytest.mark.parametrize(
    ("cell", "base", "source"),
    [
        (at("base", 0, 3, "A"), "A", None),
        (at("base_long", 0, 3, "A"), "A", None),
        (at("selffer", 2, 3, "B"), "B", at("base", 0, 3, "B")),
        (at("transfer", 2, 3, "B"), "A", at("base", 0, 3, "A")),
        (at("transfer_finetuned", 2, 3, "A"), "B", at("base", 0, 3, "B")),
        (at("random", 2, 3, "B"), "", None),
    ],
)
def test_a_cell_knows_whose_layers_it_begins_with(cell, base, source):
    assert (cell.base, cell.source) == (base, source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"treatments": ["transfr"]}, "no treatment 'transfr'; did you mean 'transfer'"),
        (
            {"depths": [8]},
            "transfer.depths .or transfer.n. must be a whole number from 1 to 7 .the network has 8.*, got 8",
        ),
        ({"depths": [0]}, "transfer.depths .* must be .*, got 0"),
        ({"depths": 3}, r"transfer.depths must be a list, such as \[3\], got 3"),
        ({"treatments": "base"}, r"transfer.treatments must be a list, such as \[base\], got base"),
        ({"split": "listed", "classes": 2}, "has the classes that are listed; leave transfer.classes=null"),
        ({"splits": {"x": ListedHalves([0, 1], [])}, "split": "x"}, "half B of the split has 0 classes; .*listed.b"),
        ({"targets": ["C"]}, "transfer.targets .* must be A or B, got C"),
        ({"split_seeds": [-1]}, "transfer.split_seeds .* must be .*, got -1"),
        ({"depths": []}, "the study is empty"),
        ({"split": "radom"}, "no transfer.split 'radom'; did you mean 'random'"),
        ({"split": "listed"}, "may not overlap, but '1' is named twice"),
        ({"images_per_class": 500}, "set transfer.images_per_class to"),
        ({"classes": 6}, "transfer.classes must be null or a whole number from 2 to 5"),
    ],
)
def test_what_cannot_be_studied_is_an_error_of_one_line_before_anything_is_trained(options, message, study, counted):
    with pytest.raises(UserError, match=message) as error:
        study(**options)(counted)
    assert "\n" not in str(error.value)
    assert counted.made == 0


def test_seeds_that_divide_the_classes_alike_are_one_division(study, caplog):
    caplog.set_level("INFO")
    splits = {"listed": ListedHalves([0, 1], [2, 3])}
    cells = study(splits=splits, split="listed", split_seeds=[3, 0, 1]).cells
    assert {cell.split_seed for cell in cells} == {3}
    assert [record.getMessage() for record in caplog.records] == [
        "transfer.split=listed divides the classes for seed 0 as for seed 3; seed 0 is left out",
        "transfer.split=listed divides the classes for seed 1 as for seed 3; seed 1 is left out",
    ]


def test_random_seeds_are_divisions_of_their_own(study, caplog):
    caplog.set_level("INFO")
    assert {cell.split_seed for cell in study(split_seeds=[0, 1]).cells} == {0, 1}
    assert not caplog.records


# Rows


def test_a_study_has_a_row_per_network_and_is_not_done_twice(study, counted):
    report = study()(counted)
    rows = report.tables["transfer"]
    assert counted.made == 4
    assert [tuple(row) for row in rows] == [tuple(COLUMNS)] * 4
    assert [(row["treatment"], row["n"], row["layer"], row["base"], row["target"]) for row in rows] == [
        ("base", 0, "", "A", "A"),
        ("base", 0, "", "B", "B"),
        ("transfer", 2, "conv2", "B", "A"),
        ("transfer", 2, "conv2", "A", "B"),
    ]
    assert all((row["classes"], row["images_per_class"], row["epochs"]) == (5, 8, 2) for row in rows)
    assert study()(counted).tables["transfer"] == rows
    assert counted.made == 4


def test_the_long_base_takes_twice_the_schedule(study, counted):
    (row,) = study(treatments=["base_long"], targets=["A"])(counted).tables["transfer"]
    assert (row["epochs"], row["n"]) == (4, 0)


def test_a_cell_alone_trains_the_base_that_it_needs(study, counted):
    study(treatments=["transfer"], targets=["A"])(counted)
    rows = RunStore(study().store).runs().values()
    assert [(row["treatment"], row["target"]) for row in rows] == [("base", "B"), ("transfer", "A")]


def test_frozen_layers_are_those_of_the_base_that_was_kept(study, counted, monkeypatch):
    networks = {}
    from dmt.studies.transfer import grid as module

    def watched(network, *arguments, **options):
        training = train(network, *arguments, **options)
        networks[len(networks)] = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return training

    train = module.train_network
    monkeypatch.setattr(module, "train_network", watched)
    study(treatments=["base", "selffer"], depths=[3], targets=["B"])(counted)
    (file,) = (study().folder / "bases").glob("*.safetensors")
    kept = read_tensors(file)
    base, selffer = networks[0], networks[1]
    assert all(base[name].equal(tensor) for name, tensor in kept.items())
    below = [name for name in kept if name.startswith(("conv1", "conv2", "conv3"))]
    assert len(below) == 6 + 2  # with the mean and deviation of the pixels
    assert all(selffer[name].equal(kept[name]) for name in below)
    assert not selffer["fc8.0.weight"].equal(kept["fc8.0.weight"])


def test_a_base_whose_weights_were_lost_is_trained_again_to_the_same_weights(study, counted):
    study(treatments=["base"], targets=["A"])(counted)
    (file,) = (study().folder / "bases").glob("*.safetensors")
    before = read_tensors(file)
    rows = RunStore(study().store).path.read_bytes()
    file.unlink()
    study(treatments=["selffer"], targets=["A"])(counted)
    after = read_tensors(file)
    assert after.keys() == before.keys()
    assert all(tensor.equal(before[name]) for name, tensor in after.items())
    assert RunStore(study().store).path.read_bytes().count(b",base,0,") == rows.count(b",base,0,") == 1


def test_a_network_whose_row_is_gone_is_trained_again_and_this_is_said(study, counted, caplog):
    study(treatments=["base"])(counted)
    store = RunStore(study().store).path
    header, _, of_b = store.read_text().splitlines(keepends=True)
    store.write_text(header + of_b)
    study(treatments=["base"])(counted)
    assert counted.made == 3
    (line,) = (line for line in caplog.messages if "its row" in line)
    assert line == f"base on A, split 0 was trained, and its row is not in {store}: trained again"
    assert len(store.read_text().splitlines()) == 3


def test_a_base_that_has_not_converged_is_warned_of(study, counted, caplog):
    study(treatments=["base", "random"], targets=["A"])(counted)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    (warning,) = warnings  # of the base alone
    assert warning.startswith("base on A, split 0 is unconverged")
    assert "\n" not in warning


KEY_CHANGES = {
    "image_size": 24,
    "network": partial(narrow_network, channels=(2, 2, 2, 2, 3), hidden=4),
    "schedule": Schedule(epochs=2, batch_size=20, learning_rate=0.02),
    "images_per_class": 7,
    "classes": 4,
    "held_out": 0.3,
}


def zeros(classes, image_size) -> WeightLayers:
    """A network that is the same on every machine."""
    layers = {
        "conv1": nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten()),
        "fc2": nn.Sequential(nn.Linear(2 * (image_size - 2) ** 2, classes)),
    }
    network = WeightLayers(layers)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    return network


def test_keys_are_those_of_the_stores_that_were_written_before(study):
    """Written down before this package was first rebuilt; with other keys every network would be trained again."""
    schedule = Schedule(epochs=2, batch_size=20, learning_rate=0.01, drops=[0.5])
    setting = study(network=zeros, schedule=schedule).setting
    assert setting.study == "digits-16px-92a80f"
    assert setting.key(at("base", 0, 0, "A")) == "404b809a30ce201a"
    assert setting.key(at("transfer", 1, 0, "B")) == "b7cb6d8a44986ab5"
    listed = {"splits": {"listed": ListedHalves([0, 1], [2, 3])}, "split": "listed"}
    setting = study(**listed, network=zeros, schedule=schedule, images_per_class=None, held_out=0.3).setting
    assert setting.study == "digits-16px-4c87b7"
    assert setting.key(at("selffer_finetuned", 1, 3, "A")) == "d3a2a46171548349"


@pytest.mark.parametrize("option", KEY_CHANGES)
def test_whatever_determines_a_network_changes_its_key(option, study):
    cell = at("transfer", 2, 0, "A")
    assert study().setting.key(cell) == study().setting.key(cell)
    assert study(**{option: KEY_CHANGES[option]}).setting.key(cell) != study().setting.key(cell)


def test_studies_with_other_classes_are_not_mixed_and_those_of_other_splits_are_compared(study):
    assert study(classes=4).setting.study != study(classes=3).setting.study != study().setting.study
    kinds = {"a": HalvesByKind("odd", "even"), "b": RandomHalves()}
    assert len({study(splits=kinds, split=name).setting.study for name in kinds}) == 1


def test_rows_tell_other_lists_apart(study):
    def tasks(a, b):
        return study(splits={"listed": ListedHalves(a, b)}, split="listed").setting.tasks

    lists = [([0, 1], [2, 3]), ([0, 1], [2, 4]), ([0, 12], [3]), ([0, 1], [23])]
    kinds = [tasks(*both).kind for both in lists]
    assert len(set(kinds)) == len(kinds)
    assert all(kind.startswith("listed-") and len(kind) == len("listed-") + 6 for kind in kinds)
    assert tasks(["0", "1"], ["2", "3"]).kind == kinds[0]
    assert study().setting.tasks.kind == "random"


def test_every_cell_has_a_key_of_its_own(study):
    cells = cells_of(["base", "base_long", *FROZEN], range(1, 8), split_seeds=[0, 1], targets=["A", "B"], layers=8)
    setting = study().setting
    assert len({setting.key(cell) for cell in cells}) == len(cells)


def test_every_split_has_as_many_pictures_a_class_as_the_smallest_of_all_classes_has(study):
    tasks = study(images_per_class=None, classes=2).setting.tasks
    counts = {task.images_per_class for seed in range(8) for task in tasks.of(seed).values()}
    assert counts == {130}  # of digits the eights are fewest: 174, a quarter of them held out


# Plans, interruptions, neighbours


def test_a_plan_trains_no_network_and_says_what_is_missing(study, counted):
    study(treatments=["base"])(counted)
    treatments = ["base", "base_long", "transfer", "transfer_finetuned"]
    made = counted.made
    planned = study(treatments=treatments, depths=[1, 2], plan=True)(counted).tables["plan"]
    assert [tuple(row[name] for name in ("networks", "finished", "missing")) for row in planned] == [
        (2, 2, 0),
        (2, 0, 2),
        (4, 0, 4),
        (4, 0, 4),
        (12, 2, 10),
    ]
    assert counted.made == made + 3  # epochs with no frozen layer, one and two
    assert len(RunStore(study().store).runs()) == 2


def test_a_plan_counts_the_bases_that_layers_are_copied_from(study, counted):
    plan = study(treatments=["transfer"], targets=["B"], plan=True)(counted).tables["plan"]
    assert {row["treatment"]: row["networks"] for row in plan} == {"base": 1, "transfer": 1, "all": 2}


def test_a_plan_of_what_was_never_measured_counts_epochs(study, counted, monkeypatch):
    def seconds(grid, cell):
        return 10.0 - (cell.n if cell.treatment == "transfer" else 0)

    monkeypatch.setattr(Grid, "seconds_of_an_epoch", seconds)
    treatments = ["base", "base_long", "transfer", "transfer_finetuned"]
    planned = study(treatments=treatments, depths=[1, 3], plan=True)(counted).tables["plan"]
    assert {row["treatment"]: row["seconds"] for row in planned} == {  # two targets, two epochs
        "base": 2 * 2 * 10,
        "base_long": 2 * 4 * 10,
        "transfer": 2 * 2 * (9 + 7),
        "transfer_finetuned": 2 * 2 * 2 * 10,
        "all": 40 + 80 + 64 + 80,
    }
    assert counted.made == 0


def test_a_plan_expects_what_was_measured(study, counted):
    rows = study(depths=[1, 2], targets=["A"])(counted).tables["transfer"]
    measured = {row["n"]: row["seconds"] for row in rows if row["treatment"] == "transfer"}
    *_, transfer, _ = study(depths=[1, 2], plan=True, treatments=["base", "transfer"])(counted).tables["plan"]
    assert transfer["seconds"] == pytest.approx(measured[1] + measured[2])


class KilledError(Exception):
    pass


class KillAtOnce(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise KilledError


def test_a_killed_study_goes_on_where_it_was(study, quiet_trainer, counted):
    def killed(**options):
        killed.made += 1
        extra = [KillAtOnce()] if killed.made == 3 else []
        return quiet_trainer(**{**options, "callbacks": [*options["callbacks"], *extra]})

    killed.made = 0
    with pytest.raises(KilledError):
        study()(killed)
    assert len(RunStore(study().store).runs()) == 2
    rows = study()(counted).tables["transfer"]
    assert (counted.made, len(rows)) == (2, 4)
    assert not list((study().folder / "checkpoints").iterdir())


def _work(study, trainer, path):
    made = []

    def noted(**options):
        made.append(1)
        return trainer(**options)

    study(noted)
    with path.open("a") as file:
        file.write(f"{len(made)}\n")


def test_two_processes_share_the_work_and_train_no_network_twice(study, quiet_trainer, tmp_path):
    whole = study(depths=[1, 2, 3])
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_work, args=(whole, quiet_trainer, tmp_path / "made")) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=100)
    made = [int(line) for line in (tmp_path / "made").read_text().split()]
    assert len(made) == 2
    assert sum(made) == len(whole.cells) == 8
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 1 + 8


def test_a_cell_that_another_process_is_training_is_left_to_it(study, counted):
    from filelock import FileLock

    grid = grid_of(study(), counted)
    cell = at("base", 0, 0, "A")
    with FileLock(grid._file("locks", grid.setting.key(cell), "lock")):
        assert grid.run(cell, wait=False) is None
    assert counted.made == 0
    assert grid.run(cell, wait=False)["treatment"] == "base"
