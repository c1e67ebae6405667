"""Jobs of a second, each of which works below a folder and says what came out; and runs of them that can be killed."""

import hashlib
import json
import logging
import mmap
import os
import pickle
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pytorch_lightning import Trainer

from dmt.cli import build, front_door
from dmt.data import ClassTask, Digits
from dmt.editing import PixelMeanModule
from dmt.errors import UserError
from dmt.inversion import Inverter
from dmt.manifolds import ExactPCA, IncrementalPCA, Places, SetFit, Span
from dmt.reporting.results import Report, write_report
from dmt.solvers import LBFGS
from dmt.studies.benchmark import BenchmarkStudy, Case, Contender, Decision
from dmt.studies.layers import LayerScores
from dmt.studies.transfer import RandomHalves, Schedule, Setting, Tasks, narrow_network
from dmt.studies.transfer.grid import Grid
from dmt.studies.transfer.rows import RunStore
from dmt.studies.transfer.treatments import Cell
from dmt.studies.within import Mixup, Moved, Recipe, Sampling, WithinClassStudy
from dmt.studies.within.study import SETTINGS
from tests.manifolds.world import N_IMAGES, World, break_pictures
from tests.small import quiet_trainer, save_picture

Found = dict[str, Any]
THREES = ["digit_0003", "digit_0013"]
CATS_TO_DOGS = ClassTask("cat", "dog")


class Counter:
    """A number that processes which were forked from this one add to, too."""

    def __init__(self) -> None:
        self._number = mmap.mmap(-1, 8)

    @property
    def value(self) -> int:
        return int.from_bytes(self._number[:8], "little")

    @value.setter
    def value(self, value: int) -> None:
        self._number[:8] = value.to_bytes(8, "little")


WORK = Counter()  # pictures that a network has looked at, or cells that were made


