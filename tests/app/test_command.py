"""``dmt-app`` as it is typed."""

import sys

import pytest

from dmt.app import run_app
from dmt.app.command import LOOPBACK, arguments
from dmt.app.offers import Offers


def test_only_this_machine_is_listened_to_unless_asked():
    assert arguments([]).host in LOOPBACK
    assert arguments(["--host", "0.0.0.0", "--port", "8000"]).host == "0.0.0.0"


@pytest.mark.parametrize("port", ["0", "-1", "70000", "http"])
def test_a_port_is_a_number(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        arguments(["--port", port])
    assert "a port is a whole number from 1 to 65535" in capsys.readouterr().err


def test_without_gradio_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SystemExit, match=r'pip install "dmt\[app\]"'):
        run_app([])


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(SystemExit, match="there is no folder"):
        run_app(["--data", str(tmp_path / "nowhere")])


def test_what_is_missing_is_one_sentence_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DMT_DATA", str(tmp_path))
    monkeypatch.setenv("DMT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    offers = Offers.at_hand()
    assert not offers.tasks
    for sentence in (offers.faces, offers.classes):
        assert str(tmp_path) in sentence
        assert "dmt-traverse task=frowning" in sentence
    assert not Offers.at_hand(["backbone=vgg19_random"]).classes  # whoever names a network has it


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("backbone=vgg19_distiled", "did you mean 'vgg19_distilled'"),
        ("lamda=1", "did you mean 'lambda'"),
        ("backbone=timm", "backbone.name must be given"),
        ("lambda=0.5", "asked for on the page"),
        ("hydra.run.dir=x", "means nothing to a page"),
        ("=3", "has no name"),
    ],
)
def test_a_setting_that_no_edit_takes_is_said_before_the_page_is_served(setting, said):
    with pytest.raises(SystemExit, match=said) as ended:
        run_app([setting])
    assert str(ended.value).startswith("error: ")
    assert "\n" not in str(ended.value)
