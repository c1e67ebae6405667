"""The main job on real faces and real networks, small: runs where DMT_DATA and DMT_WEIGHTS name them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import open_dict
from PIL import Image
from skimage import data

from dmt.cli import programs
from dmt.data import LFW, AttributeTask
from dmt.data.selection import most_confident_sets
from dmt.judges import OnnxJudge

ROOT = Path(__file__).resolve().parent.parent
PER_SIDE = 150


@pytest.fixture(scope="module")
def faces(data_dir, tmp_path_factory):
    """A small attribute file: the most smiling and the most frowning people of LFW."""
    catalog = LFW(data_dir / "lfw", data_dir / "lfw_attributes.txt")
    task = AttributeTask("Frowning", source="Smiling", balance=["Male"])
    smiling, frowning = task.scores(catalog)
    both = (smiling > 0) & (frowning > 0)
    source, target = most_confident_sets(smiling, frowning, task.strata(catalog), PER_SIDE, both)
    lines = (data_dir / "lfw_attributes.txt").read_text().splitlines()
    file = tmp_path_factory.mktemp("faces") / "lfw_attributes.txt"
    file.write_text("\n".join([*lines[:2], *(lines[2 + row] for row in sorted([*source, *target]))]) + "\n")
    return [f"data.catalog.root={data_dir / 'lfw'}", f"data.catalog.attributes={file}"]


def edit(folder, options):
    return report(folder, ["manifold=pca", "manifold.n_components=200", *options]).images


def report(folder, options):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("traverse", overrides=["logger=none", "progress=false", *options])
    with open_dict(cfg):
        cfg.output_dir = str(folder)
    return programs.traverse(cfg)


@pytest.mark.parametrize(("backbone", "n_images"), [("vgg19_distilled", 4), ("vgg19_hybrid", 2)])
def test_smiling_people_frown_and_stay_themselves(backbone, n_images, faces, weights_dir, tmp_path):
    options = [f"backbone={backbone}", "task=frowning", f"n_images={n_images}", *faces]
    images = report(tmp_path, options).images
    expression = OnnxJudge(weights_dir / "judge_expression.onnx", crop=0.52)
    identity = OnnxJudge(weights_dir / "judge_identity.onnx", crop=0.48)
    before, after = [image.input for image in images], [image.result for image in images]
    happy_before = expression(before)["probabilities"][:, 1].mean()
    happy_after = expression(after)["probabilities"][:, 1].mean()
    cosine = (identity(before)["embedding"] * identity(after)["embedding"]).sum(axis=1).mean()
    assert happy_before > 0.8
    assert happy_after < happy_before - 0.25
    assert cosine > 0.45  # two pictures of one person have .45 on average, of two people .06
    assert all(image.record["witness_after"] < image.record["witness_before"] for image in images)
    assert all(image.record["converged"] for image in images)
    assert all(image.record["realised"] == pytest.approx(1, abs=0.05) for image in images)


def test_a_huge_lambda_returns_the_face(faces, tmp_path):
    images = edit(tmp_path, ["backbone=vgg19_distilled", "task=frowning", "lambda=1e9", "n_images=2", *faces])
    assert all(image.record["psnr"] > 35 for image in images)


def test_a_photograph_comes_back_at_its_size_with_an_edited_face(faces, weights_dir, tmp_path):
    astronaut = data.astronaut()
    canvas = np.full((600, 800, 3), 120, dtype=np.uint8)
    canvas[40 : 40 + 512, 200 : 200 + 512] = astronaut
    Image.fromarray(canvas).save(tmp_path / "astronaut.png")
    options = ["backbone=vgg19_distilled", "task=frowning", f"weights_dir={weights_dir}", *faces]
    (image,) = report(tmp_path / "out", [f"images=[{tmp_path}/astronaut.png]", *options]).images
    assert image.record["realised"] == pytest.approx(1, abs=0.05)
    assert image.record["witness_after"] < image.record["witness_before"]
    assert not image.record["was_target"]
    with Image.open(tmp_path / "out/astronaut.png") as found:
        change = np.asarray(found).astype(int) - canvas
    assert change.shape == canvas.shape
    face = slice(80, 240), slice(340, 510)  # around hers
    outside = change.copy()
    outside[face] = 0
    assert not outside.any()
    assert np.abs(change[face]).max() > 20
    with Image.open(tmp_path / "out/crops/astronaut_before.png") as before:
        assert before.size == (250, 250)
    expression = OnnxJudge(weights_dir / "judge_expression.onnx", crop=0.52)
    assert expression([image.input])["probabilities"][0, 1] > 0.9  # what is shown is framed as judges want it


def test_features_have_the_sizes_that_the_networks_promise(weights_dir):
    from dmt.networks import JointNetwork, vgg19, vgg19_distilled
    from dmt.networks.extractor import FeatureExtractor

    real = vgg19(["vgg19_conv3_4_tvinput.safetensors"], weights_dir, last_layer="conv3_4")
    narrow = vgg19_distilled(["vgg19_distilled16x_conv5_1.safetensors"], weights_dir)
    layers = ["conv3_1", "conv4_1", "conv5_1"]
    assert FeatureExtractor(narrow, layers).layout(125, 125).size == 106_496
    joint = JointNetwork([real, narrow], [["conv3_1"], ["conv4_1", "conv5_1"]])
    assert FeatureExtractor(joint, layers).layout(125, 125).size == 303_104


def test_the_labels_of_the_sets_are_judged_right(data_dir, weights_dir):
    catalog = LFW(data_dir / "lfw", data_dir / "lfw_attributes.txt")
    expression = OnnxJudge(weights_dir / "judge_expression.onnx", crop=0.52)
    scores = catalog.scores("Smiling")
    smiling, grave = np.argsort(-scores)[:40], np.argsort(scores)[:40]
    happy = [
        expression([catalog.read(i, 125) for i in rows])["probabilities"][:, 1].mean() for rows in (smiling, grave)
    ]
    assert happy[0] > 0.8 > 0.2 > happy[1]


def test_a_probe_of_few_people_tells_smiling_from_frowning(faces, weights_dir, tmp_path):
    GlobalHydra.instance().clear()
    options = [
        "task=frowning",
        "judges=probe",
        "data.reserved=0.7",
        f"cache_dir={tmp_path}",
        f"weights_dir={weights_dir}",
    ]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("traverse", overrides=["output_dir=.", *options, *faces])
    judge = instantiate(cfg.judges, _convert_="all")["probe"]
    assert judge.auc > 0.85
    catalog = judge.pictures.catalog
    others = np.setdiff1d(np.arange(len(catalog.names)), judge.pictures.positions)
    pictures = [catalog.original(catalog.names[i], 125) for i in others]  # as they are shown
    frowning = judge.columns("frown", pictures, pictures[:1])["frown_before"] > 0.5
    happy = OnnxJudge(weights_dir / "judge_expression.onnx", crop=0.52).output(pictures, "probabilities")[:, 1] > 0.5
    assert (frowning != happy).mean() > 0.85


def test_a_result_table_can_be_read_back(faces, tmp_path):
    edit(tmp_path, ["backbone=vgg19_distilled", "task=frowning", "lambda=0.5", "n_images=2", *faces])
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert {"witness_before", "witness_after", "delta", "shrinkage", "psnr", "ssim", "seconds"} <= set(rows[0])


FEW = ["manifold=pca", "manifold.n_components=100", "n_images=2", "figure.lambdas=[inf,0.7]"]
FIGURES = {
    "fig1_tour": (["data.set_size=40", "images=[Harrison_Ford_0001]", "lambda=2"], {"figure", "map"}),
    "fig3_regularization": (
        ["data.image_size=64", "selection.set_size=30", "n_images=1", "realise=null"],
        {"figure"},
    ),
    "fig6_lambda": ([*FEW, "task=frowning"], {"figure"}),
    "fig7_tsne": ([*FEW, "task=frowning", "data.set_size=80", "figure.each=20", "figure.crowd=40"], {"figure", "path"}),
    "fig5_colorize": (
        ["n_images=2", "task.source_size=40", "task.target_size=80", "task.spare=20", "figure.samples=20"],
        {"figure"},
    ),
}


@pytest.mark.parametrize("experiment", FIGURES)
def test_every_figure_of_real_faces(experiment, faces, weights_dir, tmp_path):
    options, pictures = FIGURES[experiment]
    with_judges = ["backbone=vgg19_distilled", f"weights_dir={weights_dir}", "judges=faces"]
    made = report(tmp_path, [f"experiment={experiment}", *with_judges, *faces, *options])
    assert set(made.pictures) == pictures
    assert all((tmp_path / f"{name}.png").exists() for name in pictures)
    assert all((tmp_path / f"{name}.csv").exists() for name in ["results", *made.tables])
    for image in made.images:
        assert 0 <= image.record["happy_after"] <= 1
        assert 0 < image.record["age_after"] < 100
        assert -1 <= image.record["identity"] <= 1


def test_people_towards_one_person(faces, tmp_path, data_dir):
    file = Path(faces[1].removeprefix("data.catalog.attributes="))
    groups = LFW(data_dir / "lfw", file).groups
    person = max(set(groups), key=groups.count)
    options = [
        "experiment=fig4_person",
        f"person={person.replace('_', ' ')}",
        "task.least=2",
        "data.set_size=40",
        "figure.lambdas=[0.4]",
        "images=[]",
    ]
    made = report(tmp_path, ["backbone=vgg19_distilled", "n_images=2", *options, *faces])
    assert len(made.images) == 2
    for image in made.images:
        assert image.record["witness_after"] < image.record["witness_before"]
        assert not image.name.startswith(person)


def test_lambda_by_the_judge_makes_people_stop_smiling(faces, weights_dir, tmp_path):
    judge = [
        "judges=faces",
        f"weights_dir={weights_dir}",
        "lambda=auto",
        "auto=judge",
        "auto.trials=5",
    ]
    images = edit(tmp_path, ["backbone=vgg19_distilled", "task=frowning", "n_images=2", *judge, *faces])
    assert all(image.record["happy_after"] < 0.5 for image in images)
    assert all(image.record["inversions"] == 6 for image in images)
