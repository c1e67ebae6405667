"""The two sets of an edit -> the space they span, or the space of their places; the last ones are kept."""

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dmt.data import EditData, Selection, Sets
from dmt.manifolds.features import CatalogFeatures
from dmt.manifolds.local import LocalSpace, local_space
from dmt.manifolds.places import Places
from dmt.manifolds.space import Space
from dmt.manifolds.span import Span
from dmt.networks.probe import predicted_scores

MOST_KEPT = 4  # spaces that a SetFit holds: a span has some 300 feature vectors in memory


class SetFit:
    """For each edit the space of its own two sets: their span (the paper's third version, March 2016), or their places.

    Sets are chosen by labels, before any picture is read, so that an edit needs a few hundred pictures and not all. The
    last spaces are kept, for edits that differ in nothing that they depend on.

    Args:
        features: of the catalog.
        manifold: not fitted yet; ``None``: a span without z-scores.
    """

    def __init__(self, features: CatalogFeatures, manifold: Span | Places | None = None):
        self.features = features
        self.manifold = Span() if manifold is None else manifold
        self._last: dict[str, Space | LocalSpace] = {}

    def parts(self, data: EditData, selection: Selection) -> list[EditData]:
        """The inputs with the pictures that their sets are chosen from, those with the same together."""
        chosen = selection.by_labels(data.pool, data.inputs, partial(self._own_scores, data))
        together: dict[tuple[bytes, bytes], tuple[Sets, list[str]]] = {}
        for name, sets in zip(data.inputs, chosen, strict=True):
            key = (sets.source.tobytes(), sets.target.tobytes())
            together.setdefault(key, (sets, []))[1].append(name)
        return [data.part(names, sets) for sets, names in together.values()]

    def __call__(self, data: EditData) -> Space | LocalSpace:
        inputs = hashlib.sha256()
        for name in data.inputs if isinstance(self.manifold, Span) else ():  # names of pictures handed over are alike
            inputs.update(data.catalog.read_named(name, data.image_size).numpy().tobytes())
        key = repr((data.source.tolist(), data.target.tolist(), inputs.hexdigest(), data.task))
        if key not in self._last:
            if len(self._last) >= MOST_KEPT:
                self._last.pop(next(iter(self._last)))
            self._last[key] = self._fitted(data)
        return self._last[key]

    def _fitted(self, data: EditData) -> Space | LocalSpace:
        if isinstance(self.manifold, Places):
            return local_space(self.features, self.manifold, data)
        return span_space(self.features, self.manifold, data)

    def _own_scores(self, data: EditData, name: str, labels: Sequence[str]) -> np.ndarray:
        """How much of labels an input has, or what its features say of that where nobody labelled it."""
        index = data.catalog.index(name)
        if index is not None:
            return np.array([data.catalog.scores(label)[index] for label in labels])
        points, positions, own = self.features.pooled(data.catalog.read_named(name, data.image_size))
        scores = np.stack([data.catalog.scores(label)[positions] for label in labels], axis=1)
        return predicted_scores(points, torch.from_numpy(scores), own)[0].numpy()


def span_space(features: CatalogFeatures, span: Span, data: EditData) -> Space:
    """The span of both sides' pictures and of the inputs."""
    extractor = features.extractor()
    span = deepcopy(span)
    rows: list[int] = []

    def take(features: Tensor, positions: list[int]) -> None:
        span.partial_fit(features)
        rows.extend(positions)

    view = data.task.source_view if data.task is not None else None
    features.some(extractor, data.source, take, view)
    n_source = len(rows)
    features.some(extractor, data.target, take)
    n_sets = len(rows)
    features.of_loader(extractor, data.predict_dataloader(), take)
    span.finish()
    codes = span.codes.float()
    sides = []
    parts = (slice(n_source), slice(n_source, n_sets)) if view is not None else [slice(n_sets)] * 2
    for part in parts:
        points = torch.full((len(data.catalog.names), codes.shape[1]), torch.nan)
        points[rows[part]] = codes[part]
        sides.append(points)
    return Space(extractor, span, sides[0], sides[1], features.metadata(extractor))
