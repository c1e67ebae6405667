"""Input and result -> the face in them, measured: how wide the mouth is, how high its corners, how turned the head."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from dmt.data.faces import Face
from dmt.data.images import to_pixels

NUMBERS = ("width", "corners", "turn")


def geometry(points: np.ndarray) -> dict[str, float]:
    """Three numbers of a face; the unit is the distance of its eyes, so that its size, place and tilt do not matter.

    With x from the person's right eye to the left one and y at right angles to it, downwards, both from the middle
    between the eyes:

    - ``width``: the distance of the mouth's corners. A smile widens it, a head turned to the side narrows eyes and
      mouth alike, and a closer camera changes little.
    - ``corners``: the y of the nose less that of the corners' middle, below 0; a smile lifts the corners, so that it
      rises. A head that nods changes it, too.
    - ``turn``: the x of the nose, 0 for a face seen from the front, above 0 if the nose points to the right in the
      picture (to the person's left).

    Ours: what the five points that a detector gives can say; the gap between the lips would need points of the lips.

    >>> geometry(np.array([[10, 10], [30, 10], [22, 20], [12, 30], [28, 30]]))
    {'width': 0.8, 'corners': -0.5, 'turn': 0.1}

    Args:
        points: ``(5, 2)``, right eye, left eye, nose, right and left corner of the mouth, as ``dmt.data.Face`` has
            them.

    Returns:
        Number by name; all are nan if the eyes lie at one place.
    """
    right_eye, left_eye, nose, right_corner, left_corner = points.astype(float) @ [1, 1j]
    eyes = left_eye - right_eye
    if eyes == 0:
        return dict.fromkeys(NUMBERS, float("nan"))
    middle = (right_eye + left_eye) / 2
    of_nose, of_mouth = (nose - middle) / eyes, ((right_corner + left_corner) / 2 - middle) / eyes
    values = (abs(left_corner - right_corner) / abs(eyes), of_nose.imag - of_mouth.imag, of_nose.real)
    return {name: float(value) for name, value in zip(NUMBERS, values, strict=True)}


@dataclass(frozen=True)
class GeometryJudge:
    """The numbers of ``geometry`` before and after: ``NAME_width_before``, ``NAME_width_after``, and so on.

    They are nan where no face is found. Of several faces the one nearest the middle of the picture counts.

    Args:
        detector: maps pictures ``(H, W, 3)`` of uint8 to faces, such as ``dmt.data.FaceDetector``.
    """

    detector: Callable[[np.ndarray], Sequence[Face]]
    may_say_nan: ClassVar[bool] = True
    looks_at_one: ClassVar[bool] = True

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        sides = {"before": [self._read(image) for image in before], "after": [self._read(image) for image in after]}
        return {
            f"{name}_{number}_{side}": np.array([found[number] for found in sides[side]], dtype=float)
            for number in NUMBERS
            for side in sides
        }

    def _read(self, image: Tensor) -> dict[str, float]:
        middle = np.array([image.shape[2], image.shape[1]]) / 2
        faces = self.detector(to_pixels(image))
        nearest = min(faces, key=lambda face: float(np.linalg.norm(face.center - middle)), default=None)
        return dict.fromkeys(NUMBERS, float("nan")) if nearest is None else geometry(nearest.points)
