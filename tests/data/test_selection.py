"""Which pictures each input is compared with, against plain loops over the catalog."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from dmt.data import Confident, Matched, Nearest, Pool, Sets
from dmt.errors import UserError

laws = settings(deadline=None, max_examples=40, derandomize=True)


class Labelled:
    """A catalog that knows names and labels, each label a list of 0 and 1."""

    def __init__(self, **labels):
        self._has = {label: np.array(has) for label, has in labels.items()}
        self.labels = list(labels)
        self.names = [f"face_{i}" for i in range(len(next(iter(labels.values()))))]

    def scores(self, label):
        by_lower_case = {name.lower(): has for name, has in self._has.items()}
        return np.where(by_lower_case[label.lower()] > 0, 0.7, -0.3)

    def index(self, name):
        return self.names.index(name) if name in self.names else None


def pool_of(catalog: Labelled, source, target, own_labels=()) -> Pool:
    """A pool in which the pictures at ``source`` and ``target`` may be chosen."""
    sides = [np.where(np.isin(np.arange(len(catalog.names)), side), 1.0, -1.0) for side in (source, target)]
    return Pool(catalog, tuple(sides), Sets(np.array(source), np.array(target)), own_labels)


def line(*values: float) -> torch.Tensor:
    """Points on a line."""
    return torch.tensor(values, dtype=torch.float32)[:, None]


def chosen(sets: Sets) -> tuple[list[int], list[int]]:
    return sets.source.tolist(), sets.target.tolist()


# Matched


class Scored(Labelled):
    """A catalog whose scores are numbers."""

    def __init__(self, scores: np.ndarray, labels):
        super().__init__(**{label: scores[:, i] for i, label in enumerate(labels)})

    def scores(self, label):
        return self._has[{name.lower(): name for name in self._has}[label.lower()]]


# The input is face_0: a man who is young, with a hat and no beard; he smiles, which the task changes.
PEOPLE = {
    #           0  1  2  3  4  5  6  7  8
    "Smiling": [1, 1, 1, 1, 1, 0, 0, 0, 0],
    "Male": [1, 1, 1, 1, 0, 1, 1, 0, 1],
    "Young": [1, 0, 1, 0, 1, 1, 0, 1, 1],
    "Hat": [1, 1, 1, 0, 1, 0, 0, 1, 1],
    "Beard": [0, 0, 0, 1, 0, 0, 0, 0, 0],
}
SMILES, GRAVE = [1, 2, 3, 4], [5, 6, 7, 8]


def matched(set_size, same=("Male",), points=None, name="face_0", own_labels=("Smiling",)):
    pool = pool_of(Labelled(**PEOPLE), SMILES, GRAVE, own_labels)
    points = torch.zeros(9, 1) if points is None else points
    return chosen(Matched(set_size, same, 100.0)(pool, (points, points), [name], torch.zeros(1, 1))[0])


def test_the_most_alike_by_their_other_labels_come_first_and_labels_that_count_more_before_others():
    # differing from face_0: 2 in nothing, 1 in Young, 3 in three; 8 in nothing, 5 in Hat, 6 in two; 4 and 7 are women
    assert matched(4) == ([2, 1, 3, 4], [8, 5, 6, 7])
    assert matched(2) == ([2, 1], [8, 5])


def test_without_labels_that_count_more_women_are_nearer_than_men_who_differ_in_more():
    source, target = matched(4, same=())
    assert (source[0], source[-1]) == (2, 3)
    assert (target[0], target[-1]) == (8, 6)


@laws
@given(st.integers(0, 1000), st.integers(1, 6))
def test_the_distance_is_that_of_standardised_and_clipped_scores(seed, set_size):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.3, 1, (20, 4)) * [1, 5, 0.1, 2]
    catalog = Scored(scores, ["Smiling", "Male", "Hat", "Young"])
    pool = replace(pool_of(catalog, range(1, 10), range(10, 20), ["Smiling"]), balance=["Hat"])
    (found,) = Matched(set_size, weight=3.0).by_labels(pool, ["face_0"], lambda name, labels: scores[0, 1:])
    standard = (scores[:, 1:] / scores[:, 1:].std(axis=0)).clip(-2.5, 2.5)
    distances = cdist(standard[:1], standard, "sqeuclidean", w=[1, 3, 1])[0]
    for rows, side in ((found.source, range(1, 10)), (found.target, range(10, 20))):
        assert rows.tolist() == sorted(side, key=lambda row: distances[row])[:set_size]


@pytest.mark.parametrize("balance", [(), ("Male",), ("Male", "Young")])
def test_unless_said_otherwise_those_labels_count_more_that_the_task_is_balanced_by(balance):
    pool = replace(pool_of(Labelled(**PEOPLE), SMILES, GRAVE, ("Smiling",)), balance=balance)
    points = torch.zeros(9, 1), torch.zeros(9, 1)
    for set_size in (1, 2, 4):
        found = [
            chosen(Matched(set_size, same, 100.0)(pool, points, ["face_0"], torch.zeros(1, 1))[0])
            for same in (None, balance, ("Hat",))
        ]
        assert found[0] == found[1] == matched(set_size, same=balance)
        assert found[2] == matched(set_size, same=("Hat",)), "what is said counts, not the balance"


def test_pictures_that_differ_alike_are_ordered_by_their_distance_or_by_how_sure_their_label_is():
    catalog = Labelled(Male=[1] * 6, Old=[0, 0, 0, 0, 0, 1])
    points = line(0, 5, -1, 3, 2, 0)
    pool = pool_of(catalog, [1, 2, 3, 5], [1, 2, 3, 4])
    sets = Matched(4, ["Male"])(pool, (points, points), ["face_0"], line(0))
    assert chosen(sets[0]) == ([2, 3, 1, 5], [2, 4, 3, 1])
    sure = np.array([-1, 0.1, 0.3, 0.2, -1, 0.9]), np.array([-1, 0.1, 0.3, 0.2, 0.4, -1])
    own = np.array([0.7, -0.3])
    (by_labels,) = Matched(4, ["Male"]).by_labels(replace(pool, sides=sure), ["face_0"], lambda name, labels: own)
    assert chosen(by_labels) == ([2, 3, 1, 5], [4, 2, 3, 1])


@pytest.mark.parametrize("own", ["Youth", "youth"])
def test_the_labels_that_the_edit_is_about_play_no_part(own):
    catalog = Labelled(Male=[1] * 4, Old=[0] * 4, Youth=[1, 0, 0, 1])
    points = line(0, 1, 2, 3)
    for own_labels, expected in ((["Old"], [3, 1]), (["Old", own], [1, 2])):
        pool = pool_of(catalog, [1, 2, 3], [1, 2, 3], own_labels)
        assert chosen(Matched(2)(pool, (points, points), ["face_0"], line(0))[0])[0] == expected


def test_an_input_without_labels_has_the_mean_scores_of_its_ten_nearest():
    n = 40
    is_man = np.arange(n) < 20
    catalog = Labelled(Male=is_man, Hat=np.arange(n) % 2)
    points = line(*range(n))
    pool = pool_of(catalog, range(0, n, 2), range(1, n, 2))
    (near,) = Matched(2)(pool, (points, points), ["a stranger"], line(4.6))
    assert chosen(near) == ([4, 6], [5, 3])  # men
    (far,) = Matched(2)(pool, (points, points), ["a stranger"], line(30.6))
    assert chosen(far) == ([30, 32], [31, 29])  # women


def test_what_is_broken_has_no_vote():
    catalog = Labelled(Male=[1, 1, 1, 0, 0, 0, 0, 0])
    points = line(0, 1, 2, *[math.nan] * 5)
    pool = pool_of(catalog, [0, 1], [1, 2])
    sets = Matched(1)(pool, (points, points), ["a stranger"], line(0))
    assert chosen(sets[0]) == ([0], [1])


def test_broken_pictures_are_never_chosen():
    points = torch.zeros(9, 1)
    points[[2, 8]] = math.nan
    assert matched(2, points=points) == ([1, 3], [5, 6])
    source, target = matched(3, points=points)
    assert not {2, 8} & {*source, *target}


def test_a_picture_broken_on_one_side_may_be_chosen_for_the_other():
    catalog = Labelled(Male=[1] * 3)
    good, broken = line(0, 1, 2), line(0, math.nan, 2)
    sets = Matched(1)(pool_of(catalog, [1, 2], [1, 2]), (broken, good), ["face_0"], line(0))
    assert chosen(sets[0]) == ([2], [1])


def test_a_side_with_fewer_pictures_has_fewer_and_so_has_the_other():
    assert matched(9) == matched(4)
    pool = pool_of(Labelled(**PEOPLE), SMILES[:3], GRAVE, ["Smiling"])
    (found,) = Matched(9).by_labels(pool, ["face_0"], lambda name, labels: np.zeros(len(labels)))
    assert len(found.source) == len(found.target) == 3


def test_a_side_of_one_picture_is_an_error_of_one_line_that_names_it():
    pool = pool_of(Labelled(**PEOPLE), SMILES[:1], GRAVE, ["Smiling"])
    with pytest.raises(UserError, match="only 1 pictures of the source are left") as caught:
        Matched(3).by_labels(pool, ["face_0"], lambda name, labels: np.zeros(len(labels)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("label", ["Femlae", "Smiling"])
def test_a_label_that_is_unknown_or_changed_by_the_task_cannot_be_matched(label):
    with pytest.raises(UserError, match=rf"selection\.same names \['{label}'\]") as caught:
        matched(1, same=("Male", label))
    assert "\n" not in str(caught.value)


def test_labels_to_match_may_be_written_in_any_case_like_those_of_a_task():
    assert matched(2, same=("male",)) == matched(2)


def nearest_pool(random, n=50):
    return pool_of(Labelled(Male=[1] * n), random.permutation(n)[:25], random.permutation(n)[:20])


@laws
@given(seed=st.integers(0, 10_000), size=st.integers(1, 12))
def test_nearest_is_what_numpy_sorts_to_the_front(seed, size):
    random = np.random.default_rng(seed)
    pool = nearest_pool(random)
    points = tuple(random.normal(size=(50, 4)) for _ in range(2))
    z0 = random.normal(size=(3, 4))
    points[1][pool.confident.target[:3]] = np.nan
    tensors = tuple(torch.from_numpy(side) for side in points)
    found = Nearest(size)(pool, tensors, ["a", "b", "c"], torch.from_numpy(z0))
    for z, sets in zip(z0, found, strict=True):
        for side, members, result in zip(points, pool.sides, chosen(sets), strict=True):
            usable = np.flatnonzero((members > 0) & ~np.isnan(side[:, 0]))
            squares = ((side[usable] - z) ** 2).sum(axis=1)
            assert result == usable[np.argsort(squares)][:size].tolist()


def test_what_may_not_be_chosen_is_not_even_where_it_is_nearest():
    points = line(0, 0.1, 0.2, 0.3, 5, 6)
    pool = pool_of(Labelled(Male=[1] * 6), [4, 5], [3, 4])
    sets = Nearest(2)(pool, (points, points), ["x"], line(0))
    assert chosen(sets[0]) == ([4, 5], [3, 4])


def test_too_few_near_pictures_are_an_error_that_names_the_side_and_the_setting():
    points = line(0, 1, 2, math.nan, 4)
    pool = pool_of(Labelled(Male=[1] * 5), [0, 1, 2], [2, 3, 4])
    with pytest.raises(UserError, match=r"selection\.set_size is 3, but only 2 pictures of the target .*lower"):
        Nearest(3)(pool, (points, points), ["x"], line(0))


def test_coordinates_may_have_another_precision_than_the_input():
    points = line(0, 1, 2)
    pool = pool_of(Labelled(Male=[1] * 3), [0, 1], [1, 2])
    sets = Nearest(1)(pool, (points, points.double()), ["x"], line(1.9).double())
    assert chosen(sets[0]) == ([1], [2])


# Confident


def test_the_most_confident_pictures_are_one_and_the_same_object_for_all():
    pool = pool_of(Labelled(Male=[1] * 3), [0], [1, 2])
    pool = replace(pool, confident=Sets(np.array([0]), np.array([2])))
    points = torch.full((3, 1), math.nan)
    found = Confident()(pool, (points, points), ["a", "b", "c"], torch.zeros(3, 1))
    assert len(found) == 3
    assert all(sets is pool.confident for sets in found)


# What they say of themselves


def test_selections_say_how_many_pictures_either_side_has():
    pool = pool_of(Labelled(Male=[1] * 9), [0, 1], [2, 3, 4])
    assert Confident().describe(pool) == "2 source and 3 target images"
    for selection in (Matched(7), Nearest(7)):
        assert selection.describe(pool) == "7 source and 7 target images for each input"
