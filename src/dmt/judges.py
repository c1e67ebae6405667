"""Independent networks that say what a picture shows; they judge results and are never a loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from dmt.data.images import to_pixels
from dmt.errors import UserError


class Judge(Protocol):
    """Says something of every picture, or of every pair of input and result."""

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        """Map inputs and results, ``(3, H, W)`` in [0, 1] each, to columns of a table, each ``(n,)``.

        Args:
            name: of the judge; the columns are called after it.
            before: the inputs.
            after: the results.
        """


@dataclass(frozen=True)
class OutputJudge:
    """One number per picture: ``NAME_before`` and ``NAME_after``.

    Args:
        network: reads the pictures.
        output: which of its outputs.
        column: which number of that output; ``None``: it has only one.
    """

    network: "OnnxJudge"
    output: str
    column: int | None = None

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        return {f"{name}_before": self._read(before), f"{name}_after": self._read(after)}

    def _read(self, images: Sequence[Tensor]) -> np.ndarray:
        found = self.network.output(images, self.output).reshape(len(images), -1)
        if self.column is None and found.shape[1] != 1:
            raise UserError(f"output {self.output!r} has {found.shape[1]} numbers; choose one with column")
        if (self.column or 0) >= found.shape[1]:
            raise UserError(f"output {self.output!r} has {found.shape[1]} numbers, so that there is no {self.column}")
        return found[:, self.column or 0]


@dataclass(frozen=True)
class LikenessJudge:
    """How much the result is like the input: the cosine of their embeddings, in [-1, 1], in a column ``NAME``.

    Args:
        network: embeds the pictures.
        output: which of its outputs is the embedding.
    """

    network: "OnnxJudge"
    output: str

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        first, second = (
            self.network.output(images, self.output).reshape(len(images), -1) for images in (before, after)
        )
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        cosines = (first * second).sum(axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
        return {name: cosines.clip(-1, 1)}


class OnnxJudge:
    """An ONNX network that reads a centred square crop of each picture.

    Args:
        path: the ``.onnx`` file; its input is ``(B, 3, size, size)``, RGB, 0 ... 255.
        crop: side of the crop as a share of the picture's width.
        size: side in pixels that the crop is resized to (bicubic).

    Raises:
        UserError: the file is missing or no ONNX network, or onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, crop: float, size: int = 112):
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError("judges need onnxruntime: pip install -e '.[judges]'") from error
        path = Path(path).expanduser()
        if not path.is_file():
            raise UserError(f"there is no judge {path}; put one there, or choose another folder: weights_dir=FOLDER")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no public base class
            raise UserError(f"{path} could not be read as an ONNX network ({error})") from error
        self.crop = crop
        self.size = size

    def __call__(self, images: Sequence[Tensor]) -> dict[str, np.ndarray]:
        """Map pictures ``(3, H, W)`` in [0, 1] to the network's outputs by name, each ``(B, ...)``."""
        batch = np.stack([self._prepared(image) for image in images])
        outputs = self._session.run(None, {self._session.get_inputs()[0].name: batch})
        return {output.name: values for output, values in zip(self._session.get_outputs(), outputs, strict=True)}

    def output(self, images: Sequence[Tensor], name: str) -> np.ndarray:
        """One output, ``(B, ...)``.

        Raises:
            UserError: the network has no output of that name.
        """
        outputs = self(images)
        if name not in outputs:
            raise UserError(f"the judge has no output {name!r}; it has {', '.join(outputs)}")
        return outputs[name]

    def _prepared(self, image: Tensor) -> np.ndarray:
        picture = Image.fromarray(to_pixels(image))
        side = self.crop * picture.width
        left, top = (picture.width - side) / 2, (picture.height - side) / 2
        box = (left, top, left + side, top + side)
        face = picture.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
        return np.asarray(face, dtype=np.float32).transpose(2, 0, 1)
