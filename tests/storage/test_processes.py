"""Two processes on the processor do one job: the same manifold and the same pictures as one, each doing its share."""

import dmt  # noqa: F401, I001 - before anything that imports torchvision or Lightning

import csv
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from PIL import Image
from pytorch_lightning import Trainer
from safetensors.numpy import load_file
from sklearn.decomposition import PCA
from torch import distributed
from torch.multiprocessing import spawn

from dmt.cli import programs
from dmt.errors import UserError
from dmt.manifolds import IncrementalPCA
from dmt.storage import processes
from tests.manifolds.world import N_IMAGES, World

ROOT = Path(__file__).resolve().parents[2]
TWO = ["trainer.strategy=ddp", "trainer.devices=2"]


def traverse(folder: Path, *options: str) -> subprocess.CompletedProcess:
    """A small job with a cache of its own."""
    job = ["experiment=digits", "data.image_size=16", "manifold.n_components=32", "precision=float32"]
    quiet = ["logger=none", "progress=false"]
    places = [f"cache_dir={folder}/cache", f"hydra.run.dir={folder}/out"]
    return subprocess.run(
        [sys.executable, ROOT / "traverse.py", *options, *job, *quiet, *places],
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def jobs(tmp_path_factory) -> dict[str, Path]:
    """The folders of the job by one process and by two."""
    folders = {}
    for name, options in (("one", []), ("two", TWO)):
        folders[name] = tmp_path_factory.mktemp(name)
        done = traverse(folders[name], *options)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("editing 8") == 1
        assert "Warning" not in done.stderr
    return folders


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_two_processes_fit_the_manifold_of_one(jobs):
    one, two = (load_file(only(folder, "cache/manifolds/*.safetensors")) for folder in jobs.values())
    np.testing.assert_allclose(two["mean"], one["mean"], atol=1e-4)
    np.testing.assert_allclose(two["singular_values"], one["singular_values"], rtol=1e-4)
    outside = two["components"] - two["components"] @ one["components"].T @ one["components"]
    assert np.linalg.norm(outside, 2) < 1e-4  # the sine of the largest angle between the two


def test_two_processes_make_the_pictures_of_one(jobs):
    rows = {}
    for name, folder in jobs.items():
        with (folder / "out/results.csv").open(newline="") as file:
            rows[name] = list(csv.DictReader(file))
    assert [row["image"] for row in rows["two"]] == [row["image"] for row in rows["one"]]
    assert len({row["seconds"] for row in rows["one"]}) == 1  # one batch
    assert len({row["seconds"] for row in rows["two"]}) == 2
    for row in rows["one"]:
        first, second = (np.asarray(Image.open(folder / f"out/{row['image']}.png"), int) for folder in jobs.values())
        assert np.abs(first - second).max() <= 1


def test_what_is_wrong_is_said_once(tmp_path):
    done = traverse(tmp_path, *TWO, "task.source=33")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the digits has no label '33'")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("hydra.mode=MULTIRUN", r"a sweep \(-m\) cannot start processes .* or leave trainer\.devices=1"),
        ("trainer.strategy=ddp_spawn", "trainer.strategy must be auto or ddp, .* got ddp_spawn"),
    ],
)
def test_what_cannot_be_shared_is_an_error_before_a_process_starts(tmp_path, monkeypatch, option, message):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        options = ["experiment=digits", "trainer.accelerator=cpu", option, f"output_dir={tmp_path}/out"]
        cfg = compose("traverse", [*TWO, *options], return_hydra_config=True)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", cfg)
    with pytest.raises(UserError, match=message):
        programs.traverse(cfg)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory, save_picture) -> tuple[Path, list[dict]]:
    """A folder of pictures, and what ``talk`` and ``fit`` return in each of two processes started there."""
    folder = tmp_path_factory.mktemp("world")
    World(folder, save_picture, None)
    spawn(_run, (folder,), nprocs=2)
    return folder, [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def _run(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save({"talk": talk(folder), "fit": fit(folder)}, folder / f"{rank}.pt")


def talk(folder: Path) -> dict:
    rank = distributed.get_rank()

    def find() -> str:
        file = folder / "made"
        if file.exists():
            return "found"
        file.touch()
        return "made"

    def break_down() -> None:
        raise UserError(f"process {rank} broke down")

    def error_of(call, work) -> str:
        with pytest.raises(UserError) as caught:
            call(work)
        return str(caught.value)

    return {
        "shares": processes.own(processes.divided(range(5), processes.count())),
        "gathered": processes.gathered(lambda: rank),
        "from_first": processes.from_first(lambda: rank),
        "in_turn": processes.in_turn(find),
        "within": processes.gathered(lambda: processes.gathered(lambda: rank)),
        "broken everywhere": error_of(processes.gathered, break_down),
        "broken second": error_of(processes.gathered, break_down if rank == 1 else lambda: None),
        "broken first": error_of(processes.in_turn, break_down),
        "after all": processes.gathered(lambda: -rank),
    }


def test_what_one_process_makes_or_breaks_all_know(two_processes):
    first, second = (found["talk"] for found in two_processes[1])
    assert (first.pop("shares"), second.pop("shares")) == (range(3), range(3, 5))
    assert (first.pop("in_turn"), second.pop("in_turn")) == ("made", "found")
    assert first == second == {
        "gathered": [0, 1],
        "from_first": 0,
        "within": [[0], [1]],
        "broken everywhere": "process 0 broke down",
        "broken second": "process 1 broke down",
        "broken first": "process 0 broke down",
        "after all": [0, -1],
    }  # fmt: skip


def test_where_one_process_is_killed_the_other_says_so(tmp_path):
    program = """
import os, sys
from torch import distributed
from dmt.storage import processes
rank = int(sys.argv[1])
distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}/meeting", rank=rank, world_size=2)
processes.gathered(lambda: rank)
processes.gathered(lambda: os._exit(9) if rank else None)
"""
    command = [sys.executable, "-c", program]
    second = subprocess.Popen([*command, "1", tmp_path])
    first = subprocess.run([*command, "0", tmp_path], capture_output=True, text=True, timeout=600)
    assert second.wait() == 9
    assert "UserError: another process of this job has ended" in first.stderr.splitlines()[-1]


def fit(folder: Path) -> dict:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = partial(Trainer, accelerator="cpu", devices=1, enable_model_summary=False, **quiet)
    world = World(folder, lambda *_, **__: None, trainer)
    space = world.fit(IncrementalPCA(5)).space
    return {"manifold": space.manifold, "points": space.target, "looked_at": world.looked_at}


def test_two_processes_look_at_half_of_the_pictures_each(two_processes):
    folder, found = two_processes[0], [one["fit"] for one in two_processes[1]]
    features = World(folder, lambda *_, **__: None, None).features()
    # the first looks at all of them once more, for the scales
    assert [one["looked_at"] for one in found] == [N_IMAGES + N_IMAGES // 2 + 1, N_IMAGES // 2]
    reference = PCA(5).fit(features)
    for one in found:
        manifold = one["manifold"]
        np.testing.assert_allclose(manifold.mean, reference.mean_, atol=1e-3)
        np.testing.assert_allclose(manifold.explained_variance, reference.explained_variance_, rtol=5e-3)
        expected = manifold.encode(torch.from_numpy(features))
        torch.testing.assert_close(one["points"], expected, atol=0.05, rtol=1e-3)
    assert not list(folder.glob("cache/features/*/part-*"))
