from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

import dmt
from dmt.data.tables import Table, TableTask
from dmt.editing import LeastChange, TableEditor
from dmt.errors import UserError
from dmt.inversion import Constraints

TASK = TableTask("ill", "well", who="patients")


def patients(n: int = 240) -> pd.DataFrame:
    """The ill have more glucose, weigh more and smoke more; age and height tell nothing."""
    rng = np.random.default_rng(0)
    is_ill = np.arange(n) % 2 == 0
    return pd.DataFrame(
        {
            "age": rng.integers(20, 80, n),
            "height": rng.normal(170, 8, n).round(0),
            "glucose": (rng.normal(100, 10, n) + 45 * is_ill).round(0).astype(int),
            "weight": (rng.normal(70, 8, n) + 18 * is_ill).round(1),
            "smokes": np.where(rng.random(n) < 0.2 + 0.6 * is_ill, "yes", "no"),
            "since": pd.date_range("2001-01-01", periods=n).astype(str),
            "state": np.where(is_ill, "ill", "well"),
        }
    )


def test_columns_with_a_few_values_far_off_are_named_and_looked_for_once(monkeypatch, caplog):
    rows = patients().assign(income=np.exp(np.random.default_rng(0).normal(0, 2, 240)))  # a log-normal is skewed
    editor = TableEditor(table=Table(rows, "state"))
    ground = editor.ground(TASK)
    monkeypatch.setattr("dmt.editing.table_editor.skew", lambda *_, **__: pytest.fail("it is known"))
    with caplog.at_level("INFO"):
        editor.edit(TASK, 1, 0.5, ground)
    assert "far from all others in income; manifold.scaling=quantile" in caplog.text


EDITOR = TableEditor(table=Table(patients(), "state"))


@pytest.fixture(scope="module")
def ground():
    return EDITOR.ground(TASK)


def test_rows_come_to_lie_among_real_ones_of_the_target_and_a_classifier_agrees(ground):
    edit = EDITOR.edit(TASK, ["all"], ground=ground)
    table, well = edit.table, patients().query("state == 'well'")
    assert len(table) == 120
    assert (table["classifier_after"] > 0.85).mean() > 0.95
    assert table["classifier_before"].median() < 0.1
    real = ground.space.points(ground.space.values(well)).z.numpy()
    neighbours = NearestNeighbors(n_neighbors=1).fit(real)
    usual = np.quantile(neighbours.kneighbors()[0], 0.95)
    assert (neighbours.kneighbors(edit.end)[0][:, 0] <= usual).mean() > 0.95
    assert edit.after["glucose"].mean() < edit.before["glucose"].mean() - 20
    assert edit.after["glucose"].dtype == edit.before["glucose"].dtype
    pd.testing.assert_frame_equal(edit.after[["since", "state"]], edit.before[["since", "state"]])


@pytest.mark.parametrize("options", [{}, {"few": 2}, {"sums": [["height", "weight"]]}])
def test_an_infinite_lambda_returns_the_rows(ground, options):
    editor = replace(EDITOR, constraints=Constraints(**options))
    edit = editor.edit(TASK, ["all"], np.inf, ground)
    pd.testing.assert_frame_equal(edit.after, edit.before)
    assert set(edit.words[0].split(";")[0:1]) == {"nothing changes"}
    assert all(record["price"] == 0 for record in edit.records)


def test_a_smaller_lambda_changes_more(ground):
    prices = [EDITOR.edit(TASK, 12, lam, ground).table["price"].mean() for lam in (8.0, 2.0, 0.5)]
    assert prices[0] < prices[1] < prices[2]


def test_what_is_fixed_never_moves_and_what_is_dear_moves_less(ground):
    editor = replace(EDITOR, constraints=Constraints(fixed=["glucose", "smokes"]))
    edit = editor.edit(TASK, 20, 0.3, ground)
    pd.testing.assert_frame_equal(edit.after[["glucose", "smokes"]], edit.before[["glucose", "smokes"]])
    assert (edit.after["weight"] < edit.before["weight"]).mean() > 0.8
    moves = []
    for price in (0.01, 1.0):
        dear = replace(EDITOR, constraints=Constraints(price={"weight": price})).edit(TASK, 20, 0.7, ground)
        moves.append((dear.before["weight"] - dear.after["weight"]).mean())
    assert moves[0] > 2 * moves[1]


