"""Faces are found where they are: a known picture, made larger and smaller, moved, turned, cut and doubled."""

import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from dmt.data.faces import Face, FaceDetector
from dmt.errors import UserError

cv2 = pytest.importorskip("cv2")

FILE = "face_detection_yunet_n_640.onnx"
# Read off by eye in an enlarged copy of skimage.data.astronaut(), in pixels from the top left corner
ASTRONAUT = np.array([[203.5, 101.5], [247.5, 104], [225, 127], [204, 140.5], [244, 142]])


@pytest.fixture(scope="module")
def detector(weights_dir) -> FaceDetector:
    if not (weights_dir / FILE).is_file():
        pytest.skip(f"{weights_dir} has no {FILE}")
    return FaceDetector(weights_dir=weights_dir, url=None)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


def similarity(turn: float = 0, zoom: float = 1, x: float = 0, y: float = 0) -> np.ndarray:
    """``p -> zoom R p + (x, y)``, ``(2, 3)``, for places counted from the top left corner; turns clockwise."""
    cosine, sine = zoom * np.cos(np.radians(turn)), zoom * np.sin(np.radians(turn))
    return np.array([[cosine, -sine, x], [sine, cosine, y]])


def turned(picture: np.ndarray, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture turned clockwise about its middle, on a black canvas that holds all of it, and where places go."""
    side = int(np.ceil(np.hypot(*picture.shape[:2])))
    matrix = similarity(turn)
    matrix[:, 2] = side / 2 - matrix[:, :2] @ np.array(picture.shape[1::-1]) / 2
    image = Image.fromarray(picture)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    # Pillow's affine transform goes from the middle of an output pixel to a place counted from the corner, as we do
    return np.asarray(image.transform((side, side), Image.Transform.AFFINE, inverse.ravel(), Image.BICUBIC)), matrix


def resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


def require_points(face: Face, expected: np.ndarray, within: float) -> None:
    """Every point lies within a share of the face's size of where it ought to."""
    assert np.linalg.norm(face.points - expected, axis=1).max() < within * face.size


def test_the_points_are_where_the_eye_sees_them(detector, astronaut):
    (face,) = detector(astronaut)
    require_points(face, ASTRONAUT, 0.06)
    assert face.points.dtype == np.float64
    left, top, width, height = face.box
    assert left < ASTRONAUT[:, 0].min() < ASTRONAUT[:, 0].max() < left + width
    assert top < ASTRONAUT[:, 1].min() < ASTRONAUT[:, 1].max() < top + height
    assert 80 < face.size < 120
    assert 0.85 < face.score <= 1


@pytest.mark.parametrize("zoom", [0.4, 0.7, 1.6, 3, 29])
def test_a_picture_may_be_of_any_size_and_its_face_of_40_to_3000_pixels(detector, astronaut, zoom):
    """The largest is a face alone, as a close-up shows it; the place of its pixels is known from how it was made."""
    left, top, side = (150, 40, 130) if zoom == 29 else (0, 0, 512)
    part = astronaut[top : top + side, left : left + side]
    size = round(side * zoom)
    (face,) = detector(resized(part, size, size))
    require_points(face, (ASTRONAUT - [left, top]) * size / side, 0.06)


def test_sides_may_be_stretched_by_rounding_alone(detector, astronaut):
    """Halved, 333 x 511 pixels make 166.5 x 255.5; the points must not suffer from that."""
    part = astronaut[:333, :511]
    big = resized(part, 511 * 5, 333 * 5)
    require_points(detector(big)[0], ASTRONAUT * 5, 0.06)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (700, 333), (1488, 1088)])
def test_points_move_with_a_picture_that_is_pasted_elsewhere(detector, astronaut, x, y):
    canvas = np.full((1600, 2000, 3), 127, dtype=np.uint8)
    canvas[y : y + 512, x : x + 512] = astronaut
    (moved,) = detector(canvas)
    (face,) = detector(astronaut)
    assert np.abs(moved.points - face.points - [x, y]).max() < 2


@pytest.mark.parametrize("turn", [-150, -90, -60, -30, 20, 45, 90, 120, 180])
def test_points_turn_with_the_picture(detector, astronaut, turn):
    picture, matrix = turned(astronaut[:300], turn)
    (face,) = detector(picture)
    require_points(face, ASTRONAUT @ matrix[:, :2].T + matrix[:, 2], 0.06)
    assert (face.turn - turn + 180) % 360 - 180 == pytest.approx(3, abs=5)  # she inclines her head by 3 degrees


def test_a_mirror_image_has_right_and_left_exchanged(detector, astronaut):
    (face,) = detector(np.ascontiguousarray(astronaut[:, ::-1]))
    expected = ASTRONAUT[[1, 0, 2, 4, 3]] * [-1, 1] + [512, 0]
    require_points(face, expected, 0.06)


