import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from dmt.data.tables import Table
from dmt.errors import UserError
from dmt.inversion import Constraints
from dmt.inversion.constraints import TINY
from dmt.manifolds.columns import ColumnSpace

rng = np.random.default_rng(0)
N = 200
ROWS = pd.DataFrame(
    {
        "age": rng.integers(20, 90, N),
        "weight": rng.normal(70, 12, N).round(1),
        "pressure": rng.normal(120, 15, N),
        "children": rng.choice([0, 1, 2, 3, 5.5], N),
        "job": rng.choice(["clerk", "nurse", "pilot"], N),
        "pain": rng.choice(["none", "some", "much"], N),
        "bread": rng.integers(0, 60, N),
        "milk": rng.integers(0, 60, N),
        "eggs": rng.integers(0, 60, N),
        "ill": ["no", "yes"] * (N // 2),
    }
)
ROWS.loc[::17, "weight"] = np.nan
TABLE = Table(ROWS, "ill", ordered={"pain": ["none", "some", "much"]})
SPACE = ColumnSpace.fit(TABLE.columns, TABLE.frame)
BY_RANK = ColumnSpace.fit(TABLE.columns, TABLE.frame, by_rank=True)
VALUES = SPACE.values(ROWS)
AT = {column.name: i for i, column in enumerate(SPACE.columns)}
Z = SPACE.points(VALUES).z


def nearest(constraints: Constraints, z: torch.Tensor, values: np.ndarray = VALUES) -> np.ndarray:
    return constraints.of(SPACE, values, ROWS.columns).nearest(z)


def moved(seed: int, size: float) -> torch.Tensor:
    return Z + size * torch.from_numpy(np.random.default_rng(seed).normal(size=Z.shape))


@st.composite
def any_constraints(draw: st.DrawFn) -> Constraints:
    numbers = ["age", "weight", "pressure", "children", "pain"]
    some = st.lists(st.sampled_from([*numbers, "bread"]), unique=True, max_size=3)
    return Constraints(
        fixed=draw(st.lists(st.sampled_from([*numbers, "job", "milk"]), unique=True, max_size=3)),
        rise=draw(some),
        fall=draw(some),
        bounds=draw(
            st.dictionaries(
                st.sampled_from(["age", "pressure"]), st.sampled_from([[40, 60], [None, 100], [110.5, None]])
            )
        )
        | draw(st.sampled_from([{}, {"job": ["nurse", "clerk"]}, {"pain": ["none", "some"]}])),
        whole=draw(st.sampled_from([[], ["pressure"], ["children"]])),
        sums=draw(st.sampled_from([[], [["bread", "milk", "eggs"]], [["bread", "eggs"]], [["age", "milk"]]])),
        price=draw(st.sampled_from([None, {"bread": 3.0, "job": 0.1}, {"eggs": 0.01}])),
    )


def broken(constraints: Constraints, found: np.ndarray, values: np.ndarray = VALUES) -> int:
    """How many values of rows break a constraint, counted column by column as a reader of the list would."""
    count = 0
    changed = (found != values) & ~np.isnan(values)
    count += (np.isnan(found) != np.isnan(values)).sum()
    for name in constraints.fixed:
        count += changed[:, AT[name]].sum()
    for name in constraints.rise:
        count += (found[:, AT[name]] < values[:, AT[name]]).sum()
    for name in constraints.fall:
        count += (found[:, AT[name]] > values[:, AT[name]]).sum()
    for name, given_bounds in (constraints.bounds or {}).items():
        new, old, column = found[:, AT[name]], values[:, AT[name]], SPACE.columns[AT[name]]
        if name == "job":
            allowed = [column.levels.index(level) for level in given_bounds]
            count += (changed[:, AT[name]] & ~np.isin(new, allowed)).sum()
            continue
        ends = [column.levels.index(end) for end in given_bounds] if name == "pain" else given_bounds
        low, high = (column.low if ends[0] is None else ends[0]), (column.high if ends[1] is None else ends[1])
        count += ((new < np.minimum(low, old)) | (new > np.maximum(high, old))).sum()
    for name in [*constraints.whole, "age", "bread", "milk", "eggs"]:
        new = found[:, AT[name]]
        count += (changed[:, AT[name]] & (new != new.round())).sum()
    if "children" not in constraints.whole:
        count += (~np.isin(found[:, AT["children"]], [0, 1, 2, 3, 5.5])).sum()
    for group in constraints.sums:
        at = [AT[name] for name in group]
        count += (np.abs(found[:, at].sum(axis=1) - values[:, at].sum(axis=1)) > 1e-9).sum()
    weight = found[:, AT["weight"]]
    count += (np.abs(weight * 10 - (weight * 10).round()) > 1e-6).sum()
    return int(count)


@settings(max_examples=60, deadline=None)
@given(any_constraints(), st.integers(0, 10**6), st.sampled_from([0.1, 1.0, 10.0]), st.sampled_from([SPACE, BY_RANK]))
def test_constraints_always_hold_and_a_projection_of_a_projection_is_itself(constraints, seed, size, space):
    allowed = constraints.of(space, VALUES, ROWS.columns)
    found = allowed.nearest(moved(seed, size) - Z + space.points(VALUES).z)
    assert broken(constraints, found) == 0
    np.testing.assert_allclose(allowed.nearest(space.points(found).z), found, rtol=1e-9)


def test_none_is_broken_in_ten_thousand_rows():
    constraints = Constraints(
        fixed=["age"], rise=["milk"], fall=["weight"], bounds={"pressure": [100, 140], "job": ["nurse"]},
        whole=["pressure"], sums=[["bread", "milk", "eggs"]], price={"bread": 2.0},
    )  # fmt: skip
    many = np.repeat(VALUES, 50, axis=0)
    z = SPACE.points(many).z
    far = z + 2 * torch.from_numpy(np.random.default_rng(1).normal(size=z.shape))
    found = nearest(constraints, far, many)
    assert len(found) == 10_000
    assert broken(constraints, found, many) == 0
    assert (found != many).mean() > 0.3


def test_a_row_that_has_not_moved_is_itself_whatever_it_breaks():
    narrow = Constraints(bounds={"age": [30, 31], "pressure": [None, 90], "job": ["nurse"]}, sums=[["bread", "milk"]])
    np.testing.assert_array_equal(nearest(narrow, Z), VALUES)


def test_a_value_beyond_its_bounds_may_come_back_and_never_goes_farther():
    found = nearest(Constraints(bounds={"pressure": [None, 100]}), Z + 50)[:, AT["pressure"]]
    before = VALUES[:, AT["pressure"]]
    np.testing.assert_array_equal(found[before > 100], before[before > 100])
    np.testing.assert_allclose(found[before <= 100], 100, atol=TINY * ROWS["pressure"].std())


def test_the_projection_onto_a_sum_is_that_of_a_general_solver():
    names, price = ["x", "y", "z"], {"x": 1.0, "y": 2.0, "z": 0.5}
    rows = pd.DataFrame(np.random.default_rng(3).uniform(0, 10, (60, 3)), columns=names).assign(label=["a", "b"] * 30)
    table = Table(rows, "label")
    space = ColumnSpace.fit(table.columns, table.frame)
    values, far = space.values(rows), np.random.default_rng(4).normal(0, 6, (60, 3))
    allowed = Constraints(sums=[names], price=price, bounds={name: [0, 10] for name in names}).of(
        space, values, rows.columns
    )
    found = allowed.nearest(space.points(values + far).z)
    weights = np.array(list(price.values())) ** 2
    for row in range(12):
        wished = values[row] + far[row]
        best = minimize(
            lambda x, wished=wished: (weights * (x - wished) ** 2).sum(),
            values[row],
            jac=lambda x, wished=wished: 2 * weights * (x - wished),
            bounds=[(0, 10)] * 3,
            constraints={"type": "eq", "fun": lambda x, row=row: x.sum() - values[row].sum()},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 200},
        )
        np.testing.assert_allclose(found[row], best.x, atol=1e-4)


