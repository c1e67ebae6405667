"""The page about explaining a classifier: what it prints is run, in its order."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/explain.md").read_text()


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [text for name, text in fenced if name == language]


def test_a_network_is_trained_and_explained_as_the_page_says(tmp_path):
    network, training, from_python = blocks("python")
    command = next(line for block in blocks("") for line in block.splitlines() if "experiment=digits" in line)
    (tmp_path / "nets.py").write_text(network)
    (tmp_path / "page.py").write_text(from_python)

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout + done.stderr

    (tmp_path / "training.py").write_text(training)
    run(sys.executable, "training.py")
    words = shlex.split(command)
    assert words[:2] == ["python", "traverse.py"]
    said = run(sys.executable, str(ROOT / "traverse.py"), *words[2:], "logger=none", "n_images=4")
    assert said.count("3 -> 8") == 4, "all four change the classifier's mind"
    assert "4 of 4" in said
    table = run(sys.executable, "page.py")
    assert len(re.findall(r"\b3 +8\b", table)) == 4
