import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dmt.editing.places import Place, Sides
from dmt.reporting.page.drawing import drawn
from dmt.reporting.page.near import LEAST, MOST, NearMap, share_of_target


def sides(n=200, apart=8.0, dimensions=20, seed=0):
    rng = np.random.default_rng(seed)
    return Sides(rng.normal(size=(n, dimensions)), rng.normal(size=(n, dimensions)) + apart / dimensions**0.5)


@pytest.fixture(scope="module")
def moved():
    """Three things in the middle of the source, two of which are moved into the middle of the target."""
    own = sides()
    starts = own.source[:3] * 0.5
    shift = own.target.mean(axis=0) - own.source.mean(axis=0)
    ends = np.stack([starts, starts + shift * np.array([[1], [1], [0]])], axis=1)
    return own, ends, NearMap.of(own, ends)


def test_things_lie_among_the_pictures_that_they_are_like(moved):
    """By the nearest dots of the map itself: the neighbourhood is what t-SNE keeps."""
    *_, found = moved
    places = found.ends.reshape(-1, 2)
    nearest = cdist(places, np.concatenate([found.source, found.target])).argsort(axis=1)[:, :5]
    assert ((nearest >= len(found.source)).mean(axis=1) > 0.5).tolist() == [False, True, False, True, False, False]


def test_both_sides_give_equally_many_points_of_what_a_page_has_time_for(moved):
    _, ends, found = moved
    assert len(found.source) == len(found.target) == (MOST - 2 * len(ends)) // 2
    many = np.zeros((100, 2, 20)) + np.arange(200).reshape(100, 2, 1)
    assert len(NearMap.of(sides(), many, 200).source) == 50, "a quarter at least"


def test_the_same_points_give_the_same_map():
    ends = np.zeros((2, 2, 20))
    first, again = (NearMap.of(sides(30), ends, 60) for _ in range(2))
    assert (first.ends == again.ends).all()


@pytest.mark.parametrize(
    "own", [sides(n=5), sides(dimensions=2), Sides(np.ones((50, 4)), np.ones((50, 4)))], ids=["few", "flat", "alike"]
)
def test_where_neighbours_say_nothing_there_is_no_map(own):
    assert NearMap.of(own, np.ones((1, 2, own.source.shape[1]))) is None


def test_the_share_is_that_of_the_ten_nearest():
    line = np.arange(40.0)[:, None] * [1, 0, 0]
    own = Sides(line[:20], line[20:])
    points = np.array([[0.0, 0, 0], [18.6, 0, 0], [39, 0, 0]])
    assert share_of_target(own, points).tolist() == [0, 0.4, 1]  # 14 ... 23 are the nearest of 18.6


def test_pages_of_many_maps_have_straight_ones_alone():
    """Ten inputs whose sets are their own would leave each fewer points than a map needs."""
    ends = np.zeros((3, 20))
    for n, has_near in ((MOST // LEAST, True), (MOST // LEAST + 1, False)):
        clouds, places = drawn([Place(sides(30, seed=seed), ends) for seed in range(n)])
        assert all((one.near is not None) == has_near for one in places)
        assert len(clouds) == (2 * n if has_near else n)
