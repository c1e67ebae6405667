"""Edits that were made -> files that a later run finds: one folder for each case, method and strength."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dmt.data import to_pixels
from dmt.editing.files import file_names
from dmt.editing.records import EditedImage, Record
from dmt.storage.files import write_text

RECORDS = "records.json"


@dataclass(frozen=True)
class StoredEdits:
    """The edits of one case by one method at one strength.

    Args:
        folder: where they are kept; it is named after all that determines them.
    """

    folder: Path

    @classmethod
    def of(
        cls, root: Path, case: str, *, method: str, strength: float, determined_by: Mapping[str, Any]
    ) -> "StoredEdits":
        """Those below ``root`` of a case, a method and a strength, and of whatever else determines the edits."""
        text = json.dumps({"case": case, "method": method, "lambda": str(strength), **determined_by}, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        return cls(root / "-".join([*case.split(), method, f"{strength:g}", key]))

    @property
    def are_done(self) -> bool:
        """Whether all edits were made."""
        return (self.folder / RECORDS).exists()

    def write(self, images: Sequence[EditedImage], records: Sequence[Record]) -> None:
        """Keep the results and a record for each; the records come last, so that an interruption leaves none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = [f"{name}.png" for name in file_names(images)]
        for image, file in zip(images, files, strict=True):
            Image.fromarray(to_pixels(image.result)).save(self.folder / file)
        kept = [{**record, "file": file} for record, file in zip(records, files, strict=True)]
        write_text(self.folder / RECORDS, json.dumps(kept, indent=1))

    def records(self) -> list[Record]:
        """One record for each image, as ``write`` was given them, with the ``file`` of its picture."""
        return json.loads((self.folder / RECORDS).read_text(encoding="utf-8"))

    def picture(self, record: Record) -> np.ndarray:
        """The result ``(H, W, 3)`` of one of the records."""
        return np.asarray(Image.open(self.folder / str(record["file"])).convert("RGB"))
