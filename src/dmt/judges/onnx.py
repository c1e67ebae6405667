"""Any ONNX classifier or embedding, and what it wants its pictures made into -> its outputs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Len
from PIL import Image
from torch import Tensor

from dmt.data.images import to_pixels
from dmt.errors import UserError, is_number, require_whole_number
from dmt.ranges import Colour, Deviation, Positive, Side, SomeShare
from dmt.storage.limits import require_file_size

BATCH = 32  # pictures judged at a time (ours: bounds the memory)
NUMBERS = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


@dataclass(frozen=True)
class OnnxJudge:
    """An ONNX network that reads a centred square crop of each picture.

    A pixel value v in [0, 1] is handed over as ``(low + v (high - low) - mean) / std``.

    Args:
        path: the ``.onnx`` file, with one input.
        crop: side of the square as a share of the picture's width, above 0 and at most 1.
        size: side in pixels that the crop is resized to (bicubic).
        range: ``(low, high)``: what black and white are mapped to.
        mean: subtracted after that: a number, or one per channel in the network's order.
        std: divided by after that; the same.
        layout: ``nchw`` or ``nhwc``.
        channels: ``rgb`` or ``bgr``.

    Raises:
        UserError: the file is missing or no ONNX network, an argument is not of this kind or not what the network's
            input wants, or onnxruntime is not installed.
    """

    path: str | Path
    crop: SomeShare = 1.0
    size: Side = 112
    range: Annotated[Sequence[float], Len(2, 2)] = (0, 255)
    mean: float | Colour = 0.0
    std: Positive | Deviation = 1.0
    layout: Literal["nchw", "nhwc"] = "nchw"
    channels: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        if not (is_number(self.crop) and 0 < self.crop <= 1):
            raise UserError(f"a judge's crop must be a number above 0 and at most 1, got {self.crop!r}")
        require_whole_number("a judge's size", self.size, "a whole number above 0", least=1)
        if not (_are_numbers(self.range, 2) and self.range[0] < self.range[1]):
            raise UserError(f"a judge's range must be two numbers, the lower first, got {self.range!r}")
        for name, value in (("mean", self.mean), ("std", self.std)):
            if not (is_number(value) or _are_numbers(value, 3)):
                raise UserError(f"a judge's {name} must be a number or a list of three, got {value!r}")
        if not (np.asarray(self.std) > 0).all():
            raise UserError(f"a judge's std must be above 0, got {self.std!r}")
        if self.layout not in ("nchw", "nhwc"):
            raise UserError(f"a judge's layout must be nchw or nhwc, got {self.layout!r}")
        if self.channels not in ("rgb", "bgr"):
            raise UserError(f"a judge's channels must be rgb or bgr, got {self.channels!r}")
        self._require_fit()

    @classmethod
    def sized(cls, path: str | Path, size: int | None = None, **options: Any) -> "OnnxJudge":
        """The network with pictures of its own size, if it takes but one; 224 pixels where it takes any."""
        sides = [224, 224]
        if size is None and Path(path).expanduser().is_file():
            # the sides beside the channels, wherever the layout has these
            shape = session_of(Path(path).expanduser()).get_inputs()[0].shape[1:]
            sides = [side for side in shape if isinstance(side, int) and side > 4] or sides
        return cls(path, size=sides[-1] if size is None else size, **options)

    def __call__(self, images: Sequence[Tensor]) -> dict[str, np.ndarray]:
        """Map pictures ``(3, H, W)`` in [0, 1] to the network's outputs by name, each ``(B, ...)``."""
        return {name: self.output(images, name) for name in self.outputs}

    def output(self, images: Sequence[Tensor], name: str) -> np.ndarray:
        if name not in self.outputs:
            raise UserError(f"the judge has no output {name!r}; it has {', '.join(self.outputs)}")
        fixed = self._input.shape[0]
        size = fixed if isinstance(fixed, int) else BATCH
        starts = range(0, len(images), size)
        return np.concatenate([self._run(images[start : start + size], name) for start in starts])

    def prepared(self, image: Tensor) -> np.ndarray:
        """What the network is given of a picture ``(3, H, W)`` in [0, 1], without the batch."""
        picture = Image.fromarray(to_pixels(image))
        side = self.crop * picture.width
        left, top = (picture.width - side) / 2, (picture.height - side) / 2
        box = (left, top, left + side, top + side)
        pixels = np.asarray(picture.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box), dtype=np.float32)
        low, high = self.range
        values = pixels[:, :, :: -1 if self.channels == "bgr" else 1] * ((high - low) / 255) + low
        values = ((values - self.mean) / self.std).astype(NUMBERS[self._input.type])
        return values if self.layout == "nhwc" else values.transpose(2, 0, 1)

    @cached_property
    def _session(self) -> Any:
        return session_of(Path(self.path).expanduser())

    @property
    def outputs(self) -> list[str]:
        """Names of the network's outputs."""
        return [output.name for output in self._session.get_outputs()]

    @property
    def _input(self) -> Any:
        return self._session.get_inputs()[0]

    def _require_fit(self) -> None:
        """Compare what is said of the pictures with what the file says of its input."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise UserError(f"{self.path} has {len(inputs)} inputs; a judge must have one, a batch of pictures")
        if self._input.type not in NUMBERS:
            raise UserError(f"{self.path} reads {self._input.type}; a judge must read one of {', '.join(NUMBERS)}")
        wanted = self._input.shape
        given = [3, self.size, self.size] if self.layout == "nchw" else [self.size, self.size, 3]
        fixed = [side if isinstance(side, int) else free for side, free in zip(wanted[1:], given, strict=False)]
        if len(wanted) != 4 or fixed != given:
            raise UserError(
                f"{self.path} reads pictures of {_shape(wanted[1:])}, but layout={self.layout} and size={self.size} "
                f"make {_shape(given)}; set them as the network wants them"
            )

    def _run(self, images: Sequence[Tensor], output: str) -> np.ndarray:
        batch = np.stack([self.prepared(image) for image in images])
        fixed = self._input.shape[0]
        if isinstance(fixed, int):
            batch = np.concatenate([batch, np.repeat(batch[:1], fixed - len(images), axis=0)])
        try:
            (values,) = self._session.run([output], {self._input.name: batch})
        except Exception as error:  # as above
            raise UserError(
                f"{self.path} does not take pictures of layout={self.layout} and size={self.size} ({error}); "
                "set them as the network wants them"
            ) from error
        if not (isinstance(values, np.ndarray) and values.ndim and len(values) == len(batch)):
            raise UserError(f"output {output!r} of {self.path} does not have a row per picture; choose another output")
        return values[: len(images)]


def _are_numbers(values: object, count: int) -> bool:
    is_list = isinstance(values, Sequence) and not isinstance(values, str) and len(values) == count
    return is_list and all(map(is_number, values))  # type: ignore[call-overload]


def _shape(sides: Sequence[int | str | None]) -> str:
    return " x ".join(str(side or "?") for side in sides)


def session_of(path: Path) -> Any:
    """An ONNX file, opened; raises ``UserError``."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("judges need onnxruntime: pip install 'dmt[judges]'") from error
    if not os.path.isfile(path):
        raise UserError(f"there is no judge {path}; put one there, or choose another folder: weights_dir=FOLDER")
    require_file_size(path, "network")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public base class
        raise UserError(f"{path} could not be read as an ONNX network ({error})") from error
