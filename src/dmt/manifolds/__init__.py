"""Approximations of the manifold of natural images in feature space."""

from dmt.manifolds.exact_pca import ExactPCA
from dmt.manifolds.linear import PCA
from dmt.manifolds.manifold import Manifold
from dmt.manifolds.pca import IncrementalPCA
from dmt.manifolds.span import Span

__all__ = ["PCA", "ExactPCA", "IncrementalPCA", "Manifold", "Span"]
