"""What a benchmark measures of an edit: its words, and which way is better."""

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass

import numpy as np


@dataclass(frozen=True)
class Measure:
    """One column of the records.

    Args:
        title: as a table's heading says it.
        definition: one line.
        better: +1 if more is better, -1 if less is, 0 if neither.
        of_zero: what counts is how far the mean over images is from zero, on either side. A method that makes half of
            the people ten years older and half ten years younger has no shift, so read it beside the other measures.
        decimals: how many are shown.
    """

    title: str
    definition: str
    _: KW_ONLY
    better: int = 0
    of_zero: bool = False
    decimals: int = 3

    @property
    def shape(self) -> str:
        """The format of a value as it is shown."""
        return f"z.{self.decimals}f"

    def scored(self, means: np.ndarray) -> np.ndarray:
        """Means over images as they are compared between methods."""
        return np.abs(means) if self.of_zero else means


MEASURES = {
    "identity": Measure(
        "identity", "Cosine of the face embeddings of input and result: 1 is the same person.", better=1
    ),
    "age_shift": Measure(
        "age shift",
        "Years by which the judged age rises; compared by the distance of its mean from zero.",
        better=-1,
        of_zero=True,
        decimals=1,
    ),
    "gender_flipped": Measure("gender flips", "Share of results whose judged gender is another.", better=-1),
    "attributes_changed": Measure(
        "attributes changed",
        "Judged attributes other than the target that differ between input and result.",
        better=-1,
        decimals=2,
    ),
    "lpips": Measure("LPIPS", "Perceptual distance of input and result (Zhang et al., 2018): 0 is equal.", better=-1),
    "ssim": Measure("SSIM", "Structural similarity of input and result (Wang et al., 2004): 1 is equal.", better=1),
    "psnr": Measure("PSNR", "Peak signal-to-noise ratio of the result to the input, in dB.", better=1, decimals=1),
    "cout": Measure("COUT", "Counterfactual transition score (Khorram and Fuxin, 2022), -1 to 1.", better=1),
    "change": Measure("change", "Mean absolute change of the 8-bit pixels, 0 to 255.", better=-1, decimals=2),
    "change_rms": Measure("RMS change", "Root mean squared change of the 8-bit pixels.", better=-1, decimals=2),
    "change_center": Measure("change of the face", "Mean absolute change within the central square.", decimals=2),
    "change_outside": Measure(
        "change outside", "Mean absolute change outside the central square.", better=-1, decimals=2
    ),
    "delta": Measure("length of the step", "Length of the step on the manifold."),
    "shrinkage": Measure("shrinkage", "Share of its own deviation from the mean that an image loses on the manifold."),
    "evaluations": Measure(
        "evaluations", "Evaluations of the network's gradient for one image.", better=-1, decimals=0
    ),
    "seconds": Measure("seconds", "Seconds for one image, its share of its batch.", better=-1, decimals=1),
}
HEADLINE = ("identity", "age_shift", "gender_flipped", "attributes_changed", "lpips", "ssim", "psnr", "seconds")


def measure(name: str) -> Measure:
    """The measure of a column; one that is not known has no better direction."""
    return MEASURES.get(name, Measure(name.replace("_", " "), "As the records have it."))


def known_first(names: Collection[str]) -> list[str]:
    """The names, each once, in the order of ``MEASURES``, then the others as they come."""
    others = dict.fromkeys(name for name in names if name not in MEASURES)
    return [*(name for name in MEASURES if name in names), *others]
