"""Figure 5 of the paper: grey pictures are given their colours back, and compared with the true ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor

from dmt.data import Task, to_pixels
from dmt.editing.editor import Edit, Editor
from dmt.editing.records import EditedImage, Record, mean_of_records
from dmt.errors import UserError, require_whole_number
from dmt.judges.metrics import central_square, psnr
from dmt.ranges import Count
from dmt.reporting.grids import labelled_grid
from dmt.reporting.names import short_names
from dmt.reporting.results import Report


@dataclass(frozen=True)
class Colorization:
    """Rows: grey input, result, true colours, and the trivial answers; a column per person.

    The trivial answers keep the input's lightness: ``mean colour`` gives every pixel the mean colour (Lab a, b) of the
    target's pictures, ``mean picture`` each pixel the mean colour that the target has there.

    Args:
        samples: pictures of the target whose colours are averaged.
    """

    samples: Count = 500

    def __call__(self, editor: Editor, task: Task, images: Sequence[str] | int) -> Report:
        if task.source_view is None:
            raise UserError("this figure needs a task that makes its inputs from pictures: task=colorize")
        require_whole_number("figure.samples", self.samples, "a whole number above 0", least=1)
        edit = editor.edit(task, images)
        truths = [edit.data.original(name) for name in edit.data.inputs]
        mean_place = self._mean_colour_by_place(edit)
        mean_everywhere = np.broadcast_to(mean_place.mean(axis=(0, 1)), mean_place.shape)
        answers = {
            "grey input": [image.input for image in edit.images],
            "result": [image.result for image in edit.images],
            "true colours": truths,
            "mean colour": [_with_colour(image.input, mean_everywhere) for image in edit.images],
            "mean picture": [_with_colour(image.input, mean_place) for image in edit.images],
        }
        grid = labelled_grid(
            [[to_pixels(picture) for picture in row] for row in answers.values()],
            list(answers),
            short_names(edit.data.inputs),
        )
        compared: list[Record] = [
            {"answer": name, **mean_of_records([_comparison(*pair) for pair in zip(pictures, truths, strict=True)])}
            for name, pictures in answers.items()
        ]
        judged = [_with_comparison(*pair) for pair in zip(edit.images, truths, strict=True)]
        return Report(edit.title, judged, {"figure": grid}, {"colours": compared})

    def _mean_colour_by_place(self, edit: Edit) -> np.ndarray:
        loader = edit.data.some_dataloader(edit.data.target[: self.samples].tolist())
        colours = [_lab(image)[..., 1:] for batch in loader for image in batch.images]
        return np.mean(colours, axis=0)


def _with_comparison(image: EditedImage, truth: Tensor) -> EditedImage:
    columns = {f"true_{name}": value for name, value in _comparison(image.result, truth).items()}
    return replace(image, record={**image.record, **columns})


def _comparison(picture: Tensor, truth: Tensor) -> Record:
    """PSNR in dB; mean distance in (a, b) of CIE Lab; and the mean chroma at the centre and outside, as shares.

    A share of no chroma at all is NaN.
    """
    error = _chroma(_lab(picture)[..., 1:] - _lab(truth)[..., 1:])
    center = central_square(*error.shape)
    found, true = (_chroma(_lab(image)[..., 1:]) for image in (picture, truth))
    return {
        "psnr": psnr(picture, truth),
        "chroma_error": float(error.mean()),
        "chroma_error_center": float(error[center].mean()),
        "chroma_share_center": _share(found[center], true[center]),
        "chroma_share_outside": _share(found[~center], true[~center]),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    return float(part.mean() / whole.mean()) if whole.any() else math.nan


def _with_colour(picture: Tensor, colour: np.ndarray) -> Tensor:
    lab = np.concatenate([_lab(picture)[..., :1], colour], axis=2)
    return torch.from_numpy(np.clip(lab2rgb(lab), 0, 1)).permute(2, 0, 1).to(picture)


def _lab(picture: Tensor) -> np.ndarray:
    return rgb2lab(picture.permute(1, 2, 0).double().numpy())


def _chroma(colour: np.ndarray) -> np.ndarray:
    return np.hypot(colour[..., 0], colour[..., 1])
