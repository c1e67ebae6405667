"""A data set and a manifold -> the ground of an edit: the manifold fitted, and the catalog's coordinates on it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from dmt.data import AttributeSplits
from dmt.features import FeatureExtractor
from dmt.manifolds import PCA, Manifold, Span
from dmt.preparation import Preparation, Prepared


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
            made = self.preparation.some_features(self.prepared.extractor, data.source, data.task.source_view)
            for features, positions in made:
                source_points[positions] = self.prepared.manifold.encode(features).cpu()
        return Ground(self.prepared.extractor, self.prepared.manifold, source_points, self._codes)


class SetGrounds:
    """For each edit the span of its own two sets and inputs (the paper's third version, March 2016).

    Args:
        preparation: computes features and finds those that are kept.
        z_score: see ``Span``.
    """

    def __init__(self, preparation: Preparation, z_score: bool = False):
        self.preparation = preparation
        self.z_score = z_score

    def __call__(self, data: AttributeSplits) -> Ground:
        extractor = self.preparation.extractor()
        view = data.task.source_view if data.task is not None else None
        span = Span(self.z_score)
        sides: list[list[int]] = []
        for side, made in ((data.source, view), (data.target, None)):
            sides.append([])
            for features, positions in self.preparation.some_features(extractor, side, made):
                span.partial_fit(features)
                sides[-1] += positions
        for features, _ in self.preparation.features_of(extractor, data.predict_dataloader()):
            span.partial_fit(features)
        span.finish()
        codes = span.codes.float()
        parts = codes.split([len(sides[0]), len(sides[1]), len(codes) - len(sides[0]) - len(sides[1])])
        points = [torch.full((len(data.catalog.names), codes.shape[1]), torch.nan) for _ in sides]
        for coordinates, positions, part in zip(points, sides, parts, strict=False):
            coordinates[positions] = part
        return Ground(extractor, span, *points)
