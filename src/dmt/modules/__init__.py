"""LightningModules: thin; the work is done by what they call."""

from dmt.modules.baselines import AdversarialModule, PixelMeanModule
from dmt.modules.classifier import (
    ClassifierModule,
    Schedule,
    ValidatedClassifierModule,
    digits_backbone,
)
from dmt.modules.edit import Contrast, EditedBatch, EditModule, EditTools
from dmt.modules.manifold import ManifoldModule
from dmt.modules.traversal import TraversalModule

__all__ = [
    "AdversarialModule",
    "ClassifierModule",
    "Contrast",
    "EditModule",
    "EditTools",
    "EditedBatch",
    "ManifoldModule",
    "PixelMeanModule",
    "Schedule",
    "TraversalModule",
    "ValidatedClassifierModule",
    "digits_backbone",
]
