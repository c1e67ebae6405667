"""The study of networks as a user runs it: trained, planned, reported, on scikit-learn's digits."""

import csv
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from dmt import cli

CONF = Path(__file__).resolve().parents[1] / "conf"
FEW = ["transfer.treatments=[base,transfer]", "transfer.depths=[4]", "transfer.targets=[B]", "transfer.split_seeds=[0]"]


@pytest.fixture
def train(tmp_path):
    """Run train.py's function with an experiment; everything goes below one folder."""

    def run(experiment: str, *options: str) -> Path:
        GlobalHydra.instance().clear()
        folder = tmp_path / experiment
        with initialize_config_dir(str(CONF), version_base="1.3"):
            places = [f"cache_dir={tmp_path}", f"output_dir={folder}", "logger=none", "progress=false"]
            cli.train(compose("train", [f"experiment={experiment}", *places, *options]))
        return folder

    return run


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_networks_are_trained_once_and_then_reported(train, tmp_path):
    train("transfer_quick", *FEW)
    store = tmp_path / "transfer/networks.csv"
    trained = rows_of(store)
    assert sorted((row["treatment"], row["n"], row["base"], row["target"]) for row in trained) == [
        ("base", "0", "A", "A"),
        ("base", "0", "B", "B"),
        ("transfer", "4", "A", "B"),
    ]
    train("transfer_quick", *FEW)
    assert rows_of(store) == trained

    folder = train("transfer_report", "study.reference=false")
    top1 = {(row["treatment"], row["target"]): float(row["top1_last"]) for row in trained}
    (fall,) = [row for row in rows_of(folder / "differences.csv") if row["difference_of"] == "AnB - base"]
    assert float(fall["difference"]) == pytest.approx(top1["transfer", "B"] - top1["base", "B"], abs=1e-3)
    assert {"figure_2.png", "figure_2.pdf", "figure_3.png"} <= {file.name for file in folder.iterdir()}


def test_a_plan_trains_nothing_and_says_what_is_missing(train, tmp_path):
    folder = train("transfer_quick", *FEW, "net.schedule.epochs=2", "transfer.plan=true")
    plan = {row["treatment"]: row for row in rows_of(folder / "plan.csv")}
    assert plan["all"]["missing"] == "2"
    assert not (tmp_path / "transfer/networks.csv").exists()


def test_the_runs_of_2014_are_replayed(train):
    folder = train("transfer_replay")
    gains = [row for row in rows_of(folder / "table_1.csv") if row["layers"] == "1-7"]
    printed = {(row["pairing"], row["difference_of"]): round(float(row["gain"]), 1) for row in gains}
    assert printed["unpaired", "AnB+ - base"] == 1.6  # the paper's table 1
    assert printed["unpaired", "AnB+ - BnB+"] == 1.4
    assert printed["paired", "AnB+ - base"] == 1.0
