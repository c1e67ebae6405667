"""The benchmark from edits to page, on scikit-learn's digits."""

import json
import logging
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dmt.data import AttributeTask, ClassTask, Matched
from dmt.data.selection import reserved_groups
from dmt.editing.choices import PictureBudget
from dmt.editing.editor import Editor
from dmt.editing.records import EditedImage
from dmt.editing.rivals import PixelMeanModule
from dmt.errors import UserError
from dmt.judges import ProbeJudge
from dmt.studies.benchmark import BenchmarkRun, Case
from dmt.studies.benchmark.cells import Cell
from tests.studies.figures.test_figures import editor_of

TASK = ClassTask("3", "8")
THREES = ["digit_0003", "digit_0013", "digit_0023", "digit_0045"]


class Brightness:
    """A judge whose verdict can be worked out: the mean of the picture."""

    def columns(self, name, before, after):
        return {
            f"{name}_before": np.array([float(image.mean()) for image in before]),
            f"{name}_after": np.array([float(image.mean()) for image in after]),
        }


@pytest.fixture(scope="module")
def editor(cache_dir, tmp_path_factory) -> Editor:
    editor = editor_of(cache_dir, tmp_path_factory.mktemp("benchmark"))
    return replace(editor, judges={"brightness": Brightness()})


def case(editor: Editor, threshold: float = 0.9, **more) -> Case:
    options = {"methods": ["dmt", "pixel_mean"], "judge": "brightness", "threshold": threshold} | more
    return Case(TASK, options.pop("images", THREES), editor.selection, **options)


def run(editor: Editor, folder: Path, **more) -> BenchmarkRun:
    methods = {"dmt": editor.method, "pixel_mean": partial(PixelMeanModule, alpha=None)}
    options = {"cases": {"three_to_eight": case(editor)}, "methods": methods, "budgets": [1.0, 0.3], "resamples": 50}
    return BenchmarkRun("Digits", str(folder), **(options | more))


def test_every_edit_is_made_once_judged_and_shown(editor, tmp_path, caplog):
    benchmark = run(editor, tmp_path)
    with caplog.at_level(logging.INFO):
        report = benchmark(editor, TASK, [], 1)
    edits = report.tables["edits"]
    assert len(edits) == 2 * 2 * len(THREES)
    assert {(row["method"], row["lambda"]) for row in edits} == {
        (method, budget) for method in ("dmt", "pixel_mean") for budget in (1.0, 0.3)
    }
    for row in edits:
        assert row["case"] == "three to eight"
        assert row["flipped"] == (row["judged"] > 0.9)
    page = (tmp_path / "index.html").read_text()
    assert "three to eight" in page
    for sheet in ("best-three-to-eight", "worst-three-to-eight"):
        assert np.asarray(Image.open(tmp_path / f"{sheet}.png")).std() > 10
    assert sum("benchmark: three to eight, " in message for message in caplog.messages) == 4

    caplog.clear()
    with caplog.at_level(logging.INFO):
        again = benchmark(editor, TASK, [], 1)
    assert not [message for message in caplog.messages if "benchmark: three to eight, " in message]
    assert again.tables["edits"] == edits


def test_a_method_may_choose_lambda_for_each_image_by_levels(editor, tmp_path):
    choices = {"dmt": partial(PictureBudget, lowest=0.05, highest=2.0, steps=3)}
    cases = {"three_to_eight": case(editor, methods=["dmt"])}
    asked = run(editor, tmp_path, cases=cases, choices=choices, levels=[0.2, 1.0, 1.0])
    edits = asked(editor, TASK, [], 1).tables["edits"]
    weak, strong = sorted({row["lambda"] for row in edits}, reverse=True)  # the level given twice counts once
    assert 0.05 <= strong < weak <= 2.0
    change = {budget: np.mean([row["change"] for row in edits if row["lambda"] == budget]) for budget in (weak, strong)}
    assert change[weak] < change[strong]


def test_what_was_cut_off_goes_on_where_it_was(editor, tmp_path, caplog):
    run(editor, tmp_path, budgets=[1.0])(editor, TASK, [], 1)
    unfinished = max((tmp_path / "cells").iterdir(), key=lambda folder: "pixel_mean" in folder.name)
    (unfinished / "records.json").unlink()
    with caplog.at_level(logging.INFO):
        run(editor, tmp_path, budgets=[1.0])(editor, TASK, [], 1)
    assert [m for m in caplog.messages if "three to eight, " in m] == [
        "benchmark: three to eight, pixel_mean, lambda' 1"
    ]


