"""Deep manifold traversal: change the class of a picture, and as little else as possible."""

from dmt.torchvision_operators import declare_missing_operators

declare_missing_operators()

__version__ = "0.1.0"
