"""How much memory an inversion will take, estimated before it begins."""

import logging
from collections.abc import Collection

import psutil
import torch
from torch import Tensor

from dmt.errors import UserError
from dmt.networks.extractor import FeatureExtractor

log = logging.getLogger(__name__)

PROBE_SIZE = 64  # pixels: activations are counted on a small picture and scaled up
POINTS_OF_A_STEP = 10  # what the solver holds besides its history: points, gradients, directions, in pictures
GIGABYTE = 1e9


def inversion_bytes(
    extractor: FeatureExtractor, layers: Collection[str], size: int, batch_size: int, history: int
) -> float:
    """Bytes that a batch takes at its peak.

    The activations that are kept for the gradient, and as much again for the gradients themselves; the pictures that
    the solver remembers; three copies of the feature vectors.

    Args:
        extractor: the network.
        layers: those that are read, the regularizers' too.
        size: height and width in pixels.
        batch_size: images edited at a time.
        history: of the solver.
    """
    probe = min(size, PROBE_SIZE)
    brought_to_one_size = extractor.layout(probe, probe) == extractor.layout(size, size)  # inside the network
    kept = _bytes_kept(extractor, layers, probe) * (1 if brought_to_one_size else (size / probe) ** 2)
    features = 4 * extractor.layout(size, size).size
    picture = 4 * 3 * size**2
    return batch_size * (2 * kept + 3 * features + (2 * history + POINTS_OF_A_STEP) * picture)


def require_memory(needed: float, device: torch.device, remedy: str) -> None:
    """Say what is needed and what is free.

    Args:
        needed: bytes.
        device: where.
        remedy: for the message.

    Raises:
        UserError: it will not fit.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    size = f"{needed / GIGABYTE:.1f} GB" if needed >= GIGABYTE / 10 else f"{needed / 1e6:.0f} MB"
    message = f"memory: about {size} for the inversion, {free / GIGABYTE:.1f} GB free"
    if needed > free:
        raise UserError(f"{message}; {remedy}")
    log.info("%s", message)


def _bytes_kept(extractor: FeatureExtractor, layers: Collection[str], size: int) -> int:
    """Bytes of the distinct tensors that autograd keeps for one picture, the network's weights left out."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in extractor.state_dict().values()}
    kept: dict[int, torch.UntypedStorage] = {}

    def count(tensor: Tensor) -> None:  # a tensor that is handed back holds its graph, and is held by it, for ever
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage

    device = next(iter(extractor.state_dict().values())).device
    picture = torch.zeros(1, 3, size, size, device=device, requires_grad=True)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda nothing: nothing):
        result = extractor.activations(picture, layers)
    del result
    return sum(storage.nbytes() for storage in kept.values())
