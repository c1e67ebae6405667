"""What is known of an edit -> its record, and what judges add."""

import numpy as np
import pytest
import torch
from PIL import Image

from dmt.data import EditData, Folder, Frame, ImageBatch
from dmt.data.framing import VIEW, Similarity, Subject
from dmt.editing.module import EditedBatch
from dmt.editing.records import EditedImage, edited_images, judged, mean_of_records, mean_record
from dmt.inversion import Inversion
from dmt.judges import OutputJudge
from dmt.judges.verdicts import Wish
from dmt.manifolds import Points
from dmt.solvers import Solution
from dmt.traversal.walks import Traversal
from tests.reporting.pictures import edited


def batch_of(names: list[str], owner: list[int], *, n_frames: int = 0, first: int = 0) -> EditedBatch:
    """Grey pictures that get lighter by a tenth, whose things have the points of ``owner``."""
    n, n_points = len(names), len(owner)
    before = torch.full((n, 3, 8, 8), 0.5) + torch.arange(first, first + n).reshape(n, 1, 1, 1) / 100
    after = before + 0.1
    counts = torch.arange(n_points)
    walk = Traversal(
        Points(torch.ones(n_points, 2), torch.tensor(owner), n),
        torch.ones(n_points, 2) * torch.arange(1, n_points + 1)[:, None],
        torch.arange(1, n + 1) / 10,
        torch.arange(n_points) * 1.0,
        -torch.arange(n_points) * 2.0,
        Solution(
            torch.zeros(n_points, 2), torch.zeros(n_points), counts, counts, ["converged"] * (n_points - 1) + ["no"]
        ),
    )
    drawn = Solution(after.flatten(1), torch.ones(n), torch.full((n,), 3), torch.full((n,), 5), ["converged"] * n)
    frames = (
        torch.stack([before + 0.01 * (i + 1) for i in range(n_frames)])
        if n_frames
        else before.new_zeros(0, *before.shape)
    )
    images = ImageBatch(before, list(range(first, first + n)), names, [])
    picture = Inversion.at_rest(after, {"reconstruction": torch.ones(n)}, drawn)
    return EditedBatch(images, walk, picture, frames, seconds=6.0, arrived=walk.z)


def test_a_thing_of_several_points_has_one_record_of_them_all():
    first, second = edited_images([batch_of(["x", "y"], [0, 0, 1])])
    expected = [
        {
            "lambda": 0.1,
            "delta": (2 * (1 + 4)) ** 0.5,  # (1, 1) and (2, 2)
            "shrinkage": -(2 + 4) / 4,
            "witness_before": 0.5,
            "witness_after": -1,
            "traversal_iterations": 1,
            "traversal_converged": True,
        },
        {
            "lambda": 0.2,
            "delta": 18**0.5,
            "shrinkage": -6 / 2,
            "witness_before": 2,
            "witness_after": -4,
            "traversal_iterations": 2,
            "traversal_converged": False,
        },
    ]
    for image, columns in zip((first, second), expected, strict=True):
        assert {name: image.record[name] for name in columns} == pytest.approx(columns)


def test_several_batches_give_their_images_in_order_each_with_its_share_of_the_time():
    images = edited_images([batch_of(["x", "y", "z"], [0, 1, 2]), batch_of(["w"], [0], first=3)])
    assert [image.name for image in images] == [image.record["image"] for image in images] == ["x", "y", "z", "w"]
    assert [image.record["seconds"] for image in images] == [2, 2, 2, 6]
    for i, image in enumerate(images):
        torch.testing.assert_close(image.input, torch.full((3, 8, 8), 0.5 + i / 100))
        torch.testing.assert_close(image.result, image.input + 0.1)


class Corner:
    """The edit sees the upper left 8 x 8 pixels of a photograph; 16 x 16 of it are shown."""

    fingerprint, whole = "corner", False

    def subjects(self, name, photograph):
        frame, view = (Frame(Similarity(side * np.eye(2), np.zeros(2))) for side in (8.0, 16.0))
        return [Subject(frame, view)]


