"""Independent networks that say what a picture shows; they judge results and are never a loss."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from dmt.data.images import to_pixels
from dmt.errors import UserError


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
            raise UserError("judges need onnxruntime: pip install 'dmt[judges]'") from error
        if not Path(path).is_file():
            raise UserError(f"there is no judge {path}")
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

    def _prepared(self, image: Tensor) -> np.ndarray:
        picture = Image.fromarray(to_pixels(image))
        side = self.crop * picture.width
        left, top = (picture.width - side) / 2, (picture.height - side) / 2
        box = (left, top, left + side, top + side)
        face = picture.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
        return np.asarray(face, dtype=np.float32).transpose(2, 0, 1)
