"""Time the inversion against SciPy's L-BFGS-B on real faces. ``python benchmarks/inversion.py --help``.

Every run minimises the same objective: LFW's smiling people, their features moved by twice the difference between the
mean features of 40 frowning and 40 smiling others. SciPy's objective after 500 iterations is the goal; counted is what
each solver needs until it gets there. The faces are found as the commands find them (DMT_DATA, DMT_WEIGHTS).
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from scipy.optimize import minimize
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dmt.features import FeatureExtractor, measure_scales
from dmt.inversion import invert
from dmt.regularizers import Regularizer
from dmt.solvers import Objective, Solution

ROOT = Path(__file__).resolve().parent.parent
SETS, STRENGTH = 40, 2.0  # pictures on each side; how many times their difference a face is moved
ITERATIONS = 500  # of SciPy; ours: enough for its objective to stand still to a few parts in a thousand


@dataclass(frozen=True)
class Case:
    """An objective, by name."""

    backbone: str
    regularizer: str
    size: int


@dataclass(frozen=True)
class Problem:
    """What is inverted: see ``dmt.inversion.invert``."""

    extractor: FeatureExtractor
    targets: dict[str, Tensor]
    images: Tensor
    regularizers: dict[str, Regularizer]


def problem_of(case: Case, faces: Sequence[int]) -> Problem:
    """The case's objective for some of the faces, each the most smiling picture of a person, by rank."""
    overrides = [f"backbone={case.backbone}", f"regularizer={case.regularizer}", f"data.image_size={case.size}"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("traverse", overrides)
    catalog = instantiate(config.data.catalog)
    difference = catalog.scores("Smiling") - catalog.scores("Frowning")
    order = np.argsort(-difference, kind="stable")
    people = list({catalog.groups[i]: i for i in reversed(order[:1000])}.values())[::-1]
    smiling, frowning = people[-SETS:], order[-SETS:]

    def pictures(indices: Sequence[int]) -> Tensor:
        return torch.stack([catalog.read(int(i), case.size) for i in indices])

    torch.manual_seed(0)  # of random weights
    backbone = instantiate(config.backbone)
    both = pictures([*smiling, *frowning])
    extractor = FeatureExtractor(backbone, config.feature_layers, measure_scales(backbone, both.split(8)))
    images = pictures([people[i] for i in faces])
    with torch.no_grad():
        means = [
            {layer: torch.cat([part[layer] for part in parts]).mean(dim=0) for layer in extractor.layers}
            for parts in ([extractor(x) for x in half.split(8)] for half in both.split(SETS))
        ]
        targets = {
            layer: value + STRENGTH * (means[1][layer] - means[0][layer])
            for layer, value in extractor(images).items()
        }
    return Problem(extractor, targets, images, dict(instantiate(config.regularizer, _convert_="all")))
