import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler

from dmt.data.tables import Column, Table
from dmt.errors import UserError
from dmt.manifolds.columns import Columns, ColumnSpace


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    numbers = {"a": rng.normal(5, 2, 80), "b": rng.integers(0, 30, 80)}
    return pd.DataFrame({**numbers, "c": rng.choice(["x", "y", "z"], 80), "label": ["p", "q"] * 40})


def fitted(rows: pd.DataFrame) -> ColumnSpace:
    table = Table(rows, "label")
    return ColumnSpace.fit(table.columns, table.frame)


def test_points_are_scikit_learns_standardised_and_one_hot_columns(rows):
    space = fitted(rows)
    points = space.points(space.values(rows)).z.numpy()
    np.testing.assert_allclose(points[:, :2], StandardScaler().fit_transform(rows[["a", "b"]]), atol=1e-12)
    one_hot = OneHotEncoder(sparse_output=False).fit_transform(rows[["c"]])
    np.testing.assert_allclose(points[:, 2:], one_hot / np.sqrt(2))
    assert space.owner.tolist() == [0, 1, 2, 2, 2]
    other = points[rows["c"] == "x"][0, 2:] - points[rows["c"] == "y"][0, 2:]
    assert np.linalg.norm(other) == pytest.approx(1)


def test_a_missing_value_is_the_median_or_the_commonest(rows):
    rows.loc[0, "a"], rows.loc[1, "c"] = np.nan, None
    space = fitted(rows)
    values = space.values(rows)
    assert np.isnan(values[0, 0])
    assert np.isnan(values[1, 2])
    points = space.points(values).z.numpy()
    assert points[0, 0] == pytest.approx((rows["a"].median() - rows["a"].mean()) / rows["a"].std(ddof=0))
    assert points[1, 2:].argmax() == ["x", "y", "z"].index(rows["c"].mode()[0])


def test_what_has_not_changed_is_as_it_was(rows):
    rows.loc[0, "a"] = np.nan
    space = fitted(rows)
    values = space.values(rows)
    pd.testing.assert_frame_equal(space.frame(values, rows), rows)
    values[2] = [7.25, 3, 1]
    changed = space.frame(values, rows)
    assert changed.loc[2].tolist() == [7.25, 3, "y", "p"]
    assert changed.dtypes.tolist() == rows.dtypes.tolist()
    pd.testing.assert_frame_equal(changed.drop(index=2), rows.drop(index=2))


def test_saved_and_read_again(rows, tmp_path):
    space = fitted(rows)
    space.save(tmp_path / "columns.safetensors")
    again = ColumnSpace.load(tmp_path / "columns.safetensors")
    assert list(again.columns) == list(space.columns)
    assert again.points(again.values(rows)).z.equal(space.points(space.values(rows)).z)
    with pytest.raises(UserError, match="there is no file"):
        ColumnSpace.load(tmp_path / "none.safetensors")


def test_categories_that_are_numbers_are_saved(tmp_path):
    rows = pd.DataFrame({"floor": [1, 2, 3, 2] * 10, "height": [1.5, 2.5] * 20})
    columns = [Column.of(rows["floor"], as_category=True), Column.of(rows["height"])]
    space = ColumnSpace.fit(columns, rows)
    space.save(tmp_path / "columns.safetensors")
    again = ColumnSpace.load(tmp_path / "columns.safetensors")
    assert again.columns[0].levels == (1, 2, 3)
    assert again.points(again.values(rows)).z.equal(space.points(space.values(rows)).z)


def skewed(n: int = 3000) -> pd.DataFrame:
    income = np.random.default_rng(3).lognormal(10, 1.5, n)
    return pd.DataFrame({"income": income, "label": ["p", "q"] * (n // 2)})


def test_by_rank_numbers_are_about_scikit_learns_normal_scores():
    frame = skewed()
    table = Table(frame, "label")
    space = Columns("quantile").fit(table.columns, table.frame)
    points = space.points(space.values(frame)).z.numpy()[:, 0]
    theirs = QuantileTransformer(n_quantiles=1000, output_distribution="normal").fit_transform(frame[["income"]])[:, 0]
    inner = np.abs(theirs) < 2
    np.testing.assert_allclose(points[inner], theirs[inner], atol=0.05)
    assert fitted(frame).points(space.values(frame)).z.numpy().max() > 2 * points.max()  # what it is for


@pytest.mark.parametrize("way", [-4.0, -0.3, 0.0, 0.7, 6.0])
def test_by_rank_a_way_leads_back_and_beyond_the_table_s_ends(way):
    table = Table(skewed(), "label")
    space = Columns("quantile").fit(table.columns, table.frame)
    values = np.array([-5.0, *np.quantile(table.frame["income"], [0, 0.1, 0.5, 0.99, 1]), 1e9])
    there = space.moved(0, values, np.full(len(values), way))
    np.testing.assert_allclose(space.coordinates(0, there), space.coordinates(0, values) + way, atol=1e-6)
    assert (np.diff(there) > 0).all()


def test_curves_are_saved(tmp_path):
    table = Table(skewed(), "label")
    space = Columns("quantile").fit(table.columns, table.frame)
    space.save(tmp_path / "columns.safetensors")
    values = space.values(table.frame)
    assert (ColumnSpace.load(tmp_path / "columns.safetensors").points(values).z == space.points(values).z).all()


def test_an_unknown_scaling_is_refused():
    with pytest.raises(UserError, match="standard or quantile"):
        Columns("robust")
