"""What an input is told apart by: whose sets, how many witnesses of them, and along which directions."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from dmt.data import AttributeTask, Confident, EditData, Matched, Nearest, Sets
from dmt.editing import comparison as module
from dmt.editing.comparison import Comparison
from dmt.errors import UserError
from dmt.manifolds import Points, Space
from dmt.traversal.kernels import RBF, Linear
from dmt.traversal.witness import Witness

N = 60


class People:
    """Pictures of one colour; who smiles, frowns or wears glasses is drawn."""

    title = fingerprint = "people"
    labels = ("Smiling", "Male", "Glasses")
    is_validation = None
    kinds: dict = {}  # noqa: RUF012

    def __init__(self):
        rng = np.random.default_rng(0)
        self.names = [f"picture_{i}" for i in range(N)]
        self.groups = self.names
        self._scores = {label: rng.normal(size=N) for label in self.labels}

    def read(self, index, size):
        return torch.full((3, size, size), index / N)

    def read_named(self, name, size):
        return self.read(self.names.index(name), size)

    def index(self, name):
        return self.names.index(name)

    def group(self, name):
        return name

    def scores(self, label):
        return self._scores[label]


SMILING = AttributeTask("Smiling")


def data_of(task: AttributeTask = SMILING, images: int = 3) -> EditData:
    return EditData(People(), task, images=images, image_size=4)


def space_of(k: int = 5, broken: list[int] | None = None) -> Space:
    """Two sides whose coordinates are noise; neither a network nor a manifold is asked for."""
    source, target = torch.randn(2, N, k, generator=torch.Generator().manual_seed(0))
    source[broken or []] = torch.nan
    return Space(None, None, source, target)  # type: ignore[arg-type]


def inputs(data: EditData, space: Space) -> Points:
    return Points.one_each(space.source[[data.catalog.index(name) for name in data.inputs]].double())


@dataclass(frozen=True)
class Rotating:
    """Each input gets one of several pairs of sets, in turns; anew for each input, or the same objects."""

    n_pairs: int
    anew: bool

    def __call__(self, pool, points, names, z0):
        pairs = [self._pair(i) for i in range(self.n_pairs)]
        return [self._pair(i % self.n_pairs) if self.anew else pairs[i % self.n_pairs] for i in range(len(names))]

    def _pair(self, i: int) -> Sets:
        return Sets(np.arange(10) + i, np.arange(30, 50) + i)

    def describe(self, pool) -> str:
        return "some"


# Whose selection it is


OWN, OF_TASK = Nearest(7), Matched(5)


@pytest.mark.parametrize(
    ("own", "of_task", "expected"),
    [
        (OWN, OF_TASK, OWN),
        (OWN, None, OWN),
        (None, OF_TASK, OF_TASK),
        (None, None, Confident()),
        (Confident(), OF_TASK, Confident()),
    ],
)
def test_the_comparisons_own_choice_wins_over_the_tasks_and_that_over_the_most_confident(own, of_task, expected):
    data = data_of(replace(SMILING, selection=of_task))
    assert Comparison(selection=own).selection_for(data) == expected


@pytest.mark.parametrize(("own", "of_task", "size"), [(Nearest(7), Matched(5), 7), (None, Matched(5), 5)])
def test_the_sets_are_those_of_whoever_chooses(own, of_task, size):
    data, space = data_of(replace(SMILING, selection=of_task)), space_of()
    found = Comparison(RBF(1.0), own)(data, space, inputs(data, space))
    assert {(len(sets.source), len(sets.target)) for sets in found.sets} == {(size, size)}


def test_without_a_choice_all_inputs_share_the_most_confident_pictures():
    data, space = data_of(), space_of()
    found = Comparison(RBF(1.0))(data, space, inputs(data, space))
    (sets,) = found.sets
    assert sets.source.tolist() == data.source.tolist()
    assert sets.target.tolist() == data.target.tolist()
    assert len(found.witnesses.distinct) == 1
    assert found.witnesses.index.tolist() == [0, 0, 0]


# Witnesses


@pytest.mark.parametrize("anew", [False, True])
def test_inputs_that_share_their_sets_share_one_witness_whoever_made_the_sets(anew, monkeypatch):
    made = []

    class Counted(Witness):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(module, "Witness", Counted)
    data, space = data_of(images=12), space_of()
    found = Comparison(RBF(1.0), Rotating(4, anew))(data, space, inputs(data, space))
    assert len(made) == len(found.sets) == 4
    assert list(found.witnesses.distinct) == made
    assert found.witnesses.index.tolist() == [0, 1, 2, 3] * 3
    assert [sets.source[0] for sets in found.sets] == [0, 1, 2, 3]


@pytest.mark.parametrize("weighting", ["mean", "sum"])
def test_a_witness_is_of_the_points_of_its_sets_that_are_known(weighting):
    data, space = data_of(), space_of(broken=[2, 11])
    found = Comparison(Linear(2.0), Rotating(2, anew=True), weighting)(data, space, inputs(data, space))
    z = torch.randn(6, 5, generator=torch.Generator().manual_seed(1)).double()
    for i, witness in enumerate(found.witnesses.distinct):
        rows = [row for row in range(i, i + 10) if row not in (2, 11)]
        source, target = space.source[rows].double(), space.target[30 + i : 50 + i].double()
        torch.testing.assert_close(witness.source, source)
        torch.testing.assert_close(witness.target, target)
        reduce = torch.mean if weighting == "mean" else torch.sum
        torch.testing.assert_close(witness(z), z @ (reduce(source, 0) - reduce(target, 0)) / 4)


def test_the_mean_pictures_are_those_of_the_data():
    data, space = data_of(), space_of()
    found = Comparison(RBF(1.0), Rotating(1, anew=False))(data, space, inputs(data, space))
    source, target = found.mean_pictures(found.sets[0])
    torch.testing.assert_close(source, torch.full((3, 4, 4), np.arange(10).mean() / N))
    torch.testing.assert_close(target, torch.full((3, 4, 4), np.arange(30, 50).mean() / N))


# What is kept


def directions(labels: list[str], space: Space) -> torch.Tensor:
    """The partial effects of labels beside that of the task, by scikit-learn; they span what is kept."""
    catalog = People()
    signs = np.stack([np.sign(catalog.scores(label)) for label in [*labels, "Smiling"]], axis=1)
    effects = LinearRegression().fit(signs, space.target.double().numpy()).coef_
    return torch.from_numpy(effects[:, : len(labels)].T)


def kept(task: AttributeTask = SMILING, keep: list[str] | None = None) -> torch.Tensor | None:
    data, space = data_of(task), space_of()
    return Comparison(RBF(1.0), keep=keep)(data, space, inputs(data, space)).witnesses.distinct[0].kept


@pytest.mark.parametrize(
    ("balance", "keep", "labels"),
    [
        (["Male"], None, ["Male"]),
        (["Male"], ["Glasses"], ["Glasses"]),
        ([], ["Male", "Glasses"], ["Male", "Glasses"]),
        (["Male", "Glasses"], None, ["Male", "Glasses"]),
    ],
)
def test_nothing_moves_along_the_labels_of_the_balance_unless_others_are_named(balance, keep, labels):
    found = kept(replace(SMILING, balance=balance), keep)
    effects = directions(labels, space_of())
    assert found.shape == (len(labels), 5)
    torch.testing.assert_close(found @ found.T, torch.eye(len(labels)).double())
    torch.testing.assert_close((effects @ found.T) @ found, effects)


@pytest.mark.parametrize(("balance", "keep"), [(["Male"], []), ([], None)])
def test_where_no_label_is_kept_everything_may_move(balance, keep):
    assert kept(replace(SMILING, balance=balance), keep) is None


@pytest.mark.parametrize(
    ("keep", "message"),
    [(["Smiling"], "keep names 'Smiling', which the task is there to change"), (["Mail"], "did you mean 'Male'")],
)
def test_labels_that_cannot_be_kept_are_named(keep, message):
    with pytest.raises(UserError, match=message):
        kept(SMILING, keep)
