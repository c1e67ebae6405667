"""Numbers of a face by hand, their laws, and what they say of smiles in photographs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from dmt.data.faces import Face, FaceDetector
from dmt.data.images import read_image
from dmt.judges.geometry import GeometryJudge, geometry

# Eyes 40 apart, nose 4 to the right and 20 below, corners 30 apart and 40 below
POINTS = np.array([[80.0, 100], [120, 100], [104, 120], [85, 140], [115, 140]])


def test_a_face_by_hand():
    assert geometry(POINTS) == pytest.approx({"width": 0.75, "corners": -0.5, "turn": 0.1})


def test_a_smile_raises_width_and_corners_and_leaves_the_turn():
    smile = POINTS + np.array([[0, 0], [0, 0], [0, 0], [-3, -4], [3, -4]])
    assert geometry(smile) == pytest.approx({"width": 0.9, "corners": -0.4, "turn": 0.1})


def test_one_corner_alone_counts_half():
    crooked = POINTS + np.array([[0, 0], [0, 0], [0, 0], [0, 0], [0, -8]])
    assert geometry(crooked)["corners"] == pytest.approx(-0.4)


def test_a_mirror_image_turns_the_other_way():
    mirrored = POINTS[[1, 0, 2, 4, 3]] * [-1, 1]
    assert geometry(mirrored) == pytest.approx({"width": 0.75, "corners": -0.5, "turn": -0.1})


@given(st.floats(-180, 180), st.floats(0.01, 100), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_place_size_and_tilt_do_not_matter(turn, zoom, x, y):
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    moved = zoom * POINTS @ np.array([[cosine, sine], [-sine, cosine]]) + [x, y]
    assert geometry(moved) == pytest.approx(geometry(POINTS), abs=1e-6)


def test_eyes_at_one_place_measure_nothing():
    assert np.isnan(list(geometry(POINTS * 0).values())).all()


class Painted:
    """Stands for a detector: the faces of a picture by its red in its first pixel."""

    def __init__(self, *faces):
        self.faces = faces

    def __call__(self, rgb):
        assert rgb.dtype == np.uint8
        assert rgb.shape[2] == 3
        return self.faces[int(rgb[0, 0, 0])]


def face(points: np.ndarray, left: float = 60, top: float = 80, side: float = 80) -> Face:
    return Face(points, (left, top, side, side), 0.9)


def pictures(*numbers: int) -> list[torch.Tensor]:
    return [torch.full((3, 240, 200), number / 255) for number in numbers]


def test_the_columns_are_of_inputs_and_results():
    wide = POINTS + np.array([[0, 0], [0, 0], [0, 0], [-5, 0], [5, 0]])
    judge = GeometryJudge(Painted([face(POINTS)], [face(wide)]))
    columns = judge.columns("shape", pictures(0, 1), pictures(1, 1))
    assert list(columns) == [
        f"shape_{number}_{side}" for number in ("width", "corners", "turn") for side in ("before", "after")
    ]
    assert columns["shape_width_before"] == pytest.approx([0.75, 1])
    assert columns["shape_width_after"] == pytest.approx([1, 1])
    assert columns["shape_turn_after"] == pytest.approx([0.1, 0.1])


def test_a_picture_without_a_face_is_nan():
    columns = GeometryJudge(Painted([face(POINTS)], [])).columns("g", pictures(0, 0), pictures(0, 1))
    assert np.isfinite(columns["g_width_before"]).all()
    for number in ("width", "corners", "turn"):
        assert np.isnan(columns[f"g_{number}_after"]).tolist() == [False, True]


def test_of_several_faces_the_one_nearest_the_middle_counts():
    wide = POINTS + np.array([[0, 0], [0, 0], [0, 0], [-5, 0], [5, 0]])
    faces = [face(wide, 0, 0, 100), face(POINTS, 60, 80, 80), face(wide, 150, 190, 50)]
    columns = GeometryJudge(Painted(faces)).columns("g", pictures(0), pictures(0))
    assert columns["g_width_after"] == pytest.approx([0.75])


def test_no_pictures_make_empty_columns():
    assert {values.shape for values in GeometryJudge(Painted()).columns("g", [], []).values()} == {(0,)}


def test_smiles_are_wider_and_their_corners_higher_in_photographs(data_dir, weights_dir):
    """The most and the least smiling of LFW, 12 each; docs/judges.md has the numbers of more."""
    pytest.importorskip("cv2")
    file = "face_detection_yunet_n_640.onnx"
    if not (weights_dir / file).is_file():
        pytest.skip(f"{weights_dir} has no {file}")
    lines = (data_dir / "lfw_attributes.txt").read_text().splitlines()[1:]
    column = lines[0].split("\t").index("Smiling") - 1  # the header begins with #
    rows = sorted((line.split("\t") for line in lines[1:]), key=lambda row: float(row[column]))
    rows = rows[:12] + rows[-12:]
    names = [(row[0].replace(" ", "_"), int(row[1])) for row in rows]
    files = [data_dir / "lfw" / person / f"{person}_{number:04d}.jpg" for person, number in names]
    if not all(file.is_file() for file in files):
        pytest.skip(f"{data_dir}/lfw is not whole")
    images = [read_image(file, 125) for file in files]
    columns = GeometryJudge(FaceDetector(weights_dir=weights_dir)).columns("g", images[:12], images[12:])
    for number, least in (("width", 0.9), ("corners", 0.75)):
        values = np.concatenate([columns[f"g_{number}_before"], columns[f"g_{number}_after"]])
        assert roc_auc_score([0] * 12 + [1] * 12, values) > least
