"""A picture -> the faces in it: where each lies, its eyes, nose and corners of the mouth, and how sure that is."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dmt.errors import UserError, is_number
from dmt.ranges import Share
from dmt.storage.downloads import download

POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")  # the person's own right and left
URL = "https://github.com/ShiqiYu/libfacedetection.train/raw/0047ac24/onnx/yunet_n_640_640.onnx"
SHA256 = "25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31"

# All numbers are ours, chosen by what FaceDetector's docstring reports
LOOKS = (  # for pictures longer than so many pixels, copies by longer side and quarter turns, until a face is found
    (0, ((192, 0), (640, 0))),
    (0, ((640, 1), (640, 3))),
    (640, ((1280, 0),)),
    (1280, ((2560, 0),)),
)
CANDIDATE = 0.3  # score from which on a place is looked at closely
MOST = 50  # places looked at closely
COARSE, FINE = (192, 96), (384, 256)  # sides in pixels of the copies for close looks, and of the face in them
FINER = 1.5  # times as fine as those copies is what they are sampled from
OVERLAP = 0.3  # of two finds, intersection over union, from which on they are one face
SURE = 0.9  # score below which a face is looked at from all sides
TURNS = (45, -45, 90, -90, 135, -135, 180)  # degrees
STILL = 5  # degrees by which another coarse look may turn the face
MOST_LOOKS = 5  # until then


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Args:
        points: ``(5, 2)`` of float64 in the order of ``POINTS``: pixels of the picture, x to the right and y down,
            (0, 0) is the top left corner of the top left pixel.
        box: ``(left, top, width, height)`` in the same pixels; it may reach beyond the picture.
        score: how sure it is, in [0, 1].
    """

    points: np.ndarray
    box: tuple[float, float, float, float]
    score: float

    @property
    def size(self) -> float:
        """Geometric mean of the box's sides, in pixels."""
        return float(np.sqrt(self.box[2] * self.box[3]))

    @property
    def center(self) -> np.ndarray:
        """Middle of the box, ``(2,)``."""
        left, top, width, height = self.box
        return np.array([left + width / 2, top + height / 2])

    @property
    def turn(self) -> float:
        """Degrees by which the line from the person's right eye to the left one is turned clockwise."""
        x, y = self.points[1] - self.points[0]
        return float(np.degrees(np.arctan2(y, x)))

    def moved(self, matrix: np.ndarray) -> "Face":
        """Where it lies after ``p -> matrix (p, 1)``, a similarity ``(2, 3)``; its box keeps its sides upright."""
        sides = np.array(self.box[2:]) * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        left, top = matrix @ [*self.center, 1] - sides / 2
        box = (float(left), float(top), float(sides[0]), float(sides[1]))
        return Face(self.points @ matrix[:, :2].T + matrix[:, 2], box, self.score)


@dataclass(frozen=True)
class FaceDetector:
    """Finds faces from 40 to 3000 pixels, in photographs of any size, however they are turned in the plane.

    The network is YuNet (Wu et al., Machine Intelligence Research 2023), by OpenCV. Ours is what surrounds it: copies
    of several sizes are looked at, since it knows faces of 10 to 300 pixels; then every place is looked at closely in
    a copy where the face is of one size and upright, since its points are exact only there. Faces smaller than a
    sixtieth of the picture's longer side are looked for only where there is no larger one.

    Measured: of 600 faces of LFW all are found at 250 pixels and 599 at 125, all of 200 at a width of 40 pixels, and of
    120 turned by 45, 90, 135 and 180 degrees 97 % or more. Of 2,000 animals and plants of Tiny-ImageNet 2 are taken
    for a face (an ape and a ladybird), with ``least_score=0.8`` 8; of scikit-image's photographs without a face none
    is. One thread takes 40 ms for a face in 250 pixels and 80 ms in 1280, 20 ms for each further face, and 160 ms to
    find none in 1280 pixels.

    A detector can be pickled and shared between threads and processes.

    Args:
        weights: the network's file, or its name in ``weights_dir``.
        weights_dir: where it is looked for, and downloaded to.
        url: where it can be downloaded from; ``None`` if nowhere.
        sha256: the start of the file's SHA-256.
        least_score: faces of a lower one are left out, in [0, 1].

    Raises:
        UserError: the least score is no number from 0 to 1.
    """

    weights: str | Path = "face_detection_yunet_n_640.onnx"
    weights_dir: str | Path = "~/.cache/dmt/weights"
    url: str | None = URL
    sha256: str = SHA256
    least_score: Share = 0.87

    def __post_init__(self) -> None:
        if not (is_number(self.least_score) and 0 <= self.least_score <= 1):
            raise UserError(f"least_score must be a number from 0 to 1, got {self.least_score!r}")

    def __call__(self, rgb: np.ndarray) -> list[Face]:
        """Faces of a picture ``(H, W, 3)`` of uint8, the largest first.

        Raises:
            UserError: OpenCV is not installed, or the network's file cannot be had or read.
        """
        if not (rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.dtype == np.uint8):
            raise UserError(f"faces are looked for in pictures (H, W, 3) of uint8, got {rgb.shape} of {rgb.dtype}")
        bgr = np.ascontiguousarray(rgb[:, :, ::-1])
        for least, looks in LOOKS:
            faces = self._faces(bgr, looks) if max(bgr.shape[:2]) > least else []
            if faces:
                return faces
        return []

    def _faces(self, bgr: np.ndarray, looks: Sequence[tuple[int, int]]) -> list[Face]:
        path = str(self.path)
        candidates = [face for side, quarters in looks for face in _seen(path, bgr, side, quarters)]
        close = (_close_look(path, bgr, face) for face in _distinct(candidates)[:MOST])
        faces = _distinct([face for face in close if face is not None and face.score >= self.least_score])
        return sorted(faces, key=lambda face: face.size, reverse=True)

    @cached_property
    def path(self) -> Path:
        """Where the network's file lies; it is downloaded if it lies nowhere."""
        folder = Path(self.weights_dir).expanduser()
        for candidate in (Path(self.weights).expanduser(), folder / self.weights):
            if candidate.is_file():
                return candidate
        remedy = f"put {self.weights} into {folder}, or name another folder: weights_dir=PATH"
        if self.url is None:
            raise UserError(f"the network that finds faces is missing: {remedy}")
        return download(self.url, folder / self.weights, self.sha256, remedy)