def test_few_columns_change_and_plans_differ(ground):
    editor = replace(EDITOR, constraints=Constraints(few=1), plans=2)
    edit = editor.edit(TASK, 6, 0.3, ground)
    assert [(record["row"], record["plan"]) for record in edit.records[:3]] == [
        (edit.before.index[0], 1), (edit.before.index[0], 2), (edit.before.index[1], 1),
    ]  # fmt: skip
    before = edit.before.loc[edit.after.index]
    changed = edit.after.drop(columns="state") != before.drop(columns="state")
    assert changed.sum(axis=1).max() == 1
    assert [record["columns"] for record in edit.records] == changed.sum(axis=1).tolist()
    first, second = changed.iloc[::2].to_numpy(), changed.iloc[1::2].to_numpy()
    assert not (first & second).any()
    assert first.any(axis=1).all()


def test_the_words_say_what_the_rows_say(ground):
    edit = EDITOR.edit(TASK, 5, 0.3, ground)
    for words, (_, old), (_, new) in zip(edit.words, edit.before.iterrows(), edit.after.iterrows(), strict=True):
        assert old["glucose"] > new["glucose"]
        assert f"glucose from {old['glucose']} to {new['glucose']}" in words
        assert ("change smokes from yes to no" in words) == (old["smokes"] != new["smokes"])
        assert "then state=well for " in words
        assert " of the 19 patients most like that" in words  # a fifth of the 40 % that are held out


def test_the_share_is_that_of_the_nearest_held_out_rows(ground):
    edit = EDITOR.edit(TASK, 5, 0.3, ground)
    for record, end in zip(edit.records, edit.end, strict=True):
        order = np.linalg.norm(ground.held_out - end, axis=1).argsort()[:19]
        assert record["share_after"] == pytest.approx(ground.is_target[order].mean())
        distances = np.linalg.norm(ground.held_out[ground.is_target] - end, axis=1)
        assert record["nearest"] == pytest.approx(distances.min())


def test_a_row_of_ones_own_with_a_missing_value_and_a_column_of_its_own(ground):
    own = pd.DataFrame(
        {"glucose": [150], "weight": [None], "smokes": ["yes"], "age": [50], "height": [171.0], "me": "a"}
    )
    edit = EDITOR.edit(TASK, own, 0.3, ground)
    assert edit.after["weight"].isna().all()
    assert edit.after["me"].tolist() == ["a"]
    assert edit.after["glucose"][0] < 150
    with pytest.raises(UserError, match="rows to edit: there is no column 'glucose'"):
        EDITOR.edit(TASK, own.drop(columns="glucose"), 0.3, ground)


def test_a_classifier_of_ones_own_is_asked(tmp_path, monkeypatch):
    (tmp_path / "models.py").write_text(
        "import numpy as np\n"
        "class Doctor:\n"
        "    classes_ = ['ill', 'well']\n"
        "    def predict_proba(self, rows):\n"
        "        well = (rows['glucose'] < 110).to_numpy(float)\n"
        "        return np.stack([1 - well, well], axis=1)\n"
    )
    monkeypatch.chdir(tmp_path)
    edit = EDITOR.edit(replace(TASK, classifier="models:Doctor"), 10, LeastChange("classifier", 0.5, first=1.0))
    assert (edit.after["glucose"] < 110).all()
    assert edit.after["glucose"].mean() > 100  # no farther than it takes


def test_a_space_that_was_saved_is_used_again(tmp_path, ground):
    ground.space.save(tmp_path / "columns.safetensors")
    again = replace(EDITOR, space=type(ground.space).load(tmp_path / "columns.safetensors"))
    first, second = (editor.edit(TASK, 5, 0.3).after for editor in (EDITOR, again))
    pd.testing.assert_frame_equal(first, second)


def test_results_are_written(tmp_path, ground):
    edit = EDITOR.edit(TASK, 3, 0.3, ground)
    edit.save(tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "rows.csv"), edit.after.reset_index(drop=True))
    assert pd.read_csv(tmp_path / "results.csv")["words"].tolist() == edit.words
    assert edit.summary.startswith("by the classifier ")


def test_the_default_editor_of_a_table_is_that_of_the_command_line(tmp_path):
    patients().to_csv(tmp_path / "patients.csv", index=False)
    overrides = [f"data.path={tmp_path}/patients.csv", "data.label=state", "task.target=well", "fixed=[age]", "plans=2"]
    editor = dmt.Editor.default("table", *overrides)
    assert isinstance(editor, TableEditor)
    assert (editor.plans, editor.constraints.fixed) == (2, ["age"])
    edit = editor.edit(dmt.TableTask("ill", "well"), patients().head(2), lam=0.5)
    assert len(edit.after) == 4


def test_plans_and_tables_that_cannot_be():
    with pytest.raises(UserError, match="plans must be a whole number above 0, got 0"):
        replace(EDITOR, plans=0)
    with pytest.raises(UserError, match="at least 10 a side are needed"):
        TableEditor(table=Table(patients(10), "state")).edit(TASK)
