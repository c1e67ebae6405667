"""Faces turned to one place and back."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.transform import EuclideanTransform, SimilarityTransform, warp

from dmt.data import Aligned, Alignment, Digits, EditData
from dmt.data.alignment import COLUMNS, Similarity
from dmt.errors import UserError

FACE = np.array([[0.4, 0.45], [0.6, 0.45], [0.5, 0.55], [0.5, 0.65]])  # upright and symmetric


def landmark_file(path: Path, faces: dict[str, np.ndarray]) -> Path:
    rows = [",".join([name, *(f"{value:.6f}" for value in points.flatten())]) for name, points in faces.items()]
    path.write_text("\n".join([",".join(COLUMNS), *rows]))
    return path


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points - 0.5) @ matrix.T + 0.5 + shift


def blob_picture(points: np.ndarray, side: int = 64, width: float = 0.03) -> torch.Tensor:
    """A smooth bump around each point, ``(3, side, side)``."""
    y, x = np.mgrid[:side, :side] + 0.5
    bumps = [np.exp(-((x / side - px) ** 2 + (y / side - py) ** 2) / (2 * width**2)) for px, py in points]
    return torch.from_numpy(np.stack([np.clip(sum(bumps), 0, 1)] * 3)).float()


class OnePicture:
    """A catalog of pictures that are made from their landmarks."""

    labels = ("x",)
    fingerprint = "one"

    def __init__(self, faces):
        self.faces = faces
        self.names = self.groups = list(faces)
        self.is_validation, self.kinds, self.title = None, {}, "one"

    def read(self, index, size):
        return blob_picture(self.faces[self.names[index]], size)

    def read_named(self, name, size):
        return blob_picture(self.faces[name], size)

    def index(self, name):
        return self.names.index(name) if name in self.names else None

    def group(self, name):
        return name

    def scores(self, label):
        return np.ones(len(self.names))


@pytest.mark.parametrize("degrees", [-30, 0, 17])
def test_the_similarity_is_the_one_that_was_applied(degrees):
    points = np.random.default_rng(0).uniform(size=(4, 2))
    moved = turned(points, degrees, 1.3, (0.1, -0.05))
    found = Similarity.between(points, moved)
    np.testing.assert_allclose(points @ found.matrix.T + found.offset, moved, atol=1e-12)
    back = found.inverse
    np.testing.assert_allclose(moved @ back.matrix.T + back.offset, points, atol=1e-12)


def test_the_similarity_is_least_squares_as_scikit_image_has_it():
    rng = np.random.default_rng(1)
    first, second = rng.uniform(size=(2, 6, 2))
    found = Similarity.between(first, second)
    known = SimilarityTransform.from_estimate(first, second)
    np.testing.assert_allclose(np.c_[found.matrix, found.offset], known.params[:2], atol=1e-9)


def test_sampling_is_that_of_scikit_image():
    picture = blob_picture(FACE, 48, 0.08) / 2
    place = Similarity.between(FACE, turned(FACE, 20, 1.2, (0.05, 0.02)))
    side = 48
    to_pixels = EuclideanTransform(translation=(-0.5, -0.5)).params @ np.diag([side, side, 1])
    matrix = np.vstack([np.c_[place.matrix, place.offset], [0, 0, 1]])
    in_pixels = to_pixels @ matrix @ np.linalg.inv(to_pixels)
    known = warp(picture[0].double().numpy(), in_pixels, order=3, mode="constant")
    found = place.sampled(picture, "zeros")[0].numpy()
    np.testing.assert_allclose(found[5:-5, 5:-5], known[5:-5, 5:-5], atol=0.02)  # their cubics differ


def test_aligned_faces_lie_alike(tmp_path):
    faces = {
        "upright": FACE,
        "left": turned(FACE, -20, 0.9, (0.1, 0)),
        "right": turned(FACE, 20, 1.1, (-0.1, 0)),
    }
    alignment = Alignment(landmark_file(tmp_path / "faces.csv", faces))
    catalog = Aligned(OnePicture(faces), alignment)
    pictures = [catalog.read(i, 64) for i in range(3)]
    for picture in pictures:
        middle = picture[0] / picture[0].sum()
        at = torch.arange(64) + 0.5
        assert float((middle.sum(dim=0) * at).sum()) == pytest.approx(32, abs=0.5)
        assert float((middle.sum(dim=1) * at).sum()) == pytest.approx(32, abs=0.5)
    raw = [catalog.as_it_is(name, 64) for name in faces]
    assert float((pictures[1] - pictures[2]).abs().mean()) < 0.3 * float((raw[1] - raw[2]).abs().mean())


def test_zoom_enlarges_faces(tmp_path):
    file = landmark_file(tmp_path / "faces.csv", {"a": FACE})
    plain, large = Alignment(file), Alignment(file, zoom=2.0)
    np.testing.assert_allclose(large.wanted - 0.5, 2 * (plain.wanted - 0.5), atol=1e-12)
    np.testing.assert_allclose(plain.wanted, FACE - FACE.mean(axis=0) + 0.5, atol=1e-12)


def test_an_unchanged_picture_comes_back_as_it_was_and_a_change_where_it_belongs(tmp_path):
    faces = {"a": turned(FACE, 25, 0.8, (0.1, 0.05)), "b": FACE}
    catalog = Aligned(OnePicture(faces), Alignment(landmark_file(tmp_path / "faces.csv", faces)))
    original, before = catalog.as_it_is("a", 64), catalog.read_named("a", 64)
    assert torch.equal(catalog.put_back("a", original, before, before), original)
    mouth = 0.5 * blob_picture(catalog.alignment.wanted[3:], 64)
    after = catalog.put_back("a", original, before * 0.5, before * 0.5 + mouth)
    change = (after - original)[0]
    y, x = np.unravel_index(int(change.argmax()), change.shape)
    np.testing.assert_allclose([(x + 0.5) / 64, (y + 0.5) / 64], faces["a"][3], atol=0.05)


def test_a_picture_whose_face_is_not_known_stays_as_it_is(tmp_path):
    faces = {"a": turned(FACE, 25, 0.8, (0.1, 0.05)), "b": FACE}
    known = Alignment(landmark_file(tmp_path / "faces.csv", {"b": FACE}))
    catalog = Aligned(OnePicture(faces), known)
    assert torch.equal(catalog.read_named("a", 64), catalog.as_it_is("a", 64))
    original = catalog.as_it_is("a", 64)
    assert torch.equal(catalog.put_back("a", original, original, original * 0.5), original * 0.5)


def test_other_landmarks_are_other_pictures(tmp_path):
    catalog = OnePicture({"a": FACE})
    moved = turned(FACE, 5, 1, (0, 0))
    files = [landmark_file(tmp_path / f"{i}.csv", {"a": points}) for i, points in enumerate((FACE, moved))]
    alignments = [Alignment(files[0]), Alignment(files[1]), Alignment(files[0], zoom=1.5)]
    assert len({Aligned(catalog, alignment).fingerprint for alignment in alignments} | {catalog.fingerprint}) == 4


def test_splits_serve_aligned_pictures_and_put_results_in_place(tmp_path):
    digits = Digits()
    tilted = turned(FACE, 30, 1, (0, 0))
    alignment = Alignment(landmark_file(tmp_path / "faces.csv", {digits.names[0]: tilted, "other": FACE}))
    plain, aligned = (EditData(digits, None, image_size=32, alignment=a) for a in (None, alignment))
    name = digits.names[0]
    assert torch.equal(aligned.original(name), plain.catalog.read_named(name, 32))
    served = aligned.catalog.read_named(name, 32)
    assert float((served - aligned.original(name)).abs().max()) > 0.1
    before, (after,) = aligned.in_place(name, served, [served])
    assert torch.equal(before, aligned.original(name))
    assert torch.equal(after, before)
    assert plain.in_place(name, served, [served])[0] is served


def test_a_gzipped_file_is_the_same(tmp_path):
    plain = landmark_file(tmp_path / "faces.csv", {"a": FACE})
    packed = tmp_path / "faces.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert Alignment(plain).fingerprint == Alignment(packed).fingerprint


def test_the_landmarks_of_lfw_are_of_upright_faces_in_the_middle():
    alignment = Alignment.of_lfw()
    assert len(alignment.points) > 13_000
    left, right, nose, mouth = np.median(list(alignment.points.values()), axis=0)
    assert left[0] < nose[0] < right[0]
    assert left[1] < nose[1] < mouth[1]
    np.testing.assert_allclose(nose, [0.5, 0.55], atol=0.03)
    np.testing.assert_allclose(alignment.wanted.mean(axis=0), 0.5, atol=1e-9)
    assert alignment.wanted[0][1] == pytest.approx(alignment.wanted[1][1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,left_eye_x\na,0.5\n", "is no file of landmarks"),
        (",".join(COLUMNS) + "\na,1,2,3,4,5,6,7,x\n", "is no file of landmarks"),
        (",".join(COLUMNS) + "\na,1,2\n", "is no file of landmarks"),
        (",".join(COLUMNS) + "\n", "lists no faces"),
        (",".join(COLUMNS) + "\na,nan,0,0,0,0,0,0,0\n", "lists no faces"),
        (",".join(COLUMNS) + "\na,0,0,0,0,0,0,0,0\n", "lists no faces"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, message):
    path = tmp_path / "faces.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        Alignment(path)


def test_what_cannot_be_is_said(tmp_path):
    with pytest.raises(UserError, match="there is no file of landmarks"):
        Alignment(tmp_path / "missing.csv")
    with pytest.raises(UserError, match="zoom"):
        Alignment(landmark_file(tmp_path / "faces.csv", {"a": FACE}), zoom=0)
