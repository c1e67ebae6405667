"""The name of a number format -> the one a network works in while pixels are sought."""

import torch

from dmt.errors import UserError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

NOISE = {torch.float32: 1e-6, torch.bfloat16: 3e-4}
"""The relative error of an inversion's objective, by the precision of the network (ours, measured on faces)."""


def working_precision(name: str, device: torch.device) -> torch.dtype:
    """The format by its name; ``auto`` is bfloat16 on a processor with matrix units for it, and float32 elsewhere.

    Ours: with bfloat16 convolutions an inversion ends within 0.5 % of the objective of one in float32, in a third of
    the time there; on an H200 it took more evaluations, and no less time (docs/performance.md). Pixels, gradients and
    sums stay in float32.

    Raises:
        UserError: unknown name.
    """
    if name == "auto":
        return torch.bfloat16 if _has_matrix_units(device) else torch.float32
    if name not in PRECISIONS:
        raise UserError(f"precision must be auto, {' or '.join(PRECISIONS)}, got {name!r}")
    return PRECISIONS[name]


def compute_exact_float32() -> None:
    """Have a GPU compute what is in float32 in float32; by default cuDNN's convolutions keep 10 bits of 23 (TF32)."""
    torch.backends.cudnn.allow_tf32 = False


def _has_matrix_units(device: torch.device) -> bool:
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())
