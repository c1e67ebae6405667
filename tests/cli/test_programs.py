import csv
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from dmt.cli import build, programs
from tests.reporting.wandb_files import offline_runs

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["experiment=digits", "logger=none", "progress=false", "n_images=2"]
SMALL = [*QUICK, "manifold.n_components=32"]

PROBE = [
    *SMALL,
    "judges=[probe,attributes]",
    *(
        option
        for judge in ("probe", "attributes")
        for option in (
            f"backbone@judges.{judge}.pictures.features.backbone=digits",
            f"judges.{judge}.pictures.features.layers=[conv2]",
            f"judges.{judge}.pictures.features.grid=2",
        )
    ),
]

# Programs as a user runs them; each costs seconds of imports, so that only what needs a process of its own is here


def run(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """Run ``python program arguments`` where no network can be reached."""
    closed = "http://127.0.0.1:9"
    offline = {"http_proxy": closed, "https_proxy": closed, "no_proxy": "", "TORCH_HOME": str(cwd / "torch")}
    return subprocess.run(
        [sys.executable, ROOT / program, *arguments],
        cwd=cwd,
        env=os.environ | offline,
        capture_output=True,
        text=True,
        timeout=300,
    )


def error_line(stderr: str) -> str:
    """The only line that says what is wrong; it must read as a sentence, not as Python."""
    (line,) = (line for line in stderr.splitlines() if line.startswith("error:"))
    assert "Traceback" not in stderr
    assert "Error in call to target" not in line
    assert "Error(" not in line
    return line


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """The job that needs no download, as the README tells it."""
    folder = tmp_path_factory.mktemp("first")
    done = run("traverse.py", "experiment=digits", f"hydra.run.dir={folder}/out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done, folder / "out"


def rows_of(folder: Path) -> list[dict]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_pictures_tables_configuration_and_log(first_run):
    done, out = first_run
    rows = rows_of(out)
    assert len(rows) == 8
    assert {row["converged"] for row in rows} == {"True"}
    for row in rows:
        picture = np.asarray(Image.open(out / f"{row['image']}.png"))
        assert picture.shape == (32, 32, 3)
        assert picture.std() > 10
    assert np.asarray(Image.open(out / "grid.png")).std() > 10
    images = json.loads((out / "results.json").read_text())["images"]
    assert len(images) == 8
    assert {image["precision"] for image in images} in ({"float32"}, {"bfloat16"}), "what auto has come to"
    assert "editing 8" in (out / "log.txt").read_text()
    assert "editing 8" in done.stdout
    assert "${" not in (out / "config.yaml").read_text()
    task = {"_target_": "dmt.data.ClassTask", "source": "3", "target": "8", "direction": "more"}
    assert OmegaConf.load(out / "config.yaml").task == task


def test_an_independent_reader_calls_the_pictures_eights(first_run):
    _, out = first_run
    names = [row["image"] for row in rows_of(out)]
    edited = [int(name.removeprefix("digit_")) for name in names]
    digits = load_digits()
    rest = np.setdiff1d(np.arange(len(digits.target)), edited)
    reader = SVC().fit(digits.data[rest] / 16, digits.target[rest])
    small = [Image.open(out / f"{name}.png").convert("L").resize((8, 8), Image.Resampling.BOX) for name in names]
    assert set(digits.target[edited]) == {3}
    assert (reader.predict(np.stack([np.asarray(s).ravel() / 255 for s in small])) == 8).mean() > 0.8


def test_a_run_is_logged_to_wandb_offline(first_run):
    done, out = first_run
    (grid,) = out.glob("wandb/offline-run-*/files/media/images/grid_*.png")
    logged, kept = (np.asarray(Image.open(path).convert("RGB")) for path in (grid, out / "grid.png"))
    np.testing.assert_array_equal(logged, kept)
    assert "wandb sync" in done.stdout


def test_a_run_warns_of_nothing(first_run):
    done, _ = first_run
    assert "site-packages" not in done.stderr
    assert "Warning" not in done.stderr


def test_a_second_run_finds_what_the_first_computed_and_gives_the_same(first_run, tmp_path):
    done = run("traverse.py", "experiment=digits", "logger=none", f"hydra.run.dir={tmp_path}/out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "manifold: found in" in done.stdout
    assert "coordinates: found in" in done.stdout
    assert "training" not in done.stdout
    first, second = rows_of(first_run[1]), rows_of(tmp_path / "out")
    for one, other in zip(first, second, strict=True):
        one.pop("seconds"), other.pop("seconds")
        assert one == other


def test_training_alone_finds_the_manifold_too(first_run, tmp_path):
    done = run("train.py", "experiment=digits", "logger=csv", f"hydra.run.dir={tmp_path}/out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "manifold: found in" in done.stdout
    with (tmp_path / "out/metrics/metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["summary/components"]) == 512
    assert 0.5 < float(row["summary/explained_variance"]) <= 1


@pytest.fixture(scope="module")
def sweep(first_run, tmp_path_factory) -> tuple[str, Path]:
    """What four runs on the first one's manifold print, and their folder."""
    folder = tmp_path_factory.mktemp("sweep")
    overrides = ["kernel=rbf,linear", "lambda=0.3,5", "n_images=2", "logger=wandb", "progress=false"]
    done = run("traverse.py", "--multirun", "experiment=digits", *overrides, cwd=folder)
    assert done.returncode == 0, done.stderr
    (place,) = folder.glob("outputs/*/*-traverse")  # where nobody says where
    return done.stdout, place


def test_a_sweep_ends_with_one_grid_and_one_table(sweep):
    said, folder = sweep
    with (folder / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    asked = {(row["kernel"], float(row["lambda"])) for row in rows}
    assert asked == {(kernel, value) for kernel in ("rbf", "linear") for value in (0.3, 5.0)}
    singles = [rows_of(file.parent) for file in folder.glob("*/results.csv")]
    means = sorted(np.mean([float(row["psnr"]) for row in single]) for single in singles)
    assert sorted(float(row["psnr"]) for row in rows) == pytest.approx(means)
    grid = np.asarray(Image.open(folder / "sweep.png"))
    (logged,) = folder.glob("wandb/offline-run-*/files/media/images/sweep_*.png")
    np.testing.assert_array_equal(np.asarray(Image.open(logged).convert("RGB")), grid)
    assert "the whole sweep" in said


def test_the_runs_of_a_sweep_are_one_group_of_wandb_and_told_apart(sweep):
    *runs, whole = sorted(offline_runs(sweep[1]), key=lambda run: run.run.job_type == "sweep")
    assert {run.run.run_group for run in (*runs, whole)} == {"/".join(sweep[1].parts[-2:])}
    names = {f"3 to 8 λ {lam} kernel={kernel}" for lam in ("0.3", "5") for kernel in ("rbf", "linear")}
    assert {run.run.display_name for run in runs} == names
    assert whole.run.display_name == "sweep kernel=rbf,linear lambda=0.3,5 n_images=2"
    assert [row["by_lambda/lambda"] for row in whole.history[1:]] == [0.3, 0.3, 5, 5]
    told = {run.config["lambda"]: run.config["about"]["fingerprint"] for run in runs}
    assert len(set(told.values())) == 2


def test_each_value_makes_a_run_of_its_own(sweep):
    folders = [file.parent for file in sweep[1].glob("*kernel=rbf*/results.csv")]
    runs = {float(rows_of(folder)[0]["lambda"]): folder for folder in folders}
    assert set(runs) == {0.3, 5.0}
    assert all(f"lambda={value:g}" in str(folder) for value, folder in runs.items())
    assert float(rows_of(runs[5.0])[0]["psnr"]) > float(rows_of(runs[0.3])[0]["psnr"])
    assert all(len(list(folder.glob("*.png"))) == 3 for folder in runs.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["experiment=digit"], "experiment has no option 'digit'; did you mean 'digits'?"),
        (["data.catalog.root=nowhere/lfw"], "put LFW's folders of people into nowhere/lfw"),
        (["experiment=digits", "hydra.run.dir={file}/x"], "{file}/x: Not a directory"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, message, tmp_path):
    file = tmp_path / "file"
    file.touch()
    arguments = [f"hydra.run.dir={tmp_path}/out", *(argument.format(file=file) for argument in arguments)]
    done = run("traverse.py", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message.format(file=file) in error_line(done.stderr)


# The same functions in this process


@pytest.fixture(autouse=True)
def hydra(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # what guarded changes is put back
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


def traverse(folder: Path, *overrides: str):
    return programs.traverse(compose("traverse", [f"output_dir={folder}/out", *overrides])).images


@pytest.fixture
def error_of(capsys):
    """The error line that a call ends in."""

    def error_of(call, *arguments) -> str:
        with pytest.raises(SystemExit) as caught, programs.errors_in_one_line():
            call(*arguments)
        assert caught.value.code == 1
        return error_line(capsys.readouterr().err)

    return error_of


@pytest.mark.parametrize("value", ["0", "-1", "-0.3", "nan", "abc", "null", "true", "[0.3]", "1e-999"])
def test_a_lambda_that_is_no_number_above_zero_is_an_error(tmp_path, error_of, value):
    assert "lambda must be a number above 0 or auto, got" in error_of(traverse, tmp_path, *SMALL, f"lambda={value}")
    assert not (tmp_path / "out").exists()


BAD_OPTIONS = [
    (["experiment=digit"], ["experiment/digit", "digits"]),
    (["task=frown"], ["task/frown", "frowning"]),
    (["lamda=0.3"], ["lamda"]),
    (["data=folder"], ["data.catalog.root"]),
    (["data=folder", "data.catalog.root=nowhere"], ["no folder nowhere"]),
    ([*SMALL, "task.source=33"], ["no label '33'", "did you mean '3'"]),
    ([*SMALL, "task.source=8"], ["they must differ"]),
    ([*SMALL, "layers=conv345"], ["no layer 'conv3_1'", "conv1, pool1"]),
    ([*SMALL, "regularizer=change"], ["no layer 'conv"]),
    ([*SMALL, "regularizer.tv.of=picture"], ["change or image, got picture"]),
    ([*SMALL, "manifold.n_components=1798"], ["1797 images", "1798 components"]),
    ([*SMALL, "manifold.n_components=0"], ["n_components", "got 0"]),
    ([*SMALL, "manifold.n_components=many"], ["n_components", "many"]),
    ([*SMALL, "manifold_path=nowhere.safetensors"], ["nowhere.safetensors"]),
    ([*SMALL, "normalization=batch"], ["layer, channel or none, got batch"]),
    ([*SMALL, "kernel.bandwidth=-1"], ["kernel.bandwidth", "-1"]),
    ([*SMALL, "kernel.bandwidth=wide"], ["kernel.bandwidth", "got wide"]),
    ([*SMALL, "witness.weighting=max"], ["witness.weighting", "got max"]),
    ([*SMALL, "target_features=both"], ["target_features", "got both"]),
    ([*SMALL, "images=[digit_9999]"], ["no digit 'digit_9999'"]),
    ([*SMALL, "images=7"], ["'7'"]),
    ([*SMALL, "n_images=0"], ["n_images", "0"]),
    ([*SMALL, "n_images=-1"], ["n_images", "-1"]),
    ([*SMALL, "data.set_size=1"], ["at least 2"]),
    ([*SMALL, "data.image_size=2"], ["image_size", "2"]),
    ([*SMALL, "data.serving.batch_size=0"], ["batch_size", "0"]),
    ([*SMALL, "seed=-1"], ["seed", "-1"]),
    ([*SMALL, "threads=-2"], ["threads", "-2"]),
    ([*SMALL, "precision=half"], ["precision", "bfloat16", "half"]),
    ([*SMALL, "trainer.accelerator=abacus"], ["abacus"]),
    (["experiment=fig8"], ["experiment/fig8", "fig7_tsne"]),
    ([*SMALL, "method=magic"], ["method/magic", "adversarial"]),
    ([*SMALL, "method=linear", "method.walk.alpha=far"], ["method.walk.alpha must be a number", "far"]),
    ([*SMALL, "method=adversarial", "method.confidence=2"], ["confidence", "2"]),
    ([*SMALL, "method=pixel_mean", "output.animation=gif"], ["output.animation=gif needs a walk"]),
    ([*SMALL, "output.animation=avi"], ["none, gif or mp4, got avi"]),
    ([*SMALL, "output.animation=gif", "output.frames=-1"], ["output.frames", "-1"]),
    ([*SMALL, "selection=matched", "selection.same=[Male]"], ["selection.same", "Male"]),
    ([*SMALL, "selection=matched", "selection.same=[]", "selection.weight=0"], ["selection.weight", "0"]),
    ([*SMALL, "selection=nearest", "selection.set_size=900"], ["selection.set_size is 900", "only"]),
    ([*SMALL, "task=person"], ['person="George W Bush"']),
    ([*SMALL, "task=person", "person=digit_0003"], ["1 pictures of digit_0003", "fewer than the 10"]),
    ([*SMALL, "lambda=auto", "auto.of=luck"], ["witness or classifier, got luck"]),
    ([*SMALL, "lambda=auto", "auto.lowest=5"], ["auto: lowest and highest must be numbers", "got 5 and 3"]),
    ([*SMALL, "lambda=auto", "auto=judge"], ["needs a judge 'happy'", "judges=faces"]),
    ([*SMALL, "lambda=auto", "auto=judge", "auto.beyond=at"], ["above or below, got at"]),
    ([*SMALL, "judges=faces", "weights_dir=nowhere"], ["no judge nowhere/judge_"]),
    ([*SMALL, "data.reserved=1"], ["data.reserved", "got 1"]),
    ([*PROBE, "data.reserved=0"], ["data.reserved=0 keeps none", "data.reserved=0.25"]),
    ([*PROBE, "data.reserved=0.6", "judges.probe.floor=2"], ["floor must be a number from 0 to 1, got 2"]),
    ([*PROBE, "data.reserved=0.6", "judges.probe.pictures.features.layers=[fire5]"], ["no layer 'fire5'"]),
]


@pytest.mark.parametrize(("overrides", "words"), BAD_OPTIONS, ids=[overrides[-1] for overrides, _ in BAD_OPTIONS])
def test_a_bad_option_is_an_error_that_names_it(tmp_path, error_of, overrides, words):
    line = error_of(traverse, tmp_path, *overrides)
    assert not [word for word in words if word not in line]


@pytest.mark.parametrize("option", ["output_dir", "cache_dir"])
@pytest.mark.parametrize("place", ["{file}/x", "/proc/x"])
def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path, error_of, option, place):
    file = tmp_path / "file"
    file.touch()
    place = place.format(file=file)
    line = error_of(traverse, tmp_path, *SMALL, f"{option}={place}")
    assert place in line
    assert option in line


def test_missing_weights_are_an_error_that_says_where_to_put_them(tmp_path, error_of, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    overrides = ["backbone=vgg19_distilled", "layers=conv345", "backbone.url=http://127.0.0.1:9/weights"]
    line = error_of(traverse, tmp_path, *SMALL, *overrides, f"weights_dir={tmp_path}/weights")
    assert f"vgg19_distilled16x_conv5_1.safetensors, 20191109-211322_E20.pth into {tmp_path}/weights" in line
    assert "experiment=digits" in line


@pytest.fixture
def lfw(tmp_path, save_picture):
    people = [f"{name}_One" for name in ("Ada", "Bo", "Cy", "Dee", "Eli", "Flo", "Gus", "Hal")]
    for seed, person in enumerate(people):
        save_picture(tmp_path / f"data/lfw/{person}/{person}_0001.jpg", seed)
    rows = [f"{person.replace('_', ' ')}\t1\t{1 - 2 * (i % 2)}" for i, person in enumerate(people)]
    text = "\n".join(["# lfw_attributes.txt", "#\tperson\timagenum\tSmiling", *rows])
    (tmp_path / "data/lfw_attributes.txt").write_text(text + "\n")
    return tmp_path / "data"


def test_an_unknown_attribute_is_an_error_that_names_the_nearest(lfw, tmp_path, error_of):
    overrides = [f"data_dir={lfw}", "task=attribute", "task.attribute=Smilling", "backbone=vgg19_random"]
    assert "no label 'Smilling'; did you mean 'Smiling'? (there are Smiling)" in error_of(
        traverse, tmp_path, *overrides
    )


def test_missing_attributes_are_an_error_that_says_where_to_put_them(lfw, tmp_path, error_of, monkeypatch):
    (lfw / "lfw_attributes.txt").unlink()
    monkeypatch.setattr("dmt.data.LFW.ATTRIBUTES_URL", "http://127.0.0.1:9/attributes")
    line = error_of(traverse, tmp_path, f"data_dir={lfw}", "backbone=vgg19_random")
    assert f"put lfw_attributes.txt at {lfw}/lfw_attributes.txt" in line


# Layers that are scored


LAYERS = [*SMALL, "scores.set_size=100"]
COLUMNS = ["layer", "channels", "height", "width", "numbers", "auc", "auc_error", "knn", "logme", "auto"]


def study_of_layers(folder: Path, *overrides: str):
    """The tables that ``train.py`` leaves of the digits' layers."""
    scored = [*QUICK, "scores.set_size=100", "experiment=[digits,layer_scores]", *overrides, f"output_dir={folder}/out"]
    programs.train(compose("train", scored))
    tables = (folder / "out").glob("*.csv")
    return {file.stem: list(csv.DictReader(file.read_text().splitlines())) for file in tables}


def test_the_layers_of_the_digits_network_are_scored(tmp_path):
    tables = study_of_layers(tmp_path)
    assert list(tables) == ["layers"]
    rows = tables["layers"]
    assert [row["layer"] for row in rows] == ["conv1", "pool1", "conv2", "pool2", "conv3"]
    assert list(rows[0]) == COLUMNS
    assert all(float(row["auc"]) > 0.95 for row in rows)
    assert [row["layer"] for row in rows if row["auto"]] == ["conv1", "conv2", "conv3"]
    assert rows[-1]["numbers"] == str(64 * 8 * 8)
    assert np.asarray(Image.open(tmp_path / "out/layers.png")).std() > 10


def test_a_second_network_is_compared_and_is_its_own_like(tmp_path):
    tables = study_of_layers(tmp_path, "backbone@study.other=digits")
    names = ["conv1", "pool1", "conv2", "pool2", "conv3"]
    table = np.array([[float(row[name]) for name in names] for row in tables["cka"]])
    np.testing.assert_allclose(np.diag(table), np.ones(5), rtol=1e-5)
    np.testing.assert_allclose(table, table.T, rtol=1e-5)
    assert table[0, 1] > table[0, 4], "a layer is more like the next than like the last"
    assert np.asarray(Image.open(tmp_path / "out/cka.png")).std() > 10


def test_layers_are_chosen_by_their_scores_in_both_programs(tmp_path, caplog):
    options = [*LAYERS, "layers=auto", "scores.layers=[conv2,conv3]"]
    caplog.set_level("INFO")
    one, *_ = traverse(tmp_path, *options)
    assert one.record["witness_after"] < one.record["witness_before"]
    assert "layers=auto: conv2, conv3" in caplog.text
    assert OmegaConf.load(tmp_path / "out/config.yaml").layers == ["conv2", "conv3"]
    settings = json.loads((tmp_path / "out/results.json").read_text())["settings"]
    assert settings["layers"] == ["conv2", "conv3"]
    caplog.clear()
    programs.train(compose("train", [*options, f"output_dir={tmp_path}/out"]))
    assert "layers=auto: conv2, conv3" in caplog.text
    assert "scoring" not in caplog.text, "the scores were there"
    assert "manifold: found" in caplog.text


def test_edits_through_each_layer_and_the_picks_are_compared(tmp_path):
    options = ["study.traversal=true", "scores.layers=[conv2,conv3]", "data.set_size=40", "layers=[conv1]"]
    rows = study_of_layers(tmp_path, *options)["traversal"]
    assert [row["layers"] for row in rows] == ["conv2", "conv3", "conv2+conv3", "conv1"]
    psnrs = {row["layers"]: float(row["reconstruction_psnr"]) for row in rows}
    assert psnrs["conv3"] < psnrs["conv2"] < psnrs["conv1"], "the higher the layer, the less of the picture it has"
    assert psnrs["conv3"] < psnrs["conv2+conv3"]
    assert all(float(row["witness_after"]) < float(row["witness_before"]) for row in rows)
    assert np.asarray(Image.open(tmp_path / "out/traversal.png")).std() > 10


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["scores.layers=[conv9]"], "no layer 'conv9'; did you mean"),
        (["scores.set_size=0"], "scores.set_size must be a whole number above 1, got 0"),
        (["scores.margin=wide"], "scores.margin must be a number from 0 to below 1, got wide"),
        (["scores.folds=300"], "of the 300 needed"),
        (["task.source=8"], "they must differ"),
        (["task.source=33"], "no label '33'"),
    ],
)
def test_what_cannot_be_scored_is_an_error_that_names_it(tmp_path, error_of, overrides, message):
    assert message in error_of(study_of_layers, tmp_path, *overrides)
    assert message in error_of(traverse, tmp_path, *LAYERS, "layers=auto", *overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["manifold=pca"], "leave manifold=span"),
        (["study.beyond=over"], "study.beyond must be above or below, got over"),
        (["n_images=0"], "n_images must be a whole number above 0, got 0"),
        (["layers=[conv33]"], "no layer 'conv33'; did you mean 'conv3'"),
        ([*PROBE[len(SMALL) :], "data.reserved=0.5", "study.judge=prob"], "no judge 'prob'; did you mean 'probe'"),
    ],
)
def test_edits_through_each_layer_that_cannot_be_are_found_out_before_anything_is_scored(
    tmp_path, error_of, overrides, message, caplog
):
    caplog.set_level("INFO")
    assert message in error_of(study_of_layers, tmp_path, "study.traversal=true", *overrides)
    assert "layers: scoring" not in caplog.text


WAYS = [
    ["method=linear"],
    ["method=pixel_mean"],
    ["method=adversarial"],
    ["parametrization=spectrum"],
    ["selection=nearest", "selection.set_size=40"],
    ["selection=matched", "selection.same=[]", "selection.set_size=40"],
    ["manifold=exact", "manifold.n_components=100"],
    ["manifold=span"],
    ["manifold=span", "manifold.z_score=true"],
    ["lambda=auto"],
    ["lambda=auto", "auto.of=classifier"],
]


@pytest.mark.parametrize("options", WAYS, ids=",".join)
def test_every_way_to_edit_goes_towards_the_target(tmp_path, options):
    for image in traverse(tmp_path, *QUICK, *options):
        assert image.record["witness_after"] < image.record["witness_before"]
        assert image.record["inversions"] == 1
        assert 0 <= image.result.min() <= image.result.max() <= 1


def test_pca_with_all_components_and_the_span_give_the_same_edit(tmp_path):
    few = [*QUICK, "data.image_size=16", "data.set_size=20", "solver.inversion.iterations=1"]
    whole = ["manifold=exact", "manifold.n_components=0.999999"]
    by_pca, by_span = (traverse(tmp_path / name, *few, *options) for name, options in
                       (("pca", whole), ("span", ["manifold=span"])))  # fmt: skip
    for one, other in zip(by_pca, by_span, strict=True):
        assert one.record["delta"] == pytest.approx(other.record["delta"], rel=0.02)


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_an_animation_goes_from_the_input_to_the_result(tmp_path, kind):
    images = traverse(tmp_path, *SMALL, "n_images=1", f"output.animation={kind}", "output.frames=3", "lambda=0.2")
    (image,) = images
    assert len(image.frames) == 3
    away = [float((frame - image.input).square().mean()) for frame in (*image.frames, image.result)]
    assert away == sorted(away)
    assert away[0] > 0
    assert (tmp_path / f"out/{image.name}.{kind}").stat().st_size > 0
    (still,) = traverse(tmp_path / "still", *SMALL, "n_images=1", "lambda=0.2")
    assert still.result.equal(image.result)


def test_lambda_by_a_judge_is_the_least_change_that_convinces_it(tmp_path, monkeypatch):
    class Whiteness:
        """Says how much brighter than its input the middle of a picture is."""

        def columns(self, name, before, after):
            return {
                f"{name}_{when}": np.array([float(image[:, 12:20, 8:16].mean()) for image in images])
                for when, images in (("before", before), ("after", after))
            }

    monkeypatch.setattr(build, "instantiate", with_judge(build.instantiate, {"white": Whiteness()}))
    options = ["lambda=auto", "auto=judge", "auto.judge=white", "auto.beyond=above", "auto.threshold=0.3"]
    images = traverse(tmp_path, *SMALL, "n_images=2", *options, "auto.trials=6")
    for image in images:
        assert image.record["white_after"] > 0.3
        assert image.record["inversions"] == 7
        assert 0.3 <= image.record["lambda"] <= 3


def test_probes_of_reserved_digits_judge_the_edit(tmp_path):
    options = ["data.reserved=0.6", "data.set_size=60", "task.source=3", "lambda=0.2"]
    for image in traverse(tmp_path, *PROBE, *options):
        assert image.record["probe_before"] < 0.5 < image.record["probe_after"]
        assert 0 <= image.record["attributes_changed"] <= 8


def with_judge(instantiate, judges):
    def patched(node, *arguments, **options):
        return judges if node == {} and node._key() == "judges" else instantiate(node, *arguments, **options)

    return patched


@pytest.fixture
def pets(tmp_path, save_picture):
    """Overrides for a folder of noise, one picture of each class broken."""
    for i in range(10):
        save_picture(tmp_path / f"pets/cat/{i:02d}.png", seed=i)
        save_picture(tmp_path / f"pets/dog/{i:02d}.png", seed=50 + i)
    for broken in ("cat/broken.png", "dog/broken.png"):
        (tmp_path / "pets" / broken).write_text("no picture")
    return [
        "data=folder",
        f"data.catalog.root={tmp_path}/pets",
        "data.image_size=16",
        "task=folder",
        "task.source=cat",
        "task.target=dog",
        "backbone=digits",
        "layers=digits",
        "regularizer=none",
        "logger=none",
        "progress=false",
    ]


def test_a_folder_of_ones_own_is_edited_and_what_is_broken_is_passed_over(pets, tmp_path):
    elsewhere = shutil.copy(tmp_path / "pets/cat/05.png", tmp_path / "mine.png")
    results = traverse(tmp_path, *pets, f"images=[cat/03.png,{elsewhere}]", "lambda=0.2")
    assert [image.name for image in results] == ["cat/03.png", str(elsewhere)]
    for image, file in zip(results, ("cat/03.png", "cat/05.png"), strict=True):
        pixels = np.asarray(Image.open(tmp_path / "pets" / file)) / 255
        np.testing.assert_allclose(image.input.permute(1, 2, 0), pixels, atol=1e-6)
        assert not image.result.isnan().any()
        assert image.record["witness_after"] < image.record["witness_before"]
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"03.png", "mine.png", "grid.png"}


@pytest.mark.parametrize(
    ("image", "message"),
    [("cat/99.png", "no image 'cat/99.png'"), ("cat/broken.png", "cat/broken.png is no image that can be read")],
)
def test_an_image_that_is_missing_or_broken_is_an_error_where_it_was_asked_for(
    pets, tmp_path, error_of, image, message
):
    assert message in error_of(traverse, tmp_path, *pets, f"images=[{image}]")


def test_a_huge_lambda_returns_the_input(tmp_path):
    for value in ("1e9", "inf"):
        results = traverse(tmp_path, *SMALL, f"lambda={value}")
        assert all(image.record["psnr"] > 35 for image in results)


def test_the_results_are_strict_json_even_where_lambda_is_infinite(tmp_path):
    traverse(tmp_path, *SMALL, "lambda=inf")
    text = (tmp_path / "out/results.json").read_text()
    document = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert len(document["images"]) == 2


def test_one_image_may_be_named_without_brackets(tmp_path):
    (result,) = traverse(tmp_path, *SMALL, "images=digit_0003")
    assert result.name == "digit_0003"


def test_every_seed_chooses_and_zero_is_one_of_them(tmp_path):
    def chosen(seed):
        return [image.name for image in traverse(tmp_path, *SMALL, f"seed={seed}", "solver.inversion.iterations=1")]

    assert chosen(0) == chosen(0) != chosen(1)


def test_both_ways_to_the_target_features_and_both_weightings_run(tmp_path):
    images = [
        traverse(tmp_path, *SMALL, "images=digit_0003", "lambda=0.5", option)[0].result
        for option in ("target_features=residual", "target_features=projected", "witness.weighting=sum")
    ]
    assert all((images[0] - other).abs().mean() > 1e-3 for other in images[1:])


def test_training_without_kept_features_keeps_none(tmp_path):
    overrides = [
        *SMALL,
        "data.image_size=16",
        "keep_features=false",
        "data.serving.batch_size=600",
        f"cache_dir={tmp_path}/cache",
        "logger=csv",
    ]
    overrides += [f"output_dir={tmp_path}/out"]
    assert programs.train(compose("train", overrides)) is None
    assert len(list((tmp_path / "cache/manifolds").glob("*.safetensors"))) == 1
    assert not (tmp_path / "cache/features").exists()
    assert (tmp_path / "out/metrics/metrics.csv").exists()


# What goes wrong elsewhere


def test_success_says_nothing_and_ends_as_usual(capsys):
    with programs.errors_in_one_line():
        pass
    assert capsys.readouterr().err == ""


def test_a_full_disk_is_an_error_of_one_line(error_of):
    def full():
        raise OSError(28, "No space left on device", "/data/features.f16")

    assert error_of(full) == (
        "error: /data/features.f16: No space left on device; free some space or choose another folder "
        "(output_dir=PATH, cache_dir=PATH)"
    )


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENAMETOOLONG, ""),
        (errno.ELOOP, ""),
        (errno.EACCES, programs.ADVICE_WHERE),
        (errno.ENOENT, programs.ADVICE_WHERE),
    ],
)
def test_what_no_space_would_mend_is_not_said_to_want_space(error_of, number, advice):
    def failing():
        raise OSError(number, os.strerror(number), "/data/name")

    assert error_of(failing) == f"error: /data/name: {os.strerror(number)}{advice}"


def test_a_mistake_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), programs.errors_in_one_line():
        1 // 0  # noqa: B018


def test_the_whole_traceback_is_shown_on_demand(monkeypatch, tmp_path):
    from dmt.errors import UserError

    monkeypatch.setattr(programs, "FULL_ERRORS", True)
    with pytest.raises(UserError), programs.errors_in_one_line():
        traverse(tmp_path, *SMALL, "lambda=0")
