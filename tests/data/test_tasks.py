from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dmt.data import (
    AttributeTask,
    ClassTask,
    ColorizeTask,
    Digits,
    EditData,
    JointTask,
    Matched,
    PersonTask,
    ScoredTask,
)
from dmt.data.selection import choose_inputs, in_groups, most_confident, most_confident_sets
from dmt.errors import UserError


class Labels:
    """A catalog that knows scores and nothing else."""

    def __init__(self, **scores):
        self._scores = {name: np.array(values, dtype=float) for name, values in scores.items()}
        self.names = list(range(len(next(iter(scores.values())))))
        self.groups = ["Ann", "Bob", "Cid", "Ann"][: len(self.names)]

    def scores(self, label):
        return self._scores[label]


CATALOG = Labels(Senior=[2, -1, 0, 0.5], Youth=[-3, 1, 2, -1])

scores_of_pictures = st.lists(st.integers(-5, 5), min_size=1, max_size=30).map(np.array)


def test_more_of_an_attribute_walks_from_its_opposite():
    source, target = AttributeTask("Senior").scores(CATALOG)
    assert target.tolist() == [2, -1, 0, 0.5]
    assert source.tolist() == [-2, 1, 0, -0.5]


def test_less_of_an_attribute_walks_the_other_way():
    more, less = AttributeTask("Senior", "more").scores(CATALOG), AttributeTask("Senior", "less").scores(CATALOG)
    assert less[0].tolist() == more[1].tolist()
    assert less[1].tolist() == more[0].tolist()


@pytest.mark.parametrize(
    ("task", "title"),
    [
        (AttributeTask("Senior"), "less Senior"),
        (AttributeTask("Senior", source="Youth"), "less Senior"),
        (ClassTask("Youth", "Senior"), "Senior to Youth"),
        (PersonTask("Ann", least=1), "away from Ann"),
    ],
)
def test_less_swaps_the_sides_of_any_task_exactly(task, title):
    source, target = task.scores(CATALOG)
    reverse = replace(task, direction="less")
    of_reverse = reverse.scores(CATALOG)
    np.testing.assert_array_equal(of_reverse[0], target)
    np.testing.assert_array_equal(of_reverse[1], source)
    assert (source != target).any()
    assert reverse.title == title


@pytest.mark.parametrize(
    "make",
    [
        lambda **own: AttributeTask("Senior", **own),
        lambda **own: ClassTask("a", "b", **own),
        lambda **own: PersonTask("Ann", **own),
    ],
)
def test_there_are_two_directions(make):
    with pytest.raises(UserError, match="more or less, got 'up'"):
        make(direction="up")


def test_another_attribute_can_make_the_source():
    source, target = AttributeTask("Senior", source="Youth").scores(CATALOG)
    np.testing.assert_array_equal(source, CATALOG.scores("Youth"))
    np.testing.assert_array_equal(target, CATALOG.scores("Senior"))


def test_only_a_task_of_an_attribute_says_how_its_sets_are_chosen_and_what_they_are_balanced_by():
    for task in (AttributeTask("Senior"), ClassTask("a", "b"), PersonTask("Ann"), ColorizeTask()):
        assert task.selection is None
        assert list(task.balance) == []
    told = AttributeTask("Senior", balance=["Male"], selection=Matched(7))
    assert (told.selection, list(told.balance)) == (Matched(7), ["Male"])


def test_a_class_task_walks_from_one_class_to_the_other():
    source, target = ClassTask("Youth", "Senior").scores(CATALOG)
    assert (source > 0).tolist() == [False, True, True, False]
    assert (target > 0).tolist() == [True, False, False, True]


def test_classes_may_be_numbers():
    source, target = ClassTask(3, 8).scores(Digits())  # as YAML reads them
    assert ((source > 0).sum(), (target > 0).sum()) == (183, 174)  # as many as scikit-learn documents


def test_from_a_class_to_itself_is_an_error():
    with pytest.raises(UserError, match="both 3; they must differ"):
        ClassTask(3, "3").scores(CATALOG)


