"""What wandb keeps of an offline run, read back: https://github.com/google/leveldb/blob/main/doc/log_format.md."""

import json
import time
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32768
HEADER = 7  # checksum (4), length (2), kind (1); the file's own header has as many
FIRST, MIDDLE = 2, 3
PATIENCE = 30  # seconds


@dataclass
class OfflineRun:
    """A run as the server would see it.

    Args:
        folder: ``offline-run-...``.
        run: wandb's record of its name, group, job type and tags.
        config: what it was told.
        history: what was logged, a dict a step.
        summary: the last of everything.
        artifacts: of each table its files, by their names in it; pictures of tables lie there alone.
    """

    folder: Path
    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    artifacts: dict[str, dict[str, Path]] = field(default_factory=dict)

    def numbers(self, step: int = 0) -> dict[str, float]:
        """The numbers of a step, without wandb's own."""
        values = self.history[step].items()
        return {key: value for key, value in values if isinstance(value, int | float) and not key.startswith("_")}

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table."""
        content = json.loads(self.artifacts[f"run-{self.run.run_id}-{name}"][f"{name}.table.json"].read_text())
        return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]

    def file(self, media: dict[str, Any]) -> Path:
        """The file of a picture that was logged."""
        staged = [files[media["path"]] for files in self.artifacts.values() if media["path"] in files]
        return staged[0] if staged else self.folder / "files" / media["path"]


def offline_runs(folder: Path) -> list[OfflineRun]:
    """All offline runs below a folder, in the order of their names; those of a process that has just ended, too."""
    until = time.monotonic() + PATIENCE
    while True:
        found = [read_run(file) for file in sorted(folder.rglob("offline-run-*/run-*.wandb"))]
        if all(run.exit_code is not None for run in found) or time.monotonic() > until:
            return found
        time.sleep(0.1)  # wandb's own process may write its file a moment after the run has ended


def read_run(file: Path) -> OfflineRun:
    found = OfflineRun(file.parent)
    for content in _records(file.read_bytes()):
        record = Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.run = record.run
            _update(found.config, record.run.config.update)
        elif kind == "config":
            _update(found.config, record.config.update)
        elif kind == "history":
            found.history.append({})
            _update(found.history[-1], record.history.item)
            found.summary |= deepcopy(found.history[-1])
        elif kind == "summary":
            _update(found.summary, record.summary.update)
        elif kind == "artifact":
            found.artifacts[record.artifact.name] = {
                content.path: Path(content.local_path) for content in record.artifact.manifest.contents
            }
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _update(known: dict[str, Any], items: Any) -> None:
    for item in items:
        keys, place = list(item.nested_key) or [item.key], known
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = json.loads(item.value_json)


def _records(content: bytes) -> list[bytes]:
    assert content[:4] == b":W&B"
    records, part, at = [], b"", HEADER
    while at + HEADER <= len(content):
        if BLOCK - at % BLOCK < HEADER:  # the rest of a block that holds no header
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        part += content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind not in (FIRST, MIDDLE):
            records.append(part)
            part = b""
    return [record for record in records if record]
