"""Approximations of the manifold of natural images in feature space."""

from dmt.manifolds.exact import ExactPCA
from dmt.manifolds.manifold import Manifold
from dmt.manifolds.pca import PCA
from dmt.manifolds.span import Span
from dmt.manifolds.streaming import IncrementalPCA

__all__ = ["PCA", "ExactPCA", "IncrementalPCA", "Manifold", "Span"]