def test_the_record_is_of_what_is_shown_of_the_photograph(tmp_path):
    (tmp_path / "any").mkdir()
    Image.fromarray(np.full((40, 40, 3), 102, dtype=np.uint8)).save(tmp_path / "any/x.png")
    data = EditData(Folder(tmp_path), None, image_size=8, framing=Corner())
    (image,) = edited_images([batch_of(["any/x.png"], [0], n_frames=2)], data)
    assert [picture.shape for picture in (image.input, image.result, *image.frames)] == [(3, VIEW, VIEW)] * 4
    assert image.input.allclose(torch.tensor(0.4), atol=1e-3)
    assert image.result[:, :60, :60].allclose(torch.tensor(0.5), atol=3e-3)  # a tenth lighter, in 8 bits
    assert image.result[:, 160:].allclose(torch.tensor(0.4), atol=1e-3)
    assert [float(frame[0, 30, 30]) for frame in image.frames] == pytest.approx([0.41, 0.42], abs=3e-3)
    assert image.record["change"] < 255 * 0.1 / 4  # a quarter of what is shown, with an edge that fades
    assert image.record["change_largest"] == pytest.approx(255 * 0.1, abs=4)  # cubics overshoot
    assert image.patch.of == "any/x.png"
    torch.testing.assert_close(image.patch.change, torch.full((3, 8, 8), 0.1))


def test_without_a_framing_the_input_is_all_there_is(tmp_path, save_picture):
    save_picture(tmp_path / "any/x.png")
    batch = batch_of(["any/x.png"], [0])
    (image,) = edited_images([batch], EditData(Folder(tmp_path), None, image_size=8))
    assert image.patch is None
    assert image.input.equal(batch.batch.images[0])
    assert image.result.equal(batch.inversion.images[0])


class Brightness:
    """Two numbers of a picture; and one of the pair."""

    def columns(self, name, before, after):
        return {
            f"{name}_before": np.array([float(one.mean()) for one in before]),
            f"{name}_after": np.array([float(one.mean()) for one in after]),
        }


class Closeness:
    def columns(self, name, before, after):
        return {name: np.array([float((a - b).abs().max()) for b, a in zip(before, after, strict=True)])}


def test_each_judge_adds_its_columns_to_every_image_and_changes_nothing_else():
    images = edited_images([batch_of(["x", "y"], [0, 1])])
    found = judged(images, {"bright": Brightness(), "close": Closeness()})
    for one, image in zip(found, images, strict=True):
        expected = {
            "bright_before": float(image.input.mean()),
            "bright_after": float(image.result.mean()),
            "close": 0.1,
        }
        assert {name: one.record[name] for name in expected} == pytest.approx(expected)
        assert {key: value for key, value in one.record.items() if key not in expected} == image.record
        assert all(type(one.record[name]) is float for name in expected)
        assert not set(expected) & set(image.record)
    assert [image.record for image in judged(images, {})] == [image.record for image in images]


def test_columns_are_added_to_a_copy():
    image = EditedImage("x", torch.zeros(3, 1, 1), torch.zeros(3, 1, 1), {"psnr": 1.0})
    more = image.with_columns(edit="lambda' 1", psnr=2.0)
    assert more.record == {"psnr": 2.0, "edit": "lambda' 1"}
    assert image.record == {"psnr": 1.0}
    assert (image.edit, more.edit) == ("", "lambda' 1")


def test_means_of_records_are_over_those_that_have_the_column():
    rows = [{"psnr": 10.0, "ok": True}, {"psnr": 20.0, "word": "a"}, {"ok": False, "psnr": float("inf")}]
    assert mean_of_records(rows) == {"psnr": 15, "ok": 0.5}


