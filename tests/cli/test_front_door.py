"""What a Python user does: five lines, and the parts on their own."""

import re
import shlex
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from PIL import Image
from sklearn.decomposition import PCA

import dmt
from dmt.cli import build, conf_folder
from dmt.cli.front_door import composed
from dmt.cli.overrides import check_overrides
from dmt.data import pictures_below
from dmt.manifolds import SetFit
from dmt.traversal.kernels import Laplacian

QUICK = ("progress=false", "manifold.n_components=32")


@pytest.fixture(scope="module")
def editor():
    return dmt.Editor.default("digits", *QUICK)


def test_a_three_becomes_an_eight_in_five_lines(editor):
    edit = editor.edit("digits", images=2, lam=0.3)
    assert [image.result.shape for image in edit.images] == [(3, 32, 32)] * 2
    assert isinstance(edit.table, pd.DataFrame)
    assert (edit.table["witness_after"] < 0).all()
    assert (edit.table["lambda"] == 0.3).all()


def test_the_editor_is_that_of_the_command_line(editor, tmp_path):
    from dmt.cli.programs import traverse

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        options = ["experiment=digits", *QUICK, "logger=none", "images=[digit_0003]", f"output_dir={tmp_path}"]
        (ours,) = traverse(compose("traverse", options)).images
    (its,) = editor.edit("digits", images=["digit_0003"]).images
    assert its.result.equal(ours.result)


def test_pictures_of_ones_own_are_edited_as_the_same_pictures_of_the_catalog(editor):
    picture = dmt.Digits().read(3, 32)
    array = picture.permute(1, 2, 0).numpy()
    edit = editor.edit("digits", images=[picture, array], lam=0.5)
    assert [image.name for image in edit.images] == ["image_1", "image_2"]
    assert edit.images[0].input.equal(picture)
    torch.testing.assert_close(edit.images[1].result, edit.images[0].result, atol=0.02, rtol=0)


def test_results_are_saved(editor, tmp_path):
    edit = editor.edit("digits", images=["digit_0003"], lam=1.0)
    edit.save(tmp_path / "new/folder")
    saved = np.asarray(Image.open(tmp_path / "new/folder/digit_0003.png"))
    expected = (edit.images[0].result.permute(1, 2, 0).numpy() * 255).round()
    np.testing.assert_array_equal(saved, expected)
    assert pd.read_csv(tmp_path / "new/folder/results.csv")["image"].tolist() == ["digit_0003"]


def test_overrides_are_those_of_the_command_line():
    editor = dmt.Editor.default("digits", "kernel=laplacian", "manifold=span", "progress=false")
    assert isinstance(editor.comparison.kernel, Laplacian)
    assert isinstance(editor.space, SetFit)


def test_tasks_have_names_and_options():
    assert dmt.task("younger").title == "more Youth"
    assert dmt.task("folder", source="cat", target="dog").title == "cat to dog"
    with pytest.raises(dmt.UserError, match="frowning"):
        dmt.task("frownin")


@pytest.fixture(scope="module")
def photos(tmp_path_factory, save_picture):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(12):
        save_picture(folder / ("cat" if i % 2 else "dog") / f"{i:02d}.png", seed=i, side=40)
    return folder


def test_a_space_is_fitted_saved_and_read(photos, tmp_path):
    options = {"backbone": "digits", "layers": ["conv1", "conv3"], "image_size": 16, "cache": tmp_path / "cache"}
    space = dmt.fit(dmt.Folder(photos), "progress=false", n_components=5, **options)
    catalog = dmt.Folder(photos)
    pictures = torch.stack([catalog.read(i, 16) for i in range(12)])
    features = space.extractor.vectors(pictures)
    reference = PCA(5).fit(features.double().numpy())
    overlap = np.linalg.svd(space.manifold.components.double().numpy() @ reference.components_.T)[1]
    np.testing.assert_allclose(overlap, 1, atol=1e-2)
    torch.testing.assert_close(space.coordinates(pictures).float(), space.target, atol=0.05, rtol=1e-2)

    space.save(tmp_path / "m.safetensors")
    again = dmt.load_space(tmp_path / "m.safetensors")
    assert again.coordinates(pictures).equal(space.coordinates(pictures))
    assert again.target.equal(space.target)


def test_a_space_that_was_read_is_edited_in(photos, tmp_path):
    options = {"backbone": "digits", "layers": ["conv1", "conv3"], "image_size": 16, "cache": tmp_path / "cache"}
    space = dmt.fit(dmt.Folder(photos), "progress=false", n_components=5, **options)
    default = dmt.Editor.default("digits", "progress=false")
    data = partial(dmt.EditData, dmt.Folder(photos), image_size=16)
    editor = dmt.Editor(data=data, space=space, method=default.method, trainer=default.trainer)
    edit = editor.edit(dmt.ClassTask("cat", "dog"), images=["cat/01.png"], lam=0.3)
    assert edit.images[0].record["witness_after"] < edit.images[0].record["witness_before"]
    with pytest.raises(dmt.UserError, match="knows 12 pictures, the data set has 1797"):
        dmt.Editor(data=default.data, space=space, method=default.method).edit(dmt.ClassTask("3", "8"), images=1)


