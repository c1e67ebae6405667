"""What stands for which label: exact spelling first, then case, then what a command line makes of a word."""

import logging
import shlex

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from dmt.data import (
    AttributeTask,
    ClassFolders,
    ClassTask,
    EditData,
    Folder,
    Matched,
    PersonTask,
    Pool,
    Sets,
    label_signs,
)
from dmt.data.labels import label_named, labels_meant, matching
from dmt.errors import UserError

AWKWARD = ["1e3", "null", "true", "False", "1_000", "-7", "3", "03", "1.5", "nan", "[x]", "[1e3, true]", "two words"]
QUOTED = ["straße", "a,b", "x=y", "{x}", "a(b)", "it's", "a;b", "é", "~", "#1", 'say "x"']


def as_hydra_reads(argument: str) -> object:
    return OverridesParser.create().parse_overrides([argument])[0].value()


@pytest.fixture
def folder(tmp_path, save_picture):
    def make(*names: str, root="pets") -> Folder:
        for number, name in enumerate(names):
            for seed in range(4):
                save_picture(tmp_path / root / name / f"{seed}.png", 10 * number + seed)
        return Folder(tmp_path / root)

    return make


@pytest.mark.parametrize(
    ("written", "known", "expected"),
    [
        ("Cat", ["Cat", "cat"], ["Cat"]),
        ("cat", ["Cat", "cat"], ["cat"]),
        ("CAT", ["Cat", "cat"], ["Cat", "cat"]),
        ("Cat", ["cat"], ["cat"]),
        ("STRASSE", ["straße"], ["straße"]),
        ("strasse", ["straße", "strasse"], ["strasse"]),
        ("cafe\u0301", ["caf\u00e9", "CAFE\u0301"], ["caf\u00e9"]),
        ("cats", ["cat"], []),
        ("", ["cat"], []),
    ],
)
def test_a_name_is_first_what_is_spelt_so(written, known, expected):
    assert matching(written, known) == expected


@given(st.lists(st.text(max_size=4), min_size=1, unique=True))
def test_every_name_means_itself(names):
    assert [matching(name, names) for name in names] == [[name] for name in names]


@pytest.mark.parametrize("label", AWKWARD)
def test_a_word_means_the_label_that_hydra_reads_alike(label):
    others = [other for other in AWKWARD if other != label]
    assert labels_meant(as_hydra_reads(f"x={label}"), AWKWARD) == [label]
    assert label not in labels_meant(as_hydra_reads(f"x={label}"), others)


@given(st.integers(-(10**6), 10**6) | st.floats(allow_nan=True) | st.booleans() | st.none())
def test_whatever_hydra_makes_of_a_word_is_found_by_it(value):
    word = str(OmegaConf.to_yaml([value])).removeprefix("- ").strip().lstrip(".")  # .nan and .inf of YAML
    read = as_hydra_reads(f"x={word}")
    if not isinstance(read, str):
        assert labels_meant(read, [word]) == [word]


@pytest.mark.parametrize("value", [3, np.int64(3), np.int32(3)])
def test_numbers_of_numpy_are_numbers(value):
    assert labels_meant(value, ["3.0", "03", "3"]) == ["3"]


def test_labels_that_read_alike_are_an_error_that_shows_the_quotes():
    with pytest.raises(UserError) as caught:
        label_named(as_hydra_reads("x=1e3"), ["1e3", "1000.0", "2"], "photos")
    said = str(caught.value)
    assert "photos has the labels '1e3' and '1000.0', which read alike without quotes" in said
    assert as_hydra_reads(shlex.split(said.partition("such as ")[2])[0]) == "1e3"


def test_names_that_differ_in_case_only_are_an_error_that_names_both(folder):
    catalog = folder("Cat", "cat", "dog")
    assert (catalog.scores("Cat") > 0).tolist() == [True] * 4 + [False] * 8
    assert (catalog.scores("cat") > 0).tolist() == [False] * 4 + [True] * 4 + [False] * 4
    with pytest.raises(UserError, match="has the labels 'Cat' and 'cat'; write one of them"):
        catalog.scores("CAT")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "no label 'null'; a label of that name would be written 'task.source=\"null\"'"),
        (["x"], "no label '[x]'; a label of that name would be written 'task.source=\"[x]\"'"),
        (True, "no label 'true'; a label"),
        (7, "no label '7' (there are cat, dog)"),
        ("cats", "no label 'cats'; did you mean 'cat'? (there are cat, dog)"),
    ],
)
def test_no_such_label_is_said_as_it_is_written(value, words):
    with pytest.raises(UserError) as caught:
        label_named(value, ["cat", "dog"], "photos")
    assert words in str(caught.value)


