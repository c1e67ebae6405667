"""Figure 5 of the paper: grey pictures are given their colours back, and compared with the true ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor

from dmt.data import Task, to_pixels
from dmt.editing import Edit, Editor
from dmt.errors import UserError
from dmt.metrics import central_square, psnr
from dmt.reporting.grids import labelled_grid
from dmt.reporting.results import EditedImage, Record, Report


@dataclass(frozen=True)
class Colorization:
    """Rows: grey input, result, true colours, and the trivial answers; a column per person.

    The trivial answers keep the input's lightness: ``mean colour`` gives every pixel the mean colour (Lab a, b) of the
    target's pictures, ``mean picture`` each pixel the mean colour that the target has there.

    Args:
        samples: pictures of the target whose colours are averaged.
    """

    samples: int = 500

    def __call__(self, editor: Editor, task: Task, images: Sequence[str], n_images: int) -> Report:
        if task.source_view is None:
            raise UserError("this figure needs a task that makes its inputs from pictures: task=colorize")
        edit = editor.edit(task, images, n_images)
        catalog, size = edit.data.catalog, edit.data.image_size
        truths = [catalog.read_named(name, size) for name in edit.data.inputs]
        mean_place = self._mean_colour_by_place(edit)
        mean_everywhere = np.broadcast_to(mean_place.mean(axis=(0, 1)), mean_place.shape)
        answers = {
            "grey input": [image.before for image in edit.images],
            "result": [image.after for image in edit.images],
            "true colours": truths,
            "mean colour": [_with_colour(image.before, mean_everywhere) for image in edit.images],
            "mean picture": [_with_colour(image.before, mean_place) for image in edit.images],
        }
        grid = labelled_grid(
            [[to_pixels(picture) for picture in row] for row in answers.values()], list(answers), edit.data.inputs
        )
        compared = [
            {"answer": name, **_mean_of([_comparison(*pair) for pair in zip(pictures, truths, strict=True)])}
            for name, pictures in answers.items()
        ]
        judged = [_with_comparison(*pair) for pair in zip(edit.images, truths, strict=True)]
        return Report(edit.title, judged, {"figure": grid}, {"colours": compared})

    def _mean_colour_by_place(self, edit: Edit) -> np.ndarray:
        loader = edit.data.some_dataloader(edit.data.target[: self.samples].tolist())
        colours = [_lab(image)[..., 1:] for batch in loader for image in batch.images]
        return np.mean(colours, axis=0)


def _with_comparison(image: EditedImage, truth: Tensor) -> EditedImage:
    columns = {f"true_{name}": value for name, value in _comparison(image.after, truth).items()}
    return replace(image, record={**image.record, **columns})


def _comparison(picture: Tensor, truth: Tensor) -> dict[str, float]:
    """PSNR in dB; mean distance in (a, b) of CIE Lab; and the mean chroma at the centre and outside, as shares."""
    error = _chroma(_lab(picture)[..., 1:] - _lab(truth)[..., 1:])
    center = central_square(*error.shape)
    found, true = (_chroma(_lab(image)[..., 1:]) for image in (picture, truth))
    return {
        "psnr": psnr(picture, truth),
        "chroma_error": float(error.mean()),
        "chroma_error_center": float(error[center].mean()),
        "chroma_share_center": float(found[center].mean() / true[center].mean()),
        "chroma_share_outside": float(found[~center].mean() / true[~center].mean()),
    }


def _mean_of(rows: Sequence[dict[str, float]]) -> Record:
    return {column: float(np.mean([min(row[column], 1e9) for row in rows])) for column in rows[0]}


def _with_colour(picture: Tensor, colour: np.ndarray) -> Tensor:
    lab = np.concatenate([_lab(picture)[..., :1], colour], axis=2)
    return torch.from_numpy(np.clip(lab2rgb(lab), 0, 1)).permute(2, 0, 1).to(picture)


def _lab(picture: Tensor) -> np.ndarray:
    return rgb2lab(picture.permute(1, 2, 0).double().numpy())


def _chroma(colour: np.ndarray) -> np.ndarray:
    return np.hypot(colour[..., 0], colour[..., 1])
