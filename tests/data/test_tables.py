import numpy as np
import pandas as pd
import pytest

from dmt.data.tables import Column, Table, TableTask
from dmt.errors import UserError


def frame(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": range(1, n + 1),
            "weight": rng.normal(70, 10, n).round(1),
            "visits": rng.integers(0, 40, n),
            "stage": rng.integers(1, 5, n),
            "job": rng.choice(["clerk", "nurse", "pilot"], n),
            "born": pd.date_range("1950-01-01", periods=n).astype(str),
            "note": [f"patient {i} said this" for i in range(n)],
            "ward": "west",
            "ill": ["no", "yes"] * (n // 2),
        }
    )


def kinds(table: Table) -> dict[str, str]:
    return {column.name: column.kind for column in table.columns}


def test_columns_are_understood_and_what_cannot_change_is_named():
    table = Table(frame(), "ill")
    assert kinds(table) == {"weight": "number", "visits": "number", "stage": "ordered", "job": "category"}
    assert table.left_out == {
        "id": "numbers its rows",
        "born": "dates",
        "note": "text, 60 different values",
        "ward": "one value only",
    }
    assert [(column.decimals, column.levels) for column in table.columns] == [
        (1, ()), (0, ()), (0, (1, 2, 3, 4)), (None, ("clerk", "nurse", "pilot")),
    ]  # fmt: skip


def test_numbers_of_rows_are_known_when_some_or_their_order_are_missing():
    rows = frame()
    for rest in (rows.iloc[[*range(0, 20), *range(30, 60)]], rows.assign(id=rows["id"].to_numpy()[::-1])):
        assert Table(rest, "ill").left_out["id"] == "numbers its rows"


def test_numbers_that_are_names_words_in_order_and_columns_that_are_left_out():
    table = Table(
        frame(), "ill", categories=["stage"], ordered={"job": ["pilot", "clerk", "nurse"]}, leave_out=["weight"]
    )
    assert kinds(table) == {"visits": "number", "stage": "category", "job": "ordered"}
    assert table.columns[-1].coded(pd.Series(["nurse", "pilot", None])).tolist()[:2] == [2, 0]
    assert table.left_out["weight"] == "as asked"
    with pytest.raises(UserError, match=r"ordered\.job must be all its values in order; 'nurse' is missing"):
        Table(frame(), "ill", ordered={"job": ["pilot", "clerk"]}).columns  # noqa: B018


def test_values_that_the_labelled_rows_never_have():
    job, weight = (next(c for c in Table(frame(), "ill").columns if c.name == name) for name in ("job", "weight"))
    with pytest.raises(UserError, match="column 'job' must be one of clerk, nurse, pilot, got 'poet'"):
        job.coded(pd.Series(["clerk", "poet"]))
    with pytest.raises(UserError, match="column 'weight' must be numbers, got 'heavy'"):
        weight.coded(pd.Series(["70", "heavy"]))
    assert np.isnan(weight.coded(pd.Series([None, 70.5]))[0])


@pytest.mark.parametrize(
    ("label", "task", "message"),
    [
        (["no"] * 40, TableTask("yes", "no"), "has the one value 'no'"),
        (["no", "yes"] * 20, TableTask("yes", "on"), "no row has y=on; did you mean 'no'"),
        (["no", "yes"] * 20, TableTask("no", "no"), "must be two sides"),
        (["no", "yes"] * 20, TableTask("above", "below"), "above and below are sides of a number"),
        (["no"] * 31 + ["yes"] * 9, TableTask("yes", "no"), "the source has 9 rows; at least 10"),
        (range(40), TableTask("above", "below", "mean"), "threshold must be median or a number, got 'mean'"),
    ],
)
def test_sides_that_cannot_be(label, task, message):
    with pytest.raises(UserError, match=message):
        task.sides(pd.Series(label, name="y"))


def test_sides_by_value_by_threshold_and_against_all_others():
    flags = pd.Series([True, False] * 20, name="y")
    assert TableTask("true", "false").sides(flags).tolist() == [-1, 1] * 20
    assert TableTask(1, 0).sides(pd.Series([1.0, 0.0] * 20, name="y")).tolist() == [-1, 1] * 20
    numbers = pd.Series(range(40), name="y")
    assert TableTask("above", "below", 29).sides(numbers).tolist() == [1] * 30 + [-1] * 10
    three = pd.Series(["a", "b", "c"] * 10, name="y")
    assert TableTask("a", "b").sides(three).tolist() == [-1, 1, 0] * 10
    assert TableTask(None, "b").sides(three).tolist() == [-1, 1, -1] * 10


