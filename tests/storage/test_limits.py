"""What is too large to be read is refused, by a limit that can be set."""

import pytest
import torch

from dmt.data import Table
from dmt.data.label_files import read_labels
from dmt.errors import UserError
from dmt.judges.onnx import session_of
from dmt.networks.weights import load_tensors
from dmt.storage.limits import Limits, limit, limited, limits


@pytest.mark.parametrize(
    ("kind", "name", "read"),
    [
        ("table", "a.csv", lambda path: Table(path, "b").frame),
        ("table", "a.csv", lambda path: read_labels(path, path.parent)),
        ("network", "a.onnx", session_of),
        ("network", "a.pth", load_tensors),
    ],
)
def test_a_file_beyond_its_limit_is_refused_by_the_name_of_the_limit(tmp_path, kind, name, read):
    path = tmp_path / name
    path.write_bytes(b"a,b\n1,2\n" * 200)
    with limited(Limits(**{f"{kind}_megabytes": 0.001})), pytest.raises(UserError, match=f"limits.{kind}_megabytes"):
        read(path)


@pytest.mark.parametrize("value", [0, -1, "many", True])
def test_a_limit_is_a_number_above_0(value):
    with pytest.raises(UserError, match="pixels must be a number above 0"):
        Limits(pixels=value)


def test_a_limit_holds_until_it_is_changed():
    before = limits()
    try:
        limit(Limits(pixels=10))
        with limited(Limits(pixels=20)):
            assert limits().pixels == 20
        assert limits().pixels == 10
    finally:
        limit(before)


class Code:
    def __reduce__(self):
        return print, ("code was run",)


def test_weights_that_would_run_code_are_refused_and_nothing_is_run(tmp_path, capsys):
    torch.save({"weight": Code()}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="more than plain tensors"):
        load_tensors(tmp_path / "a.pth")
    assert "code was run" not in capsys.readouterr().out
