"""The arrows of the house point down only; see docs/architecture.md."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "src/dmt").rglob("*.py"))

# From the ground up, as docs/architecture.md prints them: a room may import from itself and from those before it
ROOMS = ["errors", "ranges", "storage", "data", "networks", "manifolds", "solvers", "traversal", "inversion", "judges"]
ROOMS += ["editing", "reporting", "studies", "cli", "app"]
LOOSE = {"__init__.py", "__main__.py", "errors.py", "ranges.py"}
MOST_ARGUMENTS = 8
STUDIES = {"figures", "benchmark", "layers", "tables", "transfer", "within"}

# Where a library may be imported; everywhere else it may not
ALLOWED = {
    "wandb": {"reporting/wandb_run.py"},
    "hydra": {"cli"},
    "omegaconf": {"cli"},
    "pytorch_lightning": {
        "data",
        "manifolds",
        "editing",
        "reporting",
        "studies",
        "cli",
    },
    "matplotlib": {"reporting", "studies"},
    "optuna": {"editing/search.py"},
    "gradio": {"app"},
    "timm": {"networks/any_backbone.py"},
}


def imports(tree: ast.AST) -> set[str]:
    """Every module that is imported, ``from a import b`` as ``a.b``."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their module in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def calls(tree: ast.AST) -> set[str]:
    """Names of the functions that are called by a plain name."""
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def place(file: Path) -> str:
    return file.relative_to(ROOT / "src/dmt").as_posix()


def room(file: Path) -> str:
    return place(file).split("/")[0].removesuffix(".py")


def test_what_these_tests_look_for_is_found():
    tree = ast.parse("import a.b, c\nif x:\n  from dmt.data import D\ndef f():\n  import e\n  print(1)")
    assert imports(tree) == {"a.b", "c", "dmt.data.D", "e"}
    assert calls(tree) == {"print"}
    assert len(FILES) > 30


def test_the_page_prints_the_rooms_in_their_order():
    table = (ROOT / "docs/architecture.md").read_text().partition("| `src/dmt/` |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)(?:/|\.py)` \|", table, re.M) == ROOMS


def test_the_tests_mirror_the_rooms():
    folders = {folder.name for folder in (ROOT / "tests").iterdir() if folder.is_dir() and folder.name[0] != "_"}
    assert folders - {"faults"} == set(ROOMS) - {"errors", "ranges"}
    studies = {
        folder.name for folder in (ROOT / "tests/studies").iterdir() if folder.is_dir() and folder.name[0] != "_"
    }
    assert studies == STUDIES


def test_constructors_take_eight_arguments_at_most():
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                assert arguments(node) <= MOST_ARGUMENTS, f"{node.name} in {place(file)}"


def arguments(node: ast.ClassDef) -> int:
    """How many arguments the constructor of a class takes, as far as it is written there."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return len(part.args.args) - 1 + len(part.args.kwonlyargs)
    if not any("dataclass" in ast.dump(decorator) for decorator in node.decorator_list):
        return 0
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    markers = ("ClassVar", "KW_ONLY")
    return sum(not any(marker in ast.dump(part.annotation) for marker in markers) for part in fields)


def test_nothing_lies_loose():
    assert {file.name for file in (ROOT / "src/dmt").glob("*.py")} <= LOOSE
    folders = {room(file) for file in FILES if file.name not in LOOSE or file.parent.name != "dmt"}
    assert folders - {"faults"} == set(ROOMS) - {"errors", "ranges"}
    assert {file.parent.name for file in (ROOT / "src/dmt/studies").glob("*/*.py")} == STUDIES


@pytest.mark.parametrize("file", [file for file in FILES if room(file) in ROOMS], ids=place)
def test_a_room_imports_nothing_from_above(file):
    for name in imports(ast.parse(file.read_text())):
        package, _, rest = name.partition(".")
        imported = rest.split(".")[0]
        if package == "dmt" and imported in ROOMS:
            assert ROOMS.index(imported) <= ROOMS.index(room(file)), f"{name} lies above"


@pytest.mark.parametrize("library", ALLOWED)
def test_a_library_is_imported_only_where_it_belongs(library):
    importers = {place(f) for f in FILES if library in {n.split(".")[0] for n in imports(ast.parse(f.read_text()))}}
    strangers = {name for name in importers if not {name, name.split("/")[0]} & ALLOWED[library]}
    assert importers, "the rule guards nothing"
    assert not strangers


@pytest.mark.parametrize("file", [file for file in FILES if room(file) != "cli"], ids=place)
def test_nothing_below_the_command_line_prints(file):
    assert not {"print", "input"} & calls(ast.parse(file.read_text()))


@pytest.mark.parametrize("program", ["train.py", "traverse.py"])
def test_the_programs_know_the_command_line_module_alone(program):
    ours = {name for name in imports(ast.parse((ROOT / program).read_text())) if name.split(".")[0] == "dmt"}
    assert ours == {f"dmt.cli.run_{program.removesuffix('.py')}"}