def test_files_of_either_kind_read_the_same(tmp_path):
    written = frame().drop(columns=["born"])
    written.to_csv(tmp_path / "comma.csv", index=False)
    written.to_csv(tmp_path / "semicolon.csv", index=False, sep=";", encoding="utf-8-sig")
    read = [Table(tmp_path / name, "ill").frame for name in ("comma.csv", "semicolon.csv")]
    for one in read:
        pd.testing.assert_frame_equal(one, written, check_dtype=False)


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    frame().to_parquet(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(Table(tmp_path / "rows.parquet", "ill").frame, frame())


def test_a_long_table_is_drawn_from_evenly_while_it_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("dmt.data.tables.CHUNK", 100)
    rows = pd.DataFrame({"x": np.arange(5000) % 977, "y": ["a", "b"] * 2500})
    rows.to_csv(tmp_path / "long.csv", index=False)
    drawn = Table(tmp_path / "long.csv", "y", most=1000).frame
    assert len(drawn) == 1000
    assert drawn.index.is_monotonic_increasing
    assert (drawn["x"] == rows["x"][drawn.index]).all()
    assert abs(drawn.index.to_numpy().mean() - 2500) < 4 * 5000 / 12**0.5 / 1000**0.5  # four standard errors
    again = Table(tmp_path / "long.csv", "y", most=1000).frame
    assert drawn.equals(again)
    assert not drawn.equals(Table(tmp_path / "long.csv", "y", most=1000, seed=1).frame)


def test_equal_rows_are_held_out_together():
    rows = pd.DataFrame({"x": np.arange(300) % 60 / 2, "y": ["a", "b", "b"] * 100})
    held_out = Table(rows, "y").is_held_out()
    assert 0.3 < held_out.mean() < 0.5
    assert (pd.Series(held_out).groupby(rows["x"]).nunique() == 1).all()


def test_rows_to_edit(tmp_path):
    table = Table(frame(), "ill")
    sides = TableTask("yes", "no").sides(table.frame["ill"])
    assert table.rows(5, sides).index.isin(range(1, 60, 2)).all()
    assert len(table.rows(1000, sides)) == 30
    assert table.rows(["all"], sides).index.tolist() == list(range(1, 60, 2))
    assert table.rows(["3", 8], sides).index.tolist() == [3, 8]
    frame().head(4).to_csv(tmp_path / "new.csv", index=False)
    assert len(table.rows([str(tmp_path / "new.csv")], sides)) == 4
    with pytest.raises(UserError, match="images=60: of a table give row numbers"):
        table.rows(["60"], sides)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"label": "sick"}, "label: there is no column 'sick'"),
        ({}, {"leave_out": ["weigth"]}, "did you mean 'weight'"),
        ({}, {"held_out": 1.5}, "held_out must be a number between 0 and 1, got 1.5"),
        ({}, {"most": 1}, "most must be a whole number"),
        ({"weight": np.inf}, {}, "column 'weight' holds infinity"),
    ],
)
def test_tables_that_cannot_be(change, options, message):
    rows = frame()
    for name, value in change.items():
        rows.loc[3, name] = value
    with pytest.raises(UserError, match=message):
        Table(rows, **{"label": "ill", **options}).columns  # noqa: B018


def test_no_file_no_table_and_no_column_that_can_change(tmp_path):
    with pytest.raises(UserError, match="there is no table"):
        Table(tmp_path / "none.csv", "y").frame  # noqa: B018
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match="could not be read as a table"):
        Table(tmp_path / "empty.csv", "y").frame  # noqa: B018
    with pytest.raises(UserError, match=r"no column of the table can change \(x: one value only\)"):
        Table(pd.DataFrame({"x": [1] * 40, "y": ["a", "b"] * 20}), "y").columns  # noqa: B018


def test_rows_without_a_label_are_left_out():
    rows = frame()
    rows.loc[:9, "ill"] = None
    assert Table(rows, "ill").frame.index.tolist() == list(range(10, 60))


def test_data_sets_that_come_with_scikit_learn():
    wine = Table("sklearn:wine", "target")
    assert sorted(wine.frame["target"].unique()) == ["class_0", "class_1", "class_2"]
    diabetes = Table("sklearn:diabetes", "target")
    assert {"body_mass_index", "glucose"} <= {column.name for column in diabetes.columns}
    assert Column.of(diabetes.frame["sex"]).levels == (1, 2)
