"""Representation, walk, strength and inverter put together: a task and pictures -> edited pictures."""

from dmt.editing.comparison import Comparison
from dmt.editing.editor import Edit, Editor
from dmt.editing.explain import Explain, explain
from dmt.editing.lambda_rules import (
    ConvincesJudge,
    FixedLambda,
    LambdaRule,
    LeastChange,
    TypicalOfTarget,
    TypicalPicture,
)
from dmt.editing.records import EditedImage, Record
from dmt.editing.rivals import AdversarialModule, PixelMeanModule
from dmt.editing.table_editor import TableEdit, TableEditor
from dmt.editing.traversal_module import TraversalModule

__all__ = [
    "AdversarialModule",
    "Comparison",
    "ConvincesJudge",
    "Edit",
    "EditedImage",
    "Editor",
    "Explain",
    "FixedLambda",
    "LambdaRule",
    "LeastChange",
    "PixelMeanModule",
    "Record",
    "TableEdit",
    "TableEditor",
    "TraversalModule",
    "TypicalOfTarget",
    "TypicalPicture",
    "explain",
]
