"""What would have to change for a classifier to change its mind, with edits whose results a formula gives."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from dmt.data import EditData, ImageError
from dmt.editing import EditedImage, Explain, LeastChange, explain
from dmt.editing.editor import Edit
from dmt.editing.lambda_rules import Trials
from dmt.editing.records import judged
from dmt.errors import UserError
from dmt.inversion import Inverter
from dmt.judges.classifier import ModuleClassifier
from dmt.manifolds import Points
from dmt.traversal.witness import WitnessBatch
from tests.judges.classifiers import CHANCES, LOGITS, SIGMOID, MeanColour, onnx_of

SIZE = 4
NAMES = ["red", "green", "blue"]
STEPS = 2
FACTOR = 2 ** (2.0**-STEPS)  # below the crossing at the most
SEARCH = LeastChange("classifier", first=1.0, lowest=0.1, highest=6.0, steps=STEPS)


class Colours:
    """Pictures of one colour, of which one channel is the largest."""

    title = fingerprint = "colours"
    labels = ()
    is_validation = None
    kinds: dict = {}  # noqa: RUF012

    def __init__(self, n: int = 30, broken=(), seed: int = 0):
        random = np.random.default_rng(seed)
        self.own = np.arange(n) % 3
        self.colours = random.uniform(0.2, 0.4, (n, 3))
        self.colours[np.arange(n), self.own] += random.uniform(0.1, 0.3, n)
        self.names = [f"picture_{i}" for i in range(n)]
        self.groups = self.names
        self.broken = set(broken)

    def read(self, index, size):
        if index in self.broken:
            raise ImageError(f"{self.names[index]} does not decode")
        return torch.tensor(self.colours[index], dtype=torch.float32)[:, None, None].expand(3, size, size)

    def read_named(self, name, size):
        return self.read(self.names.index(name), size)

    def index(self, name):
        return self.names.index(name) if name in self.names else None

    def group(self, name):
        return name

    def scores(self, label):
        raise UserError(f"there is no label {label!r}")


@dataclass(frozen=True)
class Recolouring:
    """An editor whose pictures go 0.2 / lambda times the difference of the sides' mean colours."""

    catalog: Colours
    judges: Mapping = field(default_factory=dict)
    inverter: Inverter = field(default_factory=Inverter)
    asked: list[EditData] = field(default_factory=list)

    def data(self, task, images) -> EditData:
        return EditData(self.catalog, task, images=images, image_size=SIZE)

    def direction(self, data: EditData) -> Tensor:
        means = [self.catalog.colours[side].mean(axis=0) for side in (data.source, data.target)]
        return torch.tensor(means[1] - means[0], dtype=torch.float32)[:, None, None]

    def made(self, task, images, rule) -> Edit:
        data = self.data(task, images)
        self.asked.append(data)
        inputs = [data.catalog.read_named(name, SIZE) for name in data.inputs]

        def edited(lams: Tensor, rows: Tensor) -> list[EditedImage]:
            made = [
                EditedImage(
                    data.inputs[row],
                    inputs[row],
                    inputs[row] + self.direction(data) * 0.2 / lam,
                    {"image": data.inputs[row], "lambda": lam},
                )
                for lam, row in zip(lams.tolist(), rows.tolist(), strict=True)
            ]
            return judged(made, {rule.judge: self.judges[rule.judge]})

        n = len(inputs)
        nothing: Callable = lambda *_: pytest.fail("the rule looks at what it has no need of")  # noqa: E731
        witnesses = WitnessBatch([], torch.zeros(n, dtype=torch.long))
        trials = Trials(Points.one_each(torch.zeros(n, 1)), witnesses, None, edited, nothing, nothing)
        lams, _ = rule.choose(trials)
        space: object = None
        images = edited(lams, torch.arange(n))
        return Edit(f"{task.title}\n{rule.title}", images, data, space, [], judges=self.judges)


def three_colours(says: str = LOGITS) -> MeanColour:
    """Prefers the largest channel."""
    return MeanColour([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]], [0.0] * 3, says)


def asks(classes=None, network: MeanColour | None = None, names=NAMES, **options) -> Explain:
    return Explain(ModuleClassifier(network or three_colours()), classes, names, **{"search": SEARCH} | options)


