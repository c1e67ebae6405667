"""Rows of pictures -> one labelled picture."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SMALLEST = 96  # pixels; smaller pictures are enlarged so that their labels fit
GAP = 4


def labelled_grid(
    rows: Sequence[Sequence[np.ndarray]], row_labels: Sequence[str], column_labels: Sequence[str]
) -> Image.Image:
    """Lay pictures out in a grid with a label left of every row and above every column.

    Args:
        rows: pictures ``(H, W, 3)`` of uint8, all of one size; rows may be shorter than the first.
        row_labels: one per row.
        column_labels: one per column; of too long ones the end is kept, where names differ.
    """
    height, width = rows[0][0].shape[:2]
    factor = max(1, -(-SMALLEST // min(height, width)))
    height, width = height * factor, width * factor
    font = ImageFont.load_default(size=12)
    left = GAP + max(int(font.getlength(line)) for label in row_labels for line in label.split("\n")) + GAP
    top = 22
    grid = Image.new("RGB", (left + len(rows[0]) * (width + GAP), top + len(rows) * (height + GAP)), "white")
    draw = ImageDraw.Draw(grid)
    for column, label in enumerate(column_labels):
        draw.text((left + column * (width + GAP), 4), cut(label, width, font, keep_end=True), "black", font)
    for row, (pictures, label) in enumerate(zip(rows, row_labels, strict=True)):
        y = top + row * (height + GAP)
        draw.multiline_text((GAP, y + height // 2), label, "black", font, anchor="lm")
        for column, picture in enumerate(pictures):
            tile = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)
            grid.paste(tile, (left + column * (width + GAP), y))
    return grid


def stacked(grids: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other, all at the left."""
    *tops, height = accumulate((grid.height for grid in grids), initial=0)
    whole = Image.new("RGB", (max(grid.width for grid in grids), height), "white")
    for grid, top in zip(grids, tops, strict=True):
        whole.paste(grid, (0, top))
    return whole


def cut(label: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, *, keep_end: bool = False) -> str:
    """The label, shortened to a width in pixels; ``…`` stands for its end, or for its beginning."""
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(label + "…") > width:
        label = label[1:] if keep_end else label[:-1]
    return f"…{label}" if keep_end else f"{label}…"
