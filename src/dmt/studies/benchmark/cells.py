"""Edits that were made -> files that a later run finds: one folder per case, method and lambda."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dmt.data import to_pixels
from dmt.editing.records import EditedImage, Record, file_names

RECORDS = "records.json"


@dataclass(frozen=True)
class Cell:
    """The edits of one case by one method with one lambda.

    Args:
        folder: where they are kept; it is named after all that determines them.
    """

    folder: Path

    @classmethod
    def of(cls, root: Path, case: str, method: str, budget: float, determined_by: Mapping[str, Any]) -> "Cell":
        """The cell below ``root`` for a case, a method and lambda', and for whatever else determines the edits."""
        text = json.dumps({"case": case, "method": method, "lambda": str(budget), **determined_by}, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        words = "-".join([*case.split(), method, f"{budget:g}", key])
        return cls(root / words)

    @property
    def is_done(self) -> bool:
        """Whether all its edits were made."""
        return (self.folder / RECORDS).exists()

    def write(self, images: Sequence[EditedImage], columns: Sequence[Record]) -> None:
        """Keep the results and a record for each; whoever is killed while writing leaves no finished cell."""
        self.folder.mkdir(parents=True, exist_ok=True)
        records = []
        for image, name, more in zip(images, file_names(images), columns, strict=True):
            Image.fromarray(to_pixels(image.after)).save(self.folder / f"{name}.png")
            records.append({**more, "file": f"{name}.png"})
        partial = self.folder / f"{RECORDS}.partial"
        partial.write_text(json.dumps(records, indent=1), encoding="utf-8")
        partial.replace(self.folder / RECORDS)

    def records(self) -> list[Record]:
        """One record per image, as ``write`` was given them, with the ``file`` of its picture."""
        return json.loads((self.folder / RECORDS).read_text(encoding="utf-8"))

    def picture(self, record: Record) -> np.ndarray:
        """The result ``(H, W, 3)`` of one of the records."""
        return np.asarray(Image.open(self.folder / str(record["file"])).convert("RGB"))