@given(scores_of_pictures, st.integers(0, 40), st.data())
def test_the_most_confident_come_first_and_nobody_better_is_left_out(scores, most, data):
    excluded = np.array(data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores))))
    chosen = most_confident(scores, most, excluded)
    usable = {i for i in range(len(scores)) if scores[i] > 0 and not excluded[i]}
    left_out = usable - set(chosen)
    assert set(chosen) <= usable
    assert len(set(chosen)) == len(chosen) == min(most, len(usable))
    assert scores[chosen].tolist() == sorted(scores[chosen], reverse=True)
    assert all(scores[other] <= scores[chosen].min() for other in left_out if len(chosen))


@st.composite
def two_sides(draw):
    """Scores of either side, what is excluded (what belongs to both sides is), and strata."""
    n = draw(st.integers(1, 40))
    scores = st.lists(st.integers(-5, 5), min_size=n, max_size=n).map(np.array)
    excluded = draw(st.lists(st.booleans(), min_size=n, max_size=n).map(np.array))
    strata = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n).map(np.array))
    source_scores, target_scores = draw(scores), draw(scores)
    return source_scores, target_scores, excluded | ((source_scores > 0) & (target_scores > 0)), strata


@given(two_sides(), st.integers(1, 50))
def test_both_sets_have_as_many_pictures_of_every_stratum_and_the_surest_of_it(sides, most):
    source_scores, target_scores, excluded, strata = sides
    source, target = most_confident_sets(source_scores, target_scores, strata, most, excluded)
    assert not set(source) & set(target)
    for members, scores in ((source, source_scores), (target, target_scores)):
        assert len(set(members)) == len(members) <= most
        usable = {i for i in range(len(strata)) if scores[i] > 0 and not excluded[i]}
        assert set(members) <= usable
        for stratum in set(strata):
            chosen = [i for i in members if strata[i] == stratum]
            better = [i for i in usable if strata[i] == stratum and chosen and scores[i] > scores[chosen].min()]
            assert set(better) <= set(chosen)
    assert sorted(strata[source]) == sorted(strata[target])


@given(two_sides(), st.integers(1, 50))
def test_without_strata_either_set_has_all_that_it_can_and_the_surest_first(sides, most):
    source_scores, target_scores, excluded, _ = sides
    sets = most_confident_sets(source_scores, target_scores, None, most, excluded)
    for members, scores in zip(sets, (source_scores, target_scores), strict=True):
        assert len(members) == min(most, ((scores > 0) & ~excluded).sum())
        assert scores[members].tolist() == sorted(scores[members], reverse=True)


def test_balanced_sets_are_as_large_as_the_rarer_side_allows():
    women = np.array([1] * 10 + [0] * 30, dtype=bool)
    smiling = np.r_[np.ones(9), -np.ones(1), np.ones(20), -np.ones(10)]
    sets = most_confident_sets(smiling, -smiling, women.astype(int), 2000, np.zeros(40, dtype=bool))
    assert [(int(women[members].sum()), len(members)) for members in sets] == [(1, 11), (1, 11)]


def test_pictures_of_one_stratum_have_the_same_labels_of_the_balance():
    catalog = Labels(Old=[1, 1, -1, -1, 1, -1], Male=[1, -1, 1, -1, 1, 0], Happy=[1, 1, 1, 1, 1, 1])
    strata = AttributeTask("Happy", balance=["Old", "Male"]).strata(catalog)
    assert strata[0] == strata[4]
    assert strata[3] == strata[5]
    assert len(set(strata)) == 4
    assert AttributeTask("Happy").strata(catalog) is None


def test_pictures_of_the_groups_held_out_are_marked():
    assert in_groups(["a", "b", "a", "c"], ["a", "c", "z"]).tolist() == [True, False, True, True]
    assert in_groups(["a", "b"], []).tolist() == [False, False]


@given(scores_of_pictures, st.integers(1, 40), st.integers(1, 40), st.integers(0, 5), st.data())
def test_inputs_are_of_the_surest_pictures_and_no_two_of_one_group(scores, among, count, seed, data):
    groups = data.draw(st.lists(st.sampled_from("abcdef"), min_size=len(scores), max_size=len(scores)))
    chosen = choose_inputs(scores, groups, among, count, seed)
    surest = most_confident(scores, among, np.zeros(len(scores), dtype=bool))
    people = [groups[i] for i in chosen]
    assert set(chosen) <= set(surest)
    assert len(set(people)) == len(people) == min(count, len({groups[i] for i in surest}))
    assert chosen.tolist() == choose_inputs(scores, groups, among, count, seed).tolist()


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_another_seed_gives_another_choice_and_zero_is_a_seed_like_any_other(seed, other):
    assume(seed != other)
    scores, groups = np.ones(2000), [str(i) for i in range(2000)]
    first, second = (choose_inputs(scores, groups, 2000, 20, s).tolist() for s in (seed, other))
    assert first != second
    assert first != list(range(20)), "not a random choice"


