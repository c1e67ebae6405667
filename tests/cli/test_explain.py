"""Explaining a classifier from the command line, with small networks of one's own; nothing is downloaded."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from PIL import Image

from dmt.cli import conf_folder, programs

SIDE = 32
NETS = '''
import torch
from torch import nn


class Warmth(nn.Module):
    """Logits of cold and warm: warm if the mean red is more than the mean blue less 0.11."""

    def forward(self, images):
        red, _, blue = images.mean(dim=(2, 3)).unbind(dim=1)
        return 20 * torch.stack([blue - 0.11, red], dim=1)


def build():
    return Warmth()


def features():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 12, 4, stride=4), nn.ReLU(), nn.Conv2d(12, 16, 2, stride=2), nn.ReLU(), nn.Flatten()
    )
'''


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """The name of a module in the working folder with a classifier and a network."""
    name = "nets_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield name
    sys.modules.pop(name, None)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Twelve cold and twelve warm pictures: a square of colour somewhere on grey noise, at any depth, unlabelled."""
    random = np.random.default_rng(0)
    for i in range(24):
        pixels = np.repeat(random.integers(90, 130, (SIDE, SIDE, 1)), 3, axis=2)
        top, left = random.integers(0, SIDE - 16, 2)
        pixels[top : top + 16, left : left + 16] = (190, 110, 60) if i % 2 else (60, 110, 190)
        file = tmp_path / "photos" / ("more" if i % 3 else ".") / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(file)
    return tmp_path / "photos"


def explained(folder: Path, nets: str, *overrides: str):
    options = [
        "task=explain",
        f"task.classifier={nets}:build",
        "backbone=module",
        f"backbone.builder={nets}:features",
        "layers=['1','3']",
        "manifold.grid=16",  # of a network of two layers
        "manifold.position=0",
        "regularizer=none",
        "judges=[]",
        "logger=none",
        "progress=false",
        f"cache_dir={folder}/cache",
        f"output_dir={folder}/out",
    ]
    return programs.traverse(compose("traverse", [*options, *overrides])).images


def warmth(image) -> float:
    """Of the picture that is shown."""
    return float(image[0].mean() - image[2].mean())


def test_a_folder_of_pictures_is_explained(nets, photos, tmp_path, caplog):
    images = explained(tmp_path, nets, "task.classes=[cold,warm]", f"images={photos}")
    assert len(images) == 12
    for image in images:
        assert int(Path(image.name).stem) % 2 == 0
        assert warmth(image.input) < min(-0.12, warmth(image.result))
        assert image.record["verdict"] == ("yes" if warmth(image.result) > -0.11 else "no")
        assert warmth(image.result) < -0.06, "no farther than it takes"
    with (tmp_path / "out/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["from"], row["to"]) for row in rows} == {("cold", "warm")}
    assert sum(row["verdict"] == "yes" for row in rows) >= 8
    assert "12 of 24 pictures are not 'cold' to the classifier" in caplog.text
    cfg = OmegaConf.load(tmp_path / "out/config.yaml")
    assert cfg.data.image_size == SIDE, "that of the pictures"
    assert np.asarray(Image.open(tmp_path / "out/grid.png")).std() > 10


def test_some_pictures_of_a_folder_of_data_are_explained(nets, photos, tmp_path):
    asked = [str(photos / "more/02.png"), str(photos / "00.png")]
    options = [f"images=[{','.join(asked)}]", "data=pictures", f"data.catalog.root={photos}"]
    images = explained(tmp_path, nets, "task.names=[cold,warm]", *options)
    assert [image.name for image in images] == asked
    assert all(image.record["to"] == "warm" and warmth(image.result) > -0.11 for image in images)


BAD = [
    (["task.classes=[cold,hot]", "task.names=[cold,warm]"], "no class 'hot'"),
    (["task.classes=[cold,warm,hot]"], "classes must be [from,to], [from] or null"),
    (["task.number=+10"], "this one says 2; give classes"),
    (["task.classifier=nowhere.onnx"], "nowhere.onnx"),
    (["task.classifier=nets.pt"], "must be an .onnx file or MODULE:FUNCTION"),
    (["task.preprocessing.size=0"], "preprocessing.size must be null or a whole number above 0, got 0"),
    (["images=nowhere"], "nowhere"),
    (["images=[]"], "images=FOLDER"),
    (["images=[{photos}/00.png,{photos}/03.png]"], "data.catalog.root"),
]


@pytest.mark.parametrize(("overrides", "message"), BAD, ids=[overrides[0] for overrides, _ in BAD])
def test_what_is_wrong_is_said_in_one_line(nets, photos, tmp_path, capsys, overrides, message):
    given = [override.format(photos=photos) for override in overrides]
    with pytest.raises(SystemExit), programs.errors_in_one_line():
        explained(tmp_path, nets, f"images={photos}", *given)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error:"))
    assert message in line
