"""Every kind of file that a later run reads, damaged in every way: never used silently, and never a traceback."""

import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dmt.data import Table
from dmt.editing import EditedImage
from dmt.manifolds import IncrementalPCA
from dmt.manifolds.columns import ColumnSpace
from dmt.manifolds.space import read_space
from dmt.networks import digits as digits_of_package
from dmt.storage.feature_store import FeatureStore
from dmt.storage.files import found_in, read_json, write_json
from dmt.storage.tensors import tensors_at
from dmt.studies.benchmark.stored import StoredEdits
from dmt.studies.transfer.rows import RunStore
from dmt.studies.transfer.training import EpochCheckpoint
from tests.faults.jobs import OF_WORLD, Found, attempt, differs, transfer, world_at
from tests.small import quiet_trainer

Job = Callable[[Path], Found]

KEEPING = {"enable_checkpointing": True}


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        job: makes it where it is missing, and reads it.
        file: where it is below the folder of the job, with wildcards.
        heals: whether it is made again; if not, a line says what is wrong.
        without: what is taken away before, so that the file is read.
    """

    job: Job
    file: str
    heals: bool = True
    without: Sequence[str] = ()


def kinds(root: Path) -> dict[str, Kind]:
    """All kinds, by name."""
    world, holed = world_at(root / "world"), world_at(root / "holed", broken=True)

    def of(name: str, of_world=world) -> Job:
        return lambda folder: OF_WORLD[name](of_world.below(folder))

    read, later = "features/*/", ("cache/manifolds", "cache/codes")
    return {
        "scales": Kind(of("PCA"), "cache/scales/*.safetensors"),
        "pooled features": Kind(of("pooled"), "cache/pooled/*.safetensors"),
        "features": Kind(of("features"), f"cache/{read}features.f16"),
        "checksums": Kind(of("features"), f"cache/{read}features.sums"),
        "features, of a fit": Kind(of("PCA"), f"cache/{read}features.f16", without=later),
        "description": Kind(of("features"), f"cache/{read}description.json"),
        "description, of layers": Kind(partial(_narrower, world), f"cache/{read}description.json"),
        "broken pictures": Kind(of("features", holed), f"cache/{read}broken.json"),
        "checksums, with broken": Kind(of("features", holed), f"cache/{read}features.sums"),
        "part of the features": Kind(partial(_in_parts, world), f"cache/{read}part-*/features.f16"),
        "part's checksums": Kind(partial(_in_parts, world), f"cache/{read}part-*/features.sums"),
        "some rows": Kind(of("some rows"), f"cache/{read}some.f16"),
        "some rows' checksums": Kind(of("some rows"), f"cache/{read}some.sums"),
        "some broken": Kind(of("some rows", holed), f"cache/{read}some.broken.json"),
        "manifold": Kind(of("PCA"), "cache/manifolds/*.safetensors"),
        "exact manifold": Kind(of("exact"), "cache/manifolds/*.safetensors"),
        "coordinates": Kind(of("PCA"), "cache/codes/*.safetensors"),
        "layer scores": Kind(of("layer scores"), "cache/layer_scores/*.safetensors"),
        "draw": Kind(_draw, "key/draw_0.safetensors"),
        "draw's accuracies": Kind(_accuracies, "key/draw_0.json"),
        "benchmark's records": Kind(_cell, "case-dmt-1-*/records.json"),
        "benchmark's pictures": Kind(_cell, "case-dmt-1-*/a.png"),
        "transfer's bases": Kind(partial(transfer, cells=1), "bases/*.safetensors"),
        "transfer's checkpoint": Kind(_checkpoint, "run.ckpt"),
        "transfer's rows": Kind(_rows, "runs.csv", heals=False),
        "saved space": Kind(partial(_saved, world), "space.safetensors", heals=False),
        "given manifold": Kind(partial(_given, world), "manifold.safetensors", heals=False),
        "columns of a table": Kind(_columns, "columns.safetensors", heals=False),
        "weights of the package": Kind(_weights, "digits.safetensors", heals=False),
    }


def campaign(seed: int, count: int, names: Sequence[str] | None = None) -> dict[str, int]:
    """Damage every kind of file ``count`` times."""
    rng, found = random.Random(seed), Counter(tried=0, silent=0, tracebacks=0, failures=0)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        every = kinds(root)
        for name in names or every:
            kind, whole = every[name], root / name
            whole.mkdir()
            made = attempt(kind.job, whole)
            assert made.status == "done", f"{name}: {made.said}"
            expected = attempt(kind.job, whole)  # as it is found
            for number in range(count):
                folder = root / f"{name}-{number}"
                shutil.copytree(whole, folder)
                for gone in kind.without:
                    shutil.rmtree(folder / gone)
                (file, *_) = sorted(folder.glob(kind.file))
                how = damage(file, [*folder.rglob("*"), *(root / "world").rglob("*")], rng)
                outcome = attempt(kind.job, folder)
                found["tried"] += 1
                verdict = _verdict(kind, outcome, expected)
                if verdict:
                    found[verdict] += 1
                    print(f"{name}, {how}: {verdict}: {outcome.said[-1500:]}")
                shutil.rmtree(folder)
    return dict(found)


def damage(file: Path, near: Sequence[Path], rng: random.Random) -> str:
    """Damage a file in one of many ways, in words; ``near`` are others that may take its place."""
    whole = file.read_bytes()
    while True:
        how = rng.choice([*WAYS, "another's"])
        changed = _anothers(file, near, rng) if how == "another's" else WAYS[how](whole, rng)
        if changed != whole:
            file.write_bytes(changed)
            return how


def _cut(whole: bytes, rng: random.Random) -> bytes:
    return whole[: rng.randrange(len(whole))]


def _flip(whole: bytes, rng: random.Random) -> bytes:
    changed = bytearray(whole)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _zeros(whole: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(whole))
    stop = min(len(whole), start + rng.choice([1, 8, 100, 4096]))
    return whole[:start] + bytes(stop - start) + whole[stop:]


def _anothers(file: Path, near: Sequence[Path], rng: random.Random) -> bytes:
    others = [other for other in near if other.is_file() and other != file]
    alike = [other for other in others if other.suffix == file.suffix] or others
    return rng.choice(sorted(alike)).read_bytes() if alike else b""


WAYS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut": _cut,
    "a flipped bit": _flip,
    "flipped bits": _flip,
    "zeros": _zeros,
    "emptied": lambda whole, rng: b"",
    "garbage": lambda whole, rng: rng.randbytes(rng.choice([1, 7, 100, len(whole)])),
    "JSON": lambda whole, rng: json.dumps(rng.choice([[], {}, None, 1, "x", [[1]], {"a": {"b": 1}}])).encode(),
    "JSON of the same form": lambda whole, rng: b'{"checksum": "0", "content": {}}',
}


def _verdict(kind: Kind, outcome, expected) -> str:
    if outcome.status == "traceback":
        return "tracebacks"
    if outcome.status == "refused":
        return "failures" if kind.heals or "\n" in outcome.said else ""
    return "silent" if differs(outcome.found, expected.found) else ""


# Jobs that make one file, if it is missing, and read it


def _narrower(world, folder: Path) -> Found:
    """Features of one layer, out of a store of two."""
    OF_WORLD["features"](world.below(folder))
    found = world.below(folder).catalog_features(layers=["high"])
    rows, _ = found.of_catalog(found.extractor()).read(0, 23)
    return {"rows": rows}


def _in_parts(world, folder: Path) -> Found:
    """Features whose first half was written by one of two processes that were killed."""
    if not (folder / "cache").exists():
        found = OF_WORLD["features"](world.below(folder))
        (file,) = folder.glob("cache/features/*/features.f16")
        size = found["rows"].shape[1]
        file.unlink()
        part = FeatureStore(file.parent, 23, size).part(range(12))
        part.append(found["rows"][:12], range(12), 12)
        shutil.copytree(folder / "cache", folder / "as it was")
    elif list(folder.glob("cache/features/*/part-*")) == []:
        return OF_WORLD["features"](world.below(folder))
    before = folder / "before"
    shutil.copytree(folder / "cache", before)
    found = OF_WORLD["features"](world.below(folder))
    shutil.rmtree(folder / "cache")
    before.rename(folder / "cache")
    return found


def _draw(folder: Path) -> Found:
    numbers = torch.arange(24.0).reshape(2, 12)
    made = {"images": numbers, "first": numbers + 1}
    return dict(tensors_at(folder / "key/draw_0.safetensors", lambda: made, "draw 0"))


def _accuracies(folder: Path) -> Found:
    file = folder / "key/draw_0.json"
    kept = found_in(file, lambda: read_json(file), "accuracies")
    if kept is None:
        write_json(file, {"probe": {"moved": 91.5}, "network": {}})
    return read_json(file)


def _cell(folder: Path) -> Found:
    picture = torch.linspace(0, 1, 3 * 64).reshape(3, 8, 8)
    stored = StoredEdits.of(folder, "case", method="dmt", strength=1.0, determined_by={})
    if not stored.are_done:
        images = [EditedImage(name, picture, picture.flip(2) * share, {}) for name, share in (("a", 1), ("b", 0.5))]
        stored.write(images, [{"image": "a", "identity": 0.5}, {"image": "b", "identity": 0.75}])
    records = stored.records()
    return {"records": repr(records), "pictures": np.stack([stored.picture(record) for record in records])}


def _checkpoint(folder: Path) -> Found:
    checkpoint = EpochCheckpoint(folder / "run.ckpt", "key", seconds=0)
    if checkpoint.found() is None:
        torch.manual_seed(0)
        from pytorch_lightning.demos.boring_classes import BoringModel

        short = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 0}
        trainer = quiet_trainer(callbacks=[checkpoint], **short, **KEEPING)
        trainer.fit(BoringModel())
    return dict(torch.load(folder / "run.ckpt", weights_only=True)["state_dict"])


def _rows(folder: Path) -> Found:
    row = {
        "study": "digits", "treatment": "base", "n": 0, "layer": "", "base": "A", "target": "A", "split": "random",
        "split_seed": 0, "images_per_class": 8, "classes": 5, "top1_last": 90.5, "top1_best10": 91.25,
        "train_loss": 0.1, "val_loss": 0.2, "epochs": 2, "seconds": 1.5, "status": "ok", "version_torch": "2",
        "version_dmt": "1", "key": "k0",
    }  # fmt: skip
    store = RunStore(folder / "runs.csv")
    for one in (row, row | {"key": "k1", "target": "B", "base": "B", "top1_last": 12.125}):
        if one["key"] not in store.runs():
            store.append(one)  # trained again
    found = store.runs()
    return {key: repr(found[key]) for key in ("k0", "k1")}


def _saved(world, folder: Path) -> Found:
    file = folder / "space.safetensors"
    if not file.exists():
        world.below(folder).fit(IncrementalPCA(5)).space.save(file)
    space = read_space(file, lambda name: world.network(), world.network())
    return {"components": space.manifold.components, "points": space.target, **space.extractor.scales}


def _given(world, folder: Path) -> Found:
    file = folder / "manifold.safetensors"
    if not file.exists():
        world.below(folder).fit(IncrementalPCA(5)).space.save(file)
        shutil.copytree(folder / "cache", folder / "cache before")
    space = world.below(folder).fit(IncrementalPCA(5), file).space
    return {"components": space.manifold.components, "points": space.target}


def _columns(folder: Path) -> Found:
    rng = np.random.default_rng(0)
    numbers = {"a": rng.normal(5, 2, 80), "b": rng.integers(0, 30, 80), "c": rng.choice(["x", "y"], 80)}
    rows = pd.DataFrame({**numbers, "label": ["p", "q"] * 40})
    file = folder / "columns.safetensors"
    if not file.exists():
        table = Table(rows, "label")
        ColumnSpace.fit(table.columns, table.frame).save(file)
    space = ColumnSpace.load(file)
    return {"points": space.points(space.values(rows)).z, "columns": repr(space.columns)}


def _weights(folder: Path) -> Found:
    file, own = folder / "digits.safetensors", digits_of_package.WEIGHTS
    if not file.exists():
        shutil.copy(own, file)
    digits_of_package.WEIGHTS = file
    try:
        return dict(digits_of_package.digits_backbone().state_dict())
    finally:
        digits_of_package.WEIGHTS = own


def test_every_kind_of_file_is_verified():
    found = campaign(seed=2, count=1)
    assert found.pop("tried") >= 25
    assert found == {"silent": 0, "tracebacks": 0, "failures": 0}
