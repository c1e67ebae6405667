from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dmt.data import ClassFolders, ClassificationTask, ClassTable, Digits, Folder, TorchvisionClasses, read_labelled
from dmt.errors import UserError

laws = settings(deadline=None, max_examples=30, derandomize=True)


def catalog_of(classes: list[int], count: int) -> SimpleNamespace:
    """Pictures of which nothing is known but the class."""
    own = np.array(classes)
    return SimpleNamespace(
        names=[f"picture {i}" for i in range(len(own))],
        labels=[f"class {i}" for i in range(count)],
        is_validation=None,
        scores=lambda label: np.where(own == int(label.split()[1]), 1.0, -1.0),
    )


@laws
@given(classes=st.lists(st.integers(0, 3), min_size=8, max_size=60), share=st.floats(0.05, 0.9), seed=st.integers(0, 9))
def test_a_share_of_every_class_is_held_out(classes, share, seed):
    table = ClassTable.of(catalog_of(classes, 4), share, seed)
    for position in set(classes):
        count = classes.count(position)
        kept = table.members(f"class {position}", validation=True)
        learnt = table.members(f"class {position}", validation=False)
        assert len(kept) == max(1, round(share * count))
        assert sorted([*kept, *learnt]) == [i for i, own in enumerate(classes) if own == position]


@laws
@given(seed=st.integers(0, 2**32), fewer=st.integers(1, 9), more=st.integers(1, 9))
def test_a_task_has_as_many_pictures_of_each_class_and_more_contain_fewer(seed, fewer, more):
    table = ClassTable.of(catalog_of([0, 1, 2] * 12, 3), 0.25)  # 12 of each class, 3 held out
    names = ["class 2", "class 0"]
    small, large = (ClassificationTask.of(table, names, count, seed) for count in sorted((fewer, more)))
    assert [len(members) for members in large.train] == [max(fewer, more)] * 2
    for label, few, many, kept in zip(names, small.train, large.train, large.validation, strict=True):
        assert set(few) <= set(many) <= set(table.members(label, validation=False))
        assert set(kept) == set(table.members(label, validation=True))


def test_the_fingerprint_of_a_task_tells_its_pictures_and_its_classes_apart():
    table = ClassTable.of(catalog_of([0, 1, 2] * 12, 3), 0.25)
    kinds = [(["class 0", "class 1"], 5, 0), (["class 1", "class 0"], 5, 0), (["class 0", "class 1"], 6, 0)]
    kinds += [(["class 0", "class 1"], 5, 1), (["class 0", "class 2"], 5, 0)]
    prints = [ClassificationTask.of(table, *kind).fingerprint for kind in kinds]
    assert len(set(prints)) == len(kinds)
    assert prints[0] == ClassificationTask.of(table, *kinds[0]).fingerprint


def test_digits_are_read_as_bytes_with_their_own_labels():
    digits = Digits()
    table = ClassTable.of(digits, 0.25)
    task = ClassificationTask.of(table, ["7", "3"], 20, seed=0)
    pictures = read_labelled(digits, task.train, 8)  # their own size: nothing is interpolated
    assert pictures.images.dtype == torch.uint8
    assert pictures.images.shape == (40, 3, 8, 8)
    assert pictures.labels.tolist() == [0] * 20 + [1] * 20
    positions = np.concatenate(task.train)
    assert digits.digits[positions].tolist() == [7] * 20 + [3] * 20
    expected = torch.from_numpy(digits.pixels[positions] * 255).round()
    assert (pictures.images[:, 0].float() - expected).abs().max() <= 1


def test_pictures_with_several_labels_are_an_error_that_names_one():
    catalog = catalog_of([0, 1], 2)
    catalog.scores = lambda label: np.array([1.0, 1.0 if label == "class 1" else -1.0])
    with pytest.raises(UserError, match="picture 0 has 2 labels, and a classifier learns exactly one"):
        ClassTable.of(catalog, 0.25)


@pytest.mark.parametrize("share", [0, 1, 1.5, None, True])
def test_no_share_is_an_error(share):
    with pytest.raises(UserError, match=r"transfer.held_out must be a number between 0 and 1"):
        ClassTable.of(catalog_of([0, 1], 2), share)


@pytest.mark.parametrize(("count", "message"), [(10, "class 'class 0' has 9 pictures"), (0, "above 0, got 0")])
def test_more_pictures_than_there_are_is_an_error(count, message):
    table = ClassTable.of(catalog_of([0, 1] * 12, 2), 0.25)
    with pytest.raises(UserError, match=message):
        ClassificationTask.of(table, ["class 0", "class 1"], count, 0)


