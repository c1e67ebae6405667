"""Edits of pictures that are not aligned: a blob of one colour, anywhere, becomes one of another where it lies."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dmt.data import ClassTask, EditData, Serving
from dmt.editing.comparison import Comparison
from dmt.editing.editor import Editor, _is_unlike
from dmt.editing.lambda_rules import FixedLambda, LeastChange, TypicalOfTarget, TypicalPicture
from dmt.editing.traversal_module import TraversalModule
from dmt.errors import UserError
from dmt.inversion import Inverter, Realise
from dmt.manifolds import CatalogFeatures, LocalSpace, Places, Points, SetFit
from dmt.networks import LayeredNetwork
from dmt.solvers import LBFGS
from dmt.traversal.kernels import RBF
from dmt.traversal.walks import WitnessDescent
from dmt.traversal.witness import Witness, WitnessBatch

SIDE, BLOB = 16, 6
N = 40
RED_TO_BLUE = ClassTask("red", "blue")
COLOURS = {"red": torch.tensor([0.8, 0.3, 0.2]), "blue": torch.tensor([0.2, 0.3, 0.8])}


class Blobs:
    """Dim grey pictures with a square of one colour, red ones first, each somewhere else."""

    title = fingerprint = "blobs"
    labels = ("red", "blue")
    is_validation = None
    kinds: dict = {}  # noqa: RUF012

    def __init__(self):
        self.names = [f"blob_{i}" for i in range(N)]
        self.groups = self.names
        self.places = np.random.default_rng(0).integers(0, SIDE - BLOB, (N, 2))

    def mask(self, index: int) -> Tensor:
        mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        top, left = self.places[index]
        mask[top : top + BLOB, left : left + BLOB] = True
        return mask

    def read(self, index, size):
        assert size == SIDE
        grey = 0.4 + 0.05 * torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(int(index)))
        colour = COLOURS["red" if index < N // 2 else "blue"]
        return torch.where(self.mask(index), colour[:, None, None].expand(3, SIDE, SIDE), grey)

    def read_named(self, name, size):
        return self.read(self.index(name), size)

    def index(self, name):
        return self.names.index(name) if name in self.names else None

    def group(self, name):
        return name

    def scores(self, label):
        is_red = np.arange(N) < N // 2
        return np.where(is_red == (label == "red"), 1.0, -1.0)


def small_network() -> LayeredNetwork:
    """Random weights: of half of the places' size and a quarter."""
    torch.manual_seed(0)
    low = nn.Sequential(nn.Conv2d(3, 16, 4, stride=2, padding=1), nn.ReLU())
    high = nn.Sequential(nn.Conv2d(16, 24, 4, stride=2, padding=1), nn.ReLU())
    return LayeredNetwork(nn.Identity(), {"low": low, "high": high}).eval().requires_grad_(False)


def data_of(task, images=4, serving: Serving = Serving()) -> EditData:  # noqa: B008
    return EditData(Blobs(), task, images=images, image_size=SIDE, set_size=N, serving=serving)


@pytest.fixture(scope="module")
def editor(tmp_path_factory, quiet_trainer) -> Editor:
    options = {"layers": ["low", "high"], "cache": tmp_path_factory.mktemp("cache"), "trainer": quiet_trainer}
    features = CatalogFeatures(data_of(None), small_network(), normalization="layer", **options)
    return Editor(
        data=data_of,
        space=SetFit(features, Places(channels=8, points=600)),
        method=partial(TraversalModule, walk=WitnessDescent(LBFGS(100, tolerance=1e-6))),
        comparison=Comparison(RBF()),
        rule=FixedLambda(0.5),
        inverter=Inverter({}, LBFGS(30), "float32"),
        trainer=quiet_trainer,
    )


INPUTS = ["blob_3", "blob_8", "blob_13"]


def blueness(image: Tensor, mask: Tensor) -> float:
    return float((image[2] - image[0])[mask].mean())


