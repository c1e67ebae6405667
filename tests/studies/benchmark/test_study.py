"""The benchmark from edits to page, on scikit-learn's digits."""

import logging
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dmt.cli import build, front_door
from dmt.data import AttributeTask, ClassTask, Matched
from dmt.data.selection import Reserved
from dmt.editing import EditedImage, Editor, PixelMeanModule, TypicalPicture
from dmt.errors import UserError
from dmt.judges import ProbeJudge
from dmt.reporting.results import Report
from dmt.storage.files import read_json
from dmt.studies.benchmark import BenchmarkStudy, Case, Contender, Decision
from dmt.studies.benchmark.stored import StoredEdits

TASK = ClassTask("3", "8")
THREES = ["digit_0003", "digit_0013", "digit_0023", "digit_0045"]


class Brightness:
    """A judge whose verdict can be worked out: the mean of the picture."""

    def columns(self, name, before, after):
        return {
            f"{name}_before": np.array([float(image.mean()) for image in before]),
            f"{name}_after": np.array([float(image.mean()) for image in after]),
        }


def configured(cache_dir: Path, folder: Path, *options: str) -> tuple[Editor, dict[str, Any]]:
    """An editor of digits, and the settings that it was made from."""
    small = ["experiment=digits", "progress=false", "data.set_size=80"]
    cfg = front_door.composed(*small, f"cache_dir={cache_dir}", *options)
    cfg.output_dir = f"{folder}/out"
    return build.editor_of(cfg), build.settings_of(cfg)


@pytest.fixture(scope="module")
def made(cache_dir, tmp_path_factory) -> tuple[Editor, dict[str, Any]]:
    return configured(cache_dir, tmp_path_factory.mktemp("benchmark"))


@pytest.fixture(scope="module")
def editor(made) -> Editor:
    return replace(made[0], judges={"brightness": Brightness()})


@pytest.fixture(scope="module")
def settings(made) -> dict[str, Any]:
    return made[1]


def case(threshold: float = 0.9, judge: str = "brightness", **more) -> Case:
    options = {"images": THREES, "methods": ["dmt", "pixel_mean"]} | more
    return Case(TASK, options.pop("images"), decision=Decision(judge, threshold=threshold), **options)


@pytest.fixture
def study(editor, tmp_path):
    """Makes a study of digits."""

    def make(**more) -> BenchmarkStudy:
        pixel_mean = Contender(partial(PixelMeanModule, alpha=None))
        options = {
            "cases": {"three_to_eight": case()},
            "methods": {"dmt": Contender(editor.method), "pixel_mean": pixel_mean},
            "lambdas": [1.0, 0.3],
        }
        return BenchmarkStudy("Digits", str(tmp_path), **(options | more))

    return make


@pytest.fixture
def done(study, editor, settings):
    """Does a study of digits."""

    def do(*, of: Editor = editor, under: dict[str, Any] = settings, **more) -> Report:
        return study(**more)(of.trainer, lambda: of, under)

    return do


def made_now(caplog) -> list[str]:
    """What the log says of edits that were made, and forgets it."""
    said = [message for message in caplog.messages if message.startswith("benchmark: three to eight, ")]
    caplog.clear()
    return said


