"""Tensors that were computed once -> a file under a key of all that determines them, and back."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dmt.errors import UserError
from dmt.storage.files import replacing


def cache_key(parts: Mapping[str, str]) -> str:
    """The start of the SHA-256 of all parts, in whatever order they come."""
    return hashlib.sha256(json.dumps(dict(sorted(parts.items()))).encode()).hexdigest()[:16]


def read_tensors(file: Path) -> dict[str, Tensor]:
    """What ``write_tensors`` wrote.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return load_file(file)
    except SafetensorError as error:
        raise UserError(f"{file} is damaged ({error}); delete it, and it is computed anew") from error


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a ``.safetensors`` file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    try:
        with replacing(file) as partial:
            save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, partial)
    except SafetensorError as error:
        raise OSError(f"could not write {file}: {error}") from error
