import sys

import numpy as np
import pandas as pd
import pytest

from dmt.errors import UserError
from dmt.judges.rows import given_judge, learnt_judge

ROWS = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [3.0, 0.0, -1.0]})
POINTS = np.zeros((3, 2))
COLUMNS = ["a", "b"]


def onnx_of(path, outputs: int = 2):
    """``softmax`` of ``(0, a - b)``, with one input of both columns, or ``a - b`` as a column."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.array([[0.0, 1.0], [0.0, -1.0]], np.float32)[:, -outputs:]
    nodes = [
        helper.make_node("MatMul", ["rows", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["p"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "rows", [helper.make_tensor_value_info("rows", kind, ["n", 2])],
        [helper.make_tensor_value_info("p", kind, ["n", outputs])], [onnx.numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return str(path)


def test_an_onnx_file_says_what_its_formula_says(tmp_path):
    judge = given_judge(onnx_of(tmp_path / "net.onnx"), COLUMNS, "yes", ["no", "yes"])
    expected = 1 / (1 + np.exp(-(ROWS["a"] - ROWS["b"])))
    np.testing.assert_allclose(judge(lambda: ROWS.assign(other=1), POINTS), expected, rtol=1e-6)
    first = given_judge(onnx_of(tmp_path / "net.onnx"), COLUMNS, "no", ["no", "yes"])
    np.testing.assert_allclose(first(lambda: ROWS, POINTS), 1 - expected, rtol=1e-6)


def test_a_classifier_that_does_not_know_the_target_or_the_rows(tmp_path, monkeypatch):
    unnamed = given_judge(onnx_of(tmp_path / "net.onnx"), COLUMNS, "yes")
    with pytest.raises(UserError, match=r"says 0, 1, not yes; name them: task.classes=\[...\]"):
        unnamed(lambda: ROWS, POINTS)
    three = given_judge(onnx_of(tmp_path / "net.onnx"), [*COLUMNS, "c"], "yes", ["no", "yes"])
    with pytest.raises(UserError, match="does not take these rows"):
        three(lambda: ROWS.assign(c=1.0), POINTS)
    with pytest.raises(UserError, match="there is no judge"):
        given_judge(str(tmp_path / "none.onnx"), COLUMNS, "yes")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="builder nowhere:build"):
        given_judge("nowhere:build", COLUMNS, "yes")
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_the_judge_that_is_learnt_tells_two_clouds_apart():
    rng = np.random.default_rng(0)
    is_target = np.arange(200) % 2 == 0
    points = rng.normal(size=(200, 3)) + 4 * is_target[:, None]
    judge = learnt_judge(points, is_target)
    said = judge(lambda: ROWS, np.array([[0.0, 0, 0], [4, 4, 4], [2, 2, 2]]))
    assert said[0] < 0.1
    assert said[1] > 0.9
    assert 0.1 < said[2] < 0.9
    np.testing.assert_array_equal(
        said, learnt_judge(points, is_target)(lambda: ROWS, np.array([[0.0] * 3, [4] * 3, [2] * 3]))
    )