# Folders with a published split


@pytest.fixture
def root(tmp_path, save_picture):
    for part, count in (("train", 3), ("val", 2)):
        for i, label in enumerate(("n01", "n02")):
            for k in range(count):
                save_picture(tmp_path / part / label / f"{k}.png", seed=10 * i + k)
    (tmp_path / "classes.csv").write_text("class_id,words,group\nn01,goldfish,natural\nn02,abacus,man-made\n")
    return tmp_path


def test_folders_of_classes_keep_the_published_split_and_the_kinds(root):
    catalog = ClassFolders(root, "classes.csv")
    table = ClassTable.of(catalog, held_out=0.9)
    assert catalog.kinds == {"n01": "natural", "n02": "man_made"}
    for label in ("n01", "n02"):
        learnt, kept = (table.members(label, validation) for validation in (False, True))
        assert [catalog.names[i] for i in learnt] == [f"train/{label}/{k}.png" for k in range(3)]
        assert [catalog.names[i] for i in kept] == [f"val/{label}/{k}.png" for k in range(2)]


def test_a_plain_folder_of_classes_needs_no_published_split(root):
    table = ClassTable.of(Folder(root / "train"), 0.34)
    assert [len(table.members("n01", validation)) for validation in (False, True)] == [2, 1]


def test_a_folder_that_is_missing_is_an_error_that_says_where_it_should_be(tmp_path):
    with pytest.raises(UserError, match=f"there is no folder {tmp_path}/train; .*data.catalog.root=PATH"):
        ClassFolders(tmp_path)


@pytest.mark.parametrize("text", ["", "class_id,words\nn01,goldfish\n", "class_id,words,group\nn01,goldfish\n"])
def test_a_file_of_classes_with_other_columns_is_an_error(root, text):
    (root / "classes.csv").write_text(text)
    with pytest.raises(UserError, match=r"header with the columns class_id and group|another number of columns"):
        ClassFolders(root, "classes.csv")


def test_an_unknown_class_is_an_error_that_names_the_nearest(root):
    with pytest.raises(UserError, match="no class 'n0'; did you mean"):
        ClassFolders(root).scores("n0")


def test_tiny_imagenet_has_fifty_classes_of_either_kind(data_dir):
    if not (data_dir / "tiny_imagenet_100").is_dir():
        pytest.skip("DMT_DATA has no tiny_imagenet_100")
    catalog = ClassFolders(data_dir / "tiny_imagenet_100", "classes.csv")
    assert sorted(catalog.kinds.values()) == ["man_made"] * 50 + ["natural"] * 50
    table = ClassTable.of(catalog, 0.5)
    counts = {(len(table.members(label, False)), len(table.members(label, True))) for label in catalog.labels}
    assert counts == {(203, 30)}


# torchvision's data sets


def torchvision_part(pixels: list[int], targets: list[int]) -> SimpleNamespace:
    """What torchvision's data sets have in common."""

    class Part:
        classes = ("cat", "dog")

        def __init__(self):
            self.targets = targets

        def __len__(self):
            return len(targets)

        def __getitem__(self, index):
            return Image.new("RGB", (4, 4), (pixels[index],) * 3), targets[index]

    return Part


def test_a_data_set_of_torchvision_is_its_two_parts_one_after_the_other():
    catalog = TorchvisionClasses(
        torchvision_part([10, 20, 30], [1, 0, 1]), torchvision_part([40, 50], [0, 1]), {"pet": ["cat", "dog"]}
    )
    table = ClassTable.of(catalog, 0.5)
    assert table.members("dog", validation=False).tolist() == [0, 2]
    assert table.members("dog", validation=True).tolist() == [4]
    assert [round(255 * catalog.read(i, 2).mean().item()) for i in range(5)] == [10, 20, 30, 40, 50]
    assert catalog.read_named("val_0000001", 2).equal(catalog.read(4, 2))
    assert catalog.kinds == {"cat": "pet", "dog": "pet"}


def test_a_data_set_that_is_not_there_is_an_error_that_says_where_it_should_be(tmp_path):
    from functools import partial

    from torchvision.datasets import CIFAR10

    part = partial(CIFAR10, root=str(tmp_path), train=True)
    with pytest.raises(UserError, match=f"CIFAR10 is not in {tmp_path}; put torchvision's files"):
        TorchvisionClasses(part, part)


def test_a_kind_of_unknown_classes_is_an_error():
    part = torchvision_part([1, 2], [0, 1])
    with pytest.raises(UserError, match="names no class of the data set: 'cow'"):
        TorchvisionClasses(part, part, {"cattle": ["cow"]})
