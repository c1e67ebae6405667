"""The scores of a network's layers -> the report that ``train.py experiment=layer_scores`` shows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from PIL import Image
from pytorch_lightning import Trainer
from scipy.stats import t as student

from dmt.data import to_pixels
from dmt.editing.editor import Editor
from dmt.editing.records import EditedImage, Record
from dmt.errors import UserError, nearest_name, require_side, require_whole_number
from dmt.judges.verdicts import crossing_rate
from dmt.manifolds import CatalogFeatures, Space
from dmt.networks import Backbone
from dmt.networks.extractor import PooledExtractor
from dmt.networks.network import require_layers
from dmt.ranges import Beyond, Count
from dmt.reporting.grids import labelled_grid
from dmt.reporting.names import short_names
from dmt.reporting.plots import drawn
from dmt.reporting.results import Report
from dmt.studies.figures.figure import labelled, mean_table
from dmt.studies.layers.edits import edits_by_layers, require_span
from dmt.studies.layers.measures import alignment, centred_gram
from dmt.studies.layers.scores import LayerScore, LayerScores


@dataclass(frozen=True)
class LayerStudy:
    """Scores the layers of a network and reports: a row per layer, those marked that ``layers=auto`` picks.

    Args:
        scores: scores layers by a task.
        other: a second network, with whose layers each is compared by linear CKA; ``None``: none.
        traversal: whether pictures are edited, too: through each layer alone, the picks, and the layers that are
            configured.
        images: which pictures, by name or path; empty: ``n_images`` of the source.
        n_images: how many.
        judge: whose verdict decides about flips, if the run has it.
        beyond: on which side of a half of it the target lies, ``above`` or ``below``.
    """

    scores: LayerScores
    other: Backbone | None = None
    traversal: bool = False
    images: Sequence[str] = ()
    n_images: Count = 8
    judge: str = "happy"
    beyond: Beyond = "below"

    def __call__(
        self, trainer: Callable[..., Trainer], editor: Callable[[], Editor], settings: Mapping[str, Any]
    ) -> Report:
        """Score and report.

        Args:
            trainer: makes a trainer.
            editor: makes the editor, which has the pictures and the network.
            settings: the resolved configuration; not read.
        """
        edits = editor()
        if self.traversal:
            self._require_edits(edits)
        assert not isinstance(edits.space, Space)
        features, task = edits.space.features, self.scores.task
        scores = self.scores.measure(features.backbone, features.data, trainer, features.cache)
        picks = self.scores.choose(scores)
        tables = {"layers": score_table(scores, picks)}
        pictures = {"layers": _drawn_scores(scores, picks, task.title, self.scores.folds)}
        if self.other is not None:
            tables["cka"] = self._alignments(self.other, features, trainer)
            pictures["cka"] = _drawn_alignments(tables["cka"])
        shown: list[EditedImage] = []
        if self.traversal:
            shown, tables["traversal"] = self._traversals(edits, scores, picks)
            pictures["traversal"] = _drawn_edits(shown)
        return Report(f"{task.title}\nscores of layers", shown, pictures, tables)

    def _require_edits(self, editor: Editor) -> None:
        """Find out before anything is scored what would keep pictures from being edited.

        Raises:
            UserError: another manifold than the span of sets, an unknown layer, judge, side or number of pictures.
        """
        features = require_span(editor).features
        require_layers(features.layers, features.backbone.layer_names)
        if editor.judges and self.judge not in editor.judges:
            hint = nearest_name(self.judge, editor.judges)
            raise UserError(
                f"study.judge: there is no judge {self.judge!r}{hint} (there are {', '.join(editor.judges)})"
            )
        require_side("study.beyond", self.beyond)
        if not self.images:
            require_whole_number("n_images", self.n_images, "a whole number, 1 or more", 1)

    def _traversals(
        self, editor: Editor, scores: Sequence[LayerScore], picks: Sequence[str]
    ) -> tuple[list[EditedImage], list[Record]]:
        """Every edit of every picture, and a row per choice of layers."""
        configured = require_span(editor).features.layers
        choices = {score.layer: [score.layer] for score in scores}
        choices |= {"+".join(layers): list(layers) for layers in (picks, configured)}
        edits, reconstructions = edits_by_layers(editor, choices, self.scores.task, self.images or self.n_images)
        rows: list[Record] = []
        for row in mean_table({name: edit.images for name, edit in edits.items()}):
            name = str(row.pop("edit"))
            flips = crossing_rate([image.record for image in edits[name].images], self.judge, self.beyond)
            of_judge = {"flips": flips} if self.judge in editor.judges else {}
            rows.append({"layers": name, "reconstruction_psnr": reconstructions[name], **of_judge, **row})
        return [image for name, edit in edits.items() for image in labelled(edit.images, name)], rows

    def _alignments(self, other: Backbone, features: CatalogFeatures, trainer: Callable[..., Trainer]) -> list[Record]:
        """A row per layer, a column per layer of the other network."""
        data, grid = features.data, self.scores.grid
        sets = self.scores.sets(data)
        extractors = (
            PooledExtractor(features.backbone, self.scores.names(features.backbone), grid),
            PooledExtractor(other, other.layer_names, grid),
        )
        ours, theirs = (
            {
                layer: centred_gram(points)
                for layer, points in self.scores.view(extractor, data, sets, trainer).layers.items()
            }
            for extractor in extractors
        )
        return [
            {"layer": layer, **{name: alignment(gram, theirs[name]) for name in theirs}} for layer, gram in ours.items()
        ]


def score_table(scores: Sequence[LayerScore], picks: Collection[str]) -> list[Record]:
    """A row per layer; ``auto`` is a star where the layer is one of the picks."""
    return [
        {
            "layer": score.layer,
            "channels": score.shape[0],
            "height": score.shape[1],
            "width": score.shape[2],
            "numbers": score.size,
            "auc": score.auc,
            "auc_error": score.auc_error,
            "knn": score.knn,
            "logme": score.logme,
            "auto": "*" if score.layer in picks else "",
        }
        for score in scores
    ]


def _drawn_scores(scores: Sequence[LayerScore], picks: Collection[str], title: str, folds: int) -> Image.Image:
    """Probe and neighbours above, the evidence and the cost below, a place per layer; picks have a grey bar."""
    canvas = Canvas(figsize=(max(6.0, 0.55 * len(scores) + 2), 6.5), layout="constrained")
    above, below = canvas.subplots(2, 1, sharex=True)
    places = np.arange(len(scores))
    errors = [float(student.ppf(0.975, folds - 1)) * score.auc_error for score in scores]
    above.errorbar(
        places, [score.auc for score in scores], errors, marker="o", color="#0072B2", label="probe: AUC, 95 %"
    )
    above.plot(
        places, [score.knn for score in scores], marker="s", color="#D55E00", label="neighbours: balanced accuracy"
    )
    above.set_title(f"{title}: people held out", fontsize=10)
    above.legend(fontsize=8, frameon=False)
    below.plot(places, [score.logme for score in scores], marker="D", color="#009E73")
    below.set_ylabel("LogME", color="#009E73")
    cost = below.twinx()
    cost.semilogy(places, [score.size for score in scores], linestyle=":", color="0.4")
    cost.set_ylabel("numbers per picture", color="0.4")
    below.set_xticks(places, [score.layer for score in scores], rotation=60, ha="right", fontsize=8)
    for axes in (above, below):
        _shade(axes, [place for place, score in enumerate(scores) if score.layer in picks])
    return drawn(canvas)


def _shade(axes: Axes, places: Collection[int]) -> None:
    for place in places:
        axes.axvspan(place - 0.4, place + 0.4, color="0.92", zorder=0)


def _drawn_edits(images: Sequence[EditedImage]) -> Image.Image:
    """A column per picture; rows: the input, then the result through each choice of layers."""
    names = list(dict.fromkeys(image.name for image in images))
    choices = list(dict.fromkeys(image.edit for image in images))
    results = {(image.edit, image.name): to_pixels(image.result) for image in images}
    inputs = {image.name: to_pixels(image.input) for image in images}
    rows = [list(inputs.values()), *([results[choice, name] for name in names] for choice in choices)]
    return labelled_grid(rows, ["input", *choices], short_names(names))


def _drawn_alignments(rows: Sequence[Record]) -> Image.Image:
    names = [name for name in rows[0] if name != "layer"]
    values = np.array([[float(row[name]) for name in names] for row in rows])
    canvas = Canvas(figsize=(0.4 * len(names) + 3, 0.4 * len(rows) + 2), layout="constrained")
    axes = canvas.add_subplot()
    shown = axes.imshow(values, vmin=0, vmax=1, origin="lower")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), [str(row["layer"]) for row in rows], fontsize=8)
    axes.set(xlabel="the other network", ylabel="the network", title="linear CKA")
    canvas.colorbar(shown)
    return drawn(canvas)
