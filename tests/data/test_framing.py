"""Photographs of any size, the squares that edits see, and changes put back."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.transform import SimilarityTransform, warp

from dmt.data import CentreFraming, EditData, Face, FaceFraming, Folder, Frame, Framed, ImageError, finished
from dmt.data.framing import COLUMNS, VIEW, Similarity, head_turn
from dmt.data.photographs import Photograph
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


def square(left: float, top: float, side: float, degrees: float = 0.0) -> Frame:
    angle = np.radians(degrees)
    matrix = side * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([left, top]) + side / 2
    return Frame(Similarity(matrix, middle - matrix @ [0.5, 0.5]))


def blobs(points: np.ndarray, height: int, width: int, radius: float) -> np.ndarray:
    """A smooth bump around each point in pixels, ``(height, width, 3)`` of uint8."""
    y, x = np.mgrid[:height, :width] + 0.5
    bumps = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2)) for px, py in points)
    return np.repeat((np.clip(bumps, 0, 1) * 255).round().astype(np.uint8)[..., None], 3, axis=2)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def centre_of(picture: torch.Tensor) -> tuple[float, float]:
    weights = picture[0] / picture[0].sum()
    at = torch.arange(len(weights)) + 0.5
    return float((weights.sum(dim=0) * at).sum()), float((weights.sum(dim=1) * at).sum())


@pytest.mark.parametrize("degrees", [-30, 0, 17])
def test_the_similarity_is_the_one_that_was_applied(degrees):
    points = np.random.default_rng(0).uniform(size=(4, 2))
    moved = turned(points, degrees, 1.3, (0.1, -0.05))
    found = Similarity.between(points, moved)
    np.testing.assert_allclose(found(points), moved, atol=1e-12)
    np.testing.assert_allclose(found.inverse(moved), points, atol=1e-12)
    assert found.scale == pytest.approx(1.3)


def test_the_similarity_is_least_squares_as_scikit_image_has_it():
    rng = np.random.default_rng(1)
    first, second = rng.uniform(size=(2, 6, 2))
    found = Similarity.between(first, second)
    known = SimilarityTransform.from_estimate(first, second)
    np.testing.assert_allclose(np.c_[found.matrix, found.offset], known.params[:2], atol=1e-9)


def test_a_square_on_the_pixels_themselves_shows_these():
    pixels = noise(40, 60)
    found = square(13, 7, 20).sampled(Photograph.of_pixels(pixels), 20)
    np.testing.assert_allclose(found.permute(1, 2, 0).numpy(), pixels[7:27, 13:33] / 255, atol=1e-4)


def test_pixels_that_become_fewer_are_averaged():
    pixels = noise(80, 96)
    found = square(16, 8, 64).sampled(Photograph.of_pixels(pixels), 8)
    means = pixels[8:72, 16:80].reshape(8, 8, 8, 8, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(found.permute(1, 2, 0).numpy(), means, atol=0.03)  # the last halving is bicubic
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255  # finer than four pixels can show: they must see grey
    grey = square(0, 0, 64).sampled(Photograph.of_pixels(stripes), 4)
    np.testing.assert_allclose(grey.numpy(), 0.5, atol=0.01)


def test_sampling_is_that_of_scikit_image():
    points = np.array([[20.0, 22.0], [34.0, 30.0]])
    pixels = blobs(points, 50, 70, 5.0)
    frame = square(12, 8, 32, degrees=20)
    found = frame.sampled(Photograph.of_pixels(pixels), 40)
    shift = SimilarityTransform(translation=(0.5, 0.5)).params
    place = np.vstack([np.c_[frame.place.matrix, frame.place.offset], [0, 0, 1]])
    in_pixels = np.linalg.inv(shift) @ place @ np.diag([1 / 40, 1 / 40, 1]) @ shift
    known = warp(pixels[..., 0] / 255, in_pixels, order=3, output_shape=(40, 40))
    np.testing.assert_allclose(found[0].numpy(), known, atol=0.02)  # their cubics differ


def test_what_lies_beyond_the_border_is_reflected():
    pixels = noise(30, 30)
    found = square(-10, 0, 30).sampled(Photograph.of_pixels(pixels), 30)
    np.testing.assert_allclose(found[:, :, :10].numpy(), found[:, :, 10:20].flip(2).numpy(), atol=1e-5)


@pytest.mark.parametrize("degrees", [0, 33])
def test_only_what_lies_in_the_square_changes(degrees):
    pixels = noise(90, 120)
    photograph = Photograph.of_pixels(pixels)
    frame = square(40, 20, 40, degrees)
    after = frame.put_back(photograph, torch.full((3, 25, 25), 0.25)).rgb().astype(int)
    y, x = np.mgrid[:90, :120] + 0.5
    inside = frame.place.inverse(np.stack([x, y], axis=-1))
    outside = (inside < 0).any(axis=-1) | (inside > 1).any(axis=-1)
    well_within = ((inside > 0.13) & (inside < 0.87)).all(axis=-1)
    np.testing.assert_array_equal(after[outside], pixels[outside])
    expected = np.minimum(pixels[well_within].astype(int) + 64, 255)  # 0.25 of 255 is 63.75
    np.testing.assert_array_equal(after[well_within], expected)
    edge = ~outside & ~well_within & (pixels.max(axis=-1) < 190)
    grown = (after - pixels)[edge]
    assert grown.min() >= 0
    assert 0 < grown.mean() < 63


def test_a_change_of_few_pixels_becomes_one_of_many_and_the_rest_stays_sharp():
    pixels = noise(400, 400) // 2
    photograph = Photograph.of_pixels(pixels)
    frame = square(50, 50, 300)
    small = torch.from_numpy(blobs(np.array([[15.0, 10.0]]), 30, 30, 2.0)).permute(2, 0, 1) / 255 * 0.4
    change = frame.put_back(photograph, small).rgb().astype(float) - pixels
    known = blobs(np.array([[50 + 150.0, 50 + 100.0]]), 400, 400, 20.0) / 255 * 0.4 * 255
    assert np.abs(change - known).max() < 3


def test_a_change_of_many_pixels_to_few_is_averaged():
    photograph = Photograph.of_pixels(np.full((20, 20, 3), 100, dtype=np.uint8))
    stripes = torch.zeros(3, 48, 48)
    stripes[:, :, ::2] = 0.4
    after = square(4, 4, 12).put_back(photograph, stripes, fading=0.0).rgb()
    assert np.abs(after[5:15, 5:15].astype(int) - 151).max() <= 1


def test_no_edge_fades_where_the_photograph_ends():
    photograph = Photograph.of_pixels(np.full((50, 80, 3), 100, dtype=np.uint8))
    (subject,) = CentreFraming().subjects("any", photograph)
    after = subject.frame.put_back(photograph, torch.full((3, 50, 50), 0.2)).rgb()[..., 0]
    assert (after[0, 30:50] == 151).all()  # top and bottom are the photograph's own
    assert (after[-1, 30:50] == 151).all()
    assert (after[:, :15] == 100).all()
    assert 100 < after[25, 16] < 151  # left and right fade


def test_a_turn_and_a_scale_leave_an_unchanged_photograph_bit_for_bit():
    photograph = Photograph.of_pixels(noise(70, 70))
    after = square(-10, 5, 50, 12).put_back(photograph, torch.zeros(3, 125, 125))
    np.testing.assert_array_equal(after.rgb(), photograph.rgb())


@pytest.fixture
def faces(tmp_path) -> tuple[Folder, FaceFraming, dict[str, np.ndarray]]:
    """Four photographs of different sizes, whose "faces" are bumps that lie differently."""
    shapes = {"a": (200, 200), "b": (300, 300), "c": (160, 160)}
    places = {
        "x/a.png": turned(FACE, 0, 1, (0, 0)),
        "x/b.png": turned(FACE, -20, 0.9, (0.1, 0)),
        "y/c.png": turned(FACE, 20, 1.1, (-0.1, 0)),
    }
    for name, points in places.items():
        height, width = shapes[Path(name).stem]
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blobs(points * [width, height], height, width, 0.02 * width)).save(path)
    file = landmark_file(tmp_path / "faces.csv", {**places, "elsewhere": FACE})
    return Folder(tmp_path / "data"), FaceFraming(file), places


def test_faces_of_photographs_of_any_size_lie_alike(faces):
    folder, framing, _ = faces
    catalog = Framed(folder, framing)
    for index in range(3):
        x, y = centre_of(catalog.read(index, 64))
        assert x == pytest.approx(32, abs=0.5)
        assert y == pytest.approx(32, abs=0.5)


def test_a_change_comes_back_where_it_belongs(faces):
    folder, framing, places = faces
    data = EditData(folder, None, image_size=64, framing=framing)
    name = "x/b.png"
    before = data.catalog.read_named(name, 64)
    mouth = torch.from_numpy(blobs(framing.wanted[3:] * 64, 64, 64, 2.0)).permute(2, 0, 1) / 255
    patch = data.patch(name, before, before - 0.5 * mouth * before)
    photograph = finished([patch])
    change = folder.photograph(name).rgb().astype(int) - photograph.rgb()
    y, x = np.unravel_index(int(change[..., 0].argmax()), change.shape[:2])
    np.testing.assert_allclose([(x + 0.5) / 300, (y + 0.5) / 300], places[name][3], atol=0.02)
    shown, (after,) = data.shown(name, before, [before - 0.5 * mouth * before])
    assert shown.shape == after.shape == (3, VIEW, VIEW)
    assert torch.equal(data.original(name), shown)
    unchanged, (same,) = data.shown(name, before, [before])
    assert torch.equal(unchanged, same)


def test_two_changes_to_one_photograph_add_up(faces):
    folder, framing, _ = faces
    catalog = Framed(folder, framing)
    patch = catalog.patch("x/a.png", torch.full((3, 32, 32), 0.1))
    once, twice = finished([patch]).rgb().astype(int), finished([patch, patch]).rgb().astype(int)
    middle = (slice(90, 95), slice(90, 95))
    assert (twice - once)[middle].mean() == pytest.approx(
        (once - folder.photograph("x/a.png").rgb())[middle].mean(), abs=1
    )


def test_a_centre_frame_serves_what_the_catalog_serves(faces):
    folder, _, _ = faces
    plain, framed = (
        EditData(folder, None, image_size=48),
        EditData(folder, None, image_size=48, framing=CentreFraming()),
    )
    before = plain.catalog.read_named("x/b.png", 48)
    assert torch.equal(before, framed.catalog.read_named("x/b.png", 48))
    assert framed.catalog.fingerprint == plain.catalog.fingerprint
    assert framed.shown("x/b.png", before, [before])[0] is before
    assert plain.patch("x/b.png", before, before) is None
    assert finished([framed.patch("x/b.png", before, before)]).height == 300


def test_zoom_enlarges_faces(tmp_path):
    file = landmark_file(tmp_path / "faces.csv", {"a": FACE})
    plain, large = FaceFraming(file), FaceFraming(file, zoom=2.0)
    np.testing.assert_allclose(large.wanted - 0.5, 2 * (plain.wanted - 0.5), atol=1e-12)
    np.testing.assert_allclose(plain.wanted, FACE - FACE.mean(axis=0) + 0.5, atol=1e-12)


def test_other_landmarks_are_other_pictures(tmp_path, faces):
    folder, _, _ = faces
    moved = turned(FACE, 5, 1, (0, 0))
    files = [landmark_file(tmp_path / f"{i}.csv", {"a": points}) for i, points in enumerate((FACE, moved))]
    framings = [FaceFraming(files[0]), FaceFraming(files[1]), FaceFraming(files[0], zoom=1.5)]
    assert len({Framed(folder, framing).fingerprint for framing in framings} | {folder.fingerprint}) == 4


def test_a_face_that_nobody_knows_needs_a_detector(faces, tmp_path):
    folder, _, _ = faces
    framing = FaceFraming(landmark_file(tmp_path / "few.csv", {"z": FACE}))
    with pytest.raises(UserError, match="framing=center"):
        EditData(folder, None, framing=framing).catalog.read_named("x/a.png", 32)


def test_a_gzipped_file_is_the_same(tmp_path):
    plain = landmark_file(tmp_path / "faces.csv", {"a": FACE})
    packed = tmp_path / "faces.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert FaceFraming(plain).fingerprint == FaceFraming(packed).fingerprint


def test_the_landmarks_of_lfw_are_of_upright_faces_in_the_middle():
    framing = FaceFraming()
    assert len(framing.points) > 13_000
    left, right, nose, mouth = np.median(list(framing.points.values()), axis=0)
    assert left[0] < nose[0] < right[0]
    assert left[1] < nose[1] < mouth[1]
    np.testing.assert_allclose(nose, [0.5, 0.55], atol=0.03)
    np.testing.assert_allclose(framing.wanted.mean(axis=0), 0.5, atol=1e-9)
    assert framing.wanted[0][1] == pytest.approx(framing.wanted[1][1])


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
        FaceFraming(path)


def test_what_cannot_be_is_said(tmp_path):
    file = landmark_file(tmp_path / "faces.csv", {"a": FACE})
    with pytest.raises(UserError, match="there is no file of landmarks"):
        FaceFraming(tmp_path / "missing.csv")
    with pytest.raises(UserError, match="zoom"):
        FaceFraming(file, zoom=0)
    with pytest.raises(UserError, match="largest, all, or the number"):
        FaceFraming(file, faces="some")


@pytest.mark.parametrize(("points", "turn"), [
    ([[0, 0], [1, 0], [0.5, 0.6], [0.5, 1.2]], 0.0),  # from the front
    ([[0, 0], [1, 0], [0.8, 0.3], [0.5, 1.2]], 0.3),  # to the right of the picture
    ([[0, 0], [0, 2], [-1.2, 0.6], [-2.4, 1.0]], -0.2),  # lying on its side
])  # fmt: skip
def test_how_far_a_head_is_turned_is_told_by_its_nose(points, turn):
    assert head_turn(np.array(points, dtype=float)) == pytest.approx(turn)


class ThreeFaces:
    """Finds three faces in any picture, the largest first."""

    def __call__(self, rgb):
        points = np.array([[0.0, 0], [1, 0], [0.5, 0.6], [0.1, 1.1], [0.9, 1.1]])
        return [Face((10 - n) * points + 20 * n, (20.0 * n, 20.0 * n, 10.0 - n, 10.0 - n), 0.9) for n in range(3)]


def test_one_of_several_faces_is_named_by_its_number():
    photograph = Photograph.of_pixels(np.zeros((90, 90, 3), np.uint8))
    everyone = FaceFraming(detector=ThreeFaces(), faces="all").subjects("a", photograph)
    for number in (1, 2, 3):
        (one,) = FaceFraming(detector=ThreeFaces(), faces=number).subjects("a", photograph)
        np.testing.assert_array_equal(one.frame.place.matrix, everyone[number - 1].frame.place.matrix)
    with pytest.raises(ImageError, match="a shows no face number 4: 3 found"):
        FaceFraming(detector=ThreeFaces(), faces=4).subjects("a", photograph)


@pytest.mark.parametrize("faces", [0, -1, True, 1.5, "two", None])
def test_a_number_of_a_face_is_a_whole_one(faces):
    with pytest.raises(UserError, match="faces must be largest, all, or the number of a face"):
        FaceFraming(faces=faces)
