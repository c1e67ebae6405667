"""A matplotlib figure -> a picture, or a page for print."""

import io

from matplotlib.figure import Figure
from PIL import Image

DOTS_PER_INCH = 110


def drawn(canvas: Figure) -> Image.Image:
    """A matplotlib figure as a picture."""
    file = io.BytesIO()
    canvas.savefig(file, dpi=DOTS_PER_INCH, format="png", bbox_inches="tight")
    return Image.open(file).convert("RGB")


def drawn_pdf(canvas: Figure) -> bytes:
    """A matplotlib figure as a PDF, the same bytes for the same figure."""
    file = io.BytesIO()
    canvas.savefig(file, format="pdf", bbox_inches="tight", metadata={"CreationDate": None})
    return file.getvalue()
