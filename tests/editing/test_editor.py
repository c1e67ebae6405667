"""A task and pictures -> edited pictures, on digits and a small network, without a configuration."""

import gc
import logging
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from dmt.data import AttributeTask, ClassTask, Confident, Digits, EditData, Matched, Serving, Sets, to_pixels
from dmt.editing import comparison as comparison_module
from dmt.editing.comparison import Comparison
from dmt.editing.editor import Edit, Editor
from dmt.editing.lambda_rules import ConvincesJudge, FixedLambda, TypicalOfTarget, TypicalPicture
from dmt.editing.rivals import PixelMeanModule
from dmt.editing.traversal_module import TraversalModule
from dmt.errors import UserError
from dmt.inversion import Inverter
from dmt.manifolds import CatalogFeatures, IncrementalPCA, SetFit, Space, Span
from dmt.networks import digits_network
from dmt.networks.extractor import FeatureExtractor, measure_scales
from dmt.solvers import LBFGS
from dmt.traversal.kernels import RBF
from dmt.traversal.walks import LinearInterpolation, WitnessDescent
from dmt.traversal.witness import Witness

SIDE = 12
THREE_TO_EIGHT = ClassTask("3", "8")
WALK = partial(TraversalModule, walk=WitnessDescent(LBFGS(100, tolerance=1e-6)))


@dataclass(frozen=True)
class DigitsData:
    """Makes the data of an edit of digits."""

    catalog: Digits
    set_size: int = 60
    edit_batch_size: int = 8

    def __call__(self, task, images=8) -> EditData:
        serving = Serving(edit_batch_size=self.edit_batch_size)
        return EditData(self.catalog, task, images=images, image_size=SIDE, set_size=self.set_size, serving=serving)


@pytest.fixture(scope="module")
def catalog() -> Digits:
    return Digits()


@pytest.fixture(scope="module")
def space(catalog) -> Space:
    """Fitted to threes and eights, on the features of a small network with random weights."""
    images = torch.stack([catalog.read(i, SIDE) for i in range(len(catalog.names))])
    pair = np.flatnonzero((catalog.digits == 3) | (catalog.digits == 8))
    torch.manual_seed(0)
    network = digits_network(4)
    extractor = FeatureExtractor(network, ["conv1", "conv2", "conv3"], measure_scales(network, [images[pair]]))
    features = torch.cat([extractor.vectors(part) for part in images.split(200)])
    manifold = IncrementalPCA(32).partial_fit(features[pair]).finish()
    codes = manifold.encode(features)
    return Space(extractor, manifold, codes, codes)


@pytest.fixture
def editor(catalog, space, quiet_trainer) -> Editor:
    return Editor(
        data=DigitsData(catalog),
        space=space,
        method=WALK,
        comparison=Comparison(RBF()),
        rule=FixedLambda(0.5),
        inverter=Inverter({}, LBFGS(8), "float32"),
        trainer=quiet_trainer,
    )


@pytest.fixture
def wasted_work(monkeypatch) -> None:
    """Whatever is refused is refused before this."""
    monkeypatch.setattr(DigitsData, "__call__", lambda *_: pytest.fail("work was done before"))


# What may be edited


def test_names_paths_pictures_and_tensors_are_edited_side_by_side(editor, catalog, tmp_path):
    picture = catalog.read(3, SIDE)
    drawn = Image.fromarray(to_pixels(picture))
    drawn.save(tmp_path / "three.png")
    edit = editor.edit(
        THREE_TO_EIGHT, [picture, "digit_0003", drawn, tmp_path / "three.png", str(tmp_path / "three.png")]
    )
    path = str(tmp_path / "three.png")
    assert [image.name for image in edit.images] == ["image_1", "digit_0003", "image_3", path, path]
    assert edit.data.inputs == [image.name for image in edit.images]
    assert edit.images[0].input.equal(picture)
    for image in edit.images:
        torch.testing.assert_close(image.input, picture, atol=1 / 500, rtol=0)  # 8 bits
        torch.testing.assert_close(image.result, edit.images[0].result, atol=0.02, rtol=0)
        assert (image.result - image.input).abs().max() > 0.1
    torch.testing.assert_close(edit.images[1].result, edit.images[0].result, atol=1e-5, rtol=0)
    torch.testing.assert_close(edit.images[3].result, edit.images[2].result, atol=1e-5, rtol=0)