def test_every_edit_is_made_once_judged_and_shown(done, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    edits = done().tables["edits"]
    assert len(edits) == 2 * 2 * len(THREES)
    assert {(row["method"], row["lambda"]) for row in edits} == {
        (method, lam) for method in ("dmt", "pixel_mean") for lam in (1.0, 0.3)
    }
    for row in edits:
        assert row["case"] == "three to eight"
        assert row["flipped"] == (row["judged"] > 0.9)
    page = (tmp_path / "report.html").read_text()
    assert "three to eight" in page
    for sheet in ("best-three-to-eight", "worst-three-to-eight"):
        assert np.asarray(Image.open(tmp_path / f"{sheet}.png")).std() > 10
    assert len(made_now(caplog)) == 4
    (tmp_path / "curves-2-of-another-run.png").write_bytes((tmp_path / "best-three-to-eight.png").read_bytes())
    again = done()
    assert again.tables["edits"] == edits
    assert set(again.pictures) == {"curves-1-three-to-eight", "best-three-to-eight", "worst-three-to-eight"}
    assert not made_now(caplog)


def test_a_method_may_choose_lambda_for_each_image_by_levels(done, editor):
    rule = partial(TypicalPicture, lowest=0.05, highest=2.0, steps=3)
    methods = {"dmt": Contender(editor.method, rule)}
    levels = [0.2, 1.0, 1.0]
    edits = done(cases={"three_to_eight": case(methods=["dmt"])}, methods=methods, levels=levels).tables["edits"]
    weak, strong = sorted({row["lambda"] for row in edits}, reverse=True)  # the level given twice counts once
    assert 0.05 <= strong < weak <= 2.0
    change = {lam: np.mean([row["change"] for row in edits if row["lambda"] == lam]) for lam in (weak, strong)}
    assert change[weak] < change[strong]


def test_a_method_that_does_not_read_lambda_edits_once(done, editor, caplog):
    caplog.set_level(logging.INFO)
    methods = {"still": Contender(partial(PixelMeanModule, alpha=0.0), reads_lambda=False)}
    edits = done(cases={"three_to_eight": case(methods=["still"])}, methods=methods).tables["edits"]
    assert len(made_now(caplog)) == 1
    assert [row["image"] for row in edits] == THREES
    assert all(math.isnan(row["lambda"]) for row in edits)


def test_what_was_cut_off_goes_on_where_it_was(done, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    done(lambdas=[1.0])
    made_now(caplog)
    unfinished = max((tmp_path / "cells").iterdir(), key=lambda folder: "pixel_mean" in folder.name)
    (unfinished / "records.json").unlink()
    done(lambdas=[1.0])
    assert made_now(caplog) == ["benchmark: three to eight, pixel_mean, lambda' 1"]


def test_other_settings_are_other_edits(done, settings, caplog):
    caplog.set_level(logging.INFO)
    done(lambdas=[1.0])
    made_now(caplog)
    done(lambdas=[1.0], under={**settings, "output_dir": "elsewhere", "threads": 3, "study": {"levels": [0.5]}})
    assert not made_now(caplog)
    done(lambdas=[1.0], under={**settings, "normalization": "other"})
    assert len(made_now(caplog)) == 2


def test_each_case_keeps_its_own_labels_whatever_the_run_keeps(done, editor):
    made = []

    def method(space, contrasts, lams, inverter):
        kept = contrasts.witnesses.distinct[0].kept
        made.append(0 if kept is None else len(kept))
        return editor.method(space, contrasts, lams, inverter)

    of_its_own = AttributeTask("8", source="3", balance=["1"])
    cases = {"free": case(), "kept": case(keep=["1", "7"]), "own": replace(case(), task=of_its_own)}
    cases = {name: replace(one, methods=["dmt"]) for name, one in cases.items()}
    keeping = replace(editor, comparison=replace(editor.comparison, keep=["8"]))  # the target: a case cannot keep it
    done(of=keeping, cases=cases, methods={"dmt": Contender(method)}, lambdas=[1.0])
    assert list(dict.fromkeys(made)) == [0, 2, 1]


def test_inputs_that_show_the_target_already_are_left_out(done, editor):
    brightness = {name: float(editor.data(task=None).original(name).mean()) for name in THREES}
    ordered = sorted(brightness.values())
    between = (ordered[1] + ordered[2]) / 2
    report = done(cases={"some": case(threshold=between, methods=["pixel_mean"])}, lambdas=[1.0])
    assert {row["image"] for row in report.tables["edits"]} == {
        name for name, value in brightness.items() if value < between
    }


def test_a_picture_that_does_not_decode_is_a_failed_edit(done, tmp_path, save_picture):
    whole = save_picture(tmp_path / "whole.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(whole.read_bytes()[:60])
    report = done(cases={"one": case(methods=["pixel_mean"], images=[THREES[0], str(broken)])}, lambdas=[1.0])
    failed = [row for row in report.tables["edits"] if row["failed"]]
    assert [(row["image"], row["flipped"]) for row in failed] == [(str(broken), 0)]
    assert report.tables["curves"][0]["failed"] == 1


def test_a_case_gets_a_probe_of_its_own_task_or_is_left_out_with_the_reason(done, tmp_path):
    asked = []

    def probe(task):
        asked.append(task)
        if task.target == "9":
            raise UserError("the AUC is too low")
        return Brightness()

    tasks = {"three_to_eight": TASK, "three_to_nine": ClassTask("3", "9")}
    probed = case(judge="probe", methods=["pixel_mean"])
    options = {"cases": {name: replace(probed, task=task) for name, task in tasks.items()}, "lambdas": [1.0]}
    report = done(**options, judges={"probe": probe})
    assert asked == list(tasks.values())
    assert {row["case"] for row in report.tables["edits"]} == {"three to eight"}
    assert "the AUC is too low" in (tmp_path / "report.html").read_text()
    asked.clear()
    done(**options, judges={"probe": probe}, only=["three_to_eight"])
    assert asked == [TASK]


def test_a_probe_is_trained_only_where_it_decides_and_other_judges_for_every_case(done):
    asked = []

    def judge(task, name):
        asked.append(name)
        return Brightness()

    judges = {name: partial(judge, name=name) for name in ("probe", "attributes")}
    report = done(cases={"one": case(methods=["pixel_mean"])}, lambdas=[1.0], judges=judges)
    assert asked == ["attributes"]
    assert report.tables["edits"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"lambdas": []}, "lambdas must be a list of numbers above 0"),
        ({"methods": {}}, "no method 'dmt'"),
        ({"only": ["three_to_eigth"]}, "no case 'three_to_eigth'"),
        ({"lambdas": [-1.0]}, "lambda must be a number above 0"),
    ],
)
def test_what_cannot_be_is_said(study, more, message):
    with pytest.raises(UserError, match=message):
        study(**more)


