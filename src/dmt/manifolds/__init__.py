"""Approximations of the manifold of natural images in feature space."""

from dmt.manifolds.pca import IncrementalPCA

__all__ = ["IncrementalPCA"]