def crossing(before: Tensor, after: Tensor, lam: float, is_reached: Callable[[np.ndarray], bool]) -> float:
    """The largest lambda of the range at which a picture is reached, by trying 20,000; the colour moves on one line."""
    first, direction = before[:, 0, 0].double().numpy(), (after - before)[:, 0, 0].double().numpy() * lam
    lams = np.geomspace(6.0, 0.1, 20_000)
    return next(value for value in lams if is_reached(first + direction / value))


def assert_lambdas_lie_just_below_the_crossings(edit: Edit, is_reached: Callable[[EditedImage, np.ndarray], bool]):
    for image in edit.images:
        lam = image.record["lambda"]
        of_image = crossing(image.input, image.result, lam, lambda colour, image=image: is_reached(image, colour))
        assert lam <= of_image * 1.001
        assert of_image <= lam * FACTOR * 1.001


def positions(*values: int) -> list[str]:
    return [f"picture_{value}" for value in values]


# Classes


@pytest.mark.parametrize(("classes", "names"), [(["red", "blue"], NAMES), (["0", "2"], None), ([0, 2], NAMES)])
def test_pictures_go_from_one_class_to_the_other_just_as_far_as_it_takes(classes, names):
    editor = Recolouring(Colours())
    edit = asks(classes, names=names)(editor, positions(0, 6, 12))
    ends = ("red", "blue") if names else ("0", "2")
    assert edit.table["image"].tolist() == positions(0, 6, 12)
    assert {(row["from"], row["to"]) for _, row in edit.table.iterrows()} == {ends}
    assert edit.table["verdict"].tolist() == ["yes"] * 3
    assert (edit.table["classifier_before"] < 0.5).all()
    assert (edit.table["classifier_after"] > 0.5).all()
    assert_lambdas_lie_just_below_the_crossings(edit, lambda image, colour: colour.argmax() == 2)
    (data,) = editor.asked
    assert set(data.source) == set(range(0, 30, 3)) - {0, 6, 12}
    assert set(data.target) == set(range(2, 30, 3))


def test_what_the_classifier_says_is_its_preference_for_the_wanted_class_to_the_best_of_the_others():
    edit = asks(["red", "blue"])(Recolouring(Colours()), positions(0))
    red, green, blue = edit.images[0].result[:, 0, 0].double().numpy()
    chances = np.exp(9 * np.array([red, green, blue]))
    expected = chances[2] / (chances[2] + max(chances[:2]))
    assert edit.table["classifier_after"][0] == pytest.approx(expected, rel=1e-4)


def test_probabilities_and_logits_give_the_same_answer():
    edits = [
        asks(["red", "blue"], three_colours(says))(Recolouring(Colours()), positions(0, 6))
        for says in (LOGITS, CHANCES)
    ]
    first, second = (edit.table for edit in edits)
    assert first["lambda"].tolist() == second["lambda"].tolist()
    np.testing.assert_allclose(first["classifier_after"], second["classifier_after"], rtol=1e-4)


def test_a_file_and_a_function_give_the_same_answer(tmp_path):
    path = onnx_of(three_colours(), tmp_path / "net.onnx", side=SIZE)
    by_file = explain(path, ["red", "blue"], names=NAMES, preprocessing={"size": SIZE}, search=SEARCH)
    edits = [each(Recolouring(Colours()), positions(0, 6)).table for each in (by_file, asks(["red", "blue"]))]
    assert edits[0]["lambda"].tolist() == edits[1]["lambda"].tolist()
    assert by_file.title == "net.onnx: red to blue"


def test_pictures_of_another_class_are_left_out_and_this_is_said(caplog):
    edit = asks(["red", "blue"])(Recolouring(Colours()), positions(0, 1, 2, 3))
    assert edit.table["image"].tolist() == positions(0, 3)
    assert "2 of 4 pictures are not 'red' to the classifier, and are left out" in caplog.text
    with pytest.raises(UserError, match="none of the 2 pictures is of the class that is to be changed"):
        asks(["red", "blue"])(Recolouring(Colours()), positions(1, 2))