def test_a_number_of_images_draws_them_from_the_source(editor, catalog):
    edit = editor.edit(THREE_TO_EIGHT, 3)
    assert [catalog.digits[catalog.index(image.name)] for image in edit.images] == [3, 3, 3]
    assert len({image.name for image in edit.images}) == 3


def test_inputs_are_in_neither_set(editor, catalog):
    edit = editor.edit(THREE_TO_EIGHT, ["digit_0003", "digit_0008"], float("inf"))
    assert not {3, 8} & {*edit.data.source.tolist(), *edit.data.target.tolist()}


@pytest.mark.parametrize("batch_size", [1, 2])
def test_batches_of_any_size_give_the_same_pictures_in_the_same_order(editor, catalog, batch_size):
    edit = editor.edit(THREE_TO_EIGHT, 5)
    parted = replace(editor, data=DigitsData(catalog, edit_batch_size=batch_size)).edit(THREE_TO_EIGHT, 5)
    assert [image.name for image in parted.images] == [image.name for image in edit.images]
    for one, other in zip(parted.images, edit.images, strict=True):
        torch.testing.assert_close(one.result, other.result, atol=1e-3, rtol=0)


def test_what_is_no_picture_is_an_error(editor):
    with pytest.raises(UserError, match="a picture must be a name, a path, a PIL image, a tensor"):
        editor.edit(THREE_TO_EIGHT, [3.0])


# How much


@pytest.mark.parametrize("lam", [0.25, 2])
def test_lambda_may_be_a_number(editor, lam):
    edit = editor.edit(THREE_TO_EIGHT, 2, lam)
    assert edit.table["lambda"].tolist() == [lam, lam]
    assert edit.table["inversions"].tolist() == [1, 1]
    assert edit.title == f"3 to 8\nlambda' {lam:g}"


def test_lambda_is_the_editors_own_where_none_is_given(editor):
    assert editor.edit(THREE_TO_EIGHT, 1).table["lambda"].tolist() == [0.5]
    other = replace(editor, rule=FixedLambda(3.0))
    assert other.edit(THREE_TO_EIGHT, 1).table["lambda"].tolist() == [3.0]


def test_an_infinite_lambda_returns_the_input(editor):
    for image in editor.edit(THREE_TO_EIGHT, 2, float("inf")).images:
        assert image.result.equal(image.input)


def test_lambda_may_be_a_rule(editor):
    edit = editor.edit(THREE_TO_EIGHT, 3, TypicalOfTarget(steps=6))
    table = edit.table
    assert edit.title == "3 to 8\nlambda' by the witness"
    assert table["lambda"].nunique() == 3
    assert table["inversions"].tolist() == [1, 1, 1]
    source, target = edit.space.source[edit.data.source].double(), edit.space.target[edit.data.target].double()
    kernel = RBF().fit(torch.cat([source, target]))
    left_out = [
        float(Witness(kernel, source, torch.cat([target[:i], target[i + 1 :]]))(target[i : i + 1]))
        for i in range(len(target))
    ]
    assert (table["witness_after"] <= torch.tensor(left_out).double().median().item() + 1e-9).all()


def test_a_rule_that_tries_edits_out_says_how_many_there_were(editor):
    edit = editor.edit(THREE_TO_EIGHT, 2, TypicalPicture(level=0.5, lowest=0.05, highest=5.0, steps=2))
    assert edit.table["inversions"].tolist() == [2 + 2 + 1] * 2  # both ends, two steps, and the edit itself
    tried = 0.05 * 100 ** (np.arange(5) / 4)
    assert all(np.isclose(lam, tried, rtol=1e-9).any() for lam in edit.table["lambda"])