def test_a_record_holds_what_the_edit_cost():
    before = torch.full((2, 3, 10, 10), 0.5)
    after = before + torch.tensor([0.1, 0.0]).reshape(2, 1, 1, 1)
    z0, delta = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[-0.6, -0.8], [0.0, 2.0]])
    walked = Solution(delta, torch.zeros(2), torch.tensor([7, 8]), torch.tensor([9, 9]), ["converged", "stopped"])
    drawn = Solution(
        after.flatten(1), torch.tensor([1.5, 2.5]), torch.tensor([3, 4]), torch.tensor([5, 6]), ["no", "converged"]
    )
    batch = EditedBatch(
        ImageBatch(before, [0, 1], ["x", "y"], []),
        Traversal(
            Points.one_each(z0),
            delta,
            torch.tensor([0.3, 0.6]),
            torch.tensor([0.2, 0.1]),
            torch.tensor([-0.2, 0.0]),
            walked,
        ),
        Inversion(
            after,
            {"features": torch.tensor([1.0, 2.0]), "tv": torch.tensor([0.5, 0.5])},
            drawn,
            realised=torch.tensor([0.98, torch.nan]),
            multiplier=torch.tensor([3.5, 1.0]),
            precision="bfloat16",
        ),
        frames=torch.stack([before + 0.01, before + 0.02]),
        seconds=3.0,
        arrived=z0 + delta,
    )
    first, second = edited_images([batch])
    assert first.name == "x"
    assert second.result.equal(after[1])
    assert [round(float(frame.mean()), 6) for frame in second.frames] == [0.51, 0.52]
    expected = {
        "lambda": 0.3,
        "witness_before": 0.2,
        "witness_after": -0.2,
        "delta": 1.0,  # the length of (-0.6, -0.8)
        "realised": 0.98,
        "multiplier": 3.5,
        "shrinkage": 0.2,  # 5 / 25
        "psnr": 20.0,  # 10 log10(1 / 0.01)
        "change": 25.0,  # 128 -> 153
        "change_rms": 25.0,
        "change_largest": 25,
        "change_center": 25.0,
        "change_outside": 25.0,
        "objective": 1.5,
        "objective_features": 1.0,
        "objective_tv": 0.5,
        "traversal_iterations": 7,
        "traversal_converged": True,
        "iterations": 3,
        "evaluations": 5,
        "converged": False,
        "seconds": 1.5,
    }
    assert [first.record[key] for key in ("image", "stopped", "precision")] == ["x", "no", "bfloat16"]
    assert {key: first.record[key] for key in expected} == pytest.approx(expected, rel=1e-4)
    assert (second.record["psnr"], second.record["ssim"], second.record["change"]) == (float("inf"), 1.0, 0.0)
    assert (second.record["delta"], second.record["shrinkage"]) == (2.0, 0.0)
    assert second.record["lambda"] == pytest.approx(0.6)
    assert np.isnan(second.record["realised"])
    assert second.record["multiplier"] == 1.0
    assert second.record["converged"] is True


def test_means_are_over_what_is_finite_and_words_have_none():
    images = [
        edited(psnr=10.0, ok=True, word="a", never=float("nan")),
        edited(psnr=30.0, ok=False, word="b", never=float("inf")),
        edited(psnr=float("inf"), ok=True, word="c", never=float("-inf")),
    ]
    assert mean_record(images) == pytest.approx({"psnr": 20.0, "ok": 2 / 3})


class Means:
    def output(self, images, name):
        return np.array([[float(one.mean())] for one in images])


def test_what_is_wanted_is_said_by_the_judges_that_know_the_label():
    images = edited_images([batch_of(["x"], [0])])
    judges = {
        "knows": OutputJudge(Means(), "p", shows={"Bright": "below"}),
        "counts": OutputJudge(Means(), "p", shows={"Bright": "above"}, by=2),
        "other": OutputJudge(Means(), "p", shows={"Red": "above"}),
        "bright": Brightness(),
    }
    (found,) = judged(images, judges, {"Bright": True, "Dark": False})
    least = float(images[0].input.mean()) + 2
    assert Wish.all_of(found.record["wanted"]) == [
        ("knows", "below", 0.5),
        ("counts", "above", pytest.approx(least, rel=1e-3)),
    ]
    assert "wanted" not in judged(images, judges, {"Hat": True})[0].record
