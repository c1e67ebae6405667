"""A fitted linear manifold: feature vectors -> coordinates and back, and a file that keeps it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from dmt.errors import UserError, is_number
from dmt.manifolds.rows import column_blocks, combined, gram
from dmt.storage.files import DamagedError
from dmt.storage.tensors import read_with_metadata, write_tensors


class PCA(nn.Module):
    """A linear manifold ``z = U (f - mean)`` whose orthonormal rows U follow the data's largest variances.

    This is what is known of one that is fitted; its subclasses know how to fit it.

    Args:
        n_components: how many components to keep, or a share of the variance in (0, 1).

    Raises:
        UserError: ``n_components`` is neither a positive whole number nor a share.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, n_components: int | float = 512):
        super().__init__()
        is_share = is_number(n_components) and 0 < n_components < 1
        if not is_share and not (is_number(n_components) and n_components >= 1 and float(n_components).is_integer()):
            raise UserError(
                f"n_components must be a positive whole number or a share of variance in (0, 1), got {n_components}"
            )
        self.n_components = n_components
        self.n_images = 0
        self.register_buffer("mean", torch.zeros(0))
        self.register_buffer("components", torch.zeros(0, 0))
        self.singular_values = torch.zeros(0, dtype=torch.float64)  # no buffer: not every device has doubles
        self._squares = 0.0

    @property
    def wanted(self) -> str:
        """What was asked for, in words: two that want the same are the same after a fit to the same images."""
        return str(self.n_components)

    def partial_fit(self, features: Tensor) -> Self:
        """Take in a batch ``(B, D)``, B of any size."""
        raise NotImplementedError

    def finish(self) -> Self:
        """End the fit; raises ``UserError`` for fewer images than components."""
        raise NotImplementedError

    @property
    def explained_variance(self) -> Tensor:
        """Variance along each component, ``(K,)`` in float64, with the divisor n - 1."""
        return self.singular_values.square() / max(self.n_images - 1, 1)

    @property
    def total_variance(self) -> float:
        """Variance over all feature dimensions, kept or not."""
        return self._squares / max(self.n_images - 1, 1)

    @property
    def explained_variance_ratio(self) -> Tensor:
        """Share of the total variance along each component, ``(K,)``."""
        return self.explained_variance / max(self.total_variance, torch.finfo(torch.float64).tiny)

    def encode(self, features: Tensor) -> Tensor:
        """``(B, D)`` -> coordinates on the manifold ``(B, K)``."""
        return (features - self.mean) @ self.components.T

    def decode(self, coordinates: Tensor) -> Tensor:
        """Coordinates or displacements ``(B, K)`` -> ``(B, D)``, *without* the mean."""
        return coordinates.to(self.components.dtype) @ self.components

    def adjoint(self, coordinates: Tensor) -> Tensor:
        """``decode``, whose rows are orthonormal."""
        return self.decode(coordinates)

    def save(self, path: Path, metadata: Mapping[str, str], extra: Mapping[str, Tensor] | None = None) -> None:
        """Write plain tensors to a ``.safetensors`` file that appears only when complete.

        Args:
            path: the file; its folder is made.
            metadata: what the manifold was fitted with; the name of its class is added as ``kind``.
            extra: further tensors kept beside it, read back by ``load_extra``.

        Raises:
            OSError: the file cannot be written.
        """
        tensors = {**self.state_dict(), "singular_values": self.singular_values, **(extra or {})}
        fit = {"n_images": self.n_images, "squares": self._squares, "n_components": self.n_components}
        write_tensors(path, tensors, {"fit": json.dumps(fit), "kind": type(self).__name__, **metadata})

    @classmethod
    def load(cls, path: Path, expected: Mapping[str, str]) -> Self:
        """Read a manifold back.

        Args:
            path: a file that ``save`` wrote.
            expected: the metadata it must have; keys that are not expected are not compared.

        Raises:
            UserError: the file is missing or damaged, or was fitted on something else; both sides are named.
        """
        metadata, tensors = _read(path)
        for key, value in expected.items():
            if metadata.get(key) != value:
                raise UserError(
                    f"{path} belongs to another {key}: it was fitted with {metadata.get(key)!r}, this run has "
                    f"{value!r}; fit one for this run with python train.py, or leave manifold_path unset"
                )
        fit = json.loads(metadata["fit"])
        manifold = cls(fit["n_components"])
        manifold.n_images, manifold._squares = fit["n_images"], fit["squares"]
        manifold.mean, manifold.components = tensors["mean"], tensors["components"]
        manifold.singular_values = tensors["singular_values"]
        return manifold

    @staticmethod
    def load_extra(path: Path, prefix: str) -> dict[str, Tensor]:
        """Read the further tensors whose names begin with ``prefix``; errors as in ``load``."""
        _, tensors = _read(path)
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    @staticmethod
    def load_metadata(path: Path) -> dict[str, str]:
        """What a file says that it was fitted with; errors as in ``load``."""
        return _read(path)[0]

    def _check_enough(self, n_images: int) -> None:
        if n_images < max(self.n_components, 1):
            raise UserError(
                f"{n_images} images are fewer than the {self.n_components} components asked for; "
                f"set n_components={max(n_images - 1, 1)} or less, or give more images"
            )

    def _orthonormalise(self) -> None:
        """Make the components, which nearly are, orthonormal, in place."""
        rows = [self.components]
        lower = torch.linalg.cholesky(gram(block for _, block in column_blocks(rows, self.components)))
        inverse = torch.linalg.inv(lower).to(self.components)
        self.components = combined(inverse, column_blocks(rows, self.components), self.components)

    def _keep_wanted(self) -> None:
        """Cut the singular values to as many as asked for, or to the share of variance."""
        enough = int(self.n_components)
        if self.n_components < 1:
            reached = self.explained_variance_ratio.cumsum(0)
            enough = int((reached < self.n_components).sum()) + 1
        self.singular_values = self.singular_values[:enough].clone()


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        metadata, tensors = read_with_metadata(path)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}; fit a manifold: python train.py") from error
    except DamagedError as error:
        raise DamagedError(f"{error}; delete it and fit it again: python train.py") from error
    if "fit" not in metadata:
        raise UserError(f"{path} holds no manifold; fit one: python train.py")
    return metadata, tensors