def test_of_many_labels_not_all_are_listed():
    with pytest.raises(UserError, match=r"98, 99 and 900 more\)"):
        label_named("cat", [str(i) for i in range(1000)], "photos")


# Catalogs and tasks


@pytest.mark.parametrize("label", [*AWKWARD, *QUOTED])
def test_a_class_of_any_name_can_be_edited(folder, label):
    catalog = folder(label, "dogs")
    data = EditData(catalog, ClassTask(label, "dogs"), images=1, image_size=16)
    assert [catalog.names[i].rpartition("/")[0] for i in data.source] == [label] * 3
    assert data.task.title == f"{label} to dogs"


def test_a_task_is_titled_as_the_catalog_spells_and_the_case_is_said(folder, caplog):
    catalog = folder("cat", "1e3")
    caplog.set_level(logging.INFO)
    data = EditData(catalog, ClassTask("CAT", 1000.0), images=1, image_size=16)
    assert data.task.title == "cat to 1e3"
    assert list(data.pool.own_labels) == ["cat", "1e3"]
    assert caplog.messages == ["'CAT' is taken for 'cat', the label that there is"]


def test_the_same_class_in_two_spellings_is_an_error(folder):
    with pytest.raises(UserError, match="both 'cat'; they must differ"):
        EditData(folder("cat", "dog"), ClassTask("cat", "CAT"), images=1, image_size=16)


def test_classes_that_differ_in_case_only_are_two(folder):
    data = EditData(folder("Cat", "cat"), ClassTask("Cat", "cat"), images=1, image_size=16)
    assert (len(data.source), len(data.target)) == (3, 4)


def test_class_folders_take_names_by_the_same_rule(folder, tmp_path):
    folder("Cat", "cat", "1e3", root="train")
    folder("Cat", "cat", "1e3", "bird", root="val")
    catalog = ClassFolders(tmp_path)
    assert (catalog.scores("cat") > 0).sum() == (catalog.scores("Cat") > 0).sum() == 8
    assert catalog.scores("BIRD").tolist() == catalog.scores("bird").tolist()
    assert (catalog.scores(1000.0) > 0).sum() == 8
    with pytest.raises(UserError, match="the data set has the classes 'Cat' and 'cat'"):
        catalog.scores("CAT")


class Labelled:
    """A catalog of labels that differ in case only."""

    title = "labelled"

    def __init__(self, **scores):
        self._scores = {name: np.array(values, dtype=float) for name, values in scores.items()}
        self.labels = list(scores)
        self.names = self.groups = ["Ann_Lee", "ann_lee", "Bo De"]

    def scores(self, label):
        return self._scores[label]

    def index(self, name):
        return self.names.index(name)


LABELLED = Labelled(Hat=[1, -1, 1], hat=[-1, 1, 1], Tall=[1, 1, -1])


def test_matching_pictures_leaves_out_the_tasks_own_label_and_no_other():
    positions = np.arange(3)
    pool = Pool(LABELLED, (np.ones(3), np.ones(3)), Sets(positions, positions), ["hat"], ["Hat"])
    labels, weights = Matched()._labels(pool)
    assert (labels, weights.tolist()) == (["Hat", "Tall"], [4, 1])
    assert Matched(same=["TALL"])._labels(pool)[1].tolist() == [1, 4]
    with pytest.raises(UserError, match="or the task changes them"):
        Matched(same=["hat"])._labels(pool)


def test_a_label_can_be_kept_though_the_task_changes_one_of_other_case():
    assert label_signs(LABELLED, ["Hat"], ["hat"])[:, 0].tolist() == [1, -1, 1]
    with pytest.raises(UserError, match="keep names 'hat', which the task is there to change"):
        label_signs(LABELLED, ["hat"], ["hat"])
    with pytest.raises(UserError, match="keep names 'coat': there is no such label"):
        label_signs(LABELLED, ["coat"], ["hat"])


def test_attributes_are_spelt_as_the_catalog_spells_them():
    task = AttributeTask("TALL", source="Hat", balance=["hat"]).within(LABELLED)
    assert (task.attribute, task.source, list(task.balance)) == ("Tall", "Hat", ["hat"])


@pytest.mark.parametrize(("person", "first"), [("Ann_Lee", 0), ("ann_lee", 1), ("ann lee", 1), ("bo_de", 2)])
def test_a_person_is_first_who_is_spelt_so(person, first):
    _, target = PersonTask(person, least=1).scores(LABELLED)
    assert np.flatnonzero(target > 0).tolist() == [first]


def test_a_person_who_may_be_two_is_an_error_that_names_both():
    with pytest.raises(UserError, match="'ANN LEE' may be 'Ann_Lee' or 'ann_lee'"):
        PersonTask("ANN LEE", least=1).scores(LABELLED)