class CountingWorld(World):
    """``World``, whose count is ``WORK``."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "looked_at":
            WORK.value = value
        else:
            super().__setattr__(name, value)

    @property
    def looked_at(self) -> int:
        return WORK.value

    def below(self, folder: Path) -> "World":
        """The same pictures with another cache."""
        other = copy(self)
        other.cache = folder / "cache"
        return other


def world_at(folder: Path, broken: bool = False) -> CountingWorld:
    """A folder of 23 pictures, of which four may be broken, and a small network."""
    world = CountingWorld(folder, save_picture, quiet_trainer)
    if broken:
        break_pictures(world)
    return world


# The jobs: of a world, each takes the folder it works in


def scales(world: World) -> Found:
    return dict(world.catalog_features().extractor().scales)


def features(world: World) -> Found:
    found = world.catalog_features()
    rows, positions = found.of_catalog(found.extractor()).read(0, N_IMAGES)
    return {"rows": rows, "positions": positions}


def pooled(world: World) -> Found:
    points, positions, _ = world.catalog_features().pooled(torch.zeros(3, 12, 12))
    return {"points": points, "positions": positions}


def some_rows(world: World) -> Found:
    found, rows = world.catalog_features(), {}
    found.some(
        found.extractor(),
        np.arange(0, N_IMAGES, 2),
        lambda batch, positions: rows.update(zip(positions, batch.clone(), strict=True)),
    )
    return {str(position): row for position, row in rows.items()}


def pca(world: World, kind: type = IncrementalPCA) -> Found:
    space = world.fit(kind(5)).space
    return {"components": space.manifold.components, "mean": space.manifold.mean, "points": space.target}


def span(world: World) -> Found:
    data = world.data(CATS_TO_DOGS, images=["cat/01.png"])
    space = SetFit(world.catalog_features(data=data), Span())(data)
    return {"points": space.target}


def local(world: World) -> Found:
    data = world.data(CATS_TO_DOGS, images=["cat/01.png"])
    space = SetFit(world.catalog_features(data=data), Places(channels=3, points=40))(data)
    return {"source": space.source.z, "target": space.target.z}


def layer_scores(world: World) -> Found:
    scores = LayerScores(CATS_TO_DOGS, set_size=20, folds=2, neighbours=2)
    found = scores.measure(world.network(), world.data(), quiet_trainer, world.cache)
    return {score.layer: np.array([score.auc, score.knn, score.logme]) for score in found}


# Of digits


def _editor(folder: Path, *further: str) -> tuple[Any, dict[str, Any]]:
    options = ["experiment=digits", "manifold=span", "progress=false", "data.set_size=40", "trainer.accelerator=cpu"]
    cfg = front_door.composed(*options, *further, f"cache_dir={folder}/cache")
    cfg.output_dir = "out"
    editor = replace(build.editor_of(cfg), inverter=Inverter({}, LBFGS(4), "float32"), trainer=quiet_trainer)
    return editor, build.settings_of(cfg)


def edits(folder: Path) -> Found:
    editor, settings = _editor(folder)
    edit = editor.edit(ClassTask("3", "8"), THREES)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    write_report(out, Report.of_edit(edit.title, edit.images), settings)
    pictures = {file.name: np.asarray(Image.open(file)) for file in sorted(out.glob("digit*.png"))}
    assert (out / "results.json").stat().st_size
    return pictures | {"results": torch.stack([image.result for image in edit.images])}


def judges(folder: Path) -> Found:
    """Edits that are judged by a probe of reserved pictures, whose features are kept, and by one of the others."""
    of_probe = ["judges.probe.pictures.features.layers=[conv3]", "judges.probe.pictures.image_size=32"]
    networks = [f"backbone@judges.{judge}.features.backbone=digits" for judge in ("probe.pictures", "classes")]
    asked = ["judges=[probe,classes]", "data.reserved=0.6", *of_probe, "judges.classes.features.layers=[conv3]"]
    editor, _ = _editor(folder, *asked, *networks)
    table = editor.edit(ClassTask("3", "8"), 2).table
    return {column: table[column].to_numpy() for column in table if column.startswith(("probe", "classes"))}


def within(folder: Path) -> Found:
    """Pictures made within classes, which are kept draw by draw, and what judges say of them, way by way."""

    class CountedRecipe(Recipe):
        def fit(self, *arguments: Any) -> None:
            WORK.value += 1
            super().fit(*arguments)

    study = WithinClassStudy(
        partial(narrow_network, kernel=5, stride=4, hidden=8),
        CountedRecipe(steps=4, batch_size=8, learning_rate=0.01),
        moved=Moved(),
        mixup=Mixup(),
        backbone=None,
        sampling=Sampling(classes=3, pictures=4, draws=1, neighbours=1, lam=1.0),
        folder=folder / "cache" / "within",
    )
    settings = dict.fromkeys(SETTINGS, "") | {"study": {"sampling": {}}}
    tables = study(quiet_trainer, lambda: _editor(folder, "solver=quick", "realise=null")[0], settings).tables
    rows = [row for table in tables.values() for row in table]
    return {f"{row['way']} {row.get('over', '')}": [row["network"], row["probe"]] for row in rows}


class Brightness:
    """A judge whose verdict can be worked out: the mean of the picture."""

    def columns(self, name: str, before: Any, after: Any) -> dict[str, np.ndarray]:
        means = [[float(image.mean()) for image in images] for images in (before, after)]
        return {f"{name}_before": np.array(means[0]), f"{name}_after": np.array(means[1])}


class CountedStudy(BenchmarkStudy):
    """Counts the cells that are made."""

    def _make(self, *arguments: Any) -> None:
        WORK.value += 1
        super()._make(*arguments)


def benchmark(folder: Path) -> Found:
    editor, settings = _editor(folder)
    editor = replace(editor, judges={"brightness": Brightness()})
    settings["cache_dir"] = "cache"
    one = Case(ClassTask("3", "8"), THREES, methods=["dmt", "mean"], decision=Decision("brightness", threshold=0.9))
    methods = {"dmt": Contender(editor.method), "mean": Contender(partial(PixelMeanModule, alpha=None))}
    study = CountedStudy("Digits", str(folder), cases={"three": one}, methods=methods, lambdas=[1.0, 0.3])
    rows = study(quiet_trainer, lambda: editor, settings).tables["edits"]
    return {f"{row['method']} {row['lambda']} {row['image']}": float(row["judged"]) for row in rows}


def transfer(folder: Path, cells: int = 3) -> Found:
    def trainer(**options: Any) -> Trainer:
        WORK.value += 1
        return quiet_trainer(**options)

    tasks = Tasks(
        catalog=Digits(), splits={"random": RandomHalves()}, split="random", image_size=16, images_per_class=8
    )
    network = partial(narrow_network, channels=(2, 2, 2, 2, 2), hidden=4)
    setting = Setting(tasks=tasks, network=network, schedule=Schedule(2, 20, learning_rate=0.01))
    grid = Grid(setting, RunStore(folder / "runs.csv"), folder=folder, trainer=trainer)
    found: Found = {}
    every = [("base", 0, "A"), ("base", 0, "B"), ("transfer", 2, "A")][:cells]
    for treatment, n, target in every:
        cell = Cell(treatment, n, split_seed=0, target=target)
        row = grid.run(cell)
        assert row is not None
        kept = {name: value for name, value in row.items() if name != "seconds"}
        found[str(cell)] = repr(sorted(kept.items()))
        if treatment == "base":
            weights = grid.base_weights(cell)
            found |= {f"{cell} {name}": tensor for name, tensor in weights.items()}
    return found


OF_WORLD: dict[str, Callable[[World], Found]] = {
    "scales": scales,
    "pooled": pooled,
    "features": features,
    "some rows": some_rows,
    "PCA": pca,
    "exact": partial(pca, kind=ExactPCA),
    "span": span,
    "local": local,
    "layer scores": layer_scores,
}
OF_DIGITS: dict[str, Callable[[Path], Found]] = {
    "edits": edits,
    "judges": judges,
    "within": within,
    "benchmark": benchmark,
    "transfer": transfer,
}


def job_of(name: str, world: CountingWorld) -> Callable[[Path], Found]:
    """A job by its name, which takes the folder that it works in."""
    if name in OF_DIGITS:
        return OF_DIGITS[name]
    return lambda folder: OF_WORLD[name](world.below(folder))


# What is compared


def differs(found: Found, expected: Found) -> bool:
    """Whether anything differs by more than rounding."""
    return found.keys() != expected.keys() or not all(_same(found[key], expected[key]) for key in expected)


def _same(one: Any, other: Any) -> bool:
    if isinstance(other, torch.Tensor | np.ndarray | float | list):
        one, other = np.asarray(one), np.asarray(other)
        return one.shape == other.shape and bool(
            np.allclose(one.astype(np.float64), other.astype(np.float64), rtol=1e-5, atol=1e-5, equal_nan=True)
        )
    return bool(one == other)


def cache_digests(folder: Path) -> dict[str, str]:
    """A digest of every file of a cache that is to be the same bit for bit."""
    files = [file for file in sorted((folder / "cache").rglob("*")) if file.is_file() and file.suffix != ".lock"]
    return {str(file.relative_to(folder)): hashlib.sha256(_content(file)).hexdigest() for file in files}


def _content(file: Path) -> bytes:
    """Of a file of tensors with its header in order, which the library writes in any."""
    content = file.read_bytes()
    if file.suffix != ".safetensors":
        return content
    stop = 8 + int.from_bytes(content[:8], "little")
    return json.dumps(json.loads(content[8:stop]), sort_keys=True).encode() + content[stop:]


# Runs that can be killed


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Args:
        status: ``done``, ``refused`` in one line, ``traceback``, or ``killed``.
        found: what the job found, if it is done.
        said: what it logged, or its error.
        seconds: it took.
    """

    status: str
    found: Found | None
    said: str
    seconds: float