def test_few_pictures_have_few_components(photos, tmp_path):
    options = {"backbone": "digits", "layers": ["conv3"], "image_size": 16, "cache": tmp_path / "cache"}
    space = dmt.fit(dmt.Folder(photos), "progress=false", **options)
    assert len(space.manifold.components) == 6


def test_another_hydra_application_is_left_as_it_was(tmp_path):
    (tmp_path / "own.yaml").write_text("value: 7\n")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert composed("task=senior").task.attribute == "Senior"
        assert compose("own").value == 7


@pytest.mark.parametrize("first", ["import dmt, pytorch_lightning", "import pytorch_lightning, dmt"])
def test_either_may_be_imported_first(first):
    done = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_dmt_imports_nothing_heavy():
    code = "import sys, dmt; print(sorted({'torch', 'hydra', 'pytorch_lightning', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_what_the_package_offers_is_there():
    assert set(dmt.__all__) <= set(dir(dmt))
    for name in dmt.__all__:
        assert getattr(dmt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Editr'"):
        dmt.Editr  # noqa: B018


def sides_of(catalog: dmt.Folder, *overrides: str) -> tuple[str, list[str]]:
    """The title of a task as the command line gives it, and the classes of its source."""
    arguments = ["data=folder", f"data.catalog.root={catalog.root}", "task=folder", "task.target=dogs", *overrides]
    check_overrides(arguments, conf_folder(), "traverse")
    data = dmt.EditData(catalog, build.task_of(composed(*arguments)), images=1, image_size=16)
    return data.task.title, sorted({catalog.names[i].rpartition("/")[0] for i in data.source})


@pytest.fixture
def classes(tmp_path, save_picture):
    def make(*names: str) -> dmt.Folder:
        for number, name in enumerate((*names, "dogs")):
            for seed in range(4):
                save_picture(tmp_path / "pets" / name / f"{seed}.png", 10 * number + seed)
        return dmt.Folder(tmp_path / "pets")

    return make


@pytest.mark.parametrize(
    "label", ["1e3", "null", "true", "1_000", "3", "007", "nan", "[x]", "[1e3, true]", "two words"]
)
def test_a_class_is_typed_as_it_is_called(classes, label):
    catalog = classes(label)
    assert sides_of(catalog, f"task.source={label}") == (f"{label} to dogs", [label])
    assert sides_of(catalog, f'task.source="{label}"') == (f"{label} to dogs", [label])
    assert dmt.EditData(catalog, dmt.task("folder", source=label, target="dogs"), images=1).task.source == label


@pytest.mark.parametrize("label", ["straße", "a,b", "x=y", "{x}", "a(b)", "it's", "a;b", "~", "#1", "Null"])
def test_a_class_that_needs_quotes_is_answered_with_them(classes, label):
    catalog = classes(label, "null")
    with pytest.raises(dmt.UserError) as caught:
        sides_of(catalog, f"task.source={label}")
    shown = re.search(r"""['"]task\.source=["'].*""", str(caught.value))[0]
    assert sides_of(catalog, *shlex.split(shown)) == (f"{label} to dogs", [label])


def test_a_folder_is_given_as_images_on_the_command_line(classes):
    catalog = classes("cats")
    images = build.images_of(composed(f"images={catalog.root}/cats/"))
    data = dmt.EditData(dmt.Digits(), images=images, task=dmt.ClassTask("3", "8"))
    assert data.inputs == [str(path) for path in pictures_below(catalog.root / "cats")]


def test_progress_is_told_and_whoever_is_told_can_end_the_edit(cache_dir, tmp_path):
    class EnoughError(Exception):
        pass

    steps = []
    overrides = ("manifold.n_components=32", f"cache_dir={tmp_path}")  # a cache of its own, so that pictures are read
    dmt.Editor.default("digits", *overrides, on_progress=steps.append).edit("digits", images=2, lam=0.3)
    read = [step for step in steps if step.what == "reading"]
    assert (read[-1].done, read[-1].of) == (1797, 1797)
    edited = [step for step in steps if step.what == "editing"]
    assert edited[0].done == 1
    assert all(1 <= step.done <= step.of for step in edited)
    assert steps == [*read, *edited]

    for what in ("reading", "editing"):
        told = []

        def end(step, what=what, told=told):
            told.append(step)
            if step.what == what:
                raise EnoughError

        cache = tmp_path / "new" if what == "reading" else tmp_path
        overrides = ("manifold.n_components=32", f"cache_dir={cache}")
        with pytest.raises(EnoughError):
            dmt.Editor.default("digits", *overrides, on_progress=end).edit("digits", images=2, lam=0.3)
        assert [step.what for step in told].count(what) == 1
