"""The command that runs all benchmarks: what it keeps of a section, and what it says where one does not run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import all as benchmarks

TABLE = """
import sys
hoard = bytearray(300_000_000)
hoard[::4096] = b"x" * len(hoard[::4096])
print("torch 2, an idle machine\\n")
print("| way | s | share |\\n|---|---|---|")
print(f"| ours | {sys.argv[1]} | 85% |\\n| SciPy | 9.5 | 100% |")
"""
LIMITS = [
    benchmarks.Limit({"way": "ou*"}, "s", most=2),
    benchmarks.Limit({}, "share", least=0.9),
    benchmarks.Limit({"way": "nobody's"}, "s", most=2),
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> list:
    tmp_path = tmp_path_factory.mktemp("sections")
    (tmp_path / "good.py").write_text(TABLE)
    (tmp_path / "bad.py").write_text("raise SystemExit('no memory')")
    sections = [
        benchmarks.Section("good", [tmp_path / "good.py", "1.5"], [tmp_path / "good.py", "0.1"], limits=LIMITS),
        benchmarks.Section("bad", [tmp_path / "bad.py"], [tmp_path / "bad.py"]),
        benchmarks.Section("absent", [tmp_path / "good.py"], [], needs=["no_such.safetensors"]),
    ]
    return [benchmarks.run(section, quick=False) for section in sections]


def test_a_section_is_kept_with_its_rows(outcomes):
    good = outcomes[0]
    rows = [{"way": "ours", "s": "1.5", "share": "85%"}, {"way": "SciPy", "s": "9.5", "share": "100%"}]
    assert good.tables == [rows]
    assert good.problem == ""


def test_the_peak_memory_is_the_sections_own(tmp_path):
    (tmp_path / "good.py").write_text(TABLE)
    section = f"benchmarks.Section('good', [r'{tmp_path}/good.py', '1'], [])"
    program = f"import all as benchmarks; print(benchmarks.run({section}, quick=False).peak)"
    fresh = [sys.executable, "-c", program]  # a process is counted with what its parent had when it began
    peak = float(subprocess.run(fresh, cwd=benchmarks.HERE, capture_output=True, text=True, check=True).stdout)
    assert 0.3 <= peak < 0.4  # the array and a bare interpreter


def test_what_fails_or_has_no_data_says_so(outcomes):
    _, bad, absent = outcomes
    assert bad.problem == "failed: no memory"
    assert absent.problem.startswith("left out")
    assert "no_such.safetensors" in absent.problem


def test_quick_sizes_are_those_of_the_section(tmp_path):
    (tmp_path / "good.py").write_text("import sys; print('|a|\\n|-|\\n|' + sys.argv[1] + '|')")
    section = benchmarks.Section("one", [tmp_path / "good.py", "full"], [tmp_path / "good.py", "small"])
    assert [benchmarks.run(section, quick).tables[0][0]["a"] for quick in (False, True)] == ["full", "small"]


def test_limits_are_held_against_the_worst_row_that_matches(outcomes):
    found = [(row["worst"], row["kept"]) for row in benchmarks.verdicts(outcomes[0])]
    assert found == [("1.5", "yes"), ("0.85", "no"), ("nan", "not measured")]


def test_both_tables_hold_the_machine_the_sections_and_the_limits(outcomes, tmp_path):
    machine = benchmarks.describe_machine()
    benchmarks.write(tmp_path, machine, outcomes, benchmarks.verdicts(outcomes[0]))
    document = json.loads((tmp_path / "table.json").read_text())
    assert [one["section"] for one in document["sections"]] == ["good", "bad", "absent"]
    assert document["machine"] == machine
    page = (tmp_path / "table.md").read_text()
    tables = benchmarks.tables_of(page)
    assert [row["section"] for row in tables[0]] == ["good", "bad", "absent"]
    assert [row["kept"] for row in tables[1]] == ["yes", "no", "not measured"]
    assert tables[2] == outcomes[0].tables[0]
    assert all(value in page for value in machine.values())


@pytest.mark.parametrize(("most", "code"), [(2, None), (1, 1)])
def test_a_missed_limit_is_told_by_the_exit_code_when_the_tables_are_written(most, code, tmp_path, monkeypatch):
    (tmp_path / "good.py").write_text(TABLE)
    limit = benchmarks.Limit({"way": "ours"}, "s", most=most)
    section = benchmarks.Section("good", [tmp_path / "good.py", "1.5"], [], limits=[limit])
    monkeypatch.setattr(benchmarks, "SECTIONS", [section])
    monkeypatch.setattr(sys, "argv", ["all.py", "--output", str(tmp_path)])
    if code is None:
        benchmarks.main()
    else:
        with pytest.raises(SystemExit) as stop:
            benchmarks.main()
        assert stop.value.code == code
    assert json.loads((tmp_path / "table.json").read_text())["limits"][0]["kept"] == ("no" if code else "yes")


def test_every_section_names_a_script_that_is_there():
    for section in benchmarks.SECTIONS:
        assert {section.script[0], section.quick[0]} <= {file.name for file in benchmarks.HERE.glob("*.py")}
