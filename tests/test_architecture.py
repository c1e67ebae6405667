"""The arrows of the house point down only; see the README's section on the architecture."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "src/dmt").rglob("*.py"))

# From the ground up: a room may import from its own floor and from those below
FLOORS = [
    {"__init__", "errors", "downloads", "torchvision_operators", "precision", "processes"},
    {"backbones", "kernels", "solvers", "parametrizations", "budgets", "probe", "cached_tensors"},
    {"features", "manifolds", "witness", "regularizers", "feature_store"},
    {"traversal", "inversion", "memory", "colors"},
    {"data", "judges", "metrics", "frechet", "verdicts", "budget_rules", "kept_labels"},
    {"modules"},
    {"preparation", "reporting", "grounds"},
    {"editing", "budget_choices"},
    {"figures", "benchmark", "transfer", "transfer_report", "layer_scores"},
    {"cli"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Where a library may be imported; everywhere else it may not
ALLOWED = {
    "wandb": {"reporting/loggers.py"},
    "hydra": {"cli.py"},
    "omegaconf": {"cli.py"},
    "pytorch_lightning": {
        "data",
        "modules",
        "transfer",
        "preparation.py",
        "reporting",
        "editing.py",
        "layer_scores",
        "cli.py",
    },
    "matplotlib": {"reporting", "figures", "benchmark", "transfer_report", "layer_scores"},
    "optuna": {"budgets.py"},
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


@pytest.mark.parametrize("file", FILES, ids=place)
def test_a_room_imports_nothing_from_above(file):
    assert room(file) in FLOOR_OF, "give the new room its floor"
    for name in imports(ast.parse(file.read_text())):
        package, _, rest = name.partition(".")
        imported = rest.split(".")[0]
        if package == "dmt" and imported in FLOOR_OF:
            assert FLOOR_OF[imported] <= FLOOR_OF[room(file)], f"{name} lies above"


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
    assert ours == {"dmt.cli"}