@pytest.mark.parametrize("lam", [0, -0.5, float("nan"), True, "0.3", "auto"])
def test_what_is_no_lambda_is_an_error_before_any_work(editor, wasted_work, lam):
    with pytest.raises(UserError, match=f"lambda must be a number above 0 or auto, got {lam}"):
        editor.edit(THREE_TO_EIGHT, 1, lam)


def test_a_rule_whose_judge_is_not_there_is_an_error_before_any_work(editor, wasted_work):
    pytest.importorskip("optuna", minversion="5.0")
    with pytest.raises(UserError, match="lambda by a judge needs a judge 'happy'"):
        editor.edit(THREE_TO_EIGHT, 1, ConvincesJudge("happy"))


# What comes out


def test_the_table_has_a_row_for_each_image(editor):
    edit = editor.edit(THREE_TO_EIGHT, ["digit_0003", "digit_0013"])
    table = edit.table
    assert isinstance(table, pd.DataFrame)
    assert table["image"].tolist() == ["digit_0003", "digit_0013"]
    assert (table["witness_after"] < table["witness_before"]).all()
    assert table["converged"].dtype == bool
    torch.testing.assert_close(torch.tensor(table["delta"]), (edit.z - edit.z0).norm(dim=1))
    for image, (_, row) in zip(edit.images, table.iterrows(), strict=True):
        assert dict(row) == image.record


def test_an_edit_knows_where_inputs_lay_and_where_they_went(editor, catalog, space):
    edit = editor.edit(THREE_TO_EIGHT, ["digit_0003", "digit_0013", "digit_0023"])
    assert edit.z0.dtype == torch.float64
    torch.testing.assert_close(edit.z0, space.source[[3, 13, 23]].double(), rtol=1e-4, atol=1e-4)
    assert edit.z.shape == edit.z0.shape == (3, 32)


def test_an_edit_knows_where_the_finished_pictures_lie(editor):
    edit = editor.edit(THREE_TO_EIGHT, ["digit_0003", "digit_0013", "digit_0023"], 0.1)
    results = torch.stack([image.result for image in edit.images])
    expected = edit.space.manifold.encode(edit.space.extractor.vectors(results)).double()
    torch.testing.assert_close(edit.arrived, expected, rtol=1e-4, atol=1e-4)
    assert (edit.arrived - edit.z0).norm() > 0.1


def test_judges_say_what_they_think_of_every_image(editor):
    class Brightness:
        def columns(self, name, before, after):
            return {
                f"{name}_{when}": np.array([float(one.mean()) for one in images])
                for when, images in (("before", before), ("after", after))
            }

    edit = replace(editor, judges={"bright": Brightness()}).edit(THREE_TO_EIGHT, 2)
    for image in edit.images:
        assert image.record["bright_before"] == pytest.approx(float(image.input.mean()))
        assert image.record["bright_after"] == pytest.approx(float(image.result.mean()))


# The space


def test_a_space_that_is_fitted_is_used_as_it_is(editor, space):
    assert editor.edit(THREE_TO_EIGHT, 1).space is space


def test_a_space_that_is_not_is_asked_for_that_of_the_data(editor, space):
    asked = []

    def fit(data: EditData) -> Space:
        asked.append(data)
        return space

    edit = replace(editor, space=fit).edit(THREE_TO_EIGHT, 1)
    assert edit.space is space
    assert asked == [edit.data]


def test_the_space_of_another_data_set_is_an_error(editor, space):
    other = replace(space, source=space.source[:50], target=space.target[:50])
    with pytest.raises(UserError, match="the space knows 50 pictures, the data set has 1797"):
        replace(editor, space=other).edit(THREE_TO_EIGHT, 1)


# The task


