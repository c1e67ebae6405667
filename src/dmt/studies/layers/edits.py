"""An editor and choices of layers -> what an edit through each of them gives, and how much of a picture it can keep."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from dmt.data import EditData, Task
from dmt.editing.editor import Edit, Editor
from dmt.errors import UserError
from dmt.inversion import Inverter
from dmt.judges.metrics import psnr
from dmt.manifolds import SetFit
from dmt.networks.extractor import FeatureExtractor
from dmt.solvers import LBFGS

CELL = (
    8  # pixels that the start of a reconstruction is averaged over (ours: a face is still seen, and no feature of it)
)


def require_span(editor: Editor) -> SetFit:
    """What an editor stands on, if that is fitted to the sets of an edit.

    Raises:
        UserError: it is another manifold, which would have to be fitted for each choice of layers.
    """
    if not isinstance(editor.space, SetFit):
        raise UserError("scores.traversal=true fits a manifold for each choice of layers; leave manifold=span")
    return editor.space


def edits_by_layers(
    editor: Editor, choices: Mapping[str, Sequence[str]], task: Task, images: Sequence[str] | int
) -> tuple[dict[str, Edit], dict[str, float]]:
    """Edit the same pictures through each choice of layers, on the span of their sets.

    Args:
        editor: edits, on the span of sets.
        choices: name -> layers.
        task: which way.
        images: names or paths, or how many are drawn.

    Returns:
        Name -> edit, and name -> mean PSNR of the inputs made from their own features, see ``reconstruction_psnrs``.

    Raises:
        UserError: the editor has another manifold, which would have to be fitted for each choice.
    """
    fit = require_span(editor)
    edits: dict[str, Edit] = {}
    reconstructions: dict[str, float] = {}
    for name, layers in choices.items():
        edit = replace(editor, space=SetFit(fit.features.of_layers(layers), fit.manifold)).edit(task, images)
        edits[name], images = edit, edit.data.inputs
        device = editor.trainer().strategy.root_device
        found = reconstruction_psnrs(edit.space.extractor.to(device), edit.data, editor.inverter.solver)
        reconstructions[name] = sum(found) / len(found)
    return edits, reconstructions


def reconstruction_psnrs(extractor: FeatureExtractor, data: EditData, solver: LBFGS) -> list[float]:
    """PSNR in dB of every input made anew from its own features alone, higher is better.

    It starts at the input ``blurred``, without regularizers: an edit starts at its input, where nothing would be left
    to do. What the features have not got does not come back.
    """
    device = next(iter(extractor.backbone.state_dict().values())).device  # type: ignore[attr-defined]
    found = []
    for batch in data.predict_dataloader():
        images = batch.images.to(device)
        with torch.no_grad():
            targets = extractor(images)
        made = Inverter(solver=solver, precision="float32")(extractor, targets, images, blurred(images)).images
        found += [psnr(one, image) for one, image in zip(made.cpu(), batch.images, strict=True)]
    return found


def blurred(images: Tensor) -> Tensor:
    """Pictures ``(B, 3, H, W)`` averaged over cells of ``CELL`` pixels and drawn up again, bilinearly."""
    height, width = images.shape[-2:]
    cells = adaptive_avg_pool2d(images, (max(1, height // CELL), max(1, width // CELL)))
    return interpolate(cells, (height, width), mode="bilinear", align_corners=False)
