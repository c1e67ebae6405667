import shlex
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from dmt.cli import conf_folder
from dmt.cli.again import command_of, program, sweep_command

HOSTILE = 'images=["it\'s a \\"b\\" $HOME `c`.png"]'


@pytest.fixture
def composed():
    """Composes as the command line would, for as long as the test runs."""

    def composed(*overrides):
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            cfg = compose("traverse", ["output_dir=o", *overrides], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        return cfg

    yield composed
    HydraConfig.instance().cfg = None


def test_the_command_of_a_run_comes_back_from_a_shell_word_by_word(composed, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/traverse.py"])
    cfg = composed("experiment=digits", HOSTILE)
    command = command_of(cfg)
    assert command.startswith("python traverse.py output_dir=o experiment=digits ")
    assert shlex.split(command)[-1] == HOSTILE
    echo = command.replace("python traverse.py", f"{shlex.quote(sys.executable)} -c 'import sys; print(sys.argv[-1])'")
    assert subprocess.run(echo, shell=True, capture_output=True, text=True).stdout.strip() == HOSTILE


def test_a_seed_that_was_drawn_is_in_the_command(composed):
    cfg = composed("seed=null")
    cfg.seed = 17
    assert command_of(cfg).endswith("seed=17")
    assert "seed=null" not in command_of(cfg)


def test_a_sweep_is_one_command(composed):
    assert shlex.split(sweep_command(composed("lambda=1")))[-3:] == ["-m", "output_dir=o", "lambda=1"]


def test_from_python_there_is_none(composed):
    cfg = composed()
    HydraConfig.instance().cfg = None
    assert command_of(cfg) == ""


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("/x/traverse.py", ["python", "traverse.py"]),
        ("/x/dmt/__main__.py", ["python", "-m", "dmt", "traverse"]),
        ("/usr/bin/dmt-traverse", ["dmt-traverse"]),
    ],
)
def test_a_program_is_called_as_the_user_did(monkeypatch, script, expected):
    monkeypatch.setattr(sys, "argv", [script])
    assert program("traverse") == expected
