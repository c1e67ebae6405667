"""A photograph of any size -> the square that an edit sees, and what changed there put back where it came from."""

import csv
import gzip
import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from dmt.data.faces import Face, FaceDetector
from dmt.data.images import ImageError
from dmt.data.photographs import Photograph
from dmt.errors import UserError, is_number
from dmt.ranges import Positive

POINTS = ("left_eye", "right_eye", "nose", "mouth")
COLUMNS = ("name", *(f"{point}_{axis}" for point in POINTS for axis in "xy"))
EDGE = 0.125  # of a frame's side: along its border a change fades to nothing (ours)
SEARCH = 1600  # pixels: the longer side of the copy that faces are looked for in (ours)
VIEW = 250  # pixels: the side of LFW's own pictures, in which a face is shown and judged


@dataclass(frozen=True)
class Similarity:
    """``p -> matrix p + offset``: a turn, a change of scale and a shift.

    Args:
        matrix: ``(2, 2)``.
        offset: ``(2,)``.
    """

    matrix: np.ndarray
    offset: np.ndarray

    @classmethod
    def between(cls, points: np.ndarray, others: np.ndarray) -> "Similarity":
        """The one that takes ``points (n, 2)`` nearest to ``others (n, 2)`` (least squares; Umeyama, PAMI 1991)."""
        first, second = (part - part.mean(axis=0) for part in (points, others))
        as_complex, target = first @ [1, 1j], second @ [1, 1j]
        turn = np.vdot(as_complex, target) / np.vdot(as_complex, as_complex).real
        matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
        return cls(matrix, others.mean(axis=0) - matrix @ points.mean(axis=0))

    @property
    def scale(self) -> float:
        """How much longer lines become."""
        return float(np.hypot(*self.matrix[:, 0]))

    @property
    def inverse(self) -> "Similarity":
        """The way back."""
        matrix = np.linalg.inv(self.matrix)
        return Similarity(matrix, -matrix @ self.offset)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Points ``(..., 2)``."""
        return points @ self.matrix.T + self.offset


@dataclass(frozen=True)
class Frame:
    """A square in a photograph, which may be turned and reach beyond its borders.

    Args:
        place: from the square, whose corners are (0, 0) and (1, 1), to the photograph's pixels; its top left corner is
            (0, 0), x runs to the right, y down.
    """

    place: Similarity

    @property
    def side(self) -> float:
        """In the photograph's pixels."""
        return self.place.scale

    def sampled(self, photograph: Photograph, size: int) -> Tensor:
        """What the square shows, ``(3, size, size)`` in [0, 1], straight from the photograph's own pixels.

        Bicubic; where pixels become fewer, each new one is the mean of a grid of samples as dense as the old pixels.
        Beyond the photograph's borders it is continued by reflection.
        """
        step = self.side / size
        shrunk = max(1, int(step / 2))  # by boxes; the last halving is the samples'
        left, top, right, bottom = self._box(photograph, 4 * max(1, math.ceil(step)))
        picture = Image.fromarray(photograph.rgb(top, left, bottom - top, right - left))
        region = np.asarray(picture if shrunk == 1 else picture.reduce(shrunk), dtype=np.float32)
        image = torch.from_numpy(region).permute(2, 0, 1) / 255
        x, y = self._grid(size, samples := max(1, round(step / shrunk)))
        points = self.place(np.stack([x, y], axis=-1))
        found = _read(image, (points - [left, top]) / shrunk, "reflection")
        return avg_pool2d(found, samples)[0].clamp(0, 1)

    def put_back(self, photograph: Photograph, change: Tensor, fading: float = EDGE) -> Photograph:
        """The photograph with a change of what the square shows: only the change is sampled, the rest stays as it is.

        Args:
            photograph: whose square was sampled.
            change: ``(3, size, size)``, differences of values in [0, 1].
            fading: the share of the side over which the change fades to nothing towards those borders of the square
                that the photograph goes on beyond.
        """
        left, top, right, bottom = self._box(photograph, 1)
        samples = math.ceil(change.shape[-1] / self.side)  # of a frame with more pixels than the photograph has there
        x = left + (np.arange((right - left) * samples) + 0.5) / samples
        y = top + (np.arange((bottom - top) * samples) + 0.5) / samples
        points = self.place.inverse(np.stack(np.meshgrid(x, y), axis=-1))
        weights = torch.from_numpy(self._weights(points, photograph, fading)).float()
        found = _read(change, points * change.shape[-1], "border") * weights
        found = avg_pool2d(found, samples)[0].permute(1, 2, 0)
        return photograph.changed(found.numpy(), top, left)

    def _weights(self, points: np.ndarray, photograph: Photograph, fading: float) -> np.ndarray:
        """How much of a change counts at points ``(..., 2)`` of the square: 0 outside it, 1 well within."""
        limits = np.array([photograph.width, photograph.height])
        corners = self.place(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
        beyond = [
            bool((side < 0.5).all(axis=0).any() or (side > limits - 0.5).all(axis=0).any())
            for side in (corners[[0, 3]], corners[[0, 1]], corners[[1, 2]], corners[[3, 2]])
        ]
        distances = np.stack([points[..., 0], points[..., 1], 1 - points[..., 0], 1 - points[..., 1]])
        inside = (distances > 0).all(axis=0)
        rises = [
            np.ones(points.shape[:-1]) if ends or fading == 0 else np.clip(distance / fading, 0, 1)
            for distance, ends in zip(distances, beyond, strict=True)
        ]
        ramp = np.prod([rise * rise * (3 - 2 * rise) for rise in rises], axis=0)
        return ramp * inside

    def _box(self, photograph: Photograph, margin: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the part of the photograph that the square covers, and a little more."""
        corners = self.place(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
        limits = np.array([photograph.width, photograph.height])
        low = np.clip(np.floor(corners.min(axis=0)).astype(int) - margin, 0, limits - 1)
        high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + margin, low + 1, limits)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _grid(self, size: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
        ticks = (np.arange(size * samples) + 0.5) / (size * samples)
        x, y = np.meshgrid(ticks, ticks)
        return x, y


def _read(image: Tensor, points: np.ndarray, beyond: str) -> Tensor:
    """``image (3, h, w)`` at points ``(H, W, 2)`` in its pixels, bicubically: ``(1, 3, H, W)``."""
    sides = torch.tensor([image.shape[2], image.shape[1]], dtype=torch.float64)
    grid = (torch.from_numpy(np.ascontiguousarray(points)) * 2 / sides - 1).float()
    return grid_sample(image[None], grid[None], mode="bicubic", padding_mode=beyond, align_corners=False)


@dataclass(frozen=True)
class Subject:
    """One thing in a photograph that is edited.

    Args:
        frame: the square that the edit sees.
        view: the square in which it is shown and judged; ``None``: the same.
        turn: how far a head is turned, as ``head_turn``; ``None``: it is no head.
    """

    frame: Frame
    view: Frame | None = None
    turn: float | None = None


class Framing(Protocol):
    """Where in a photograph the things to edit lie."""

    fingerprint: str
    """Changes with the pictures that it makes."""
    whole: bool
    """Whether the squares are those that a catalog serves anyway."""

    def subjects(self, name: str, photograph: Photograph) -> list[Subject]:
        """What there is to edit in a photograph, the most important first.

        Raises:
            ImageError: nothing.
        """


class CentreFraming:
    """The largest square in the middle of a photograph."""

    fingerprint = "centre"
    whole = True

    def subjects(self, name: str, photograph: Photograph) -> list[Subject]:
        side = min(photograph.width, photograph.height)
        corner = np.array([photograph.width - side, photograph.height - side]) / 2
        return [Subject(Frame(Similarity(side * np.eye(2), corner)))]


class FaceFraming:
    """Faces, turned upright and brought to one place and size.

    Ours: eyes, nose and mouth come to where they lie in the mean of all known faces, upright and in the middle, so that
    a difference of means is one of features and not of places. Deep Feature Interpolation (Upchurch et al., CVPR 2017,
    section 4.1) aligns its sets, too.

    Args:
        landmarks: a CSV file, gzipped or not, with a header and the columns ``name, left_eye_x, left_eye_y,
            right_eye_x, ..., nose_x, ..., mouth_x, mouth_y``: shares of the picture's width and height, from the top
            left; left is where the picture shows it, the mouth is the middle between its corners. The faces of other
            pictures are looked for. ``None``: LFW's, which come with the package (docs/faces.md).
        detector: finds faces; ``None``: pictures that the file does not name cannot be edited.
        zoom: how much larger a face is in the square than the mean face of the file is in its picture.
        faces: of a picture that shows several: ``largest``, ``all``, or one by its number, the largest being 1.

    Raises:
        UserError: the file is missing or of another form, the zoom is no number above 0, or ``faces`` is none of
            these.
    """

    whole = False

    def __init__(
        self,
        landmarks: str | Path | None = None,
        detector: FaceDetector | None = None,
        zoom: Positive = 1.0,
        faces: str | int = "largest",
    ):
        if not (is_number(zoom) and zoom > 0):
            raise UserError(f"the zoom of a frame must be a number above 0, got {zoom!r}")
        is_numbered = isinstance(faces, int) and not isinstance(faces, bool) and faces >= 1
        if not is_numbered and faces not in ("largest", "all"):
            raise UserError(f"faces must be largest, all, or the number of a face, 1 being the largest, got {faces!r}")
        own = Path(__file__).with_name("lfw_landmarks.csv.gz")
        self.points = read_landmarks(own if landmarks is None else Path(landmarks).expanduser())
        self.detector = detector
        self.zoom = zoom
        self.faces = faces
        mean = np.mean(list(self.points.values()), axis=0)
        upright = _symmetric(mean)
        self._shape = upright - upright.mean(axis=0)
        self.wanted = 0.5 + zoom * self._shape
        places = b"".join(name.encode() + self.points[name].tobytes() for name in sorted(self.points))
        self.fingerprint = hashlib.sha256(self.wanted.tobytes() + places).hexdigest()[:16]

    def subjects(self, name: str, photograph: Photograph) -> list[Subject]:
        known = self.points.get(name)
        if known is not None:
            return [self._subject(known * [photograph.width, photograph.height])]
        return [self._subject(_four(face)) for face in self._found(name, photograph)]

    def _subject(self, points: np.ndarray) -> Subject:
        frame = Frame(Similarity.between(self.wanted, points))
        return Subject(frame, Frame(Similarity.between(0.5 + self._shape, points)), head_turn(points))

    def _found(self, name: str, photograph: Photograph) -> list[Face]:
        if self.detector is None:
            raise ImageError(f"{name}: no landmarks of its face are known, nor a detector; framing=center goes without")
        small, scale = photograph.reduced(SEARCH)
        faces = self.detector(small)
        if not faces:
            raise ImageError(
                f"no face was found in {name}; give a picture that shows one, or framing=center to edit the middle of "
                "the picture as it is"
            )
        found = [Face(face.points / scale, _scaled(face.box, 1 / scale), face.score) for face in faces]
        if self.faces == "all":
            return found
        number = self.faces if isinstance(self.faces, int) else 1
        if number > len(found):
            raise ImageError(f"{name} shows no face number {number}: {len(found)} found; faces=1 is the largest")
        return [found[number - 1]]


def head_turn(points: np.ndarray) -> float:
    """How far a head is turned to the side, from its points ``(4, 2)`` in the order of ``POINTS`` (ours).

    How far the nose lies from the middle of eyes and mouth along the line of the eyes, in distances of the eyes: 0 from
    the front, above 0 towards the right of the picture. Of LFW's heads 95 % lie within .34.

    >>> round(head_turn(np.array([[0, 0], [1, 0], [0.8, 0.3], [0.5, 1.2]])), 2)
    0.3
    """
    left, right, nose, mouth = points
    line, middle = right - left, (left + right) / 2
    return float((nose - (middle + mouth) / 2) @ line / (line @ line))


def _scaled(box: tuple[float, float, float, float], factor: float) -> tuple[float, float, float, float]:
    left, top, width, height = (factor * value for value in box)
    return left, top, width, height


def _four(face: Face) -> np.ndarray:
    """The points ``(4, 2)`` of a face, as ``POINTS``: a smile moves the mouth's corners, not their middle."""
    right_eye, left_eye, nose, right_corner, left_corner = face.points  # the person's right is the picture's left
    return np.stack([right_eye, left_eye, nose, (right_corner + left_corner) / 2])


def _symmetric(points: np.ndarray) -> np.ndarray:
    """The mean of ``(4, 2)`` points, in the order of ``POINTS``, and of their mirror image about x = 0."""
    centred = points - [points[:2, 0].mean(), 0]
    return (centred + centred[[1, 0, 2, 3]] * [-1, 1]) / 2


@lru_cache(maxsize=4)
def read_landmarks(path: Path) -> Mapping[str, np.ndarray]:
    """Name -> ``(4, 2)``, shares of a picture's sides; see ``FaceFraming``.

    Raises:
        UserError: the file is missing or of another form.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"there is no file of landmarks {path}; LFW's come with the package: landmarks=null") from error
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
        rows = csv.DictReader(io.StringIO(text), strict=True)
        points = {
            row["name"]: np.array([float(row[column]) for column in COLUMNS[1:]]).reshape(len(POINTS), 2)
            for row in rows
        }
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path} is no file of landmarks ({error}); it needs the columns {', '.join(COLUMNS)}"
        ) from error
    if not points or not all(np.isfinite(places).all() and np.ptp(places) > 0 for places in points.values()):
        raise UserError(f"{path} lists no faces, or some whose places are no numbers or all the same")
    return points
