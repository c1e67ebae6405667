import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmt.errors import UserError
from dmt.studies.transfer import Halves, HalvesByKind, ListedHalves, RandomHalves

laws = settings(deadline=None, max_examples=30, derandomize=True)

LABELS = [f"class {i}" for i in range(100)]
KINDS = {label: "natural" if i % 3 else "man_made" for i, label in enumerate(LABELS)}  # 66 and 34


@laws
@given(n=st.integers(4, 100), seed=st.integers(0, 2**32), data=st.data())
def test_random_halves_are_disjoint_and_equally_large(n, seed, data):
    size = data.draw(st.none() | st.integers(2, n // 2))
    halves = RandomHalves().halves(LABELS[:n], {}, size, seed)
    assert not set(halves.a) & set(halves.b)
    assert set(halves.a + halves.b) <= set(LABELS[:n])
    assert len(halves.a) == len(halves.b) == (size or n // 2)


def test_a_seed_gives_one_split_and_another_seed_another():
    splits = [RandomHalves().halves(LABELS, {}, None, seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_every_class_is_in_half_a_as_often_as_chance_says():
    counts = np.zeros(10)
    for seed in range(400):
        for label in RandomHalves().halves(LABELS[:10], {}, None, seed).a:
            counts[LABELS.index(label)] += 1
    assert (np.abs(counts - 200) < 5 * 10).all()  # five standard deviations of a binomial, sqrt(400 / 4) = 10


@laws
@given(seed=st.integers(0, 2**32), size=st.none() | st.integers(2, 34))
def test_halves_by_kind_hold_one_kind_each_and_equally_many(seed, size):
    halves = HalvesByKind("natural", "man_made").halves(LABELS, KINDS, size, seed)
    assert {KINDS[label] for label in halves.a} == {"natural"}
    assert {KINDS[label] for label in halves.b} == {"man_made"}
    assert len(set(halves.a)) == len(set(halves.b)) == (size or 34)


def test_the_same_classes_are_one_division_in_any_order_and_whichever_half_is_a():
    division = Halves(("a", "b"), ("c", "d")).division
    assert Halves(("b", "a"), ("c", "d")).division == Halves(("c", "d"), ("a", "b")).division == division
    assert Halves(("a", "c"), ("b", "d")).division != division


def test_listed_halves_are_those_listed_in_that_order():
    halves = ListedHalves(["class 3", "class 1"], ["class 2", "class 9"]).halves(LABELS, {}, None, 0)
    assert halves.half("A") == ("class 3", "class 1")
    assert halves.half("B") == ("class 2", "class 9")


def test_classes_that_look_like_numbers_may_be_listed_as_numbers():
    assert ListedHalves([0, 1], [2, 3]).halves(["0", "1", "2", "3"], {}, None, 0).b == ("2", "3")
    assert ListedHalves([1000.0, True], ["Cat", "CAR"]).halves(["1e3", "true", "Cat", "cat", "car"], {}, None, 0) == (
        Halves(("1e3", "true"), ("Cat", "car"))
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Halves(("a", "b"), ("b", "c")), "may not overlap, but 'b' is named twice"),
        (lambda: Halves(("a", "a"), ("b", "c")), "may not overlap, but 'a' is named twice"),
        (lambda: Halves(("a", "b"), ("c",)), "half B of the split has 1 class"),
        (lambda: Halves((), ("b", "c")), "half A of the split has 0 class"),
        (lambda: ListedHalves(["class 1", "clas 2"], []).halves(LABELS, {}, None, 0), "did you mean 'class 2'"),
        (lambda: RandomHalves().halves(LABELS, {}, 51, 0), "transfer.classes must be null or .* from 2 to 50"),
        (lambda: RandomHalves().halves(LABELS, {}, 1, 0), "transfer.classes must be .*, got 1"),
        (lambda: RandomHalves().halves(LABELS[:3], {}, None, 0), "half A of the split has 1 class"),
        (lambda: HalvesByKind("natural", "man_made").halves(LABELS, KINDS, 35, 0), "from 2 to 34"),
        (lambda: HalvesByKind("natural", "made").halves(LABELS, KINDS, None, 0), "'made' .*man_made, natural"),
        (lambda: HalvesByKind("natural", "man_made").halves(LABELS, {}, None, 0), "kinds known: none"),
    ],
)
def test_what_is_no_split_is_an_error_of_one_line(make, message):
    with pytest.raises(UserError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
