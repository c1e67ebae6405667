"""Runs -> figures 2 and 3 of the paper, with paired differences below the accuracies and the runs of 2014 behind."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dmt.studies.transfer.differences import DISSIMILAR, SIMILAR, PairedContrast, differences, unfit_bases
from dmt.studies.transfer.treatments import SYMBOLS, WHOLE

Style = tuple[str, str]  # colour and marker

# Okabe and Ito's palette, distinct to colour-blind eyes; the markers tell the treatments apart without colour
STYLES: Mapping[str, Style] = {
    "base": ("#000000", "o"),
    "base_long": ("#7F7F7F", "s"),
    "selffer": ("#0072B2", "o"),
    "selffer_finetuned": ("#56B4E9", "^"),
    "transfer": ("#D55E00", "D"),
    "transfer_finetuned": ("#E69F00", "v"),
    "random": ("#009E73", "X"),
}
DISSIMILAR_STYLE = ("#CC79A7", "h")
TARGETS = {"A": "natural", "B": "man-made"}  # of man_made_natural: in 2014 and in conf/experiment/transfer.yaml
KINDS = {DISSIMILAR: "man-made / natural split", "all_1000": "all 1000 classes"}  # the paper's words, figure 3
FONT = 9
IN_FIGURE_2 = ("base", "base_long", "selffer", "selffer_finetuned", "transfer", "transfer_finetuned")
CUT = "layer n at which the network is cut: layers 1 to n are copied"
TOP1 = "top-1 accuracy (%)"
DIFFERENCE = "top-1 minus own base (points)"
PAIRED = "paired with the base of the same target; bars: 95 % intervals over divisions of the classes"


def figure_2(runs: pd.DataFrame, reference: pd.DataFrame | None = None) -> Figure:
    """Similar tasks: above, every network over n, a line through the means; below, the differences to their own bases.

    Bars are t intervals over divisions. Random filters are left to figure 3, as in the paper. Where no task is similar,
    those of the kind of split that is there.

    Args:
        runs: ours, as ``rows.frame_of`` makes them; of several numbers of images a class the most frequent is shown.
        reference: runs whose differences are drawn thin and dashed.
    """
    runs = of_one_size(runs)
    split = _similar_or_first(runs)
    shown = runs[(runs["split"] == split) & (runs["treatment"] != "random")]
    figure = Figure(figsize=(7.4, 8.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    present = [name for name in IN_FIGURE_2 if name in set(shown["treatment"])]
    steps = _side_by_side([name for name in present if name in WHOLE], 0.08)
    steps |= _side_by_side([name for name in present if name not in WHOLE], 0.2)
    for name in present:
        members = shown[shown["treatment"] == name]
        _draw_networks(top, members, STYLES[name], steps[name])
        _draw_means(top, members, STYLES[name], steps[name])
    if "base" in present:
        bases = shown.loc[shown["treatment"] == "base", "top1"]
        top.axhline(bases.mean(), color="0.4", linewidth=0.8, linestyle=":", zorder=0)
    unfit = unfit_bases(shown)
    if len(unfit):
        places = unfit["n"] + unfit["treatment"].map(steps)
        label = "base that is unconverged or saturated"
        top.plot(places, unfit["top1"], "x", color="black", markersize=9, label=label, zorder=5)
        top.legend(fontsize=FONT - 1, frameon=False, loc="lower left")
    _furnish(top, f"every network, and their means{_of(split)}", "", TOP1)
    for name in present:
        if name != "base":
            _draw_differences(bottom, reference, (name, split), STYLES[name])
            _draw_differences(bottom, shown, (name, split), STYLES[name], steps[name])
    _furnish(bottom, PAIRED, CUT, DIFFERENCE)
    _legend(figure, {SYMBOLS[name]: STYLES[name] for name in present}, reference is not None)
    return figure


def figure_3(runs: pd.DataFrame, reference: pd.DataFrame | None = None) -> Figure:
    """How far it falls: dissimilar tasks (above left), random filters (above right), and both beside similar tasks.

    Below, differences to their own bases with t intervals over divisions.

    Args:
        runs: ours, as ``rows.frame_of`` makes them; of several numbers of images a class the most frequent is shown.
        reference: runs whose differences are drawn thin and dashed.
    """
    shown = of_one_size(runs)
    figure = Figure(figsize=(8.6, 8.4), layout="constrained")
    panels = figure.subplot_mosaic([["left", "right"], ["below", "below"]], height_ratios=[1, 1.25])
    left, right, below = (panels[name] for name in ("left", "right", "below"))
    _draw_from_base(left, shown, ("transfer", DISSIMILAR), DISSIMILAR_STYLE, by_target=True)
    _furnish(left, f"dissimilar tasks: AnB{_of(DISSIMILAR)}", "layer n", TOP1)
    kind = _similar_or_first(shown[shown["treatment"] == "random"])
    _draw_from_base(right, shown, ("random", kind), STYLES["random"])
    _furnish(right, f"random, untrained filters{_of(kind)}", "layer n", TOP1)
    curves = {
        "AnB, random splits": (("transfer", SIMILAR), STYLES["transfer"]),
        f"AnB, {KINDS[DISSIMILAR]}": (("transfer", DISSIMILAR), DISSIMILAR_STYLE),
        "random, untrained filters": (("random", None), STYLES["random"]),
    }
    drawn = {}
    for (label, ((treatment, split), style)), step in zip(curves.items(), (-0.07, 0, 0.07), strict=True):
        before = _draw_differences(below, reference, (treatment, split), style)
        ours = _draw_differences(below, shown, (treatment, split), style, step)
        if before or ours:
            drawn[label] = style
    _furnish(below, PAIRED, "layer n up to which the filters are copied, or random", DIFFERENCE)
    _legend(figure, drawn, reference is not None)
    return figure


def of_one_size(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the number of images a class that most of them were trained with."""
    return runs[runs["images_per_class"].isin(runs["images_per_class"].value_counts().index[:1])]


