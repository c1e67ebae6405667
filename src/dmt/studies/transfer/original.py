"""The 148 runs that Yosinski et al. logged in 2014, which come with the package -> a table like that of our own runs.

The numbers were read from the training logs that the authors published. Of man_made_natural, A is natural (449 classes)
and B man-made (551). The networks of 1000 classes have one task, here called A.
"""

import csv
import math
from pathlib import Path

import pandas as pd

from dmt.studies.transfer.rows import checked, frame_of

RUNS = Path(__file__).with_name("yosinski2014_runs.csv")
CLASSES = {
    ("random", "A"): 500,
    ("random", "B"): 500,
    ("man_made_natural", "A"): 449,
    ("man_made_natural", "B"): 551,
    ("all_1000", "A"): 1000,
}
LAYERS = ("", "conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
LEARNT = 0.99  # a training loss above this share of ln(classes) is that of guessing (ours; see the paper's footnote 5)


def original_runs() -> pd.DataFrame:
    """All of them, as ``frame_of`` makes them; those whose training loss is that of guessing are ``unconverged``."""
    with RUNS.open(newline="", encoding="utf-8") as file:
        return frame_of(checked(_renamed(logged), f"run {logged['run']}") for logged in csv.DictReader(file))


def _renamed(logged: dict[str, str]) -> dict[str, object]:
    target = logged["target"] or "A"
    classes = CLASSES[logged["split_kind"], target]
    return {
        **logged,
        "study": "the runs of 2014",
        "layer": LAYERS[int(logged["n"])],
        "base": logged["base"] or "A",
        "target": target,
        "split": logged["split_kind"],
        "split_seed": logged["split"] or 0,
        "classes": classes,
        "top1_last": logged["top1_last10"],
        "status": "unconverged" if float(logged["train_loss"]) > LEARNT * math.log(classes) else "ok",
        "key": logged["run"],
    }
