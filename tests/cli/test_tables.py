"""Rows of a table from the command line; nothing is downloaded."""

import csv

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from PIL import Image

from dmt.cli import conf_folder, programs
from dmt.cli.arguments import with_several_tasks
from dmt.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with patients of whom some are readmitted, those with much glucose."""
    rng = np.random.default_rng(0)
    readmitted = np.arange(200) % 2 == 0
    rows = {"age": rng.integers(20, 80, 200), "glucose": (rng.normal(110, 10, 200) + 40 * readmitted).round(0)}
    rows |= {"body mass index": rng.normal(27, 4, 200).round(1), "readmitted": np.where(readmitted, "yes", "no")}
    pd.DataFrame(rows).to_csv(tmp_path / "patients.csv", index=False)
    monkeypatch.chdir(tmp_path)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield tmp_path


ASKED = ["data=table", "data.path=patients.csv", "data.label=readmitted", "task.source=yes", "task.target=no"]
QUIET = ["logger=none", "progress=false", "output_dir=out"]


def run(*options: str, program: str = "traverse"):
    return getattr(programs, program)(compose(program, with_several_tasks([*ASKED, *QUIET, *options])))


def test_the_command_of_the_documents(folder):
    run("fixed=[age]", "lambda=auto", "n_images=4", "constraints.bounds={glucose:[100,null],body mass index:[18,30]}")
    with (folder / "out/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    patients = pd.read_csv(folder / "patients.csv")
    assert len(rows) == 4
    for row in rows:
        was = patients.loc[int(row["row"])]
        assert float(row["age"]) == was["age"]
        assert 100 <= float(row["glucose"]) < was["glucose"]
        assert f"glucose from {was['glucose']:.0f} to " in row["words"]
        assert float(row["classifier_after"]) > 0.5 > float(row["classifier_before"])
    assert np.asarray(Image.open(folder / "out/rows.png")).std() > 10
    assert pd.read_csv(folder / "out/rows.csv").columns.tolist() == patients.columns.tolist()


def test_what_train_saves_is_what_traverse_edits_with(folder):
    run(program="train")
    files = [
        run("images=[0,2]", "lambda=0.5", *more).tables["rows"]
        for more in ([], ["manifold_path=out/columns.safetensors"])
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["task=senior"], "data=table and task=table go together"),
        (["fixed=[aeg]"], "there is no column 'aeg'; did you mean 'age'"),
        (["constraints.price={glucose:-1}"], "^constraints.price must be names with numbers above 0"),
        (["data.held_out=2"], "^data.held_out must be a number between 0 and 1"),
        (["plans=0"], "plans must be a whole number from 1 to 1000, got 0"),
        (["manifold.scaling=rank"], "^manifold.scaling must be standard or quantile"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(folder, options, message):
    asked = ["data=table", "data.path=patients.csv", "data.label=readmitted"]
    if options != ["task=senior"]:
        asked += ["task=table", "task.source=yes", "task.target=no"]
    cfg = compose("traverse", [*asked, *options, *QUIET])
    with pytest.raises(UserError, match=message):
        programs.traverse(cfg)