@pytest.mark.parametrize(
    ("task", "names", "sign"), [(RED_TO_BLUE, INPUTS, 1), (ClassTask("blue", "red"), ["blob_23", "blob_38"], -1)]
)
def test_a_blob_goes_to_the_colour_of_the_other_class_where_it_lies(editor, task, names, sign):
    edit = replace(editor, inverter=replace(editor.inverter, realise=Realise())).edit(task, names, 0.1)
    assert isinstance(edit.space, LocalSpace)
    for name, image in zip(names, edit.images, strict=True):
        mask = Blobs().mask(edit.data.catalog.index(name))
        assert image.name == name
        assert sign * blueness(image.input, mask) == pytest.approx(-0.6)
        assert sign * blueness(image.result, mask) > -0.2, "a third of the way of 1.2"
        change = (image.result - image.input).abs().mean(dim=0)
        assert change[mask].mean() > change[~mask].mean()
    assert (edit.table["witness_after"] < edit.table["witness_before"]).all()


def test_a_huge_lambda_returns_the_picture(editor):
    for image in editor.edit(RED_TO_BLUE, INPUTS, 1e9).images:
        torch.testing.assert_close(image.result, image.input, atol=1e-3, rtol=0)


def test_a_larger_lambda_edits_less(editor):
    changes = [
        float(
            sum((image.result - image.input).square().sum() for image in editor.edit(RED_TO_BLUE, INPUTS, lam).images)
        )
        for lam in (0.3, 1.0, 4.0)
    ]
    assert changes[0] > changes[1] > changes[2] > 0


def test_batches_of_any_size_give_the_same_pictures(editor):
    def in_batches_of(size: int) -> Editor:
        serving = Serving(edit_batch_size=size)
        return replace(editor, data=lambda task, images: data_of(task, images, serving))

    whole, parted = (in_batches_of(size).edit(RED_TO_BLUE, INPUTS) for size in (8, 2))
    assert [len(batch.batch.names) for batch in parted.batches] == [2, 1]
    for one, other in zip(parted.images, whole.images, strict=True):
        torch.testing.assert_close(one.result, other.result, atol=2e-3, rtol=0)


def test_what_is_realised_of_the_displacement_is_brought_to_all_of_it(editor):
    plain = editor.edit(RED_TO_BLUE, INPUTS, 0.7).table
    realise = Realise(tolerance=0.05)
    realised = replace(editor, inverter=replace(editor.inverter, realise=realise)).edit(RED_TO_BLUE, INPUTS, 0.7).table
    assert realised["realised"].to_numpy() == pytest.approx(1, abs=0.06)
    assert (abs(realised["realised"] - 1) <= abs(plain["realised"] - 1) + 0.06).all()


@pytest.mark.parametrize("rule", [TypicalOfTarget(steps=4), TypicalPicture(level=0.5, steps=2)])
def test_lambda_may_be_chosen_for_each_picture(editor, rule):
    table = editor.edit(RED_TO_BLUE, INPUTS, rule).table
    assert ((table["lambda"] >= rule.lowest) & (table["lambda"] <= rule.highest)).all()


@dataclass(frozen=True)
class Bluest:
    """The difference of the channels of the bluest place."""

    def columns(self, name, before, after):
        return {
            f"{name}_{when}": np.array([float((one[2] - one[0]).amax()) for one in images])
            for when, images in (("before", before), ("after", after))
        }


def test_the_least_change_that_convinces_a_judge_is_found_and_the_trials_are_counted(editor):
    rule = LeastChange("blue", threshold=0.2, first=0.7, lowest=0.05, highest=6.0, steps=2)
    edit = replace(editor, judges={"blue": Bluest()}).edit(RED_TO_BLUE, INPUTS, rule)
    assert (edit.table["blue_before"] < 0.2).all()
    assert (edit.table["blue_after"] > 0.2).all()
    assert (edit.table["lambda"] < 6).all()
    assert edit.table["inversions"].nunique() == 1
    more = replace(editor, judges={"blue": Bluest()}).edit(RED_TO_BLUE, INPUTS, float(edit.table["lambda"].max() * 1.3))
    assert (more.table["blue_after"] <= edit.table["blue_after"].max() + 0.05).all()