def test_whole_numbers_with_a_sum_are_the_best_of_all():
    group = ["bread", "milk", "eggs"]
    at = [AT[name] for name in group]
    to = [int(np.flatnonzero(SPACE.owner == i)[0]) for i in at]
    small = np.where(np.isin(np.arange(VALUES.shape[1]), at), 3.0, VALUES)  # 3 + 3 + 3
    far = SPACE.points(small).z.clone()
    far[:, to] += torch.from_numpy(np.random.default_rng(5).normal(0, 0.1, (N, 3)))
    wished = small[:, at] + (far - SPACE.points(small).z)[:, to].numpy() * SPACE.scale[at]
    equal = dict.fromkeys(group, 1.0)
    found = nearest(Constraints(sums=[group], price=equal), far, small)[:, at]
    grid = np.stack(np.meshgrid(*[np.arange(0, 10)] * 3), axis=-1).reshape(-1, 3)
    grid = grid[grid.sum(axis=1) == 9]
    distances = ((wished[:, None] - grid) ** 2).sum(axis=2)
    np.testing.assert_allclose(((wished - found) ** 2).sum(axis=1), distances.min(axis=1), atol=1e-9)


def test_a_column_made_whole_takes_whole_numbers_that_none_of_its_rows_has():
    there = Z.clone()
    there[:, AT["children"]] += torch.from_numpy((4.1 - VALUES[:, AT["children"]]) / SPACE.scale[AT["children"]])
    assert set(nearest(Constraints(), there)[:, AT["children"]]) <= {3, 5.5}
    assert set(nearest(Constraints(whole=["children"]), there)[:, AT["children"]]) == {4}


