"""A data set and a manifold -> the ground of an edit: the manifold fitted, and the catalog's coordinates on it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from dmt.data import AttributeSplits
from dmt.manifolds.manifold import Manifold
from dmt.manifolds.pca import PCA
from dmt.manifolds.preparation import Preparation, Prepared
from dmt.manifolds.span import Span
from dmt.networks.extractor import FeatureExtractor


@dataclass(frozen=True)
class Ground:
    """A fitted manifold with the pictures on it.

    Args:
        extractor: what the manifold was fitted with.
        manifold: fitted.
        source_points: coordinates of the catalog's pictures as sources, ``(n, K)``; NaN where a picture is broken or
            was not asked for.
        target_points: the same as targets.
    """

    extractor: FeatureExtractor
    manifold: Manifold
    source_points: Tensor
    target_points: Tensor


class Grounds(Protocol):
    """Makes the ground for an edit."""

    preparation: Preparation
    """Computes and keeps what the ground is made of."""

    def __call__(self, data: AttributeSplits) -> Ground:
        """The ground for the sets and inputs of ``data``."""


class CatalogGrounds:
    """One manifold of the whole catalog for every edit, fitted or found when it is first needed.

    Args:
        preparation: computes and keeps.
        empty: the manifold to fit.
        path: a file to use instead.
    """

    def __init__(self, preparation: Preparation, empty: PCA, path: str | Path | None = None):
        self.preparation = preparation
        self.empty = empty
        self.path = path

    @cached_property
    def prepared(self) -> Prepared:
        """The fitted manifold."""
        return self.preparation.manifold(self.empty, self.path)

    @cached_property
    def _codes(self) -> Tensor:
        return self.preparation.codes(self.prepared)

    def __call__(self, data: AttributeSplits) -> Ground:
        source_points = self._codes
        if data.task is not None and data.task.source_view is not None:
            source_points = torch.full_like(self._codes, torch.nan)

            def place(features: Tensor, positions: list[int]) -> None:
                source_points[positions] = self.prepared.manifold.encode(features).cpu()

            self.preparation.some_features(self.prepared.extractor, data.source, place, data.task.source_view)
        return Ground(self.prepared.extractor, self.prepared.manifold, source_points, self._codes)


class SetGrounds:
    """For each edit the span of its own two sets and inputs (the paper's third version, March 2016).

    Only the pictures of the most confident sets have coordinates, so that other selections choose among these. The last
    ground is kept, for edits that differ in nothing that it depends on.

    Args:
        preparation: computes features and finds those that are kept.
        z_score: see ``Span``.
    """

    def __init__(self, preparation: Preparation, z_score: bool = False):
        self.preparation = preparation
        self.z_score = z_score
        self._last: tuple[str, Ground] | None = None

    def __call__(self, data: AttributeSplits) -> Ground:
        key = repr((data.source.tolist(), data.target.tolist(), data.inputs, data.task))
        if self._last is None or self._last[0] != key:
            self._last = key, self._fitted(data)
        return self._last[1]

    def _fitted(self, data: AttributeSplits) -> Ground:
        extractor = self.preparation.extractor()
        span = Span(self.z_score)
        rows: list[int] = []

        def take(features: Tensor, positions: list[int]) -> None:
            span.partial_fit(features)
            rows.extend(positions)

        view = data.task.source_view if data.task is not None else None
        self.preparation.some_features(extractor, data.source, take, view)
        n_source = len(rows)
        self.preparation.some_features(extractor, data.target, take)
        n_sets = len(rows)
        self.preparation.features_of(extractor, data.predict_dataloader(), take)
        span.finish()
        codes = span.codes.float()
        points = []
        for part in (slice(n_source), slice(n_source, n_sets)):
            coordinates = torch.full((len(data.catalog.names), codes.shape[1]), torch.nan)
            coordinates[rows[part]] = codes[part]
            points.append(coordinates)
        return Ground(extractor, span, *points)
