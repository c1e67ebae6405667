"""Edits -> the best and the worst of them, and sheets that show them."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dmt.editing.records import Record
from dmt.reporting.grids import GAP, cut

Pair = tuple[np.ndarray, np.ndarray]
LINE = 18  # pixels of a caption's line
TITLE = 26


def rank(records: Sequence[Record], n: int | None = None, worst: bool = False) -> list[Record]:
    """Order the edits of one case, method and lambda: flipped ones first, then by falling identity, failed ones last.

    An edit without identity comes after those that have one; edits that are equal stay in their order.

    Args:
        records: of one case, method and lambda.
        n: how many; all by default.
        worst: from the worst up instead of from the best down.

    Raises:
        ValueError: the records are of several cases, methods or lambdas.
    """
    slices = {(record["case"], record["method"], str(record["lambda"])) for record in records}
    if len(slices) > 1:
        raise ValueError(f"edits of one case, method and lambda can be ranked, got {sorted(slices)}")
    ordered = sorted(records, key=_merit)
    return (ordered[::-1] if worst else ordered)[:n]


def _merit(record: Record) -> tuple[bool, bool, float]:
    identity = float(record.get("identity", math.nan))
    failed = bool(record.get("failed", False))
    flipped = not failed and float(record["flipped"]) == 1
    return failed, not flipped, math.inf if math.isnan(identity) else -identity


def contact_sheet(images: Sequence[Pair], captions: Sequence[str], columns: int = 4, title: str = "") -> Image.Image:
    """Lay out pairs of input and result, ``columns`` in a row, each with one line below it.

    Args:
        images: input and result, ``(H, W, 3)`` of uint8, all of one size.
        captions: one per pair; too long ones are cut.
        columns: pairs in a row.
        title: above all.

    Raises:
        ValueError: there are no pairs, or not a caption for each.
    """
    if not images or len(images) != len(captions):
        raise ValueError(
            f"a sheet needs pairs with a caption each, got {len(images)} pairs and {len(captions)} captions"
        )
    height, width = images[0][0].shape[:2]
    cell_width, cell_height = 2 * width + 3 * GAP, height + LINE + 2 * GAP
    columns = min(columns, len(images))
    size = GAP + columns * cell_width, TITLE + -(-len(images) // columns) * cell_height
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(size=14), ImageFont.load_default(size=11)
    draw.text((GAP, GAP), cut(title, size[0] - 2 * GAP, large), "black", large)
    for place, (pair, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = GAP + place % columns * cell_width, TITLE + place // columns * cell_height
        sheet.paste(Image.fromarray(np.hstack(pair)), (x, y))
        draw.text((x, y + height + 2), cut(caption, 2 * width, small), "black", small)
    return sheet
