"""LightningModules: thin; the work is done by what they call."""

from dmt.modules.classifier import ClassifierModule, digits_backbone
from dmt.modules.manifold import ManifoldModule
from dmt.modules.traversal import EditedBatch, TraversalModule

__all__ = ["ClassifierModule", "EditedBatch", "ManifoldModule", "TraversalModule", "digits_backbone"]
