"""Two sets of pictures -> how far apart they are as sets (Fréchet distance of their features)."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from dmt.errors import UserError
from dmt.networks import Backbone


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Fréchet distance of the Gaussians with the means and covariances of two sets, 0 if these agree, lower is closer.

    ``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))`` (Dowson and Landau, 1982); it has no upper bound. With
    the features of Inception's last pooling it is the FID (Heusel et al., NeurIPS 2017); with any other network's it is
    not, and is named after that network. Values depend on the features, and fall as the sets grow: compare only equal
    features and equal sizes.

    The last trace is the sum of the singular values of ``R_a R_b^T`` with ``S = R^T R`` from a QR decomposition of the
    centred features: no root of a matrix that is not symmetric is taken, so that rounding gives no imaginary part.

    Args:
        features_a: ``(n, D)``.
        features_b: ``(m, D)``.

    Raises:
        UserError: the sets' features differ in length, or a set has fewer than D + 1 pictures, so that its covariance
            has not full rank and the distance says more of the set's size than of its pictures.
    """
    if features_a.ndim != 2 or features_b.ndim != 2 or features_a.shape[1] != features_b.shape[1]:
        raise UserError(f"the features must be (n, D) and (m, D), got {features_a.shape} and {features_b.shape}")
    for features in (features_a, features_b):
        count, size = features.shape
        if count < size + 1:
            raise UserError(
                f"the Fréchet distance in {size} features needs {size + 1} pictures or more in each set, got {count}; "
                "take more pictures, or a layer with fewer channels"
            )
    mean_a, root_a = _mean_and_root(features_a)
    mean_b, root_b = _mean_and_root(features_b)
    fidelity = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    traces = np.square(root_a).sum() + np.square(root_b).sum()
    return float(max(np.square(mean_a - mean_b).sum() + traces - 2 * fidelity, 0.0))  # not -1e-15


def pooled_features(network: Backbone, layer: str, batches: Iterable[Tensor]) -> np.ndarray:
    """The mean of every channel of one layer over its places, ``(n, C)`` in float64.

    Args:
        network: the backbone.
        layer: one of its layers.
        batches: pictures, each ``(B, 3, H, W)`` in [0, 1].

    Raises:
        UserError: there is no such layer, or no picture.
    """
    with torch.no_grad():
        found = [network(images, [layer])[layer].double().mean(dim=(2, 3)).cpu() for images in batches]
    if not found:
        raise UserError("there are no pictures to compute features of")
    return torch.cat(found).numpy()


def _mean_and_root(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``(D,)`` and ``R (D, D)`` such that ``R^T R`` is the covariance."""
    features = features.astype(float)
    mean = features.mean(axis=0)
    return mean, np.linalg.qr(features - mean, mode="r") / np.sqrt(len(features) - 1)
