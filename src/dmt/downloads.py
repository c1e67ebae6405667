"""One verified file from a URL: progress bar, checksum, and nothing left behind when it fails."""

import logging
from pathlib import Path

import torch

from dmt.errors import UserError

log = logging.getLogger(__name__)


def download(url: str, path: Path, sha256: str, remedy: str) -> Path:
    """Download ``url`` to ``path`` with a progress bar and verify it.

    Args:
        url: where the file is.
        path: where it goes; its folder is made. The file appears only when it is complete and verified.
        sha256: the start of the file's SHA-256 in hexadecimal; may be empty.
        remedy: what the user can do if the download fails, as a clause.

    Raises:
        UserError: no network, no space, or another checksum.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log.info("downloading %s to %s", url, path)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256 or None, progress=True)
    except (OSError, RuntimeError) as error:
        raise UserError(f"could not download {url} ({error}): {remedy}") from error
    return path
