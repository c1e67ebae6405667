"""A matplotlib figure -> a picture."""

import io

from matplotlib.figure import Figure
from PIL import Image

DOTS_PER_INCH = 110


def drawn(canvas: Figure) -> Image.Image:
    """A matplotlib figure as a picture."""
    file = io.BytesIO()
    canvas.savefig(file, dpi=DOTS_PER_INCH, format="png", bbox_inches="tight")
    return Image.open(file).convert("RGB")
