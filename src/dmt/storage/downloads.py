"""One verified file from a URL: progress bar, checksum, and nothing left behind when it fails."""

import hashlib
import logging
import urllib.request
from pathlib import Path

from tqdm import tqdm

from dmt.errors import UserError
from dmt.storage.files import replacing

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
    log.info("downloading %s to %s", url, path)
    try:
        with replacing(path) as partial:
            _fetch(url, partial, sha256)
    except (OSError, ValueError) as error:
        raise UserError(f"could not download {url} ({error}): {remedy}") from error
    return path


def _fetch(url: str, path: Path, sha256: str) -> None:
    digest, done = hashlib.sha256(), 0
    request = urllib.request.Request(url, headers={"User-Agent": "dmt"})
    with urllib.request.urlopen(request, timeout=60) as answer, path.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        with tqdm(total=total or None, unit="B", unit_scale=True) as bar:
            while part := answer.read(1 << 20):
                file.write(part)
                digest.update(part)
                done += len(part)
                bar.update(len(part))
    if total and done != total:
        raise OSError(f"the connection ended after {done} of {total} bytes")
    if not digest.hexdigest().startswith(sha256):
        raise OSError(f"its SHA-256 begins with {digest.hexdigest()[:8]}, not {sha256[:8]}")