class _Networks(threading.local):
    """YuNet once per thread and use: one must not be shared, and making one, or of another size, costs a look."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str, int], Any] = {}

    def get(self, path: str, use: str) -> Any:
        """The network for one ``use``; made anew after a fork."""
        key = (path, use, os.getpid())
        if key not in self.made:
            self.made[key] = _network(path)
        return self.made[key]


_NETWORKS = _Networks()


def _network(path: str) -> Any:
    cv2 = _opencv()
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # 5.0 warns of what we did not ask for
    try:
        return cv2.FaceDetectorYN.create(path, "", (COARSE[0], COARSE[0]), CANDIDATE, OVERLAP)
    except cv2.error as error:
        raise UserError(f"{path} could not be read as the network that finds faces; fetch it again") from error
    finally:
        cv2.utils.logging.setLogLevel(level)


def _found(network: Any, bgr: np.ndarray) -> list[Face]:
    """What the network finds in a picture, in the picture's pixels."""
    size = (bgr.shape[1], bgr.shape[0])
    if tuple(network.getInputSize()) != size:
        network.setInputSize(size)
    rows = network.detect(np.ascontiguousarray(bgr))[1]
    return [] if rows is None else [_face(row) for row in rows.astype(float)]


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise UserError("finding faces needs OpenCV: pip install opencv-python-headless") from error
    return cv2


def _face(row: np.ndarray) -> Face:
    """One of YuNet's rows, ``(15,)``: box, five points, score."""
    left, top, width, height = row[:4].tolist()
    return Face(row[4:14].reshape(5, 2), (left, top, width, height), float(row[14]))


def _seen(path: str, bgr: np.ndarray, side: int, quarters: int) -> list[Face]:
    """Faces in a picture as a copy shows them.

    Args:
        path: of the network.
        bgr: the picture.
        side: the copy's longer side in pixels; the picture's, if that is less.
        quarters: turns of 90 degrees, anticlockwise, of the copy.
    """
    copy = _shrunk(bgr, side / max(bgr.shape[:2]))
    height, width = copy.shape[:2]
    found = _found(_NETWORKS.get(path, f"copies of {side}"), np.rot90(copy, quarters))
    back = np.array(
        {0: [[1, 0, 0], [0, 1, 0]], 1: [[0, -1, width], [1, 0, 0]], 3: [[0, 1, 0], [-1, 0, height]]}[quarters]
    )
    zoom = np.array(bgr.shape[1::-1]) / (width, height)
    return [face.moved(back * zoom[:, None]) for face in found]


def _shrunk(bgr: np.ndarray, scale: float) -> np.ndarray:
    """A copy ``scale`` times as large; the picture itself from 1 on."""
    if scale >= 1:
        return bgr
    height, width = (max(1, round(scale * side)) for side in bgr.shape[:2])
    return _opencv().resize(bgr, (width, height), interpolation=_opencv().INTER_AREA)