def test_a_task_may_be_named(editor):
    assert editor.edit("digits", 1, 1.0).title == "3 to 8\nlambda' 1"


def test_an_unknown_task_is_an_error_that_names_the_nearest(editor, wasted_work):
    with pytest.raises(UserError, match=r"frownin.*; did you mean.*frowning"):
        editor.edit("frownin", 1)


@pytest.mark.parametrize(
    ("own", "of_task", "said"),
    [
        (None, None, "60 source and 60 target images; editing 2"),
        (Matched(40, same=[]), None, "40 source and 40 target images for each input; editing 2"),
        (None, Matched(50, same=[]), "50 source and 50 target images for each input; editing 2"),
        (Confident(), Matched(same=[]), "60 source and 60 target images; editing 2"),
    ],
)
def test_the_log_tells_the_size_of_the_sets_that_are_used(editor, caplog, own, of_task, said):
    caplog.set_level(logging.INFO, "dmt")
    task = AttributeTask("8", source="3", selection=of_task)
    edit = replace(editor, comparison=Comparison(RBF(), own)).edit(task, 2, float("inf"))
    assert f"more 8: {said}" in caplog.messages
    n_sides = len(edit.data.source), len(edit.data.target)
    assert n_sides == (60, 60)


# The method


def test_other_methods_are_given_the_same_and_make_other_pictures(editor):
    walked = editor.edit(THREE_TO_EIGHT, 2)
    straight = replace(editor, method=partial(TraversalModule, walk=LinearInterpolation())).edit(THREE_TO_EIGHT, 2)
    pixels = replace(editor, method=PixelMeanModule).edit(THREE_TO_EIGHT, 2)
    assert [image.name for image in walked.images] == [image.name for image in straight.images]
    source, target = (edit_mean(walked, side) for side in (walked.data.source, walked.data.target))
    for image in pixels.images:  # lambda' is 0.5, so that alpha is 1
        torch.testing.assert_close(image.result, (image.input + target - source).clamp(0, 1))
    coordinates = walked.space.target[walked.data.target].double().mean(0)
    coordinates = coordinates - walked.space.source[walked.data.source].double().mean(0)
    torch.testing.assert_close(straight.z - straight.z0, coordinates.expand(2, -1))


def edit_mean(edit: Edit, members: np.ndarray) -> Tensor:
    return torch.stack([edit.data.catalog.read(i, SIDE) for i in members]).mean(dim=0)


# Inputs that share their sets


class Made(NamedTuple):
    """What was made while an edit was."""

    witnesses: list[weakref.ref]
    means: list[Sets]


@pytest.fixture
def made(monkeypatch) -> Made:
    """Counts the witnesses and the mean pictures."""
    counted = Made([], [])

    class Counted(Witness):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            counted.witnesses.append(weakref.ref(self))

    def mean_pictures(data: EditData, sets: Sets) -> tuple[Tensor, Tensor]:
        counted.means.append(sets)
        return original(data, sets)

    original = EditData.mean_pictures
    monkeypatch.setattr(comparison_module, "Witness", Counted)
    monkeypatch.setattr(EditData, "mean_pictures", mean_pictures)
    return counted


@dataclass(frozen=True)
class FourPairs:
    """Inputs get one of four pairs of sets, in turns; the same objects, or equal ones made for each."""

    anew: bool

    def __call__(self, pool, points, names, z0) -> Sequence[Sets]:
        pairs = [self._pair(pool, i) for i in range(4)]
        return [self._pair(pool, i % 4) if self.anew else pairs[i % 4] for i in range(len(names))]

    def _pair(self, pool, i: int) -> Sets:
        return Sets(pool.confident.source[i::4].copy(), pool.confident.target[i::4].copy())

    def describe(self, pool) -> str:
        return "15 source and 15 target images"


