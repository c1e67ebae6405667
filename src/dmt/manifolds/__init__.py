"""Things as points: approximations of the manifold of natural images in feature space, and what lies on them."""

from dmt.manifolds.columns import Columns
from dmt.manifolds.exact import ExactPCA
from dmt.manifolds.features import CatalogFeatures
from dmt.manifolds.local import LocalSpace
from dmt.manifolds.manifold import Manifold
from dmt.manifolds.module import ManifoldModule
from dmt.manifolds.pca import PCA
from dmt.manifolds.places import Places
from dmt.manifolds.representation import Encoded, Members, Points, Representation
from dmt.manifolds.set_fit import SetFit
from dmt.manifolds.space import CatalogFit, Space, SpaceFit
from dmt.manifolds.span import Span
from dmt.manifolds.streaming import IncrementalPCA

__all__ = [
    "PCA",
    "CatalogFeatures",
    "CatalogFit",
    "Columns",
    "Encoded",
    "ExactPCA",
    "IncrementalPCA",
    "LocalSpace",
    "Manifold",
    "ManifoldModule",
    "Members",
    "Places",
    "Points",
    "Representation",
    "SetFit",
    "Space",
    "SpaceFit",
    "Span",
]
