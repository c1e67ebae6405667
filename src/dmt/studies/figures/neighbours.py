"""Figure 7 of the paper: the path of an edit among the pictures of both classes, and who its neighbours are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, MinLen
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from PIL import Image
from scipy.optimize import brentq
from scipy.stats import entropy
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from dmt.data import PictureView, Task, to_pixels
from dmt.editing.editor import Edit, Editor
from dmt.editing.records import Record
from dmt.errors import UserError, require_whole_number
from dmt.ranges import Count, Lambda, Seed
from dmt.reporting.grids import labelled_grid
from dmt.reporting.names import short_names
from dmt.reporting.plots import drawn
from dmt.reporting.results import Report
from dmt.studies.figures.figure import edits_by_lambda, labelled, require_one_map

SHOWN_ENLARGED = 12  # pictures at least in the enlarged part
LINE = 0.06  # between the labels of the path, as a share of the height
PATH_PERPLEXITY = 5.0  # how many pictures a point of the path is placed among, about


@dataclass(frozen=True)
class _Crowd:
    """Pictures of both classes in z.

    Args:
        points: ``(n, K)``.
        of_target: ``(n,)`` of bool.
    """

    points: np.ndarray
    of_target: np.ndarray

    def share_of_target(self, z: Tensor, k: int) -> np.ndarray:
        """The share of target pictures among the k nearest of each point ``(B, K)``."""
        found = NearestNeighbors(n_neighbors=k).fit(self.points).kneighbors(z.numpy(), return_distance=False)
        return self.of_target[found].mean(axis=1)


@dataclass(frozen=True)
class NeighboursAlongThePath:
    """t-SNE of pictures of both classes with the path of one edit, and the neighbours along the paths of all.

    The path is that of the finished pictures' own features; where the walk itself ended stands beside it in the tables.

    The points of the path are placed among the pictures by their affinities to them (ours): they are so near each other
    that t-SNE of all together would put them into a corner of their own.

    Args:
        lambdas: lambda' of the points along the path, falling.
        each: pictures of each class in the picture; 50 in the paper.
        k: neighbours that are counted.
        crowd: pictures of each class among which they are counted, once among those that the witness was made from and
            once among others.
        seed: of the choice of pictures and of t-SNE.
    """

    lambdas: Annotated[Sequence[Lambda], MinLen(1)] = (1.0, 0.5, 0.3, 0.2)
    each: Annotated[int, Ge(3)] = 50
    k: Count = 10
    crowd: Count = 500
    seed: Seed = 0

    def __call__(self, editor: Editor, task: Task, images: Sequence[str] | int) -> Report:
        require_one_map(editor, [task])
        require_whole_number("figure.each", self.each, "a whole number from 3 on", least=3)
        require_whole_number("figure.crowd", self.crowd, "a whole number above 0", least=1)
        require_whole_number("figure.k", self.k, f"a whole number from 1 to {2 * self.crowd}", 1, 2 * self.crowd)
        edits = edits_by_lambda(editor, self.lambdas, task, images)
        last = list(edits.values())[-1]
        path = {"input": last.z0, **{name: edit.arrived for name, edit in edits.items()}}
        walks = {"input": last.z0, **{name: edit.z for name, edit in edits.items()}}
        crowds = {"used": self._crowd(last, used=True), "others": self._crowd(last, used=False)}
        table = self._table(path, walks, crowds)
        rows = [[to_pixels(image.input) for image in last.images]]
        rows += [[to_pixels(image.result) for image in edit.images] for edit in edits.values()]
        grid = labelled_grid(rows, list(path), short_names(last.data.inputs))
        everyone = [image for name, edit in edits.items() for image in labelled(edit.images, name)]
        pictures = {"figure": self._picture(path, crowds["used"], task.title), "path": grid}
        rises = [self._rise(path, crowd) for crowd in crowds.values()]
        per_image = [
            {"image": name, **_prefixed(dict(zip(crowds, of_image, strict=True)))}
            for name, of_image in zip(last.data.inputs, zip(*rises, strict=True), strict=True)
        ]
        return Report(f"{task.title}\nneighbours", everyone, pictures, {"neighbours": table, "per_image": per_image})

    def _crowd(self, edit: Edit, used: bool) -> _Crowd:
        """As many pictures of either class: of the sets of the edit, or of those in neither."""
        rng = np.random.default_rng(self.seed)
        candidates = (edit.data.source, edit.data.target) if used else edit.data.others
        views = (edit.data.task.source_view if edit.data.task is not None else None, None)
        chosen = [rng.permutation(own)[: self.crowd] for own in candidates]
        classes = [
            _coordinates(edit, known, own, view) for known, own, view in zip(edit.points, chosen, views, strict=True)
        ]
        size = min(map(len, classes))
        if 2 * size < self.k or size < self.each:
            place = "in" if used else "outside"
            raise UserError(
                f"only {size} pictures of a class are {place} the sets, too few for figure.k={self.k} "
                f"and figure.each={self.each}; set data.set_size{' higher' if used else ' lower'}"
            )
        return _Crowd(np.concatenate([there[:size] for there in classes]), np.repeat([False, True], size))

    def _table(
        self, path: Mapping[str, Tensor], walks: Mapping[str, Tensor], crowds: Mapping[str, _Crowd]
    ) -> list[Record]:
        return [
            {
                "point": name,
                **{
                    f"target_share_{kind}{of}": float(crowd.share_of_target(ends[name], self.k).mean())
                    for of, ends in (("", path), ("_of_walk", walks))
                    for kind, crowd in crowds.items()
                },
            }
            for name in path
        ]

    def _rise(self, path: Mapping[str, Tensor], crowd: _Crowd) -> list[Record]:
        """For each image the share of target neighbours at both ends of its path, and how it changes."""
        shares = np.stack([crowd.share_of_target(z, self.k) for z in path.values()])
        return [
            {
                "first": float(shares[0, i]),
                "last": float(shares[-1, i]),
                "rises": bool(shares[-1, i] > shares[0, i]),
                "never_falls": bool((np.diff(shares[:, i]) >= 0).all()),
            }
            for i in range(shares.shape[1])
        ]

    def _picture(self, path: Mapping[str, Tensor], crowd: _Crowd, title: str) -> Image.Image:
        """The whole and an enlarged part, with the way of the first input."""
        half = len(crowd.points) // 2
        shown = np.r_[: self.each, half : half + self.each]
        way = torch.stack([z[0] for z in path.values()]).numpy()
        embedding = TSNE(perplexity=min(30, self.each / 2), init="pca", random_state=self.seed)
        points = embedding.fit_transform(crowd.points[shown])
        way = np.stack([affinities(point, crowd.points[shown]) @ points for point in way])
        canvas = Canvas(figsize=(12, 5.5))
        whole, part = canvas.subplots(1, 2)
        for axes in (whole, part):
            _draw_path(axes, points, crowd.of_target[shown], way)
        from_the_top = sorted(zip(way, path, strict=True), key=lambda point: -point[0][1])
        for row, (place, label) in enumerate(from_the_top):
            part.annotate(
                label,
                place,
                xytext=(1.02, 0.9 - LINE * row),
                textcoords="axes fraction",
                fontsize=8,
                arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6},
            )
        corner, side = _square_around(way, points)
        part.set(xlim=(corner[0], corner[0] + side), ylim=(corner[1], corner[1] + side))
        whole.add_patch(Rectangle(corner, side, side, fill=False, linestyle=":"))
        whole.legend(fontsize=8)
        whole.set_title(f"t-SNE in z: {title}")
        part.set_title("enlarged")
        return drawn(canvas)


def _coordinates(edit: Edit, known: Tensor, rows: np.ndarray, view: PictureView | None) -> np.ndarray:
    """Coordinates ``(n, K)`` of pictures of the catalog that decode: those that are known, or of pictures read now."""
    points = known[rows].double()
    is_missing = points.isnan().any(dim=1)
    place = {row: i for i, row in enumerate(rows.tolist())}
    missing = rows[is_missing.numpy()].tolist()
    for batch in edit.data.some_dataloader(missing, view) if missing else ():
        if len(batch.images):
            points[[place[row] for row in batch.indices]] = edit.space.coordinates(batch.images)
    return points[~points.isnan().any(dim=1)].numpy()


def affinities(point: np.ndarray, points: np.ndarray, perplexity: float = PATH_PERPLEXITY) -> np.ndarray:
    """t-SNE's affinities ``(n,)`` of a point ``(K,)`` to others ``(n, K)``: a Gaussian's, of a given perplexity.

    van der Maaten and Hinton, JMLR 2008, equation 1; the perplexity must be below n.
    """
    squares = np.square(points - point).sum(axis=1)
    squares = (squares - squares.min()) / squares.mean()

    def weights(log_scale: float) -> np.ndarray:
        exponentials = np.exp(-squares * math.exp(log_scale))
        return exponentials / exponentials.sum()

    def excess(log_scale: float) -> float:
        return float(entropy(weights(log_scale))) - math.log(perplexity)

    return weights(brentq(excess, -20, 20))


def _prefixed(groups: Mapping[str, Record]) -> Record:
    return {f"{name}_{key}": value for name, group in groups.items() for key, value in group.items()}


def _square_around(way: np.ndarray, points: np.ndarray) -> tuple[tuple[float, float], float]:
    """Lower left corner and side of a square that holds the way and some of the points."""
    center = way.mean(axis=0)
    nearest = np.sort(np.abs(points - center).max(axis=1))[:SHOWN_ENLARGED]
    reach = 1.1 * max(np.abs(way - center).max(), nearest[-1])
    return (center[0] - reach, center[1] - reach), 2 * reach


def _draw_path(axes: Axes, points: np.ndarray, of_target: np.ndarray, way: np.ndarray) -> None:
    axes.scatter(points[~of_target, 0], points[~of_target, 1], s=20, color="tab:blue", label="source")
    axes.scatter(points[of_target, 0], points[of_target, 1], s=20, color="tab:red", marker="^", label="target")
    axes.plot(*way.T, color="black", marker=".", markersize=5, linewidth=1, label="path of an edit")
    for begin, end in pairwise(way):
        axes.annotate("", end, begin, arrowprops={"arrowstyle": "->", "color": "black", "shrinkA": 0, "shrinkB": 0})
    axes.set(xticks=[], yticks=[])
