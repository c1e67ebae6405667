"""Flat pictures, where they lie in a grid, and edits of them."""

import numpy as np
import torch

from dmt.editing.records import EditedImage

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255)]


def tile(colour, height=100, width=100):
    return np.full((height, width, 3), colour, dtype=np.uint8)


def box(grid, colour):
    """Left, top, width and height of all that has the colour; it must fill its box."""
    mask = (np.asarray(grid) == colour).all(axis=2)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top, width, height = columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1
    assert mask.sum() == width * height, "something lies on the picture"
    return int(left), int(top), int(width), int(height)


def edited(name="a", before=0.25, after=0.5, side=100, **record):
    """An edit from one grey to another, or from one colour to another."""

    def filled(value):
        return torch.zeros(3, side, side) + torch.as_tensor(value, dtype=torch.float32).reshape(-1, 1, 1)

    return EditedImage(name, filled(before), filled(after), {"image": name, "psnr": 12.5, **record})
