"""Faces are found where they are: a known picture, made larger and smaller, moved, turned, cut and doubled."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skimage.data
from PIL import Image

from dmt.data.faces import Face, FaceDetector
from dmt.errors import UserError

cv2 = pytest.importorskip("cv2")

FILE = "face_detection_yunet_n_640.onnx"
# Read off by eye in an enlarged copy of skimage.data.astronaut(), in pixels from the top left corner
ASTRONAUT = np.array([[202, 102], [248, 104], [223, 125], [205, 144], [243, 145]])


@pytest.fixture(scope="module")
def detector(weights_dir) -> FaceDetector:
    if not (weights_dir / FILE).is_file():
        pytest.skip(f"{weights_dir} has no {FILE}")
    return FaceDetector(weights_dir=weights_dir, url=None)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()