def test_from_one_class_to_whatever_is_next_for_each_picture():
    catalog = Colours()
    edit = asks(["red"])(Recolouring(catalog), positions(*range(0, 15, 3)))
    expected = [NAMES[1 + (catalog.colours[i, 2] > catalog.colours[i, 1])] for i in range(0, 15, 3)]
    assert len(set(expected)) == 2
    assert edit.table["to"].tolist() == expected
    assert edit.table["image"].tolist() == positions(*range(0, 15, 3)), "in the order they were asked for"
    assert_lambdas_lie_just_below_the_crossings(edit, lambda image, colour: colour.argmax() != 0)


def test_from_any_class():
    edit = asks()(Recolouring(Colours()), positions(0, 1, 2, 4))
    assert edit.table["from"].tolist() == ["red", "green", "blue", "green"]
    assert (edit.table["from"] != edit.table["to"]).all()
    assert_lambdas_lie_just_below_the_crossings(
        edit, lambda image, colour: NAMES[colour.argmax()] != image.record["from"]
    )


WARMTH = [[30.0, 0.0, 0.0]], [-12.0]  # warm above a red of 0.4


@pytest.mark.parametrize("says", [SIGMOID, LOGITS])
@pytest.mark.parametrize("images", [3, positions(1, 2, 4)])
def test_of_one_output_the_second_class_is_what_it_says(says, images):
    cold_to_warm = asks(["cold", "warm"], MeanColour(*WARMTH, says), names=None)
    edit = cold_to_warm(Recolouring(Colours()), images)
    assert len(edit.images) == 3
    assert (edit.table["classifier_before"] < 0.5).all()
    for image in edit.images:
        assert image.input[0, 0, 0] < 0.4 < image.result[0, 0, 0]
        chance = 1 / (1 + np.exp(12 - 30 * float(image.result[0, 0, 0])))
        assert image.record["classifier_after"] == pytest.approx(chance, abs=1e-4)
    assert_lambdas_lie_just_below_the_crossings(edit, lambda image, colour: colour[0] > 0.4)


@pytest.mark.parametrize("says", [SIGMOID, LOGITS])
def test_the_first_class_of_one_output_is_found_when_pictures_are_drawn(says):
    warm_to_cold = asks(["warm", "cold"], MeanColour(*WARMTH, says), names=["cold", "warm"])
    edit = warm_to_cold(Recolouring(Colours()), 3)
    assert len(edit.images) == 3
    assert all(image.input[0, 0, 0] > 0.4 > image.result[0, 0, 0] for image in edit.images)


def test_a_number_of_pictures_is_drawn_from_the_class_and_broken_ones_are_not():
    editor = Recolouring(Colours(broken=[0, 3, 5, 6]))
    edit = asks(["red", "blue"])(editor, 4)
    drawn = [editor.catalog.index(image.name) for image in edit.images]
    assert len(set(drawn)) == 4
    assert {i % 3 for i in drawn} == {0}
    assert not set(drawn) & editor.catalog.broken
    assert not {*editor.asked[0].source, *editor.asked[0].target} & editor.catalog.broken
    assert [image.name for image in asks(["red", "blue"])(editor, 4).images] == [image.name for image in edit.images]


def test_a_whole_folder_is_explained_at_once_for_the_others_are_compared_with():
    editor = Recolouring(Colours())
    edit = asks()(editor, editor.catalog.names)
    assert edit.table["image"].tolist() == editor.catalog.names
    assert (edit.table["verdict"] == "yes").all()
    for data in editor.asked:
        inputs = {editor.catalog.index(name) for name in data.inputs}
        assert not inputs & {*data.source, *data.target}
        assert min(len(data.source), len(data.target)) >= 2


# Who else agrees


@dataclass(frozen=True)
class Says:
    """The same of every result."""

    after: float

    def columns(self, name, before, after):
        return {f"{name}_before": np.full(len(before), 0.1), f"{name}_after": np.full(len(after), self.after)}


@pytest.mark.parametrize(
    ("judges", "verdict"),
    [
        ({}, "yes"),
        ({"classes": Says(0.9)}, "confirmed"),
        ({"classes": Says(0.5)}, "adversarial"),
        ({"classes": Says(0.9), "probe": Says(0.2)}, "adversarial"),
        ({"classes": Says(0.9), "probe": Says(0.7)}, "confirmed"),
        ({"age": Says(0.0)}, "yes"),  # says nothing of the classes
    ],
)
def test_a_change_is_confirmed_if_every_other_judge_of_the_classes_agrees(judges, verdict):
    edit = asks(["red", "blue"])(Recolouring(Colours(), judges), positions(0))
    assert edit.table["verdict"].tolist() == [verdict]
    assert edit.table["reached"].tolist() == [True]


