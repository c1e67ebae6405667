"""What tests and fault campaigns share: trainers that write nothing, and pictures of noise."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from pytorch_lightning import Trainer

quiet_trainer = partial(
    Trainer,
    accelerator="cpu",
    devices=1,
    logger=False,
    enable_checkpointing=False,
    enable_model_summary=False,
    enable_progress_bar=False,
)


def save_picture(path: Path, seed: int = 0, side: int = 16) -> Path:
    """Save noise as a picture file, the same for the same seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path