def test_other_settings_are_other_edits(editor, tmp_path, caplog):
    run(editor, tmp_path, budgets=[1.0])(editor, TASK, [], 1)
    other = replace(editor, settings={**editor.settings, "normalization": "other"})
    elsewhere = replace(editor, settings={**editor.settings, "output_dir": "elsewhere", "threads": 3})
    for changed, n_made in ((elsewhere, 0), (other, 2)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            run(changed, tmp_path, budgets=[1.0])(changed, TASK, [], 1)
        assert sum("three to eight, " in message for message in caplog.messages) == n_made


def test_each_case_keeps_its_own_labels_whatever_the_run_keeps(editor, tmp_path):
    made = []

    def method(tools):
        kept = tools.contrasts(THREES[:1], torch.zeros(1, 8))[0].witness.kept
        made.append(0 if kept is None else len(kept))
        return editor.method(tools)

    of_its_own = AttributeTask("8", source="3", balance=["1"])
    cases = {"free": case(editor), "kept": case(editor, keep=["1", "7"]), "own": replace(case(editor), task=of_its_own)}
    cases = {name: replace(one, methods=["dmt"]) for name, one in cases.items()}
    keeping = replace(editor, keep=["8"])  # the target: a case cannot keep it
    run(keeping, tmp_path, cases=cases, methods={"dmt": method}, budgets=[1.0])(keeping, TASK, [], 1)
    assert made == [0, 2, 1]


def test_inputs_that_show_the_target_already_are_left_out(editor, tmp_path):
    brightness = {name: float(editor.splits(task=None).original(name).mean()) for name in THREES}
    ordered = sorted(brightness.values())
    between = (ordered[1] + ordered[2]) / 2
    cases = {"some": case(editor, threshold=between, methods=["pixel_mean"])}
    report = run(editor, tmp_path, cases=cases, budgets=[1.0])(editor, TASK, [], 1)
    assert {row["image"] for row in report.tables["edits"]} == {
        name for name, value in brightness.items() if value < between
    }


def test_a_picture_that_does_not_decode_is_a_failed_edit(editor, tmp_path, save_picture):
    whole = save_picture(tmp_path / "whole.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(whole.read_bytes()[:60])
    cases = {"one": case(editor, methods=["pixel_mean"], images=[THREES[0], str(broken)])}
    report = run(editor, tmp_path, cases=cases, budgets=[1.0])(editor, TASK, [], 1)
    failed = [row for row in report.tables["edits"] if row["failed"]]
    assert [(row["image"], row["flipped"]) for row in failed] == [(str(broken), 0)]
    assert report.tables["curves"][0]["failed"] == 1


def test_a_case_without_a_judge_gets_a_probe_of_its_own_task_or_is_left_out_with_the_reason(editor, tmp_path):
    asked = []

    def probe(task):
        asked.append(task)
        if task.target == "9":
            raise UserError("the AUC is too low")
        return Brightness()

    tasks = {"three_to_eight": TASK, "three_to_nine": ClassTask("3", "9")}
    cases = {name: Case(task, THREES, editor.selection, ["pixel_mean"], threshold=0.9) for name, task in tasks.items()}
    report = run(editor, tmp_path, cases=cases, budgets=[1.0], probe=probe)(editor, TASK, [], 1)
    assert asked == list(tasks.values())
    assert {row["case"] for row in report.tables["edits"]} == {"three to eight"}
    assert "the AUC is too low" in (tmp_path / "index.html").read_text()
    asked.clear()
    run(editor, tmp_path, cases=cases, budgets=[1.0], probe=probe, only=["three_to_eight"])(editor, TASK, [], 1)
    assert asked == [TASK]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"budgets": []}, "figure.budgets is empty"),
        ({"methods": {}}, "no method 'dmt'"),
        ({"only": ["three_to_eigth"]}, "no case 'three_to_eigth'"),
        ({"budgets": [-1.0]}, "lambda must be a number above 0"),
    ],
)
def test_what_cannot_be_is_said(editor, tmp_path, more, message):
    with pytest.raises(UserError, match=message):
        run(editor, tmp_path, **more)(editor, TASK, [], 1)


def test_a_judge_that_is_not_there_is_said(editor, tmp_path):
    cases = {"one": case(editor, judge="brightnes")}
    with pytest.raises(UserError, match="did you mean 'brightness'"):
        run(editor, tmp_path, cases=cases)(editor, TASK, [], 1)


def test_a_cell_is_named_after_all_that_determines_it(tmp_path):
    one = Cell.of(tmp_path, "a", "dmt", 0.3, {"x": 1})
    assert one == Cell.of(tmp_path, "a", "dmt", 0.3, {"x": 1})
    others = [
        Cell.of(tmp_path, *what)
        for what in (("b", "dmt", 0.3, {"x": 1}), ("a", "linear", 0.3, {"x": 1}), ("a", "dmt", 0.2, {"x": 1}))
    ]
    assert len({one.folder, Cell.of(tmp_path, "a", "dmt", 0.3, {"x": 2}).folder, *(o.folder for o in others)}) == 5


def test_a_cell_gives_back_what_it_was_given(tmp_path):
    picture = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    images = [EditedImage("a", picture, picture.flip(2), {}), EditedImage("x/a", picture, picture, {})]
    cell = Cell.of(tmp_path, "case", "dmt", math.nan, {})
    assert not cell.is_done
    cell.write(images, [{"image": "a", "identity": 0.5}, {"image": "x/a", "identity": 1.0}])
    assert cell.is_done
    records = cell.records()
    assert [record["identity"] for record in records] == [0.5, 1.0]
    for record, image in zip(records, images, strict=True):
        expected = (image.after.permute(1, 2, 0).numpy() * 255).round()
        np.testing.assert_array_equal(cell.picture(record), expected)
    assert json.loads((cell.folder / "records.json").read_text()) == records


def test_the_probe_of_the_benchmark_is_that_of_the_judges(cache_dir, tmp_path):
    options = ["judges=probe", "backbone@judges.probe.pictures.features.backbone=digits", "data.reserved=0.6"]
    options += ["judges.probe.pictures.features.layers=[conv3]", "judges.probe.pictures.features.crop=1.0"]
    editor = editor_of(cache_dir, tmp_path, *options)
    probe = editor.judges["probe"]
    assert isinstance(probe, ProbeJudge)
    threes = [name for name in THREES if not reserved_groups([name], 0.6)[0]]
    assert threes
    cases = {"three_to_eight": Case(TASK, threes, Matched(20, []), ["dmt"])}
    made = partial(ProbeJudge, probe.pictures)
    benchmark = run(editor, tmp_path / "made", cases=cases, budgets=[0.3], probe=made)
    report = benchmark(editor, TASK, [], 1)
    for row in report.tables["edits"]:
        assert row["flipped"] == (row["judged"] > 0.5)
        assert -1 <= row["cout"] <= 1