def test_a_judge_that_is_not_there_is_said(done):
    with pytest.raises(UserError, match="did you mean 'brightness'"):
        done(cases={"one": case(judge="brightnes")})


def test_edits_are_kept_under_a_name_of_all_that_determines_them(tmp_path):
    def folder(case="a", **other):
        options = {"method": "dmt", "strength": 0.3, "determined_by": {"x": 1}} | other
        return StoredEdits.of(tmp_path, case, **options).folder

    assert folder() == folder()
    others = folder("b"), folder(method="linear"), folder(strength=0.2), folder(determined_by={"x": 2})
    assert len({folder(), *others}) == 5


def test_kept_edits_are_what_was_given(tmp_path):
    picture = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    images = [EditedImage("a", picture, picture.flip(2), {}), EditedImage("x/a", picture, picture, {})]
    stored = StoredEdits.of(tmp_path, "case", method="dmt", strength=math.nan, determined_by={})
    assert not stored.are_done
    stored.write(images, [{"image": "a", "identity": 0.5}, {"image": "x/a", "identity": 1.0}])
    assert stored.are_done
    records = stored.records()
    assert [record["identity"] for record in records] == [0.5, 1.0]
    for record, image in zip(records, images, strict=True):
        expected = (image.result.permute(1, 2, 0).numpy() * 255).round()
        np.testing.assert_array_equal(stored.picture(record), expected)
    assert read_json(stored.folder / "records.json")["records"] == records


def test_the_probe_of_the_benchmark_is_that_of_the_judges(done, cache_dir, tmp_path):
    options = ["judges=[probe]", "backbone@judges.probe.pictures.features.backbone=digits", "data.reserved.share=0.6"]
    options += ["judges.probe.pictures.features.layers=[conv3]", "judges.probe.pictures.features.crop=1.0"]
    editor, settings = configured(cache_dir, tmp_path, *options)
    probe = editor.judges["probe"]
    assert isinstance(probe, ProbeJudge)
    threes = [name for name in THREES if not Reserved(0.6).among([name])[0]]
    assert threes
    cases = {"three_to_eight": Case(TASK, threes, selection=Matched(20, []), methods=["dmt"])}
    report = done(
        of=editor, under=settings, cases=cases, lambdas=[0.3], judges={"probe": partial(ProbeJudge, probe.pictures)}
    )
    for row in report.tables["edits"]:
        assert row["flipped"] == (row["judged"] > 0.5)
        assert -1 <= row["cout"] <= 1