def test_all_pictures_are_handed_over_before_anybody_is_asked_for_a_second_opinion():
    happened: list[list[str]] = []

    class Second(Says):
        def columns(self, name, before, after):
            happened.append(["asked"] * len(after))
            return super().columns(name, before, after)

    def finished(edit):
        happened.append([image.name for image in edit.images])
        assert not any("becomes" in image.record for image in edit.images)

    editor = Recolouring(Colours(), {"classes": Second(0.9)})
    edit = asks()(editor, positions(0, 1, 3, 4), finished=finished)
    assert len(editor.asked) > 1, "in parts"
    assert happened[0] == positions(0, 1, 3, 4)
    assert [word for words in happened[1:] for word in words] == ["asked"] * 4
    assert edit.table["verdict"].tolist() == ["confirmed"] * 4


def test_what_nothing_changes_is_told(caplog):
    search = LeastChange("classifier", first=5.0, lowest=4.0, highest=6.0, steps=1)
    edit = asks(["red", "blue"], search=search)(Recolouring(Colours(), {"classes": Says(0.9)}), positions(0))
    assert edit.table["verdict"].tolist() == ["no"]
    assert edit.table["reached"].tolist() == [False]
    assert edit.table["lambda"].tolist() == [4.0]
    assert "1 of 1 images convinced the judge at no lambda down to 4" in caplog.text


# Numbers


HUNDRED_REDS = MeanColour([[100.0, 0.0, 0.0]], [0.0])


def asks_for(number: str) -> Explain:
    return asks(network=HUNDRED_REDS, names=None, number=number)


@pytest.mark.parametrize(("number", "change"), [("+10", 10), ("-8", -8), (" +10 ", 10), ("10", 10)])
def test_a_number_rises_or_falls_by_as_much_as_is_asked_for(number, change):
    editor = Recolouring(Colours(60))
    chosen = np.flatnonzero(abs(editor.catalog.colours[:, 0] - 0.37) < 0.04)[:3]
    edit = asks_for(number)(editor, positions(*chosen))
    before, after = edit.table["classifier_before"].to_numpy(), edit.table["classifier_after"].to_numpy()
    np.testing.assert_allclose(before, [100 * editor.catalog.colours[i, 0] for i in chosen], rtol=1e-5)
    assert (np.sign(change) * (after - before - change) > 0).all()
    assert edit.table["verdict"].tolist() == ["yes"] * 3
    assert_lambdas_lie_just_below_the_crossings(
        edit,
        lambda image, colour: np.sign(change) * (100 * colour[0] - image.record["classifier_before"] - change) > 0,
    )
    for data, own in zip(editor.asked, before, strict=True):
        reds = 100 * editor.catalog.colours[:, 0]
        assert (abs(reds[data.source] - own) < abs(change) / 2).all()
        assert (np.sign(change) * (reds[data.target] - own - change) >= 0).all()


@pytest.mark.parametrize(("number", "sign"), [(">50", 1), ("<30", -1)])
def test_a_number_becomes_what_is_asked_for_and_who_is_there_is_left_out(number, sign, caplog):
    catalog = Colours(60)
    wanted = float(number[1:])
    edit = asks_for(number)(Recolouring(catalog), catalog.names[:9])
    reds = 100 * catalog.colours[:9, 0]
    are_there = sign * (reds - wanted) > 0
    assert 0 < are_there.sum() < 9
    assert edit.table["image"].tolist() == [
        name for name, so in zip(catalog.names[:9], are_there, strict=True) if not so
    ]
    assert (sign * (edit.table["classifier_after"] - wanted) > 0).all()
    assert f"{are_there.sum()} of 9 pictures are {number} already" in caplog.text


def test_a_number_that_all_pictures_have_is_an_error_in_one_line():
    with pytest.raises(UserError, match="all of the 2 pictures are >1 already; choose others"):
        asks_for(">1")(Recolouring(Colours()), positions(1, 2))


