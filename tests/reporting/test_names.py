"""Short names: told apart, ends of the full ones, and the shortest of those."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmt.reporting.names import end_of, short_names

NAMES = st.lists(st.lists(st.sampled_from(["a", "b", "a.jpg", "a.png", "b.jpg", "..", ""]), min_size=1).map("/".join))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["oranges/img_0042.jpg"], ["img_0042"]),
        (["Ada_One_0001", "/photos/me.JPG"], ["Ada_One_0001", "me"]),
        (["oranges/1.jpg", "apples/1.jpg", "apples/2.jpg"], ["oranges/1", "apples/1", "2"]),
        (["x/oranges/1.jpg", "y/oranges/1.jpg"], ["x/oranges/1", "y/oranges/1"]),
        (["1.jpg", "x/1.jpg", "y/x/1.jpg"], ["1.jpg", "x/1.jpg", "y/x/1"]),
        (["x/1.jpg", "x/1.png"], ["1.jpg", "1.png"]),
        (["x/1.jpg", "x/1.jpg", "x/2.jpg"], ["1", "1", "2"]),
        (["v1.2", "v1.3", "St. John"], ["v1.2", "v1.3", "St. John"]),  # not every dot begins a suffix
        ([".png", "x/.png"], [".png", "x/.png"]),
    ],
)
def test_names_are_as_short_as_they_can_be(names, expected):
    assert short_names(names) == expected


@given(NAMES)
def test_short_names_are_equal_only_where_the_names_are(names):
    short = dict(zip(names, short_names(names), strict=True))
    assert len(set(short.values())) == len(set(names))
    assert all(name.endswith(end) or name.rpartition(".")[0].endswith(end) for name, end in short.items())


@pytest.mark.parametrize(("most", "expected"), [(20, "img_0042"), (8, "img_0042"), (7, "…g_0042"), (2, "…2"), (1, "…")])
def test_the_end_of_a_name_is_kept(most, expected):
    assert end_of("img_0042", most) == expected
