"""Pretrained weights: find a file, else download and verify it, and load it as plain tensors."""

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dmt.errors import UserError
from dmt.networks.network import Backbone
from dmt.storage.downloads import download
from dmt.storage.limits import require_file_size

log = logging.getLogger(__name__)

WRAPPERS = ("state_dict", "model_state_dict", "model")  # Lightning's, PyTorch's tutorials', many authors'


def find_weights(names: Sequence[str], folder: str | Path, url: str | None = None, sha256: str = "") -> Path:
    """Find the first of several files, or download the first one.

    Args:
        names: a file's path, or file names to look for in ``folder`` and in torch's own download folder, best
            first.
        folder: where weights are kept; a download goes there.
        url: where the first name can be downloaded from; ``None`` if nowhere.
        sha256: the start of the file's SHA-256 in hexadecimal; may be empty.

    Raises:
        UserError: nothing was found and nothing could be downloaded.
    """
    folders = [Path(folder).expanduser(), Path(torch.hub.get_dir()) / "checkpoints"]
    for name in names:
        for candidate in [Path(name).expanduser()] + [place / name for place in folders]:
            if candidate.is_file():
                return candidate
    remedy = (
        f"put one of {', '.join(names)} into {folders[0]} (or name another folder: weights_dir=PATH, or the "
        "environment variable DMT_WEIGHTS), choose another backbone, or try experiment=digits"
    )
    if url is None:
        raise UserError(f"weights not found: {remedy}")
    return download(url, folders[0] / names[0], sha256, remedy)


def first_of(full: Callable[[], Backbone], otherwise: Callable[[], Backbone]) -> Backbone:
    """A network whose weights are there or can be had, or another one.

    Args:
        full: makes the better network.
        otherwise: makes the one that stands in for it, which the log then says.

    Raises:
        UserError: neither can be made; the message is that of the second.
    """
    try:
        return full()
    except UserError as error:
        log.warning("%s; another network stands in", error)
    return otherwise()


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a state dict from ``.safetensors`` or, with ``weights_only``, from ``.pth``, also out of a checkpoint.

    Raises:
        UserError: the file is damaged or holds something other than tensors.
    """
    require_file_size(path, "network")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(f"{path} could not be read as weights ({_first_line(error)}); fetch it again") from error
    except Exception as error:  # pickle's own errors share no base class with the others
        raise UserError(f"{path} holds more than plain tensors ({_first_line(error)})") from error
    while inner := _wrapped(loaded):
        loaded = inner
    if not (isinstance(loaded, Mapping) and any(isinstance(value, Tensor) for value in loaded.values())):
        raise UserError(f"{path} holds no named tensors")
    return {name: value for name, value in loaded.items() if isinstance(value, Tensor)}


def load_into(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy every tensor that ``network`` needs from ``tensors``; further ones are left unread.

    Names may all begin with what training put before them (``module.``, ``model.``). Counts of batches may be missing:
    they are of no use to a network that is not trained.

    Raises:
        UserError: a tensor is missing or has another shape.
    """
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    tensors = _without_prefix(tensors, own)
    for name, tensor in own.items():
        if name not in tensors:
            raise UserError(f"{path} has no tensor {name!r}; it belongs to another network")
        if tensors[name].shape != tensor.shape:
            raise UserError(
                f"{path}: {name} has shape {tuple(tensors[name].shape)}, this network needs {tuple(tensor.shape)}"
            )
    network.load_state_dict({name: tensors[name].to(own[name].dtype) for name in own}, strict=False)


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and values, the same whatever file format they came in."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _wrapped(loaded: Any) -> Mapping[str, Any] | None:
    """The state dict inside a checkpoint, if there is one."""
    if not isinstance(loaded, Mapping):
        return None
    return next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), None)


def _without_prefix(tensors: Mapping[str, Tensor], needed: Collection[str]) -> Mapping[str, Tensor]:
    """The tensors without the prefix under which all that are needed can be found, if there is one."""
    if not needed or all(name in tensors for name in needed):
        return tensors
    some = max(needed, key=len)
    for prefix in (name.removesuffix(some) for name in tensors if name.endswith("." + some)):
        if all(prefix + name in tensors for name in needed):
            return {name: tensors[prefix + name] for name in needed}
    return tensors


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
