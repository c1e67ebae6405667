"""The curves of one case -> a picture: what each method keeps, over the share of images that it flips."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import Bbox
from PIL import Image

from dmt.reporting.plots import drawn
from dmt.studies.benchmark.curves import Curve
from dmt.studies.benchmark.measures import measure
from dmt.studies.benchmark.statistics import RATES, crossing, interval, resampled_means, resampling
from dmt.studies.benchmark.tables import REFERENCE

PANELS = ("identity", "ssim", "attributes_changed", "age_shift")
# Okabe and Ito's palette, distinct to colour-blind eyes; the markers tell the methods apart without colour
STYLES = {
    "dmt": ("#0072B2", "o"),
    "linear": ("#E69F00", "s"),
    "pixel_mean": ("#009E73", "^"),
    "adversarial": ("#D55E00", "X"),
}
OTHER_STYLES = (("#CC79A7", "D"), ("#56B4E9", "v"), ("#000000", "P"), ("#7F7F7F", "*"))
GRID = np.linspace(0, 1, 51)  # flip rates at which a band is drawn
FONT = 9
AROUND = ((0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1), (1, 0), (-1, 0))  # where a label may stand


def curves_plot(curves: Sequence[Curve], panels: Sequence[str] = PANELS) -> Image.Image:
    """One panel per measure: its mean over the flip rate, a line per method with the interval at equal flips.

    The band at a flip rate is the interval at the crossing of that rate, so that it ends where fewer than 90 % of the
    resamples cross it. Thin lines mark the rates at which methods are compared; the points of the method that is
    compared with the others carry their lambda. The reconstruction floor is not drawn.

    Args:
        curves: of one case.
        panels: measures; those that no curve has are left out, ``lpips`` takes the place of an ``ssim`` not there.

    Raises:
        ValueError: the curves are of several cases, or have none of the measures.
    """
    cases = {curve.case for curve in curves}
    shown = _shown(panels, curves)
    if len(cases) != 1 or not shown:
        raise ValueError(f"a plot shows one case and at least one measure; got the cases {cases} and measures {shown}")
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.6 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    styles = method_styles([curve.method for curve in curves])
    for axes, name in zip(grid, shown, strict=False):
        for curve in curves:
            if name in curve.measures:
                _draw_curve(axes, curve, name, styles[curve.method], resampling(len(curve.images)))
        _furnish(axes, name)
    for axes in grid[len(shown) :]:
        axes.remove()
    handles = {
        label: line
        for axes in grid[: len(shown)]
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False, fontsize=FONT)
    figure.suptitle(cases.pop(), fontsize=FONT + 3)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes, name in zip(grid, shown, strict=False):
        for curve in curves:
            if curve.method == REFERENCE and name in curve.measures:
                _label_points(axes, *_points(curve, name), curve.lambdas[curve.path], styles[REFERENCE][0])
    return drawn(figure)


def method_styles(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each method: its own, or the next that is free."""
    others = [method for method in dict.fromkeys(methods) if method not in STYLES]
    return STYLES | {method: OTHER_STYLES[i % len(OTHER_STYLES)] for i, method in enumerate(others)}


def _shown(panels: Sequence[str], curves: Sequence[Curve]) -> list[str]:
    there = {name for curve in curves for name, values in curve.measures.items() if not np.isnan(values).all()}
    chosen = ["lpips" if name == "ssim" and name not in there else name for name in panels]
    return [name for name in dict.fromkeys(chosen) if name in there]


def _points(curve: Curve, name: str) -> tuple[np.ndarray, np.ndarray]:
    means = resampled_means(curve.measures[name][curve.path], np.ones((1, len(curve.images))))[0]
    return curve.rates[curve.path], means


def _draw_curve(axes: Axes, curve: Curve, name: str, style: tuple[str, str], weights: np.ndarray) -> None:
    colour, marker = style
    flips, means = _points(curve, name)
    line = "-" if len(flips) > 1 else "none"
    size = 5 if len(flips) > 1 else 8
    axes.plot(flips, means, line, color=colour, marker=marker, markersize=size, linewidth=1.6, label=curve.method)
    one = replace(curve, measures={name: curve.measures[name]})
    if len(flips) > 1:
        crossings = np.stack([crossing(one, rate, weights).measures[name] for rate in GRID], axis=1)
        low, high = interval(crossings[1:])
        axes.fill_between(GRID, low, high, color=colour, alpha=0.15, linewidth=0)
    elif len(flips):
        means_there = resampled_means(curve.measures[name][curve.path], weights)[1:, 0]
        low, high = interval(means_there)
        axes.vlines(flips, low, high, color=colour, linewidth=1.2)


def _furnish(axes: Axes, name: str) -> None:
    known = measure(name)
    way = {1: "higher is better", -1: "nearer to 0 is better" if known.of_zero else "lower is better", 0: ""}
    axes.set_title(" · ".join(filter(None, (known.title, way[known.better]))), fontsize=FONT + 1, loc="left")
    axes.set_xlabel("flip rate", fontsize=FONT)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0, 0.2, *RATES, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(labelsize=FONT)
    axes.margins(y=0.12)
    for rate in RATES:
        axes.axvline(rate, color="0.6", linewidth=0.7, zorder=0)
    if known.of_zero:
        axes.axhline(0, color="0.6", linewidth=0.7, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)


def _label_points(axes: Axes, flips: np.ndarray, means: np.ndarray, lams: np.ndarray, colour: str) -> None:
    """Write each point's lambda beside it, off markers, other labels and, if it can, lines; else leave it out."""
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    inside = axes.get_window_extent(renderer)
    drawn_lines = [
        axes.transData.transform(line.get_xydata()) for line in axes.get_lines() if line.get_marker() != "None"
    ]
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for line in drawn_lines for x, y in line]
    along = np.linspace(0, 1, 30)[:, None]
    passed = np.concatenate(
        [begin + along * (end - begin) for line in drawn_lines for begin, end in pairwise(line)] or [np.empty((0, 2))]
    )
    for point, lam in zip(zip(flips, means, strict=True), lams, strict=True):
        if np.isnan([*point, lam]).any():
            continue
        places: list[tuple[int, int, Bbox, tuple[int, int, int]]] = []
        for (across, up), reach in product(AROUND, (7, 13)):
            label = _label(axes, f"λ {lam:.3g}", point, across, up, reach, colour)
            box = label.get_window_extent(renderer)
            label.remove()
            fits = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if fits and not any(box.overlaps(other) for other in taken):
                places.append((int(box.count_contains(passed)), len(places), box, (across, up, reach)))
        if places:
            _, _, box, place = min(places)
            taken.append(box)
            _label(axes, f"λ {lam:.3g}", point, *place, colour)


def _label(
    axes: Axes, text: str, point: tuple[float, float], across: int, up: int, reach: float, colour: str
) -> Annotation:
    return axes.annotate(
        text,
        point,
        (reach * across, reach * up),
        textcoords="offset points",
        ha=("center", "left", "right")[across],
        va=("center", "bottom", "top")[up],
        fontsize=FONT - 2,
        color=colour,
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )
