import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dmt.editing.editor import Edit
from dmt.reporting.page import edit_html
from dmt.reporting.progress import is_notebook
from tests.reporting.page.made import NASTY, Reader, image, table_edit

NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebook.ipynb"


def edit(names):
    return Edit("3 to 8\nlambda' 0.5", [image(name) for name in names], *[None] * 3)


def test_an_edit_shows_itself_without_ids_so_that_several_stand_side_by_side():
    first, second = (edit(names)._repr_html_() for names in (["one", "two"], NASTY))
    page = Reader(f"<main>{first}{second}</main>")
    assert len(page.all("input", type="range")) == 2 + len(NASTY)
    assert not [own for _, own in page.tags if "id" in own or "for" in own or "href" in own]
    assert not page.all("script")
    assert all(own["src"].startswith("data:") for own in page.all("img"))
    assert {own.get("oninput") for own in page.all("input")} == {
        "this.parentNode.style.setProperty('--cut', this.value + '%')"
    }
    rules = re.search(r"<style>(.*?)</style>", first, re.S)[1].strip().splitlines()
    assert all(line.startswith(".dmt-edit") for line in rules), "nothing else of the notebook changes"


def test_a_table_edit_shows_its_sentences_and_changes():
    changed = table_edit(2, plans=1)
    page = Reader(changed._repr_html_())
    assert all(str(record["words"])[1:] in page.text for record in changed.records)
    assert not page.all("b") + page.all("i")


def test_no_more_pictures_than_a_notebook_can_keep():
    many = edit([str(i) for i in range(30)])
    assert "6 more are in edit.table" in edit_html(many)


def test_a_notebook_is_a_kernel(monkeypatch):
    assert not is_notebook()
    for config, expected in (({"IPKernelApp": {}}, True), ({}, False)):
        shell = SimpleNamespace(config=config)
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert is_notebook() is expected


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning")
def test_the_example_runs_and_is_stored_without_outputs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert not re.search(r"/(home|root|work|tmp|Users)/", NOTEBOOK.read_text(encoding="utf-8"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = ["".join(output.get("data", {}).get("text/html", "") for output in cell.outputs) for cell in code]
    assert [html.count('dmt-stage"') + html.count("dmt-stage dmt-squares") for html in shown] == [2, 0, 1, 0]
    assert "the classifier says" in shown[3]