def test_half_way_between_two_categories_a_row_keeps_its_own():
    half_way, own = Z.clone(), VALUES[:, AT["job"]].astype(int)
    for row in range(N):
        half_way[row, SPACE.owner == AT["job"]] = 0.3
    assert (nearest(Constraints(), half_way)[:, AT["job"]] == own).all()


def test_a_change_that_is_hardly_one_is_none():
    i = AT["pressure"]
    for share, is_changed in ((0.9, False), (1.1, True)):
        far = Z.clone()
        far[:, i] -= share * TINY
        inside = VALUES[:, i] > SPACE.columns[i].low + 5
        assert (nearest(Constraints(), far)[inside, i] != VALUES[inside, i]).all() == is_changed


def test_limits_are_the_same_ends_for_displacements():
    constraints = Constraints(fixed=["age"], fall=["pressure"], price={"pressure": 0.5}, bounds={"job": ["nurse"]})
    limits = constraints.of(SPACE, VALUES, ROWS.columns).limits()
    pressure = int(np.flatnonzero(SPACE.owner == AT["pressure"])[0])
    assert (limits.lower[:, 0] == 0).all()
    assert (limits.upper[:, 0] == 0).all()
    assert (limits.upper[:, pressure] == 0).all()
    low = VALUES[:, AT["pressure"]].min()
    expected = (low - VALUES[:, AT["pressure"]]) / ROWS["pressure"].std(ddof=0)
    np.testing.assert_allclose(limits.lower[:, pressure], expected, atol=1e-12)
    np.testing.assert_allclose(limits.price[:, pressure], 0.5 * ROWS["pressure"].std(ddof=0))
    assert (limits.lower <= 0).all()
    assert (limits.upper >= 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": ["aeg"]}, "there is no column 'aeg'; did you mean 'age'"),
        ({"rise": ["job"]}, "'job' holds categories, without an order"),
        ({"whole": ["pain"]}, "'pain' holds words"),
        ({"bounds": {"job": ["poet"]}}, "must be one of clerk, nurse, pilot, got 'poet'"),
        ({"bounds": {"age": [60, 40]}}, r"constraints.bounds.age must be \[low, high\], got \[60, 40\]"),
        ({"sums": [["bread", "milk"], ["milk", "eggs"]]}, "a column is in two groups"),
        ({"price": {"age": 0}}, r"price must be numbers above 0, got 0 for 'age'; fixed=\[age\]"),
        ({"few": 0}, "few must be null or a whole number above 0"),
    ],
)
def test_constraints_that_cannot_be(options, message):
    with pytest.raises(UserError, match=message):
        Constraints(**options).of(SPACE, VALUES, ROWS.columns)


@pytest.mark.parametrize("space", [SPACE, BY_RANK])
def test_limits_of_ways_are_those_of_values(space):
    allowed = Constraints(rise=["age"], bounds={"pressure": [100, 140]}).of(space, VALUES, ROWS.columns)
    limits, z = allowed.limits(), space.points(VALUES).z
    for name, low, high in (("age", VALUES[:, AT["age"]], ROWS["age"].max()), ("pressure", 100.0, 140.0)):
        i = AT[name]
        low, high = np.minimum(low, VALUES[:, i]), np.maximum(high, VALUES[:, i])
        at = int(np.flatnonzero(space.owner == i)[0])
        for side, ends in ((limits.lower, low), (limits.upper, high)):
            moved_to = np.array(VALUES)
            moved_to[:, i] = ends
            np.testing.assert_allclose(side[:, at], (space.points(moved_to).z - z)[:, at], atol=1e-12)