# Scores of somebody's own


def test_scored_pictures_are_the_sides_most_sure_first_and_labels_are_no_matter():
    catalog = Digits()
    n = len(catalog.names)
    source, target = np.full(n, -1.0), np.full(n, -1.0)
    source[[5, 9, 11, 40]] = [0.2, 0.9, 0.5, 0.7]
    target[[6, 8, 40]] = [0.6, 0.7, 0.8]
    task = ScoredTask("one to another", source, target)
    data = EditData(catalog, task, images=["digit_0009"], image_size=8)
    assert data.source.tolist() == [11, 5], "the input is in neither set, nor is what is of both sides"
    assert data.target.tolist() == [8, 6]
    few = EditData(catalog, task, images=[catalog.names[0]], image_size=8, set_size=2)
    assert few.source.tolist() == [9, 11]
    assert (data.task.title, data.task.labels(), data.task.strata(catalog)) == ("one to another", [], None)


def test_inputs_are_drawn_from_the_scored_source():
    catalog = Digits()
    source = np.where(catalog.digits == 4, 1.0, -1.0)
    task = ScoredTask("four to nine", source, np.where(catalog.digits == 9, 1.0, -1.0))
    data = EditData(catalog, task, images=3, image_size=8)
    assert [int(catalog.digits[catalog.index(name)]) for name in data.inputs] == [4, 4, 4]


def test_scores_of_another_number_of_pictures_are_an_error():
    with pytest.raises(UserError, match="one to another: 3 pictures are scored, there are 1797"):
        EditData(Digits(), ScoredTask("one to another", np.ones(3), np.ones(3)), image_size=8)


FOUR = Labels(Smiling=[1.0, 0.4, -0.5, -2.0], Senior=[0.5, -1.0, -0.2, -1.0], Male=[1.0, 1.0, -1.0, -1.0])


def test_several_tasks_at_once_are_between_pictures_of_all_their_sides():
    smiling = AttributeTask("Smiling", balance=["Male", "Senior"])
    task = JointTask(smiling=smiling, senior=AttributeTask("Senior", balance=["Male"]))
    source, target = task.scores(FOUR)
    np.testing.assert_array_equal(source, [-1.0, -0.4, 0.2, 1.0])  # the smaller of -Smiling and -Senior
    np.testing.assert_array_equal(target, [0.5, -1.0, -0.5, -2.0])
    assert task.title == "more Smiling and more Senior"
    assert list(task.labels()) == ["Smiling", "Senior"]
    assert list(task.balance) == ["Male"], "what one task changes the other does not keep"
    np.testing.assert_array_equal(task.strata(FOUR), [1, 1, 0, 0])


@pytest.mark.parametrize("tasks", [{}, {"one": AttributeTask("Smiling")}])
def test_several_tasks_are_at_least_two(tasks):
    with pytest.raises(UserError, match="at least two"):
        JointTask(**tasks)


def test_a_task_that_sees_pictures_another_way_goes_with_no_other():
    with pytest.raises(UserError, match="goes with no other task"):
        JointTask(one=AttributeTask("Smiling"), two=ColorizeTask())


def test_tasks_of_labels_say_which_are_wanted():
    frowning = AttributeTask("Frowning", source="Smiling")
    assert frowning.towards() == {"Frowning": True, "Smiling": False}
    assert replace(frowning, direction="less").towards() == {"Frowning": False, "Smiling": True}
    assert ClassTask("3", 8).towards() == {"3": False, "8": True}
    assert JointTask(one=frowning, other=AttributeTask("Male", "less")).towards() == {
        "Smiling": False,
        "Frowning": True,
        "Male": False,
    }
    assert PersonTask("Somebody").towards() == {}
