"""Landmarks of faces -> pictures in which all faces lie alike, and what changed there put back where it came from."""

import csv
import gzip
import hashlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from dmt.data.catalogs import Catalog
from dmt.errors import UserError, is_number

log = logging.getLogger(__name__)

POINTS = ("left_eye", "right_eye", "nose", "mouth")
COLUMNS = ("name", *(f"{point}_{axis}" for point in POINTS for axis in "xy"))


@dataclass(frozen=True)
class Similarity:
    """``p -> matrix p + offset``: a turn, a change of scale and a shift, in shares of a picture's sides.

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
    def inverse(self) -> "Similarity":
        """The way back."""
        matrix = np.linalg.inv(self.matrix)
        return Similarity(matrix, -matrix @ self.offset)

    def sampled(self, image: Tensor, beyond: str) -> Tensor:
        """The picture that shows, at every place p, what ``image (3, H, W)`` shows at ``matrix p + offset``.

        Args:
            image: bicubically read.
            beyond: what lies beyond its borders, ``reflection`` or ``zeros``.
        """
        theta = np.concatenate([self.matrix, (2 * self.offset + self.matrix.sum(axis=1) - 1)[:, None]], axis=1)
        grid = affine_grid(torch.from_numpy(theta[None]).to(image), [1, *image.shape], align_corners=False)
        return grid_sample(image[None], grid, mode="bicubic", padding_mode=beyond, align_corners=False)[0]


class Alignment:
    """Where the faces of pictures lie, and where they ought to.

    Ours: the mean of all known faces, upright and in the middle, so that a difference of means is one of features and
    not of places. Deep Feature Interpolation (Upchurch et al., CVPR 2017, section 4.1) aligns its sets, too.

    Args:
        landmarks: a CSV file, gzipped or not, with a header and the columns ``name, left_eye_x, left_eye_y,
            right_eye_x, ..., nose_x, ..., mouth_x, mouth_y``: shares of the picture's width and height, from the top
            left; left is where the picture shows it, the mouth is the middle between its corners.
        zoom: how much larger a face becomes than the mean face of the file is.

    Raises:
        UserError: the file is missing or of another form, or the zoom is no number above 0.
    """

    def __init__(self, landmarks: str | Path, zoom: float = 1.0):
        if not (is_number(zoom) and zoom > 0):
            raise UserError(f"the zoom of an alignment must be a number above 0, got {zoom!r}")
        self.zoom = zoom
        self.points = _read(Path(landmarks).expanduser())
        mean = np.mean(list(self.points.values()), axis=0)
        upright = _symmetric(mean)
        self.wanted = 0.5 + zoom * (upright - upright.mean(axis=0))
        places = b"".join(name.encode() + self.points[name].tobytes() for name in sorted(self.points))
        self.fingerprint = hashlib.sha256(self.wanted.tobytes() + places).hexdigest()[:16]

    @classmethod
    def of_lfw(cls, zoom: float = 1.0) -> "Alignment":
        """That of Labeled Faces in the Wild; its landmarks come with the package (docs/alignment.md)."""
        return cls(Path(__file__).with_name("lfw_landmarks.csv.gz"), zoom)

    def place(self, name: str) -> Similarity | None:
        """From places in the aligned picture to those in the picture itself; ``None`` if its face is not known."""
        points = self.points.get(name)
        return None if points is None else Similarity.between(self.wanted, points)


class Aligned:
    """A catalog whose pictures show faces alike; one whose face is not known stays as it is.

    Args:
        catalog: the pictures.
        alignment: where their faces lie.
    """

    def __init__(self, catalog: Catalog, alignment: Alignment):
        self.catalog = catalog
        self.alignment = alignment
        self.names: Sequence[str] = catalog.names
        self.groups: Sequence[str] = catalog.groups
        self.labels: Sequence[str] = catalog.labels
        self.fingerprint = f"{catalog.fingerprint}-{alignment.fingerprint}"
        self.is_validation = catalog.is_validation
        self.kinds = catalog.kinds
        self.title = catalog.title

    def read(self, index: int, size: int) -> Tensor:
        return self._aligned(self.catalog.read(index, size), self.names[index])

    def read_named(self, name: str, size: int) -> Tensor:
        return self._aligned(self.catalog.read_named(name, size), self._own_name(name))

    def index(self, name: str) -> int | None:
        return self.catalog.index(name)

    def group(self, name: str) -> str | None:
        return self.catalog.group(name)

    def scores(self, label: str) -> np.ndarray:
        return self.catalog.scores(label)

    def as_it_is(self, name: str, size: int) -> Tensor:
        """A picture that was asked for by name or path, not aligned."""
        return self.catalog.read_named(name, size)

    def put_back(self, name: str, original: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """The original with what changed in its aligned picture, where it came from.

        Only the change is turned back, so that what did not change is not blurred by being sampled twice.

        Args:
            name: of the picture.
            original: ``(3, H, W)`` in [0, 1], not aligned.
            before: the aligned picture.
            after: what became of it.
        """
        place = self.alignment.place(self._own_name(name))
        change = after - before
        return (original + (change if place is None else place.inverse.sampled(change, "zeros"))).clamp(0, 1)

    def _own_name(self, name: str) -> str:
        index = self.catalog.index(name)
        return name if index is None else self.names[index]

    def _aligned(self, image: Tensor, name: str) -> Tensor:
        place = self.alignment.place(name)
        return image if place is None else place.sampled(image, "reflection").clamp(0, 1)


def _symmetric(points: np.ndarray) -> np.ndarray:
    """The mean of ``(4, 2)`` points, in the order of ``POINTS``, and of their mirror image about x = 0."""
    centred = points - [points[:2, 0].mean(), 0]
    return (centred + centred[[1, 0, 2, 3]] * [-1, 1]) / 2


def _read(path: Path) -> Mapping[str, np.ndarray]:
    """Name -> ``(4, 2)``."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(
            f"there is no file of landmarks {path}; see docs/alignment.md, or set data.alignment=null"
        ) from error
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
