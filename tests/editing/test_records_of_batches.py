"""What is known of an edit -> its record and the name of its file."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dmt.data import ImageBatch
from dmt.editing.module import EditedBatch
from dmt.editing.records import edited_images, file_names, mean_record
from dmt.inversion import Inversion
from dmt.manifolds import Points
from dmt.solvers import Solution
from dmt.traversal.walks import Traversal
from tests.reporting.pictures import edited


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
        Inversion(after, {"features": torch.tensor([1.0, 2.0]), "tv": torch.tensor([0.5, 0.5])}, drawn),
        frames=torch.stack([before + 0.01, before + 0.02]),
        seconds=3.0,
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
    assert (first.record["image"], first.record["stopped"]) == ("x", "no")
    assert {key: first.record[key] for key in expected} == pytest.approx(expected, rel=1e-4)
    assert (second.record["psnr"], second.record["ssim"], second.record["change"]) == (float("inf"), 1.0, 0.0)
    assert (second.record["delta"], second.record["shrinkage"]) == (2.0, 0.0)
    assert second.record["lambda"] == pytest.approx(0.6)
    assert second.record["converged"] is True


def test_means_are_over_what_is_finite_and_words_have_none():
    images = [
        edited(psnr=10.0, ok=True, word="a", never=float("nan")),
        edited(psnr=30.0, ok=False, word="b", never=float("inf")),
        edited(psnr=float("inf"), ok=True, word="c", never=float("-inf")),
    ]
    assert mean_record(images) == pytest.approx({"psnr": 20.0, "ok": 2 / 3})


@given(st.lists(st.text("ab-2./", max_size=5) | st.sampled_from(["a", "a-2", "b.png"]), max_size=8))
def test_every_image_has_a_file_name_of_its_own(names):
    found = file_names([edited(name, side=1) for name in names])
    assert len(set(found)) == len(names)
    assert all("/" not in name for name in found)


def test_no_image_takes_the_file_of_the_grid():
    assert not {"grid", "plot"} & set(
        file_names([edited("grid"), edited("x/grid.png"), edited("plot")], ["grid", "plot"])
    )


def test_the_file_name_is_the_images_own_where_it_can_be():
    images = [edited(name) for name in ("Ada_One_0001", "/some/folder/friend.jpg", "cat/v1.2.png")]
    assert file_names(images) == ["Ada_One_0001", "friend", "v1.2"]