@pytest.mark.parametrize("cut", [175, 185, 190])
def test_a_face_may_be_cut_by_the_border(detector, astronaut, cut):
    """The box of the whole face begins at about 175; both eyes are still there."""
    (face,) = detector(np.ascontiguousarray(astronaut[:, cut:]))
    require_points(face, ASTRONAUT - [cut, 0], 0.08)


def test_several_faces_are_each_found_once_and_the_larger_comes_first(detector, astronaut):
    canvas = np.full((600, 1100, 3), 200, dtype=np.uint8)
    canvas[40 : 40 + 300, 20 : 20 + 300] = resized(astronaut, 300, 300)
    canvas[60 : 60 + 512, 560 : 560 + 512] = astronaut
    large, small = detector(canvas)
    require_points(large, ASTRONAUT + np.array([560, 60]), 0.06)
    require_points(small, ASTRONAUT * 300 / 512 + [20, 40], 0.06)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket"])
def test_there_is_no_face_in_a_cat_a_cup_or_a_rocket(detector, name):
    assert detector(getattr(skimage.data, name)()) == []


def test_there_is_no_face_in_noise_nor_in_one_colour(detector):
    assert detector(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)) == []
    assert detector(np.zeros((1, 1, 3), dtype=np.uint8)) == []
    assert detector(np.full((5, 700, 3), 128, dtype=np.uint8)) == []


def test_the_picture_is_left_as_it_was(detector, astronaut):
    picture = astronaut.copy()
    picture.flags.writeable = False
    detector(picture)
    np.testing.assert_array_equal(picture, astronaut)


def test_a_detector_can_be_pickled_and_shared_between_threads(detector, astronaut):
    again = pickle.loads(pickle.dumps(detector))
    pictures = [astronaut, resized(astronaut, 256, 256), astronaut[:250], astronaut[:, 100:400]] * 3
    expected = [detector(picture)[0].points for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        found = [faces[0].points for faces in threads.map(again, pictures)]
    for first, second in zip(expected, found, strict=True):
        np.testing.assert_allclose(first, second)


class Faces(torch.utils.data.Dataset):
    def __init__(self, detector, picture):
        self.detector, self.picture = detector, picture

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.from_numpy(self.detector(self.picture)[0].points)


def test_a_detector_works_in_processes_that_are_forked_after_it_was_used(detector, astronaut):
    expected = detector(astronaut)[0].points
    loader = torch.utils.data.DataLoader(Faces(detector, astronaut), batch_size=2, num_workers=2, timeout=60)
    for batch in loader:
        np.testing.assert_allclose(batch.numpy(), np.stack([expected] * 2))


@pytest.mark.parametrize("picture", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_other_arrays_than_pictures_are_refused(picture):
    with pytest.raises(UserError, match=r"in pictures \(H, W, 3\) of uint8, got \(4, 4"):
        FaceDetector()(picture)


def test_a_missing_network_is_an_error_that_names_it_and_the_folder(tmp_path):
    with pytest.raises(UserError, match=rf"missing: put {FILE} into .*{tmp_path.name}"):
        FaceDetector(weights_dir=tmp_path, url=None)(np.zeros((4, 4, 3), np.uint8))


def test_a_missing_network_is_downloaded_and_checked(tmp_path):
    source = tmp_path / "source.onnx"
    source.write_bytes(b"no network")
    wanted = FaceDetector("new.onnx", tmp_path, url=source.as_uri(), sha256=hashlib.sha256(b"no network").hexdigest())
    assert wanted.path.read_bytes() == b"no network"
    with pytest.raises(UserError, match="its SHA-256 begins with"):
        FaceDetector("other.onnx", tmp_path, url=source.as_uri()).path  # noqa: B018
    with pytest.raises(UserError, match=r"new\.onnx could not be read as the network that finds faces"):
        wanted(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("score", [-0.1, 1.1, "high", True])
def test_the_least_score_is_a_number_from_0_to_1(score):
    with pytest.raises(UserError, match="least_score must be a number from 0 to 1"):
        FaceDetector(least_score=score)


def test_a_face_moves_with_its_box():
    face = Face(np.arange(10.0).reshape(5, 2), (10, 20, 30, 40), 0.9)
    moved = face.moved(similarity(90, 2, 100, 0))  # (x, y) -> (100 - 2 y, 2 x)
    np.testing.assert_allclose(moved.points[1], [100 - 2 * 3, 2 * 2], atol=1e-12)
    np.testing.assert_allclose(moved.center, [100 - 2 * 40, 2 * 25])
    assert moved.size == pytest.approx(2 * face.size)
    assert face.size == pytest.approx(1200**0.5)
