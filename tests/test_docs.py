"""The tables and pictures of the documentation: do they show today's defaults, or say with which they were made?"""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))
import figures
import stale
import tables

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "traverse.py task=frowning lambda=0.5"


@pytest.fixture
def conf(tmp_path):
    """A copy of the configuration, and a way to change a line of one of its files."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")

    def change(file: str, before: str, after: str):
        path = tmp_path / "conf" / file
        text = path.read_text()
        assert text.count(before) == 1
        path.write_text(text.replace(before, after))
        stale._told.cache_clear()
        return tmp_path / "conf"

    return change


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page of its own in place of the documentation's."""
    path = tmp_path / "docs" / "page.md"
    path.parent.mkdir()
    monkeypatch.setattr(stale, "ROOT", tmp_path)
    monkeypatch.setattr(stale, "PAGES", [path])
    return path


def test_no_table_or_picture_is_stale():
    complaints = [complaint for each in stale.made() if (complaint := each.complaint)]
    assert not complaints, "\n" + "\n".join([*complaints, "afterwards: python docs/stale.py --renew PAGE.md:LINE"])


def test_every_table_of_numbers_and_every_picture_says_what_it_was_made_by():
    assert not list(stale.unmarked())


def test_a_changed_default_makes_stale_what_uses_it_and_nothing_else(conf):
    known = {
        line: stale.configuration(line) for line in (COMMAND, f"{COMMAND} regularizer=none", "train.py task=senior")
    }
    changed = conf("regularizer/sparse.yaml", "weight: 120.0", "weight: 121.0")
    stale_now = [line for line, before in known.items() if stale.configuration(line, conf=changed) != before]
    assert stale_now == [COMMAND, "train.py task=senior"]


def test_what_has_no_part_in_what_comes_out_makes_nothing_stale(conf):
    changes = [
        ("base.yaml", "progress: true", "progress: false"),
        ("base.yaml", "threads: null", "threads: 3"),
        ("base.yaml", "person: null", "person: null\nfuture: null\nfurther: {}"),
        ("base.yaml", "  margin: 0.02", "  margin: 0.03"),  # of layers=auto
        ("base.yaml", "realise: # the", "\n\nrealise: # The"),
        ("auto/witness.yaml", "highest: 3.0", "highest: 4.0"),  # of lambda=auto
        ("regularizer/sparse.yaml", "dmt.inversion.regularizers.Sparsity", "dmt.elsewhere.Sparsity"),
    ]
    before = stale.configuration(COMMAND)
    for change in changes:
        changed = conf(*change)
    assert stale.configuration(COMMAND, conf=changed) == before


def test_the_hash_is_the_same_on_every_machine(monkeypatch):
    before = stale.configuration(COMMAND)
    stale._told.cache_clear()
    for name in ("DMT_DATA", "DMT_WEIGHTS", "DMT_CACHE"):
        monkeypatch.setenv(name, "/somewhere/else")
    assert stale.configuration(COMMAND) == before


def test_a_sweep_is_that_of_all_its_options(conf):
    line = "traverse.py -m method=dmt,linear lambda=0.5,0.7"
    before = stale.configuration(line)
    assert stale.configuration(line, conf=conf("method/linear.yaml", "_partial_: true", "_partial_: false")) != before


def test_an_empty_list_is_not_nothing():
    assert stale._plain({"keep": [], "person": None, "judges": {}}) == {"keep": []}


def test_parts_that_a_script_does_not_read_do_not_count(conf):
    changed = conf("base.yaml", "n_images: 8 #", "n_images: 9 #")
    assert stale.configuration(COMMAND, conf=changed) != stale.configuration(COMMAND)
    assert stale.configuration(COMMAND, "task,kernel", changed) == stale.configuration(COMMAND, "task,kernel")


def test_a_stale_table_is_named_in_one_line_and_can_be_renewed(page, monkeypatch):
    table = "| a | b |\n|---|---|\n| 1.5 | 2.5 |\n"
    mark = "<!-- made by: python {} | configuration {} -->"
    page.write_text(f"# Page\n\n{mark.format(COMMAND, '00000000')}\n\n{table}\n{table}")
    monkeypatch.setattr(stale, "MADE_BY", page.with_name("made_by.json"))
    stale.MADE_BY.write_text("{}")
    (made,) = stale.made()
    assert (
        made.complaint
        == f"docs/page.md:3: stale, made with other defaults than today's; make it again: python {COMMAND}"
    )
    assert list(stale.unmarked()) == ["docs/page.md:10"]
    assert stale.renew("page.md:4") == []
    assert stale.renew("page.md") == ["page.md:3"]
    (made,) = stale.made()
    assert made.complaint is None
    assert made.configuration == stale.configuration(f"python {COMMAND}")
    gone = replace(made, runs="traverse.py no_such=1")
    assert gone.complaint.startswith("docs/page.md:3: its command does not compose any more")
    assert replace(made, configuration="unknown: why").complaint is None


def test_the_tables_of_the_transfer_study_are_those_of_its_runs():
    text = (ROOT / "docs/transfer.md").read_text()
    for name, table in tables.TABLES.items():
        assert table() in text, f"docs/transfer.md: stale; python docs/tables.py {name}"


def test_every_picture_of_the_command_is_recorded_with_todays_command_lines():
    recorded = {made.command: made.runs for made in stale.made() if made.place.startswith("docs/images")}
    for name, picture in figures.PICTURES.items():
        if name != "astronaut_colour":  # which no page shows
            assert recorded[f"python docs/figures.py {name}"] == "; ".join(picture.runs)


@pytest.mark.parametrize("name", ["astronaut", "no_such_picture"])
def test_what_cannot_be_made_is_said_in_one_line(name, tmp_path, monkeypatch):
    missing = subprocess.CompletedProcess([], 1, stderr="Downloading\nerror: put LFW into /data\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: missing)
    monkeypatch.setattr(sys, "argv", ["figures.py", name])
    with pytest.raises(SystemExit) as end:
        figures.main()
    said = {
        "astronaut": "astronaut: not made: error: put LFW into /data",
        "no_such_picture": "there is no picture no_such_picture; there are ",
    }
    assert re.match(said[name], str(end.value.code))
    assert "\n" not in str(end.value.code)