QUICK = Inverter({}, LBFGS(2), "float32")


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("method", [WALK, PixelMeanModule])
@pytest.mark.parametrize("lam", [1.0, TypicalOfTarget("classifier", steps=2), TypicalPicture(steps=1)])
def test_inputs_that_share_four_pairs_of_sets_make_four_witnesses_and_leave_none_behind(
    editor, made, method, anew, lam
):
    varied = replace(editor, comparison=Comparison(RBF(), FourPairs(anew)), method=method, inverter=QUICK)
    gc.collect()
    gc.disable()  # what is left behind would be there until the next full collection, with all that it holds
    try:
        edit = varied.edit(THREE_TO_EIGHT, 32, lam)
        assert [len(batch.batch.names) for batch in edit.batches] == [8] * 4
        assert len(made.witnesses) == 4
        assert [witness() for witness in made.witnesses] == [None] * 4
    finally:
        gc.enable()
    assert len(edit.images) == 32


@pytest.mark.parametrize("anew", [False, True])
def test_the_mean_pictures_of_four_pairs_are_made_four_times_for_an_edit_in_four_batches(editor, made, anew):
    replace(editor, comparison=Comparison(RBF(), FourPairs(anew)), method=PixelMeanModule).edit(THREE_TO_EIGHT, 32)
    assert len(made.means) == 4


