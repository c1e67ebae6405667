"""The study as a user runs it, on digits, with networks that are trained for an epoch or two."""

import csv
import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from dmt.cli import programs

CONF = Path(__file__).resolve().parents[3] / "conf"
CATALOG = "study.setting.tasks.catalog"
SMALL = ["logger=csv", "net.schedule.epochs=1", "transfer.images_per_class=8", "trainer.accelerator=cpu"]


@pytest.fixture(autouse=True)
def hydra(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def train(folder: Path, *overrides: str) -> None:
    programs.train(compose("train", [*SMALL, f"output_dir={folder}/out", f"cache_dir={folder}/cache", *overrides]))


def rows_of(file: Path) -> list[dict]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_small_study_leaves_its_rows_its_configuration_and_no_empty_tables(tmp_path):
    train(tmp_path, "experiment=transfer_quick", "transfer.depths=[7]", "net.schedule.epochs=1")
    rows = rows_of(tmp_path / "out/transfer.csv")
    treatments = ["base", "base_long", "selffer", "transfer", "selffer_finetuned", "transfer_finetuned", "random"]
    assert [row["treatment"] for row in rows] == treatments
    store = rows_of(tmp_path / "cache/transfer/networks.csv")
    assert {row["key"] for row in rows} < {row["key"] for row in store}
    assert len(store) == len(rows) + 1  # the base of the other half
    names = {path.name for path in (tmp_path / "out").iterdir() if path.name != "metrics"}
    assert names == {"config.yaml", "results.json", "transfer.csv", "report.html"}
    assert json.loads((tmp_path / "out/results.json").read_text())["settings"]["transfer"]["depths"] == [7]


def test_one_network_alone(tmp_path):
    train(tmp_path, "experiment=transfer_cell", "transfer.treatment=random", "transfer.n=2", "transfer.target=A")
    (row,) = rows_of(tmp_path / "out/transfer.csv")
    assert (row["treatment"], row["n"], row["layer"], row["target"]) == ("random", "2", "conv2", "A")


def test_a_plan_says_what_the_whole_study_is_and_trains_none_of_it(tmp_path):
    train(tmp_path, "experiment=transfer", "transfer.plan=true")
    *_, whole = rows_of(tmp_path / "out/plan.csv")
    assert (whole["networks"], whole["missing"]) == ("148", "148")  # 2 splits, 2 targets, 2 bases and 5 * 7 others
    assert not (tmp_path / "cache/transfer/networks.csv").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["transfer.n=8"],
            "error: transfer.depths (or transfer.n) must be a whole number from 1 to 7 (the network has 8 layers)",
        ),
        (["transfer.n=two"], "error: transfer.depths (transfer.n) must be a list of whole numbers above 0, got [two]"),
        (["transfer.treatment=selfer"], "error: there is no treatment 'selfer'; did you mean 'selffer'?"),
        (["transfer.split=man_made_natural"], "error: the data set has no classes of the kind 'natural'"),
        (["data.image_size=30"], "error: data.image_size must be a multiple of 32 for this network, got 30"),
        (
            ["data=tiny_imagenet", "data_dir=/nonexistent"],
            f"error: {CATALOG}: there is no folder /nonexistent/tiny_imagenet_100",
        ),
        (["data=cifar10", "data_dir=/nonexistent"], f"error: {CATALOG}: CIFAR10 is not in /nonexistent/cifar10; put"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(overrides, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped, programs.errors_in_one_line():
        train(tmp_path, "experiment=transfer_cell", *overrides)
    assert stopped.value.code == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert lines[0].startswith(message)


def test_a_damaged_row_stops_the_study_and_stays(tmp_path, capsys):
    cell = ["experiment=transfer_cell", "transfer.treatment=base"]
    train(tmp_path, *cell)
    store = tmp_path / "cache/transfer/networks.csv"
    store.write_text(store.read_text() + "transfer,1,conv1\n")
    before = store.read_bytes()
    with pytest.raises(SystemExit), programs.errors_in_one_line():
        train(tmp_path, *cell)
    assert (
        f"{store}, line 3 has another number of values than the header; remove or mend this line"
        in capsys.readouterr().err
    )
    assert store.read_bytes() == before


def test_what_was_trained_is_found_again_and_reported(tmp_path):
    few = ["transfer.treatments=[base,transfer]", "transfer.depths=[4]", "transfer.targets=[B]"]
    long_enough = ["net.schedule.epochs=14", "transfer.images_per_class=null", "transfer.still_falling=9"]
    train(tmp_path, "experiment=transfer_quick", *few, *long_enough)
    trained = rows_of(tmp_path / "cache/transfer/networks.csv")
    assert sorted((row["treatment"], row["n"], row["base"], row["target"]) for row in trained) == [
        ("base", "0", "A", "A"),
        ("base", "0", "B", "B"),
        ("transfer", "4", "A", "B"),
    ]
    places = [f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache", "logger=none"]
    programs.train(compose("train", ["experiment=transfer_report", "study.reference=false", *places]))
    top1 = {(row["treatment"], row["target"]): float(row["top1_last"]) for row in trained}
    (fall,) = [row for row in rows_of(tmp_path / "out/differences.csv") if row["difference_of"] == "AnB - base"]
    assert float(fall["difference"]) == pytest.approx(top1["transfer", "B"] - top1["base", "B"], abs=1e-3)
    assert {"figure_2.png", "figure_2.pdf", "figure_3.png"} <= {file.name for file in (tmp_path / "out").iterdir()}


def test_the_runs_of_2014_are_replayed(tmp_path):
    programs.train(compose("train", ["experiment=transfer_replay", "logger=none", f"output_dir={tmp_path}"]))
    gains = [row for row in rows_of(tmp_path / "table_1.csv") if row["layers"] == "1-7"]
    printed = {(row["pairing"], row["difference_of"]): round(float(row["gain"]), 1) for row in gains}
    assert printed["unpaired", "AnB+ - base"] == 1.6  # the paper's table 1
    assert printed["unpaired", "AnB+ - BnB+"] == 1.4
    assert printed["paired", "AnB+ - base"] == 1.0


def test_the_networks_of_the_documentation_are_found_again(tmp_path, data_dir):
    if not (data_dir / "tiny_imagenet_100").is_dir():
        pytest.skip("DMT_DATA has no folder tiny_imagenet_100")
    store = CONF.parent / "docs/transfer/tiny_imagenet.csv"
    study = [
        "experiment=transfer_tiny_imagenet",
        "transfer.plan=true",
        f"transfer.store={store}",
        f"data_dir={data_dir}",
    ]
    places = [f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache", "logger=none", "trainer.accelerator=cpu"]
    programs.train(compose("train", [*study, *places]))
    *_, whole = rows_of(tmp_path / "out/plan.csv")
    assert (whole["networks"], whole["finished"]) == ("296", "296")