def _side_by_side(names: Sequence[str], reach: float) -> dict[str, float]:
    """How far to the side of n each is drawn, so that markers do not hide each other."""
    return dict(zip(names, np.linspace(-reach, reach, len(names)) if len(names) > 1 else [0.0], strict=False))


def _similar_or_first(runs: pd.DataFrame) -> str:
    """The kind of split that is shown: the similar one if the runs have any."""
    kinds = sorted(set(runs["split"]))
    return SIMILAR if SIMILAR in kinds or not kinds else kinds[0]


def _of(kind: str) -> str:
    """What a title says of a kind of split: nothing if it is the usual one."""
    return "" if kind == SIMILAR else f", {KINDS.get(kind, kind)}"


def _draw_networks(axes: Axes, runs: pd.DataFrame, style: Style, step: float = 0) -> None:
    colour, marker = style
    whole = runs["treatment"].isin(WHOLE).any()
    axes.plot(
        runs["n"] + step,
        runs["top1"],
        linestyle="none",
        marker=marker,
        markersize=4.5,
        markerfacecolor="white" if whole else colour,
        markeredgecolor=colour,
        markeredgewidth=0.9,
        alpha=1 if whole else 0.6,
    )


def _draw_means(
    axes: Axes, runs: pd.DataFrame, style: Style, step: float = 0, *, line: str = "-", label: str | None = None
) -> None:
    means = runs.groupby("n")["top1"].mean()
    axes.plot(means.index + step, means, line, color=style[0], linewidth=1.5, label=label)


def _draw_from_base(
    axes: Axes, runs: pd.DataFrame, place: tuple[str, str], style: Style, *, by_target: bool = False
) -> None:
    """The networks of a place (treatment and kind of split), with a line through the means from the bases on.

    Where A and B are not exchangeable there is a line for each, ``by_target``.
    """
    treatment, split = place
    there = runs[runs["split"] == split]
    copied, bases = (there[there["treatment"] == name] for name in (treatment, "base"))
    if copied.empty:
        axes.text(0.5, 0.5, "no networks yet", transform=axes.transAxes, ha="center", fontsize=FONT, color="0.4")
        return
    targets = sorted(set(copied["target"]))
    for group, line in zip([[target] for target in targets] if by_target else [targets], ("-", "--"), strict=False):
        own_bases, members = (side[side["target"].isin(group)] for side in (bases, copied))
        _draw_networks(axes, own_bases, STYLES["base"])
        _draw_networks(axes, members, style)
        label = f"target: {TARGETS[group[0]]}, {members['classes'].iloc[0]} classes" if by_target else None
        _draw_means(axes, pd.concat([own_bases, members]), style, line=line, label=label)
    if by_target:
        ring = Line2D(
            [],
            [],
            color=STYLES["base"][0],
            marker="o",
            markersize=4.5,
            markerfacecolor="white",
            linestyle="",
            label="base",
        )
        axes.legend(
            handles=[*axes.get_legend_handles_labels()[0], ring], fontsize=FONT, frameon=False, loc="lower left"
        )


def _draw_differences(
    axes: Axes, runs: pd.DataFrame | None, place: tuple[str, str | None], style: Style, step: float | None = None
) -> bool:
    """The differences of a place (treatment and kind of split) to its own bases over n, and whether there are any.

    Without a kind of split, the one that there is. They lie ``step`` to the side of n; without a step these are the
    runs of 2014, thin, dashed and without intervals.
    """
    if runs is None:
        return False
    treatment, split = place
    runs = of_one_size(runs)
    split = split or _similar_or_first(runs[runs["treatment"] == treatment])
    found = differences(runs[runs["split"] == split], [PairedContrast(treatment, "base")])
    if found.empty:
        return False
    colour, marker = style
    found = found[found["pairs"] > 0]
    layers = found["n"] + (step or 0)
    axes.plot(
        layers,
        found["difference"],
        "--" if step is None else "-",
        color=colour,
        marker=marker,
        markersize=3 if step is None else 5,
        markerfacecolor="none" if step is None else colour,
        linewidth=0.9 if step is None else 1.5,
    )
    if step is not None:
        axes.vlines(layers, found["low"], found["high"], color=colour, linewidth=1.3)
    return True


def _furnish(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, fontsize=FONT + 1, loc="left")
    axes.set_xlabel(across, fontsize=FONT)
    axes.set_ylabel(up, fontsize=FONT)
    axes.tick_params(labelsize=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if up == DIFFERENCE:
        axes.axhline(0, color="0.4", linewidth=0.8, linestyle=":", zorder=0)
    axes.grid(axis="y", color="0.92", linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, styles: Mapping[str, Style], with_reference: bool) -> None:
    whole = [SYMBOLS[name] for name in WHOLE]
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.5,
            markerfacecolor="white" if label in whole else colour,
            label=label,
        )
        for label, (colour, marker) in styles.items()
    ]
    if with_reference:
        handles.append(Line2D([], [], color="0.3", linestyle="--", linewidth=0.9, label="the same in 2014"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=4 if with_reference else 7, frameon=False, fontsize=FONT
    )
