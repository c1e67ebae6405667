"""Tensors that were computed once -> a file under a key of all that determines them, and back."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dmt.storage.files import DamagedError, belongs_to, found_in, found_or_made, replacing

CHECKSUM, PLACE = "checksum", "place"  # what a file says of itself


def cache_key(parts: Mapping[str, str]) -> str:
    """The start of the SHA-256 of all parts, in whatever order they come."""
    return hashlib.sha256(json.dumps(dict(sorted(parts.items()))).encode()).hexdigest()[:16]


def tensors_at(file: Path, make: Callable[[], Mapping[str, Tensor]], what: str) -> dict[str, Tensor]:
    """The tensors that are kept in a file of the cache, or else are made now; see ``found_or_made``.

    Args:
        file: named after all that determines them.
        make: computes them.
        what: they are, in a word or two, for the log.
    """

    def made() -> dict[str, Tensor]:
        keep_tensors(file, make())
        return cached_tensors(file)

    return found_or_made(file, lambda: cached_tensors(file), made, what)


def keep_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors where ``cached_tensors`` finds them; raises ``OSError``."""
    write_tensors(file, tensors, {PLACE: belongs_to(file)})


def found_tensors(file: Path, what: str) -> dict[str, Tensor] | None:
    """As ``cached_tensors``; ``None`` where there are none, or a damaged file, which is then said."""
    found = found_in(file, lambda: cached_tensors(file), what)
    return None if found is None else found[0]


def cached_tensors(file: Path) -> dict[str, Tensor]:
    """Those that ``tensors_at`` has put there.

    Raises:
        DamagedError: the file is not what was written, or belongs elsewhere.
        OSError: it cannot be read.
    """
    metadata, tensors = read_with_metadata(file)
    if metadata.get(PLACE) != belongs_to(file):
        raise DamagedError(f"{file} holds what belongs to {metadata.get(PLACE, 'something else')}")
    return tensors


def read_tensors(file: Path) -> dict[str, Tensor]:
    """What ``write_tensors`` wrote; errors as in ``read_with_metadata``."""
    return read_with_metadata(file)[1]


def read_with_metadata(file: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What ``write_tensors`` wrote, and what the file says of it.

    Raises:
        DamagedError: the file is not what was written.
        OSError: it cannot be read.
    """
    file.open("rb").close()  # what cannot be read is not damaged
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise DamagedError(f"{file} is damaged ({error})") from error
    if metadata.pop(CHECKSUM, None) != _checksum(tensors, metadata):
        raise DamagedError(f"{file} is damaged, or was written by an earlier version of dmt: its checksum is wrong")
    # Copies: what is mapped begins at any byte, and products of unaligned numbers differ in the last bit
    return metadata, {name: tensor.clone() for name, tensor in tensors.items()}


def write_tensors(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a ``.safetensors`` file with a checksum, whole or not at all.

    Args:
        file: its folder is made.
        tensors: by name.
        metadata: what the file says of them.

    Raises:
        OSError: it cannot be written.
    """
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    metadata = dict(metadata or {})
    try:
        with replacing(file) as partial:
            save_file(tensors, partial, metadata | {CHECKSUM: _checksum(tensors, metadata)})
    except SafetensorError as error:
        raise OSError(f"could not write {file}: {error}") from error


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = xxhash.xxh3_128(json.dumps(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
