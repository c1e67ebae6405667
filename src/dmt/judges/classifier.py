"""A user's own classifier, an ONNX file or a function that builds a network -> what it says of pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dmt.errors import UserError, is_number, require_whole_number
from dmt.judges.onnx import OnnxJudge
from dmt.networks.any_backbone import built_network

BATCH = 32  # pictures at a time (ours: bounds the memory)


class Classifier(Protocol):
    """Says something of pictures, in numbers."""

    @property
    def title(self) -> str:
        """What it is called."""

    def outputs(self, images: Sequence[Tensor]) -> np.ndarray:
        """What it says of pictures ``(3, H, W)`` in [0, 1]: logits, probabilities or one number each, ``(n, C)``."""


@dataclass(frozen=True)
class OnnxClassifier:
    """A classifier in an ONNX file.

    Args:
        network: reads the file.
        name: of the output; ``None``: the first.
    """

    network: OnnxJudge
    name: str | None = None

    @property
    def title(self) -> str:
        return Path(self.network.path).name

    def outputs(self, images: Sequence[Tensor]) -> np.ndarray:
        name = self.network.outputs[0] if self.name is None else self.name
        return self.network.output(images, name).reshape(len(images), -1).astype(float)


@dataclass(frozen=True)
class ModuleClassifier:
    """A classifier that is a PyTorch network.

    Args:
        network: maps ``(B, 3, H, W)`` to ``(B, C)``; it is put into evaluation mode.
        title: what it is called.
        size: height and width that pictures are brought to (bilinear, antialiased); ``None``: as they are.
        mean: subtracted from pixels in [0, 1], per colour channel or one number.
        std: divided by after that; the same.

    Raises:
        UserError: a size that is no whole number above 0, or what is no number.
    """

    network: nn.Module
    title: str = "the classifier"
    size: int | None = None
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0

    def __post_init__(self) -> None:
        if self.size is not None:
            require_whole_number("preprocessing.size", self.size, "null or a whole number above 0", least=1)
        for name, value in (("mean", self.mean), ("std", self.std)):
            is_list = isinstance(value, Sequence) and len(value) == 3 and all(map(is_number, value))
            if not (is_number(value) or is_list):
                raise UserError(f"preprocessing.{name} must be a number or a list of three, got {value!r}")
        if not (np.asarray(self.std) > 0).all():
            raise UserError(f"preprocessing.std must be above 0, got {self.std!r}")
        self.network.eval().requires_grad_(False)

    @torch.no_grad()
    def outputs(self, images: Sequence[Tensor]) -> np.ndarray:
        parts = [self._outputs(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate(parts)

    def _outputs(self, images: Sequence[Tensor]) -> np.ndarray:
        batch = torch.stack(list(images)).float()
        if self.size is not None and batch.shape[-2:] != (self.size, self.size):
            size = (self.size, self.size)
            batch = interpolate(batch, size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)
        mean, std = (torch.as_tensor(value).float().reshape(-1, 1, 1) for value in (self.mean, self.std))
        try:
            found = self.network((batch - mean) / std)
        except Exception as error:  # whatever a user's network raises
            raise UserError(
                f"{self.title} does not take pictures of {batch.shape[-2]} x {batch.shape[-1]} pixels "
                f"({str(error).splitlines()[0][:150]}); set preprocessing.size to the size that it wants"
            ) from error
        if not (isinstance(found, Tensor) and found.ndim in (1, 2) and len(found) == len(batch)):
            raise UserError(f"{self.title} must give a tensor (B, C) for a batch of pictures, a row for each")
        return found.reshape(len(batch), -1).double().numpy()


def classifier_of(
    where: str | Path,
    weights: str | None = None,
    output: str | None = None,
    preprocessing: Mapping[str, Any] | None = None,
) -> Classifier:
    """A classifier by its file or by the function that builds it.

    Args:
        where: an ``.onnx`` file, or ``my_package.nets:build``.
        weights: of what the function builds: a ``.safetensors`` or ``.pth`` file of plain tensors.
        output: of the ONNX network; ``None``: its first.
        preprocessing: arguments of ``OnnxJudge`` or ``ModuleClassifier``: ``size``, ``mean``, ``std``, ... Without any,
            pixels in [0, 1] are handed over, in the size that an ONNX file says, or as they are.

    Raises:
        UserError: there is no such file or function, or it is no network, or does not take these settings.
    """
    options = {key: value for key, value in (preprocessing or {}).items() if value is not None}
    if str(where).lower().endswith(".onnx"):
        if weights is not None:
            raise UserError("task.weights belongs to a network that a function builds; an ONNX file has its own")
        options = {"range": (0, 1), **options}
        return OnnxClassifier(_made(OnnxJudge.sized, options, where), output)
    if ":" not in str(where):
        raise UserError(
            f"a classifier must be an .onnx file or MODULE:FUNCTION, such as my_package.nets:build, got {where!r}"
        )
    network = built_network(str(where), weights)
    return _made(ModuleClassifier, {"title": str(where), **options}, network)


def _made(make: Any, options: Mapping[str, Any], *first: Any) -> Any:
    try:
        return make(*first, **options)
    except TypeError as error:
        raise UserError(
            f"preprocessing: {error}; it takes size, mean and std, and of an ONNX file crop, range, layout and channels"
        ) from error
