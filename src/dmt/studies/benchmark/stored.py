"""Edits that were made -> files that a later run finds: one folder for each case, method and strength."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dmt.editing.files import file_names, save_picture
from dmt.editing.records import EditedImage, Record
from dmt.storage.files import DamagedError, checksum_of, found_in, read_json, write_json

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
        """Whether all edits were made, and every picture and record of them is as it was written."""
        return found_in(self.folder / RECORDS, self._verified, "edits of the benchmark") is not None

    def write(self, images: Sequence[EditedImage], records: Sequence[Record]) -> None:
        """Keep the results and a record for each; the records come last, so that an interruption leaves none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = [f"{name}.png" for name in file_names(images)]
        for image, file in zip(images, files, strict=True):
            save_picture(self.folder / file, image.result)
        kept = [{**record, "file": file} for record, file in zip(records, files, strict=True)]
        sums = {file: checksum_of(self.folder / file) for file in files}
        write_json(self.folder / RECORDS, {"records": kept, "pictures": sums})

    def records(self) -> list[Record]:
        """One record for each image, as ``write`` was given them, with the ``file`` of its picture."""
        return read_json(self.folder / RECORDS)["records"]

    def picture(self, record: Record) -> np.ndarray:
        """The result ``(H, W, 3)`` of one of the records."""
        return np.asarray(Image.open(self.folder / str(record["file"])).convert("RGB"))

    def _verified(self) -> bool:
        for file, checksum in read_json(self.folder / RECORDS)["pictures"].items():
            picture = self.folder / file
            if not picture.is_file() or checksum_of(picture) != checksum:
                raise DamagedError(f"{picture} is damaged or missing")
        return True
