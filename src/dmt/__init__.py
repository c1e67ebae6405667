"""Deep manifold traversal: change the class of a picture, and as little else as possible."""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__version__ = "0.2.0"


_PLACES = {
    "AttributeTask": "dmt.data",
    "ClassTask": "dmt.data",
    "Comparison": "dmt.editing",
    "Constraints": "dmt.inversion",
    "Digits": "dmt.data",
    "EditData": "dmt.data",
    "Editor": "dmt.editing",
    "Folder": "dmt.data",
    "Inverter": "dmt.inversion",
    "LFW": "dmt.data",
    "Space": "dmt.manifolds",
    "StreamingPCA": "dmt.manifolds.estimator",
    "Table": "dmt.data",
    "TableEditor": "dmt.editing",
    "TableTask": "dmt.data",
    "UserError": "dmt.errors",
    "default_editor": "dmt.cli.front_door",
    "edit_html": "dmt.reporting.page",
    "explain": "dmt.editing",
    "fit": "dmt.cli.front_door",
    "load_space": "dmt.cli.front_door",
    "minimise": "dmt.solvers",
    "task": "dmt.cli.front_door",
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    """What the package offers is imported when it is first asked for: torch and Lightning take seconds."""
    if name not in _PLACES:
        raise AttributeError(f"module 'dmt' has no attribute {name!r}")
    globals()[name] = found = getattr(importlib.import_module(_PLACES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})


class _TorchvisionGuard(MetaPathFinder):
    """Declares torchvision's operators, where its compiled extension does not load, before anybody imports it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            from dmt.networks.torchvision_operators import declare_missing_operators

            declare_missing_operators()
        return None


if "torchvision" not in sys.modules:
    sys.meta_path.insert(0, _TorchvisionGuard())
