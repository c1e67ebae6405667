"""What a configuration may say, and which code it may name."""

import pytest
from omegaconf import OmegaConf

from dmt.cli import build, conf_folder
from dmt.cli.command import composed
from dmt.cli.overrides import check_overrides
from dmt.cli.settings import check_settings
from dmt.cli.targets import require_trusted_hydra, target
from dmt.data import Digits
from dmt.errors import UserError

PROBLEMS = {
    "regularizer.tv.weight=0x10": "regularizer.tv.weight must be a number, 0 or more, got 0x10",
    "realise.rounds=0": "realise.rounds must be a whole number above 0, got 0",
    "kernel.bandwidth=big": "kernel.bandwidth must be a number above 0, mean or median, got big",
    "solver.traversal.history=.inf": "solver.traversal.history must be a whole number from 1 to 1000, got .inf",
    "trainer.devices=1e23": "trainer.devices must be",
    "threads=100000": "threads must be a whole number from 1 to",
    "manifold_path=[1]": "manifold_path must be text or null",
    "keep_features=1e-12": "keep_features must be true or false",
    "output=0.5": "output must be",
    "data.image_size=nan": "data.image_size must be",
    "task.direction=up": "task.direction must be more or less, got up",
    "+kernel.degrees=2": "there is no kernel.degrees",
    "kernel={_target_:dmt.data.Digits}": "kernel must be a part",
    "+kernel._args_=[1]": "kernel._args_ is no setting",
}


def cfg(*overrides: str):
    found = composed(conf_folder(), "traverse", [*overrides, "output_dir=outputs"])
    OmegaConf.set_struct(found, False)
    del found["hydra"]
    return found


@pytest.mark.parametrize(("override", "message"), PROBLEMS.items())
def test_a_wrong_value_is_told_with_its_place_and_what_there_can_be(override, message):
    with pytest.raises(UserError) as error:
        check_settings(cfg(override))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_list_whose_members_stand_elsewhere_names_these_places_too():
    found = cfg("experiment=digits")
    OmegaConf.update(found, "layers", ["${data.image_size}", {"a": 1}])
    with pytest.raises(UserError, match=r"^layers \(data\.image_size\) must be "):
        check_settings(found)


def test_several_wrong_values_are_told_at_once():
    with pytest.raises(UserError, match=r"n_images must be .*; plans must be "):
        check_settings(cfg("n_images=0", "plans=-1"))


@pytest.mark.parametrize("devices", ["many", "-2"])
def test_what_only_lightning_refuses_is_told_in_a_line(devices):
    with pytest.raises(UserError, match=r"^trainer: .*devices"):
        build.plain_trainer_of(cfg("experiment=digits", "trainer.accelerator=cpu", f"trainer.devices='{devices}'"))()


def test_a_whole_number_may_be_written_as_another():
    found = cfg("n_images=1e1", "net.schedule.epochs=2.0")
    check_settings(found)
    assert repr(found.n_images) == "10"
    assert repr(found.net.schedule.epochs) == "2"


@pytest.mark.parametrize(
    "name",
    [
        "os.system", "builtins.exec", "subprocess.Popen", "torch.load", "torch.hub.load",
        "torch.jit.load", "torch.serialization.load", "pytorch_lightning.LightningModule.load_from_checkpoint",
        "dmt.storage.files.write_text", "dmt.cli.programs.run", "dmt.cli.programs.os.system",
        "dmt.__main__.main", "hydra.utils.get_method", "torchvision.datasets.utils.download_url",
        "dmt.data", "dmt.nothing", "functools.partial", "", "dmt..data", None, 3,
    ],
)  # fmt: skip
def test_what_is_no_part_of_a_run_is_not_called(name):
    with pytest.raises(UserError, match="_target_"):
        target(name, "kernel")


@pytest.mark.parametrize(
    "name", ["dmt.traversal.kernels.RBF", "dmt.networks.vgg19", "torch.nn.Linear", "torchvision.datasets.CIFAR10",
             "torchvision.models.resnet18", "pytorch_lightning.Trainer", "torch.optim.Adam"],
)  # fmt: skip
def test_parts_of_a_run_may_be_named(name):
    assert callable(target(name, "part"))


def test_code_of_ones_own_is_trusted_by_name(monkeypatch):
    with pytest.raises(UserError, match=r"targets=\[collections\]"):
        target("collections.Counter", "part")
    assert callable(target("collections.Counter", "part", ["collections"]))
    monkeypatch.setenv("DMT_TARGETS", "collections, json")
    check_settings(cfg("+selection._target_=json.JSONDecoder"), only=["targets"])


def test_a_file_alone_cannot_name_code_that_is_called():
    found = cfg("backbone=module", "backbone.builder=nets:build")
    with pytest.raises(UserError, match=r"nets:build would be run, and only a file says so.*targets=\[nets\]"):
        check_settings(found, ["backbone=module"])
    check_settings(found, ["backbone=module", "backbone.builder=nets:build"])
    check_settings(found, ["targets=[nets]"])
    found.targets = ["nets"]
    with pytest.raises(UserError, match="only a file says so"):
        check_settings(found, [])


def test_text_that_is_read_as_configuration_is_checked_too():
    found = cfg()
    found.selection = '${oc.create:"{_target_: os.system, command: exit}"}'
    with pytest.raises(UserError, match="_target_"):
        check_settings(found)


def test_settings_of_hydra_name_no_other_code(tmp_path):
    require_trusted_hydra(composed(conf_folder(), "traverse", []).hydra)
    for override in (
        "+hydra.callbacks.x={_target_:os.system,command:exit}",
        "hydra.launcher={_target_:os.system}",
        "+hydra.job_logging.handlers.x={class:os.system}",
        "+hydra.job_logging.x='ext://os.environ'",
    ):
        with pytest.raises(UserError, match="must name a part of Hydra"):
            check_overrides([override], conf_folder(), "traverse")
    file = tmp_path / "bad/bad.yaml"
    file.parent.mkdir()
    file.write_text("hydra:\n  callbacks:\n    x:\n      _target_: os.system\n      command: exit\n")
    with pytest.raises(UserError, match="must name a part of Hydra"):
        check_overrides(["--config-dir", str(tmp_path), "+bad@_global_=bad"], conf_folder(), "traverse")


def test_a_pickle_is_not_run_again():
    with pytest.raises(UserError, match="pickle"):
        check_overrides(["--experimental-rerun", "config.pickle"], conf_folder(), "traverse")


def test_parts_are_told_from_each_other():
    assert Digits is target("dmt.data.Digits", "data.catalog")