def test_each_of_those_inputs_is_edited_as_if_alone_with_its_pair(editor):
    varied = replace(editor, comparison=Comparison(RBF(), FourPairs(anew=True)))
    edit = varied.edit(THREE_TO_EIGHT, 6)
    for i, image in enumerate(edit.images):
        pair = Sets(edit.data.source[i % 4 :: 4], edit.data.target[i % 4 :: 4])
        alone = replace(editor, comparison=Comparison(RBF(), OnePair(pair))).edit(THREE_TO_EIGHT, [image.name])
        torch.testing.assert_close(alone.z, edit.z[i : i + 1], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(alone.images[0].result, image.result, atol=1e-3, rtol=0)
    assert (edit.z[0] - edit.z0[0] - edit.z[1] + edit.z0[1]).norm() > 0.01


@dataclass(frozen=True)
class OnePair:
    """The same sets for every input."""

    sets: Sets

    def __call__(self, pool, points, names, z0) -> Sequence[Sets]:
        return [self.sets] * len(names)

    def describe(self, pool) -> str:
        return "a pair"


# The span of the sets of each input


@dataclass(frozen=True)
class Halves:
    """By labels inputs get one of two halves of the pictures, in turns, and of these all."""

    def by_labels(self, pool, names, own_scores) -> list[Sets]:
        return [Sets(pool.confident.source[i % 2 :: 2], pool.confident.target[i % 2 :: 2]) for i in range(len(names))]

    def __call__(self, pool, points, names, z0) -> list[Sets]:
        assert all(not side[members].isnan().any() for side, members in zip(points, _members(pool), strict=True))
        return [pool.confident] * len(names)

    def describe(self, pool) -> str:
        return "30 source and 30 target images"


def _members(pool):
    return pool.confident.source, pool.confident.target


@pytest.fixture
def spanning(editor, catalog, tmp_path, quiet_trainer) -> Editor:
    """Edits each input in the span of its half of the sets."""
    torch.manual_seed(0)
    options = {"layers": ["conv2", "conv3"], "normalization": "layer", "cache": tmp_path, "trainer": quiet_trainer}
    features = CatalogFeatures(editor.data(None), digits_network(4), **options)
    return replace(editor, space=SetFit(features, Span()), comparison=Comparison(RBF(), Halves()), inverter=QUICK)


NAMES = [f"digit_{number:04d}" for number in (3, 13, 23, 45, 59)]  # all of them threes


def test_inputs_of_different_sets_come_back_in_the_order_they_were_asked_for(spanning):
    edit = spanning.edit(THREE_TO_EIGHT, NAMES)
    assert [image.name for image in edit.images] == edit.data.inputs == NAMES
    assert edit.table["image"].tolist() == NAMES
    assert {len(batch.batch.names) for batch in edit.batches} == {3, 2}


def test_where_inputs_of_different_sets_went_is_told_in_their_order_or_refused(spanning):
    edit = spanning.edit(THREE_TO_EIGHT, NAMES)
    try:
        moved = edit.z - edit.z0
    except UserError:  # they lie in different spaces
        return
    torch.testing.assert_close(torch.tensor(edit.table["delta"]), moved.norm(dim=1))


def test_each_input_is_edited_between_its_own_half_of_the_sets(spanning):
    edit = spanning.edit(THREE_TO_EIGHT, NAMES)
    whole = replace(spanning, comparison=Comparison(RBF(), Confident())).edit(THREE_TO_EIGHT, NAMES)
    for part, one, other in zip((0, 1, 0, 1, 0), edit.images, whole.images, strict=True):
        half = Sets(whole.data.source[part::2], whole.data.target[part::2])
        alone = replace(spanning, comparison=Comparison(RBF(), OneHalf(half)))
        again = alone.edit(THREE_TO_EIGHT, NAMES).images[NAMES.index(one.name)]
        assert one.record["witness_before"] == pytest.approx(again.record["witness_before"], abs=1e-6)
        assert one.record["witness_before"] != pytest.approx(other.record["witness_before"], abs=1e-4)


@dataclass(frozen=True)
class OneHalf(OnePair):
    """The same for every input, which is said by labels."""

    def by_labels(self, pool, names, own_scores) -> list[Sets]:
        return [self.sets] * len(names)


def test_a_picture_that_is_typical_of_the_target_is_told_from_one_of_the_source(editor, catalog):
    eights = [f"digit_{number:04d}" for number in np.flatnonzero(catalog.digits == 8)[:4]]
    edit = editor.edit(THREE_TO_EIGHT, [*NAMES[:2], *eights], float("inf"))
    witness = edit.table["witness_before"].to_numpy()
    source, target = edit.space.source[edit.data.source].double(), edit.space.target[edit.data.target].double()
    kernel = RBF().fit(torch.cat([source, target]))
    left_out = [
        float(Witness(kernel, source, torch.cat([target[:i], target[i + 1 :]]))(target[i : i + 1]))
        for i in range(len(target))
    ]
    assert edit.table["was_target"].tolist() == (witness <= torch.tensor(left_out).median().item() + 1e-9).tolist()
    assert not edit.table["was_target"][:2].any()
    assert edit.table["was_target"][2:].any()


def test_a_picture_that_is_far_from_all_of_the_sets_is_told_from_one_among_them(editor):
    noise = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    edit = editor.edit(THREE_TO_EIGHT, [*NAMES, noise], float("inf"))
    assert edit.table["unlike_sets"].tolist()[-1]
    members = torch.cat([edit.space.source[edit.data.source], edit.space.target[edit.data.target]]).double().numpy()
    among = [np.linalg.norm(np.delete(members, i, 0) - one, axis=1).mean() for i, one in enumerate(members)]
    own = [np.linalg.norm(members - one, axis=1).mean() for one in edit.z0.numpy()]
    assert edit.table["unlike_sets"].tolist() == (np.array(own) > np.quantile(among, 0.975)).tolist()


def test_how_far_inputs_and_ends_of_walks_lie_from_the_sets_is_told_in_their_own_distances(editor):
    edit = editor.edit(THREE_TO_EIGHT, NAMES, 0.1)
    members = torch.cat([edit.space.source[edit.data.source], edit.space.target[edit.data.target]]).double().numpy()
    search = NearestNeighbors(n_neighbors=2).fit(members)
    unit = np.median(search.kneighbors(members)[0][:, 1])
    for column, z in (("far_before", edit.z0), ("far_after", edit.z)):
        expected = search.kneighbors(z.numpy())[0][:, 0] / unit
        np.testing.assert_allclose(edit.table[column], expected, rtol=1e-3)
