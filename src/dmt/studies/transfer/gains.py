"""Runs -> table 1 of the paper: what fine-tuning gains over ranges of layers, paired, and unpaired as printed there."""

import math
from itertools import product

import pandas as pd

from dmt.studies.transfer.differences import (
    CONTRASTS,
    DIVISION,
    PairedContrast,
    TInterval,
    by_division,
    mean_interval,
    paired,
)
from dmt.studies.transfer.treatments import SYMBOLS, WHOLE

RANGES = ((1, 7), (3, 7), (5, 7))  # of layers, as in the paper
FINE_TUNING = [contrast for contrast in CONTRASTS if contrast.arm.endswith("finetuned")]
NO_INTERVAL = TInterval()


def gains(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for every kind of split, way of pairing, contrast of fine-tuning and range of layers that has networks.

    Three ways of pairing:

    - ``paired``: networks of one target, each less its reference.
    - ``by base``: each arm less the base of its own target, then the one mean minus the other; for arms that need share
      no target.
    - ``unpaired``: the one mean minus the other, as in the paper.

    Args:
        runs: of one study, as ``rows.frame_of`` makes them.

    Returns:
        The table: ``gain``, the mean over the arm's ``networks`` in points, and ``sd``, that of paired differences;
        ``over_divisions``, the mean over divisions, to which the interval belongs; ``of_targets``, the part of an
        unpaired gain that is how much easier the arm's targets are (the mean of their bases minus that of the
        reference's); ``warning``: why the gain may mislead, or why there is none. NaN or empty where there is none.
    """
    found = []
    for (split, images), members in runs.groupby(["split", "images_per_class"]):
        whole = members["n"] == 0
        within = {layers: members[whole | members["n"].between(*layers)] for layers in RANGES}
        for pairing, gain in {"paired": _paired, "by base": _by_base, "unpaired": _unpaired}.items():
            for contrast, (layers, there) in product(FINE_TUNING, within.items()):
                if pairing == "by base" and contrast.reference in WHOLE:
                    continue
                if {contrast.arm, contrast.reference} <= set(there["treatment"]):
                    place = {"pairing": pairing, "difference_of": contrast.formula, "split": split}
                    place |= {"images": str(images or "all"), "layers": "{}-{}".format(*layers)}
                    found.append(place | gain(there, contrast))
    return pd.DataFrame(found)


def _paired(runs: pd.DataFrame, contrast: PairedContrast) -> dict[str, object]:
    pairs = paired(runs, contrast)
    kept = pairs[pairs["void"] == ""]
    references = kept[[*DIVISION, "target", *([] if contrast.reference in WHOLE else ["n"])]].drop_duplicates()
    warning = "" if len(kept) else f"void: {pairs['void'].iloc[0]}" if len(pairs) else "the two share no target"
    difference, interval = kept["difference"], mean_interval(by_division(kept).to_list())
    return _row(difference.mean(), kept, references, sd=difference.std(), interval=interval, warning=warning)


def _by_base(runs: pd.DataFrame, contrast: PairedContrast) -> dict[str, object]:
    pairs = (paired(runs, PairedContrast(treatment, "base")) for treatment in (contrast.arm, contrast.reference))
    arm, reference = (side[side["void"] == ""] for side in pairs)
    ahead = (by_division(arm) - by_division(reference)).dropna()  # of the divisions that have both
    gain = arm["difference"].mean() - reference["difference"].mean()
    return _row(gain, arm, reference, interval=mean_interval(ahead.to_list()))


def _unpaired(runs: pd.DataFrame, contrast: PairedContrast) -> dict[str, object]:
    arm, reference = (runs[runs["treatment"] == name] for name in (contrast.arm, contrast.reference))
    first, second = (_base_of(side, "target", runs)["top1"].mean(skipna=False) for side in (arm, reference))
    warnings = []
    if not _shares(arm).equals(_shares(reference)):
        warnings.append(
            f"targets are unbalanced: their bases average {first:.2f} for {SYMBOLS[contrast.arm]}, "
            f"{second:.2f} for {SYMBOLS[contrast.reference]}"
        )
    both = pd.concat([arm, reference])
    rests_on = [_base_of(both, task, runs)["status"] == "unconverged" for task in ("target", "base")]
    unconverged = int((rests_on[0] | rests_on[1]).sum())
    if unconverged:
        warnings.append(f"{unconverged} of the {len(both)} networks rest on a base that is unconverged")
    gain = arm["top1"].mean() - reference["top1"].mean()
    return _row(gain, arm, reference, of_targets=first - second, warning="; ".join(warnings))


def _row(
    gain: float,
    arm: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    sd: float = math.nan,
    interval: TInterval = NO_INTERVAL,
    of_targets: float = math.nan,
    warning: str = "",
) -> dict[str, object]:
    return {
        "gain": gain,
        "sd": sd,
        "networks": len(arm),
        "references": len(reference),
        "over_divisions": interval.value,
        "low": interval.low,
        "high": interval.high,
        "divisions": interval.n,
        "verdict": interval.verdict if interval.n else "",
        "of_targets": of_targets,
        "warning": warning,
    }


def _base_of(networks: pd.DataFrame, task: str, runs: pd.DataFrame) -> pd.DataFrame:
    """For each network ``top1`` and ``status`` of the base of its ``target`` or of its ``base``; NaN without one."""
    bases = runs.loc[runs["treatment"] == "base", [*DIVISION, "target", "top1", "status"]]
    return networks[[*DIVISION, task]].merge(bases.rename(columns={"target": task}), on=[*DIVISION, task], how="left")


def _shares(runs: pd.DataFrame) -> pd.Series:
    """Which share of the networks has which target."""
    return runs[[*DIVISION, "target"]].value_counts(normalize=True).sort_index()
