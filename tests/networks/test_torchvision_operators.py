import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from dmt.networks import torchvision_operators


def python(code: str, path: str = "", *options: str) -> str:
    """What ``code`` prints in a process of its own, where nothing was imported before."""
    environment = os.environ | {"PYTHONPATH": path}
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    return done.stdout.strip() if done.returncode == 0 else "failed"


REPORT = """
import dmt, torch
from dmt.networks.torchvision_operators import declare_missing_operators
declared = declare_missing_operators(), declare_missing_operators()
operators = [str(getattr(torch.ops.torchvision, name).default._schema) for name in ("nms", "qnms")]
print(declared, operators)
"""
SCHEMA = "torchvision::{}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def test_torchvision_and_lightning_can_be_imported_after_dmt():
    code = "import dmt, torchvision, pytorch_lightning; print(torchvision.models.squeezenet1_1().num_classes)"
    assert python(code) == "1000"


PACKAGES = sysconfig.get_path("purelib")
SOURCE = Path(__file__).parents[2] / "src"
BARE = "-S"  # without what *.pth files do at the start, of which the package installs one
FIND = f"import site, sys; sys.path.append({PACKAGES!r}); "


def test_where_the_package_is_installed_torchvision_can_be_imported_first():
    code = (
        FIND + f"site.addsitedir({str(SOURCE)!r}); import torchvision, pytorch_lightning; print('dmt' in sys.modules)"
    )
    assert python(code, "", BARE) == "True"


def test_the_start_of_a_process_imports_no_torch():
    code = FIND + f"site.addsitedir({str(SOURCE)!r}); print('dmt' in sys.modules, 'torch' in sys.modules)"
    assert python(code, "", BARE) == "True False"


def test_operators_are_declared_only_where_torchvision_cannot_be_imported_without_them():
    alone = python(FIND + "import torchvision; print('works')", "", BARE)
    declared = python("import dmt.networks.torchvision_operators as o; print(o.declare_missing_operators())")
    assert (alone, declared) in {("works", "False"), ("failed", "True")}


def test_an_extension_that_does_not_load_has_its_operators_declared_once(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_C.so").write_text("no library")
    assert python(REPORT, str(tmp_path)) == f"(True, True) {[SCHEMA.format('nms'), SCHEMA.format('qnms')]}"


@pytest.mark.parametrize("spec", [None, "folder"])
def test_without_torchvision_nothing_is_declared(monkeypatch, spec):
    found = None if spec is None else type("Spec", (), {"origin": None})
    monkeypatch.setattr(torchvision_operators, "_declared", None)
    monkeypatch.setattr(torchvision_operators.importlib.util, "find_spec", lambda name: found)
    assert torchvision_operators.declare_missing_operators() is False
