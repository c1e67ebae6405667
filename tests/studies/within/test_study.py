"""The study: what a draw takes, what its table says, and that what is finished is not done again."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import dmt
from dmt.data import Digits
from dmt.errors import UserError
from dmt.networks import digits_network
from dmt.storage.files import read_json
from dmt.studies.transfer import narrow_network
from dmt.studies.within import Mixup, Moved, Recipe, Sampling, WithinClassStudy
from dmt.studies.within.study import SETTINGS, WAYS, accuracy_table, gain_table

SAMPLING = Sampling(classes=3, pictures=4, draws=2, neighbours=1, lam=1.0)


def test_a_draw_learns_from_as_many_of_each_class_and_is_tested_on_all_others():
    digits = Digits()
    task = SAMPLING.task(digits, 5)
    assert len(set(task.classes)) == 3
    for label, train, test in zip(task.classes, task.train, task.validation, strict=True):
        assert len(train) == 4
        assert sorted([*train, *test]) == np.flatnonzero(digits.digits == int(label)).tolist()
    assert SAMPLING.task(digits, 5).fingerprint == task.fingerprint != SAMPLING.task(digits, 6).fingerprint


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"classes": 11}, "the data set has 10"), ({"pictures": 400}, "leaves none to test with")],
)
def test_what_the_data_set_does_not_have_is_said(changed, said):
    with pytest.raises(UserError, match=said):
        replace(SAMPLING, **changed).task(Digits(), 0)


@pytest.mark.parametrize("changed", [{"neighbours": 4}, {"neighbours": 0}, {"lam": 0.0}, {"draws": 0}, {"classes": 1}])
def test_numbers_out_of_range_are_said(changed):
    with pytest.raises(UserError, match=next(iter(changed)).replace("lam", "lambda")):
        replace(SAMPLING, **changed)


def test_the_tables_have_means_and_paired_differences():
    network = [{"none": 50.0, "within": 61.0, "pixels": 60.0}, {"none": 70.0, "within": 75.0, "pixels": 75.0}]
    found = [{"network": one, "probe": dict.fromkeys(one, 90.0)} for one in network]
    rights = {row["way"]: row for row in accuracy_table(found)}
    assert (rights["none"]["network"], rights["within"]["network"], rights["pixels"]["probe"]) == (60, 68, 90)
    assert (rights["none"]["network_low"], rights["none"]["network_high"]) == (50, 70)  # either draw, twice
    over_none, over_pixels = gain_table(found)
    assert [(row["way"], row["over"]) for row in (over_none, over_pixels)] == [("within", "none"), ("within", "pixels")]
    assert [over_none[f"network{end}"] for end in ("", "_low", "_high")] == [8, 5, 11]
    assert [over_pixels[f"network{end}"] for end in ("", "_low", "_high")] == [0.5, 0, 1]
    assert [over_pixels[f"probe{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]


def test_every_way_is_judged_and_what_is_finished_is_found_again(tmp_path, quiet_trainer):
    study = WithinClassStudy(
        partial(narrow_network, kernel=5, stride=4, hidden=8),
        Recipe(steps=4, batch_size=8, learning_rate=0.01),
        moved=Moved(),
        mixup=Mixup(),
        backbone=partial(digits_network, 4),
        sampling=SAMPLING,
        folder=tmp_path,
    )
    settings = dict.fromkeys(SETTINGS, "") | {"study": {"folder": str(tmp_path), "sampling": {"draws": 2}}}

    def editor():
        return dmt.Editor.default("digits", "manifold=span", "solver=quick", "realise=null", "progress=false")

    report = study(quiet_trainer, editor, settings)
    rights = report.tables["right"]
    assert [row["way"] for row in rights] == list(WAYS)
    assert all(0 <= row[judge] <= 100 for row in rights for judge in ("network", "probe"))
    assert len(report.tables["gains"]) == 2 * (len(WAYS) - 1)
    assert report.pictures["made"].height > 3 * 96
    kept = [read_json(file) for file in sorted(tmp_path.glob("*/draw_*.json"))]
    assert np.mean([one["network"]["within"] for one in kept]) == pytest.approx(rights[4]["network"])
    again = replace(study, network=lambda **_: pytest.fail("done before"), backbone=lambda: pytest.fail("done before"))
    assert again(quiet_trainer, editor, settings).tables == report.tables