def _close_look(path: str, bgr: np.ndarray, found: Face) -> Face | None:
    """The face at a place, as seen where it is upright and of one size; ``None`` if there is none.

    Coarse looks turn it upright. The fine one and its mirror image say where the points are: at 96 pixels YuNet gives
    all mouths nearly one width, at 256 that tells smiles from frowns (AUC .80 and .98 on 300 faces of LFW).
    """
    face = _coarse_look(path, bgr, found, 0)
    if face is None or face.score < SURE:
        looks = [face, *(_coarse_look(path, bgr, found, turn) for turn in TURNS)]
        face = max((look for look in looks if look is not None), key=lambda look: look.score, default=None)
    for _ in range(MOST_LOOKS):
        if face is None:
            return None
        before, face = face, _coarse_look(path, bgr, face, face.turn)
        if face is not None and abs(_degrees(face.turn - before.turn)) < STILL:
            break
    return None if face is None else _fine_look(path, bgr, face)


def _coarse_look(path: str, bgr: np.ndarray, found: Face, turn: float) -> Face | None:
    copy, place = _turned(bgr, found, turn, COARSE)
    face = _middle(path, copy, COARSE)
    return None if face is None else face.moved(place)


def _fine_look(path: str, bgr: np.ndarray, found: Face) -> Face | None:
    """The mean of what is seen in a finer copy and in its mirror image; the score is the lowest of all."""
    copy, place = _turned(bgr, found, found.turn, FINE)
    face, mirrored = _middle(path, copy, FINE), _middle(path, copy[:, ::-1], FINE)
    if face is None or mirrored is None:
        return None
    back = mirrored.moved(np.array([[-1.0, 0, FINE[0]], [0, 1, 0]]))
    points = (face.points + back.points[[1, 0, 2, 4, 3]]) / 2
    left, top, width, height = ((np.array(face.box) + back.box) / 2).tolist()
    score = min(found.score, face.score, mirrored.score)
    return Face(points, (left, top, width, height), score).moved(place)


def _turned(bgr: np.ndarray, found: Face, turn: float, sides: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A copy of a place, turned so that a face turned by ``turn`` degrees is upright.

    Args:
        bgr: the picture.
        found: the face in its middle.
        turn: degrees, clockwise.
        sides: of the copy and of the face in it.

    Returns:
        The copy, and the similarity ``(2, 3)`` from its pixels to those of the picture.
    """
    side, face = sides
    scale = face / found.size
    cosine, sine = np.cos(np.radians(turn)) / scale, np.sin(np.radians(turn)) / scale
    linear = np.array([[cosine, -sine], [sine, cosine]])
    place = np.column_stack([linear, found.center - linear.sum(axis=1) * side / 2])
    return _sampled(bgr, place, side, scale), place


def _middle(path: str, copy: np.ndarray, sides: tuple[int, int]) -> Face | None:
    """The face that a close look was to see: neither beside the middle nor much larger or smaller."""
    side, size = sides
    near = [
        face
        for face in _found(_NETWORKS.get(path, f"close looks at {side}"), copy)
        if np.abs(face.center - side / 2).max() < size / 2 and size / 2 < face.size < size * 2
    ]
    return max(near, key=lambda face: face.score, default=None)


def _degrees(angle: float) -> float:
    """The same angle from -180 to 180."""
    return (angle + 180) % 360 - 180


def _sampled(bgr: np.ndarray, place: np.ndarray, side: int, scale: float) -> np.ndarray:
    """The square that shows at q what the picture shows at ``place (q, 1)``, without aliasing.

    Args:
        bgr: the picture.
        place: ``(2, 3)``, pixels of the square to those of the picture, both from the top left corner.
        side: of the square, in pixels.
        scale: pixels of the square per pixel of the picture.
    """
    cv2 = _opencv()
    corners = place @ [[0, side, side, 0], [0, 0, side, side], [1, 1, 1, 1]]
    size = np.array(bgr.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=1)).astype(int), 0, size - 1)
    high = np.clip(np.ceil(corners.max(axis=1)).astype(int), low + 1, size)
    part = bgr[low[1] : high[1], low[0] : high[0]]
    copy = _shrunk(part, FINER * scale)
    zoom = np.array(copy.shape[1::-1]) / (high - low)
    matrix = (place - np.column_stack([np.zeros((2, 2)), low])) * zoom[:, None]
    matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5  # OpenCV counts from the middle of the first pixel
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(copy, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _distinct(faces: Sequence[Face]) -> list[Face]:
    """Without those that overlap another of a higher score; the surest first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if all(_overlap(face, other) < OVERLAP for other in kept):
            kept.append(face)
    return kept


def _overlap(face: Face, other: Face) -> float:
    """Intersection over union of their boxes."""
    first, second = np.array(face.box), np.array(other.box)
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[:2] + first[2:], second[:2] + second[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return float(shared / (first[2:].prod() + second[2:].prod() - shared))
