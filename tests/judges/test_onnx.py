"""What an ONNX network is given of a picture: networks that return their input show it number by number."""

import numpy as np
import pytest
import torch

from dmt.errors import UserError
from dmt.judges import OnnxJudge, OutputJudge

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
SIDE = 4


@pytest.fixture
def network(tmp_path):
    """Writes a network of one node; returns the path."""

    def write(shape=("batch", 3, SIDE, SIDE), operation="Identity", kind=onnx.TensorProto.FLOAT, n_inputs=1, **options):
        names = [f"picture{i}" for i in range(n_inputs)]
        inputs = [onnx.helper.make_tensor_value_info(name, kind, shape) for name in names]
        output = onnx.helper.make_tensor_value_info("seen", kind, None)
        node = onnx.helper.make_node(operation, names, ["seen"], **options)
        graph = onnx.helper.make_graph([node], "one", inputs, [output])
        path = tmp_path / "one.onnx"
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)
        return path

    return write


def colour(red: int, green: int, blue: int, side: int = SIDE) -> torch.Tensor:
    """A picture of one colour, given in 0 ... 255."""
    return torch.tensor([red, green, blue])[:, None, None].expand(3, side, side) / 255


ORANGE = colour(255, 102, 51)  # 1, 0.4 and 0.2

# What the three channels hold, computed by hand
PREPARED = [
    ({}, [255, 102, 51]),
    ({"range": [0, 1]}, [1, 0.4, 0.2]),
    ({"range": [-1, 1]}, [1, -0.2, -0.6]),
    ({"range": [-1, 1], "channels": "bgr"}, [-0.6, -0.2, 1]),
    ({"mean": 51}, [204, 51, 0]),
    ({"mean": [5, 2, 1]}, [250, 100, 50]),
    ({"mean": [5, 2, 1], "channels": "bgr"}, [46, 100, 254]),
    ({"mean": 51, "std": 51}, [4, 1, 0]),
    ({"range": [0, 1], "mean": [0.5, 0.2, 0.2], "std": [0.5, 0.1, 0.2]}, [1, 2, 0]),
]


@pytest.mark.parametrize(("settings", "expected"), PREPARED)
def test_a_colour_becomes_the_numbers_that_the_settings_say(network, settings, expected):
    (seen,) = OnnxJudge(network(), size=SIDE, **settings).output([ORANGE], "seen")
    np.testing.assert_allclose(seen, np.broadcast_to(np.reshape(expected, (3, 1, 1)), (3, 4, 4)), rtol=1e-5, atol=1e-5)


def test_rows_columns_and_channels_lie_where_the_layout_says(network):
    pixels = torch.arange(48.0).reshape(3, SIDE, SIDE) / 255
    (first,) = OnnxJudge(network(), size=SIDE).output([pixels], "seen")
    np.testing.assert_array_equal(first, np.arange(48).reshape(3, 4, 4))
    last = OnnxJudge(network(("batch", SIDE, SIDE, 3)), size=SIDE, layout="nhwc").output([pixels], "seen")
    assert last.shape == (1, 4, 4, 3)
    assert last[0, 1, 2].tolist() == [6, 22, 38]


def test_the_crop_is_the_middle_and_is_resized(network):
    picture = colour(0, 0, 0, side=40).clone()
    picture[:, 10:30, 10:30] = 1  # the crop is 15 ... 25, and a bicubic filter of 2.5 pixels sees 5 beyond it
    (seen,) = OnnxJudge(network(), crop=0.25, size=SIDE).output([picture], "seen")
    np.testing.assert_array_equal(seen, np.full((3, 4, 4), 255))
    (whole,) = OnnxJudge(network(), size=SIDE).output([picture], "seen")
    assert whole[0, 0, 0] < 20
    assert whole[0, 1, 1] > 200


@pytest.mark.parametrize("kind", ["FLOAT16", "DOUBLE", "UINT8"])
def test_a_network_is_given_the_kind_of_numbers_it_reads(network, kind):
    path = network(kind=getattr(onnx.TensorProto, kind))
    seen = OnnxJudge(path, size=SIDE).output([ORANGE], "seen")
    assert seen[0, :, 0, 0].tolist() == [255, 102, 51]


@pytest.mark.parametrize("batch", ["batch", 1, 5])
@pytest.mark.parametrize("count", [1, 7, 70])
def test_any_number_of_pictures_is_judged_each_for_itself(network, monkeypatch, batch, count):
    sizes = []
    judge = OnnxJudge(network((batch, 3, SIDE, SIDE), "GlobalAveragePool"), size=SIDE)
    stack = np.stack
    monkeypatch.setattr(np, "stack", lambda items: sizes.append(len(items)) or stack(items))
    seen = judge.output([colour(i, 2 * i, 0) for i in range(count)], "seen")
    np.testing.assert_allclose(seen[:, :, 0, 0], [[i, 2 * i, 0] for i in range(count)], rtol=1e-5)
    assert max(sizes) <= 32
    assert sum(sizes) == count