@pytest.mark.parametrize("number", [10, -5, 7.5])
def test_a_number_that_yaml_has_read_as_one_will_do(number):
    asked = explain(ModuleClassifier(HUNDRED_REDS), number=number, search=SEARCH)
    edit = asked(Recolouring(Colours(60)), positions(4))
    assert np.sign(number) * (edit.table["classifier_after"] - edit.table["classifier_before"] - number)[0] > 0


# What cannot be


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": []}, r"classes must be \[from,to\], \[from\] or null, got \[\]"),
        ({"classes": ["a", "b", "c"]}, "classes must be"),
        ({"classes": ["a"], "number": "+1"}, "leave out classes, or number"),
        ({"number": "more"}, "number must be such as .*, got 'more'"),
        ({"number": "+0"}, r"number must be a change, such as .*, got '\+0'"),
        ({"number": "nan"}, "number must be finite, got 'nan'"),
        ({"number": ">inf"}, "number must be finite, got '>inf'"),
    ],
)
def test_a_question_that_is_none_is_refused_before_any_work(options, message):
    with pytest.raises(UserError, match=message):
        asks(**options)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (asks(["red", "blu"]), "the classifier has no class 'blu'; did you mean 'blue'.*name its 3 classes"),
        (asks(["red", "7"]), "no class '7'"),
        (asks(["red", "0"]), "classes must differ, got"),
        (asks(["a", "b"], names=["a", "b"]), "the classifier has 3 classes, names has 2; name each, in order"),
        (asks(["orange", "lemon"], names=None), "no class 'orange'.*task.names="),
        (asks(network=three_colours(), number="+1"), "this one says 3; give classes"),
    ],
)
def test_a_question_that_the_classifier_has_no_answer_to_is_an_error_in_one_line(asked, message):
    with pytest.raises(UserError, match=message) as caught:
        asked(Recolouring(Colours()), positions(0))
    assert "\n" not in str(caught.value)


def test_a_class_that_no_picture_has_is_an_error_in_one_line():
    catalog = Colours(4)  # one blue, one green and two reds
    with pytest.raises(UserError, match="red to blue: the classifier gives 1 of 4 pictures to 'blue'; at least 2"):
        asks(["red", "blue"])(Recolouring(catalog), positions(0))
    dark = MeanColour([[0.0] * 3] * 3, [1.0, 0.0, 0.0])
    with pytest.raises(UserError, match="gives no picture to the class that is to be changed"):
        asks(["blue", "red"], dark)(Recolouring(Colours()), 5)


def test_a_picture_of_which_too_few_are_alike_is_left_out_and_the_others_are_explained(caplog):
    catalog = Colours(60)
    highest = int(catalog.colours[:, 0].argmax())
    edit = asks_for("+10")(Recolouring(catalog), positions(highest, 4))
    assert edit.table["image"].tolist() == positions(4)
    assert f"; left out: picture_{highest}" in caplog.text
    with pytest.raises(UserError, match="the classifier gives 0 of 60 pictures to"):
        asks_for("+10")(Recolouring(catalog), positions(highest))


def test_pictures_that_cannot_be_read_are_errors():
    with pytest.raises(UserError, match="none of the pictures decodes"):
        asks()(Recolouring(Colours(broken=range(30))), positions(0))
    with pytest.raises(UserError, match="pictures to explain must be names or paths"):
        asks()(Recolouring(Colours()), [torch.zeros(3, SIZE, SIZE)])


def test_a_question_has_a_title():
    assert asks(["red", "blue"]).title == "the classifier: red to blue"
    assert asks(["red"]).title == "the classifier: red"
    assert asks().title == "the classifier: any class"
    assert asks_for("+10").title == "the classifier: +10"
    edit = asks(["red", "blue"])(Recolouring(Colours()), positions(0))
    assert edit.title == "the classifier: red to blue\nthe least change that convinces the classifier"


def test_the_editor_that_asks_keeps_its_own_judges(caplog):
    caplog.set_level(logging.INFO)
    editor = Recolouring(Colours(), {"classes": Says(0.9)})
    asks(["red", "blue"])(editor, positions(0))
    assert set(editor.judges) == {"classes"}
    assert replace(editor).asked is editor.asked
    assert "the classifier: asking about 30 pictures" in caplog.text