def test_a_picture_whose_lambda_was_found_by_trying_is_not_made_again(editor, monkeypatch):
    """And is the one that its lambda gives alone."""
    n_made = []
    original = Inverter.__call__

    def counted(self, extractor, targets, images, **options):
        n_made.append(len(images))
        return original(self, extractor, targets, images, **options)

    monkeypatch.setattr(Inverter, "__call__", counted)
    rule = LeastChange("blue", threshold=0.2, first=0.7, lowest=0.05, highest=6.0, steps=2)
    judging = replace(editor, judges={"blue": Bluest()})
    tried: list[int] = []
    trial = Bluest.columns

    def told(self, name, before, after):
        tried.append(len(after))
        return trial(self, name, before, after)

    monkeypatch.setattr(Bluest, "columns", told)
    edit = judging.edit(RED_TO_BLUE, INPUTS, rule)
    assert sum(n_made) == sum(tried) - len(INPUTS), "the judge sees the results once more, which are those of trials"
    assert edit.table["inversions"].iloc[0] == len(tried) - 1
    assert [batch.batch.names for batch in edit.batches] == [[name] for name in edit.data.inputs]
    once = (
        replace(judging.inverter, realise=replace(judging.inverter.realise, rounds=1))
        if judging.inverter.realise
        else judging.inverter
    )
    for image in edit.images:
        alone = replace(judging, inverter=once).edit(RED_TO_BLUE, [image.name], image.record["lambda"])
        torch.testing.assert_close(alone.images[0].result, image.result, rtol=0, atol=0.05)
    assert edit.table["image"].tolist() == list(edit.data.inputs)


def test_pictures_of_many_points_have_no_coordinates_of_one_each(editor):
    edit = editor.edit(RED_TO_BLUE, INPUTS[:1], 1.0)
    with pytest.raises(UserError, match="with manifold=local a picture has many points; use manifold=span"):
        _ = edit.points
    assert edit.z.shape == edit.z0.shape
    assert len(edit.z0) == edit.space.manifold.shape[0] * edit.space.manifold.shape[1]


# Unlike all


def points_of(means: np.ndarray, seed: int) -> Points:
    """Pictures of four points each, scattered around a mean."""
    scatter = np.random.default_rng(seed).normal(0, 3, (len(means), 4, means.shape[1]))
    z = means[:, None] + scatter - scatter.mean(axis=1, keepdims=True)
    owner = torch.arange(len(means)).repeat_interleave(4)
    return Points(torch.from_numpy(z.reshape(-1, means.shape[1])), owner, len(means))


def test_a_picture_is_unlike_its_sets_by_the_mean_of_its_points():
    random = np.random.default_rng(0)
    source, target = random.normal(0, 1, (40, 3)), random.normal(1, 1, (30, 3))
    starts = np.array([[0.5, 0.5, 0.5], [9.0, 0.5, 0.5], [0.0, 1.0, 0.0], [0.5, -8.0, 3.0], [2.2, 1.9, -0.9]])
    members = np.concatenate([source, target])
    among = [np.linalg.norm(np.delete(members, i, axis=0) - one, axis=1).mean() for i, one in enumerate(members)]
    own = [np.linalg.norm(members - start, axis=1).mean() for start in starts]
    witness = Witness(RBF(1.0), points_of(source, 1), points_of(target, 2))
    found = _is_unlike(points_of(starts, 3), WitnessBatch.of_one(witness, len(starts)))
    assert found == (np.array(own) > np.quantile(among, 0.975)).tolist()
    assert found[:4] == [False, True, False, True]