def test_logits_become_probabilities(network):
    judge = OnnxJudge(network(operation="GlobalAveragePool"), size=SIDE, std=255 / np.log(2))
    white_then_green = [colour(255, 255, 255)], [colour(0, 255, 0)]
    probability = OutputJudge(judge, "seen", column=1, softmax=True).columns("green", *white_then_green)
    assert probability["green_before"] == pytest.approx(1 / 3)
    assert probability["green_after"] == pytest.approx(1 / 2)  # exp(log 2) = 2 beside 1 and 1
    logit = OutputJudge(judge, "seen", column=1).columns("green", *white_then_green)
    assert logit["green_after"] == pytest.approx(np.log(2))


BAD_SETTINGS = [
    ({"crop": 0}, "crop must be a number above 0 and at most 1, got 0"),
    ({"crop": 1.2}, "crop .* got 1.2"),
    ({"crop": "half"}, "crop .* got 'half'"),
    ({"size": 0}, "size must be a whole number above 0, got 0"),
    ({"size": 4.5}, "size .* got 4.5"),
    ({"range": [1, 0]}, r"range must be two numbers, the lower first, got \[1, 0\]"),
    ({"range": [0, 1, 2]}, r"range .* got \[0, 1, 2\]"),
    ({"range": "01"}, "range .* got '01'"),
    ({"mean": [1, 2]}, r"mean must be a number or a list of three, got \[1, 2\]"),
    ({"mean": "grey"}, "mean .* got 'grey'"),
    ({"std": [1, "wide", 2]}, r"std .* got \[1, 'wide', 2\]"),
    ({"std": [1, 0, 1]}, r"std must be above 0, got \[1, 0, 1\]"),
    ({"layout": "chw"}, "layout must be nchw or nhwc, got 'chw'"),
    ({"channels": "grb"}, "channels must be rgb or bgr, got 'grb'"),
    ({"size": 5}, "reads pictures of 3 x 4 x 4, but layout=nchw and size=5 make 3 x 5 x 5"),
    ({"layout": "nhwc"}, "reads pictures of 3 x 4 x 4, but layout=nhwc and size=4 make 4 x 4 x 3"),
]


@pytest.mark.parametrize(("settings", "message"), BAD_SETTINGS)
def test_a_bad_setting_is_an_error_that_names_it(network, settings, message):
    with pytest.raises(UserError, match=message):
        OnnxJudge(network(), **({"size": SIDE} | settings))


def test_sides_that_the_file_leaves_open_take_any_size(network):
    judge = OnnxJudge(network(("batch", 3, None, "width"), "GlobalAveragePool"), size=7)
    assert judge.output([ORANGE], "seen").shape == (1, 3, 1, 1)
    with pytest.raises(UserError, match=r"reads pictures of 3 x \? x width, but layout=nhwc and size=7 make 7 x 7 x 3"):
        OnnxJudge(judge.path, size=7, layout="nhwc")


def test_a_network_that_is_no_judge_is_an_error_that_says_why(network):
    with pytest.raises(UserError, match="has 2 inputs; a judge must have one"):
        OnnxJudge(network(operation="Add", n_inputs=2), size=SIDE)
    with pytest.raises(UserError, match=r"reads tensor\(int32\); a judge must read one of tensor\(float\)"):
        OnnxJudge(network(kind=onnx.TensorProto.INT32), size=SIDE)
    with pytest.raises(UserError, match="reads pictures of 3, but"):
        OnnxJudge(network(("batch", 3)), size=SIDE)
    with pytest.raises(UserError, match=r"output 'seen' .* does not have a row per picture"):
        OnnxJudge(network(operation="ReduceSum", keepdims=0), size=SIDE).output([ORANGE], "seen")
    with pytest.raises(UserError, match="no output 'heard'; it has seen"):
        OnnxJudge(network(), size=SIDE).output([ORANGE], "heard")


def test_pictures_that_a_network_chokes_on_are_an_error_in_one_sentence(network):
    path = network(("batch", 3, None, None), "MaxPool", kernel_shape=[9, 9])
    with pytest.raises(UserError, match="does not take pictures of layout=nchw and size=4"):
        OnnxJudge(path, size=SIDE).output([ORANGE], "seen")
