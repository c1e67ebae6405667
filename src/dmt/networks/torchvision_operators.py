"""Makes ``import torchvision`` work where its compiled extension does not load beside the installed torch."""

import importlib.util
from pathlib import Path

import torch

_declared: torch.library.Library | None = None  # keeps the declarations alive for the life of the process


def declare_missing_operators() -> bool:
    """Declare ``torchvision::nms`` and ``qnms`` where torchvision's extension cannot provide them.

    Torchvision registers a fake kernel for these operators when it is imported, and fails if they do not exist;
    pytorch-lightning imports torchvision through torchmetrics. Call this before either import. Nothing happens
    where the extension loads.

    Returns:
        Whether the operators had to be declared.
    """
    global _declared
    if _declared is not None:
        return True
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    extensions = sorted(Path(spec.origin).parent.glob("_C.*"))
    try:
        for extension in extensions:
            torch.ops.load_library(extension)
    except OSError:
        _declared = torch.library.Library("torchvision", "FRAGMENT")
        _declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return _declared is not None
