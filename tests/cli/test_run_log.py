"""What a configuration's run is called, and what a logger that fails costs."""

from itertools import product
from pathlib import Path

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from dmt.cli import conf_folder
from dmt.cli.arguments import as_hydra_takes_them
from dmt.cli.command import composed
from dmt.cli.run_log import LONGEST, fingerprint_of, label_of, run_log
from dmt.errors import UserError
from dmt.reporting.logged import Logged
from dmt.reporting.run_label import RunLabel
from tests.reporting.wandb_files import offline_runs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def label():
    """What a command's run is called."""

    def of(*words: str, program: str = "traverse") -> RunLabel:
        cfg = composed(conf_folder(), program, [*as_hydra_takes_them(words), "output_dir=out"])
        HydraConfig.instance().set_config(cfg)
        return label_of(cfg)

    yield of
    HydraConfig.instance().cfg = None


@pytest.mark.parametrize(
    ("words", "name", "kind"),
    [
        (["task=frowning"], "frowning λ 0.7", "traverse"),
        (["lambda=auto", "task=senior", "n_images=3"], "senior λ auto", "traverse"),
        (["experiment=digits", "lambda=0.3", "kernel=linear"], "3 to 8 λ 0.3 kernel=linear", "traverse"),
        (["task=[smiling,senior]"], "smiling and senior λ 0.7", "traverse"),
        (["task=attribute", "task.attribute=Wavy Hair", "task.direction=less"], "less wavy hair λ 0.7", "traverse"),
        (["task=person", "person=George W Bush"], "George W Bush λ 0.7", "traverse"),
        (["task=explain", "task.classifier=a/net.onnx", "task.classes=[x,y]"], "explain net x to y", "explain"),
        (
            ["data=table", "data.path=a/patients.csv", "data.label=r", "task.target=no"],
            "patients to no λ 0.7",
            "tables",
        ),
        (["experiment=patients"], "patients", "tables"),
        (["experiment=benchmark_quick"], "benchmark_quick", "benchmark"),
        (["experiment=transfer_quick"], "transfer_quick", "transfer"),
        (["experiment=layer_scores", "task=senior"], "layer_scores task=senior", "layers"),
        (["experiment=fig6_lambda"], "fig6_lambda", "figure"),
    ],
)
def test_a_name_says_task_lambda_and_what_else_was_chosen(label, words, name, kind):
    assert (label(*words).name, label(*words).job_type) == (name, kind)


def test_a_fit_is_called_after_its_data_and_manifold(label):
    assert label(program="train") == RunLabel("lfw pca", "train", None, ("train", "lfw", "vgg19_hybrid", "dmt"))


def test_a_long_name_is_cut(label):
    assert len(label("layers=[" + ",".join(["conv3_1"] * 40) + "]").name) == LONGEST


def test_the_runs_of_a_sweep_are_of_one_group(label):
    single = label("experiment=digits")
    assert single.group is None
    found = label("experiment=digits", "hydra.mode=MULTIRUN", "hydra.sweep.dir=a/2030-01-02/12-00-00-traverse")
    assert found.group == "2030-01-02/12-00-00-traverse"


def test_a_fingerprint_is_of_what_comes_out_and_not_of_where_it_lies():
    one = fingerprint_of({"lambda": 0.5, "output_dir": "a", "threads": 1})
    assert one == fingerprint_of({"output_dir": "b", "threads": 2, "lambda": 0.5})
    assert one != fingerprint_of({"lambda": 0.6, "output_dir": "a", "threads": 1})


def failing(save_dir, label):
    raise RuntimeError("the disk\nis full")


def test_a_logger_that_fails_costs_one_line(tmp_path, caplog):
    cfg = composed(conf_folder(), "traverse", ["output_dir=out"])
    cfg.logger = OmegaConf.create({"_target_": f"{__name__}.failing"})
    with run_log(cfg, tmp_path) as running:
        running.live.begin(2)
        running.tell(Logged("title"), {})
    (line,) = (record.getMessage() for record in caplog.records)
    assert line == f"the logger failed (the disk is full); all results go to {tmp_path} all the same"


@pytest.fixture
def digits_cfg():
    cfg = composed(conf_folder(), "traverse", ["experiment=digits", "logger=wandb", "output_dir=out"])
    HydraConfig.instance().set_config(cfg)
    yield OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])  # as Hydra hands it on
    HydraConfig.instance().cfg = None


def test_a_run_is_there_with_its_name_and_settings_before_it_has_any_result(tmp_path, digits_cfg):
    with run_log(digits_cfg, tmp_path) as running:
        assert not list(tmp_path.rglob("*.wandb")), "nothing is at work yet"
        running.live.begin(2)
        assert len(list(tmp_path.rglob("offline-run-*/run-*.wandb"))) == 1
        running.tell(Logged("title", {"summary/edits": 2.0}), {"lambda": 0.25})
    (found,) = offline_runs(tmp_path)
    assert found.run.display_name == "3 to 8 λ 0.5"
    assert found.config["about"]["choices"]["task"] == "digits"
    assert found.config["lambda"] == 0.25, "as it was in the end"
    assert [found.numbers(step) for step in range(2)] == [
        {"progress/iteration": 0, "progress/edited": 0},
        {"summary/edits": 2},
    ]
    assert found.exit_code == 0


@pytest.mark.parametrize("error", [UserError("no"), KeyboardInterrupt()], ids=["failed", "interrupted"])
def test_what_ends_early_is_marked_as_failed(tmp_path, digits_cfg, error):
    def work():
        with run_log(digits_cfg, tmp_path) as running:
            running.live.walked(0.5, -0.25)
            raise error

    with pytest.raises(type(error)):
        work()
    (found,) = offline_runs(tmp_path)
    assert found.exit_code == 1
    assert found.numbers()["progress/witness_after"] == -0.25


def test_what_is_wrong_before_the_work_begins_leaves_no_run(tmp_path, digits_cfg):
    with pytest.raises(UserError), run_log(digits_cfg, tmp_path):
        raise UserError("no such file")
    assert offline_runs(tmp_path) == []


def test_what_an_agent_makes_of_the_sweep_file_is_taken():
    sweep = yaml.safe_load((ROOT / "docs/sweep.yaml").read_text())
    assert (ROOT / sweep["program"]).is_file()
    known = {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": [sweep["program"]]}
    names = list(sweep["parameters"])
    seen = set()
    for values in product(*(sweep["parameters"][name]["values"] for name in names)):
        arguments = {name: {"value": value} for name, value in zip(names, values, strict=True)}
        made = {**known, **create_sweep_command_args({"args": arguments})}
        parts = [
            made[part[2:-1]] if part.startswith("${") else [part] for part in create_sweep_command(sweep["command"])
        ]
        line = [word for part in parts for word in part]
        assert line[:3] == ["/usr/bin/env", "python", "traverse.py"]
        cfg = composed(conf_folder(), "traverse", [*as_hydra_takes_them(line[3:]), "output_dir=out"])
        assert cfg["lambda"] == arguments["lambda"]["value"]
        seen.add((cfg["lambda"], cfg.hydra.runtime.choices["method"]))
    assert len(seen) == 8
