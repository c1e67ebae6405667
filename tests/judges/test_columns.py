"""What judges write into the table, for a network whose outputs are known."""

import numpy as np
import pytest
import torch

from dmt.errors import UserError
from dmt.judges import LikenessJudge, OnnxJudge, OutputJudge
from dmt.judges.verdicts import Wish


class Channels:
    """Stands for an ONNX network: the mean of each channel, and the first of them, in several shapes."""

    def output(self, images, name):
        means = np.stack([image.mean(dim=(1, 2)).numpy() for image in images])
        return {"means": means, "red": means[:, :1], "redness": means[:, 0], "map": means[:, :, None, None]}[name]


def colours(*rows) -> list[torch.Tensor]:
    return [torch.tensor(row)[:, None, None].expand(3, 4, 4) for row in rows]


BEFORE = colours([0.1, 0.2, 0.3], [0.0, 1.0, 0.0], [0.5, 0.5, 0.5])
AFTER = colours([0.2, 0.4, 0.6], [1.0, 0.0, 0.0], [0.5, 0.0, 0.0])


@pytest.mark.parametrize("output", ["red", "redness"])
def test_the_only_number_of_an_output_needs_no_column(output):
    columns = OutputJudge(Channels(), output).columns("reddish", BEFORE, AFTER)
    assert list(columns) == ["reddish_before", "reddish_after"]
    np.testing.assert_allclose(columns["reddish_before"], [0.1, 0, 0.5], rtol=1e-6)
    np.testing.assert_allclose(columns["reddish_after"], [0.2, 1, 0.5], rtol=1e-6)


@pytest.mark.parametrize("output", ["means", "map"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_column_is_chosen_from_several(output, column):
    columns = OutputJudge(Channels(), output, column).columns("x", BEFORE, AFTER)
    np.testing.assert_allclose(columns["x_before"], [image[column, 0, 0] for image in BEFORE], rtol=1e-6)
    np.testing.assert_allclose(columns["x_after"], [image[column, 0, 0] for image in AFTER], rtol=1e-6)


def test_several_numbers_without_a_column_are_an_error_with_their_count():
    with pytest.raises(UserError, match="'means' has 3 numbers; choose one with column"):
        OutputJudge(Channels(), "means").columns("x", BEFORE, AFTER)


def test_a_column_that_is_not_there_is_an_error_that_names_it():
    with pytest.raises(UserError, match="'means' has 3 numbers, so that there is no 3"):
        OutputJudge(Channels(), "means", 3).columns("x", BEFORE, AFTER)
    with pytest.raises(UserError, match="'red' has 1 numbers, so that there is no 1"):
        OutputJudge(Channels(), "red", 1).columns("x", BEFORE, AFTER)


@pytest.mark.parametrize("output", ["means", "map"])
def test_likeness_is_the_cosine_of_the_embeddings(output):
    columns = LikenessJudge(Channels(), output).columns("identity", BEFORE, AFTER)
    assert list(columns) == ["identity"]
    np.testing.assert_allclose(columns["identity"], [1, 0, 3**-0.5], atol=1e-6)


def test_likeness_may_be_negative_and_is_that_of_a_picture_with_its_own_result():
    class Signed(Channels):
        def output(self, images, name):
            return super().output(images, name) - 0.5

    before, after = colours([1, 0.5, 0.5], [0.5, 1, 0.5]), colours([0.25, 0.5, 0.5], [0.5, 0.75, 0.5])
    found = LikenessJudge(Signed(), "means").columns("like", before, after)["like"]
    np.testing.assert_allclose(found, [-1, 1], atol=1e-6)


def test_an_embedding_of_zeros_is_like_nothing():
    black, white = colours([0.0, 0.0, 0.0]), colours([1.0, 1.0, 1.0])
    assert LikenessJudge(Channels(), "means").columns("like", black, white)["like"].tolist() == [0]


def test_a_judge_that_is_not_there_is_an_error_that_names_the_file(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(UserError, match=r"there is no judge .*nobody\.onnx"):
        OnnxJudge(tmp_path / "nobody.onnx", crop=0.5)


def test_a_file_that_is_no_network_is_an_error_that_names_it(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(UserError, match=r"text\.onnx could not be read as an ONNX network"):
        OnnxJudge(tmp_path / "text.onnx", crop=0.5)


def test_softmax_of_logits_is_taken_over_the_whole_output():
    found = OutputJudge(Channels(), "means", 1, softmax=True).columns("x", BEFORE, AFTER)
    e = np.e
    np.testing.assert_allclose(found["x_before"][1:], [e / (e + 2), 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(found["x_after"][1], 1 / (e + 2), rtol=1e-6)


def test_softmax_of_one_number_is_an_error():
    with pytest.raises(UserError, match="'red' has 1 number, of which softmax is always 1"):
        OutputJudge(Channels(), "red", softmax=True).columns("x", BEFORE, AFTER)


def test_a_negative_column_is_an_error():
    with pytest.raises(UserError, match="there is no -1"):
        OutputJudge(Channels(), "means", -1).columns("x", BEFORE, AFTER)


@pytest.mark.parametrize(
    ("towards", "by", "expected"),
    [
        ({"smiling": True}, None, Wish("x", "above", 0.5)),
        ({"Smiling": False, "Frowning": True}, None, Wish("x", "below", 0.5)),
        ({"Smiling": False, "Hat": True}, 10.0, Wish("x", "below", 20.0)),
        ({"Frowning": False}, 10.0, Wish("x", "above", 40.0)),
        ({"Hat": True}, None, None),
        ({"Smiling": True, "Frowning": True}, None, None),
        ({}, None, None),
    ],
)
def test_a_judge_knows_what_is_wanted_of_the_labels_it_shows(towards, by, expected):
    judge = OutputJudge(Channels(), "red", shows={"Smiling": "above", "Frowning": "below"}, by=by)
    assert judge.wish("x", towards, 30.0) == expected
