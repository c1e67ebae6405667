"""Runs -> figures 2 and 3 of the paper, with paired differences below the accuracies and the runs of 2014 behind."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dmt.studies.transfer.rows import SYMBOLS, WHOLE, Run
from dmt.studies.transfer.statistics import CONTRASTS, DISSIMILAR, SIMILAR, Effect, Measure, effects, last, unfit_bases

# Okabe and Ito's palette, distinct to colour-blind eyes; the markers tell the treatments apart without colour
STYLES = {
    "base": ("#000000", "o"),
    "base_long": ("#7F7F7F", "s"),
    "selffer": ("#0072B2", "o"),
    "selffer_finetuned": ("#56B4E9", "^"),
    "transfer": ("#D55E00", "D"),
    "transfer_finetuned": ("#E69F00", "v"),
    "random": ("#009E73", "X"),
}
DISSIMILAR_STYLE = ("#CC79A7", "h")
FONT = 9
AGAINST_BASE = {contrast.arm: contrast for contrast in CONTRASTS if contrast.reference == "base"}
IN_FIGURE_2 = ("base_long", "selffer", "selffer_finetuned", "transfer", "transfer_finetuned")
CUT = "layer n at which the network is cut: layers 1 to n are copied"
TOP1 = "top-1 accuracy (%)"
DIFFERENCE = "top-1 minus own base (points)"
PAIRED = "paired with the base of the same target; bars: 95 % intervals over divisions of the classes"


def figure_2(runs: Sequence[Run], reference: Sequence[Run] = (), measure: Measure = last) -> Figure:
    """Similar tasks: above, every network over n, a line through the means; below, the differences to their own bases.

    Bars are t intervals over divisions. Random filters are left to figure 3, as in the paper. Where no task is similar,
    those of the kind of split that is there.

    Args:
        runs: ours; of several numbers of images a class the most frequent is shown.
        reference: runs whose differences are drawn thin and dashed.
        measure: of a run, percent.
    """
    split = _similar_or_first(runs)
    shown = [run for run in of_one_size(runs) if run.split == split and run.treatment != "random"]
    figure = Figure(figsize=(7.4, 8.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    present = [name for name in ("base", *IN_FIGURE_2) if any(run.treatment == name for run in shown)]
    steps = _side_by_side([name for name in present if name in WHOLE], 0.08) | _side_by_side(
        [name for name in present if name not in WHOLE], 0.2
    )
    for name in present:
        members = [run for run in shown if run.treatment == name]
        _draw_networks(top, members, measure, STYLES[name], steps[name])
        _draw_means(top, members, measure, STYLES[name][0], steps[name])
    bases = [measure(run) for run in shown if run.treatment == "base"]
    if bases:
        top.axhline(float(np.mean(bases)), color="0.4", linewidth=0.8, linestyle=":", zorder=0)
    _cross_out(top, unfit_bases(shown), measure, steps)
    top.set_title(f"every network, and their means{_of(split)}", fontsize=FONT + 1, loc="left")
    _furnish(top, "", TOP1)
    older = of_one_size(reference)
    for name in (name for name in present if name != "base"):
        for effect_runs, is_old in ((older, True), (shown, False)):
            found = [one for one in effects(effect_runs, [AGAINST_BASE[name]], measure) if one.split == split]
            _draw_effects(bottom, found, STYLES[name], 0 if is_old else steps[name], is_old)
    bottom.set_title(PAIRED, fontsize=FONT + 1, loc="left")
    _furnish(bottom, CUT, DIFFERENCE, zero=True)
    _legend(figure, {SYMBOLS[name]: STYLES[name] for name in present}, bool(reference))
    return figure


def figure_3(runs: Sequence[Run], reference: Sequence[Run] = (), measure: Measure = last) -> Figure:
    """How far it falls: dissimilar tasks (above left), random filters (above right), and both beside similar tasks.

    Below, differences to their own bases with t intervals over divisions.

    Args:
        runs: ours; of several numbers of images a class the most frequent is shown.
        reference: runs whose differences are drawn thin and dashed.
        measure: of a run, percent.
    """
    shown = of_one_size(runs)
    figure = Figure(figsize=(8.6, 8.4), layout="constrained")
    panels = figure.subplot_mosaic([["left", "right"], ["below", "below"]], height_ratios=[1, 1.25])
    _draw_from_base(panels["left"], shown, ("transfer", DISSIMILAR), measure, DISSIMILAR_STYLE, by_target=True)
    panels["left"].set_title("dissimilar tasks: AnB", fontsize=FONT + 1, loc="left")
    kind = _similar_or_first([run for run in shown if run.treatment == "random"])
    _draw_from_base(panels["right"], shown, ("random", kind), measure, STYLES["random"])
    panels["right"].set_title(f"random filters, frozen{_of(kind)}", fontsize=FONT + 1, loc="left")
    for name in ("left", "right"):
        _furnish(panels[name], "layer n", TOP1)
    entries = {
        "AnB, similar tasks": ("transfer", SIMILAR, STYLES["transfer"]),
        "AnB, dissimilar tasks": ("transfer", DISSIMILAR, DISSIMILAR_STYLE),
        "random filters": ("random", "", STYLES["random"]),
    }
    older = of_one_size(reference)
    drawn = {}
    for (label, (treatment, split, style)), step in zip(entries.items(), (-0.07, 0, 0.07), strict=True):
        for effect_runs, is_old in ((older, True), (shown, False)):
            kind = split or _similar_or_first([run for run in effect_runs if run.treatment == "random"])
            found = [one for one in effects(effect_runs, [AGAINST_BASE[treatment]], measure) if one.split == kind]
            _draw_effects(panels["below"], found, style, 0 if is_old else step, is_old)
            if found:
                drawn[label] = style
    panels["below"].set_title(PAIRED, fontsize=FONT + 1, loc="left")
    _furnish(panels["below"], "layer n up to which the filters are copied, or random", DIFFERENCE, zero=True)
    _legend(figure, drawn, bool(reference))
    return figure


def of_one_size(runs: Sequence[Run]) -> list[Run]:
    """The runs of the number of images a class that most of them were trained with."""
    if not runs:
        return []
    size = Counter(run.images_per_class for run in runs).most_common(1)[0][0]
    return [run for run in runs if run.images_per_class == size]


def _side_by_side(names: Sequence[str], reach: float) -> dict[str, float]:
    """How far to the side of n each is drawn, so that markers do not hide each other."""
    return dict(zip(names, np.linspace(-reach, reach, len(names)) if len(names) > 1 else [0.0], strict=False))


def _similar_or_first(runs: Sequence[Run]) -> str:
    """The kind of split that is shown: the similar one if the runs have any."""
    kinds = sorted({run.split for run in runs})
    return SIMILAR if SIMILAR in kinds or not kinds else kinds[0]


def _of(kind: str) -> str:
    """What a title says of a kind of split: nothing if it is the usual one."""
    return "" if kind == SIMILAR else f", {kind}"


def _draw_networks(axes: Axes, runs: Sequence[Run], measure: Measure, style: tuple[str, str], step: float) -> None:
    colour, marker = style
    whole = any(run.treatment in WHOLE for run in runs)
    axes.plot(
        [run.n + step for run in runs],
        [measure(run) for run in runs],
        linestyle="none",
        marker=marker,
        markersize=4.5,
        markerfacecolor="white" if whole else colour,
        markeredgecolor=colour,
        markeredgewidth=0.9,
        alpha=1 if whole else 0.6,
    )


def _draw_means(
    axes: Axes,
    runs: Sequence[Run],
    measure: Measure,
    colour: str,
    step: float,
    line: str = "-",
    label: str | None = None,
) -> None:
    places = defaultdict(list)
    for run in runs:
        places[run.n].append(measure(run))
    layers = sorted(places)
    means = [float(np.mean(places[n])) for n in layers]
    axes.plot(np.array(layers) + step, means, line, color=colour, linewidth=1.5, label=label)


def _draw_from_base(
    axes: Axes,
    runs: Sequence[Run],
    place: tuple[str, str],
    measure: Measure,
    style: tuple[str, str],
    by_target: bool = False,
) -> None:
    """The networks of a treatment and a kind of split, with a line through the means from the bases on.

    Args:
        axes: to draw on.
        runs: to choose from.
        place: treatment and kind of split.
        measure: of a run, percent.
        style: colour and marker.
        by_target: a line for each target, where A and B are not exchangeable.
    """
    copied = [run for run in runs if (run.treatment, run.split) == place]
    targets = sorted({run.target for run in copied})
    if not copied:
        axes.text(0.5, 0.5, "no networks yet", transform=axes.transAxes, ha="center", fontsize=FONT, color="0.4")
        return
    for group, line in zip([[target] for target in targets] if by_target else [targets], ("-", "--"), strict=False):
        bases = [r for r in runs if (r.treatment, r.split) == ("base", place[1]) and r.target in group]
        members = [r for r in copied if r.target in group]
        _draw_networks(axes, bases, measure, STYLES["base"], 0)
        _draw_networks(axes, members, measure, style, 0)
        _draw_means(axes, [*bases, *members], measure, style[0], 0, line, f"target {group[0]}" if by_target else None)
    if by_target:
        axes.legend(fontsize=FONT, frameon=False, loc="lower left")


def _draw_effects(axes: Axes, found: Sequence[Effect], style: tuple[str, str], step: float, is_old: bool) -> None:
    colour, marker = style
    found = [one for one in found if one.pairs]
    layers = np.array([one.n + step for one in found])
    values = [one.estimate.value for one in found]
    if is_old:
        axes.plot(
            layers, values, "--", color=colour, marker=marker, markersize=3, markerfacecolor="none", linewidth=0.9
        )
        return
    axes.plot(layers, values, "-", color=colour, marker=marker, markersize=5, linewidth=1.5)
    axes.vlines(
        layers, [one.estimate.low for one in found], [one.estimate.high for one in found], color=colour, linewidth=1.3
    )


def _cross_out(axes: Axes, runs: Sequence[Run], measure: Measure, steps: Mapping[str, float]) -> None:
    for number, run in enumerate(runs):
        label = "base that is unconverged or saturated" if number == 0 else None
        axes.plot(
            run.n + steps.get(run.treatment, 0), measure(run), "x", color="black", markersize=9, label=label, zorder=5
        )
    if runs:
        axes.legend(fontsize=FONT - 1, frameon=False, loc="lower left")


def _furnish(axes: Axes, across: str, up: str, zero: bool = False) -> None:
    axes.set_xlabel(across, fontsize=FONT)
    axes.set_ylabel(up, fontsize=FONT)
    axes.tick_params(labelsize=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if zero:
        axes.axhline(0, color="0.4", linewidth=0.8, linestyle=":", zorder=0)
    axes.grid(axis="y", color="0.92", linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, styles: Mapping[str, tuple[str, str]], with_reference: bool) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.5,
            markerfacecolor="white" if label in (SYMBOLS["base"], SYMBOLS["base_long"]) else colour,
            label=label,
        )
        for label, (colour, marker) in styles.items()
    ]
    if with_reference:
        handles.append(Line2D([], [], color="0.3", linestyle="--", linewidth=0.9, label="the same in 2014"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=4 if with_reference else 7, frameon=False, fontsize=FONT
    )
