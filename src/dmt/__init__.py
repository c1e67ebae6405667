"""Deep manifold traversal: change the class of a picture, and as little else as possible."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__version__ = "0.2.0"


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