def attempt(job: Callable[[Path], Found], folder: Path) -> Outcome:
    """Run a job here; what it logs is kept."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger, began = logging.getLogger("dmt"), time.monotonic()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        found = job(folder)
        return Outcome("done", found, "\n".join(said), time.monotonic() - began)
    except (UserError, OSError) as error:
        return Outcome("refused", None, str(error), time.monotonic() - began)
    except Exception:
        return Outcome("traceback", None, traceback.format_exc(), time.monotonic() - began)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def forked(job: Callable[[Path], Found], folder: Path) -> int:
    """Start a job in a process of its own, which knows all that this one has imported; its number."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(action="ignore"):  # of Python 3.12: nothing here runs in threads
        process = os.fork()
    if process:
        return process
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with (folder / "said.txt").open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        outcome = attempt(job, folder)
        (folder / "outcome.new").write_bytes(pickle.dumps(outcome))
        (folder / "outcome.new").replace(folder / "outcome.pickle")
    finally:
        sys.stdout.flush()
        os._exit(0)


def ended(process: int, folder: Path) -> Outcome:
    """What became of a job that was started, when it has ended."""
    began = time.monotonic()
    os.waitpid(process, 0)
    file = folder / "outcome.pickle"
    if not file.exists():
        return Outcome("killed", None, "", time.monotonic() - began)
    outcome: Outcome = pickle.loads(file.read_bytes())
    file.unlink()
    return outcome
