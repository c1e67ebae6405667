"""A network, a manifold and where both sides lie on it: the ground of an edit, fitted once, kept and found again."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from dmt.data import EditData, Sets
from dmt.errors import UserError
from dmt.manifolds.exact import ExactPCA
from dmt.manifolds.features import CatalogFeatures
from dmt.manifolds.manifold import Manifold
from dmt.manifolds.module import BrokenImages, CodeWriter, ManifoldModule, StoredFeatures, read_through
from dmt.manifolds.pca import PCA
from dmt.manifolds.representation import Encoded, Members, Points, Representation
from dmt.manifolds.streaming import IncrementalPCA
from dmt.networks import Backbone
from dmt.networks.extractor import FeatureExtractor, FeatureLayout
from dmt.storage import processes
from dmt.storage.files import DamagedError, found_or_made
from dmt.storage.tensors import cache_key, found_tensors, keep_tensors

log = logging.getLogger(__name__)

SCALE_PREFIX = "scale."
POINTS = "points"
BROKEN = "broken"  # what a manifold's file says of pictures that did not decode when it was fitted


@dataclass(frozen=True)
class Space:
    """Where pictures are points: a ``dmt.manifolds.Representation``, with one point for every picture.

    Args:
        extractor: pictures -> feature vectors, with the manifold's own normalisation.
        manifold: fitted to feature vectors of the same extractor.
        source: coordinates of the catalog's n pictures as sources, ``(n, K)``; NaN where a picture is broken or was
            not asked for.
        target: the same as targets.
        fitted_with: what the manifold was fitted with, in words.
    """

    extractor: FeatureExtractor
    manifold: Manifold
    source: Tensor
    target: Tensor
    fitted_with: Mapping[str, str] = field(default_factory=dict)

    @torch.no_grad()
    def points(self, activations: Mapping[str, Tensor]) -> Points:
        return self._points(FeatureLayout.of(activations).pack(activations))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Encoded:
        activations = self.extractor(images)
        layout = FeatureLayout.of(activations)
        features = layout.pack(activations)
        return Encoded(self._points(features), features, layout)

    def _points(self, features: Tensor) -> Points:
        return Points.one_each(self.manifold.encode(features).cpu().double())

    @torch.no_grad()
    def targets(self, encoded: Encoded, delta: Tensor, form: str = "residual") -> dict[str, Tensor]:
        features = encoded.features
        if form == "projected":
            z = encoded.points.z + delta
            moved = self.manifold.mean + self.manifold.decode(z.float().to(features.device))
        else:
            moved = features + self.manifold.decode(delta.float().to(features.device))
        return encoded.layout.unpack(moved)

    @torch.no_grad()
    def along(self, encoded: Encoded, delta: Tensor) -> dict[str, Tensor]:
        squares = delta.square().sum(dim=1, keepdim=True)
        shares = (delta / squares).where(squares > 0, 0)
        return encoded.layout.unpack(self.manifold.adjoint(shares.float().to(encoded.features.device)))

    @property
    def unit(self) -> float:
        return 1.0

    @property
    def fixed(self) -> None:
        return None

    def members(self, sets: Sets) -> Members:
        sides = (self.source[sets.source], self.target[sets.target])
        return Members(*(Points.one_each(side[~side.isnan().any(dim=1)].double()) for side in sides))

    def catalog_points(self) -> tuple[Tensor, Tensor]:
        return self.source, self.target

    def coordinates(self, images: Tensor) -> Tensor:
        """Coordinates ``(B, K)`` of pictures ``(B, 3, H, W)`` in [0, 1], in double precision, on the processor."""
        return self.encode(images).points.z

    def save(self, path: str | Path) -> None:
        """Write the manifold, the layers' scales and the pictures' points to one ``.safetensors`` file.

        ``dmt.load_space`` reads it back. The network is not in it: its name and a fingerprint are.

        Raises:
            UserError: the manifold is the span of some pictures, which is fitted anew for every edit.
            OSError: the file cannot be written.
        """
        if not isinstance(self.manifold, PCA):
            raise UserError("manifold=span is fitted anew for every edit; there is nothing to save")
        scales = {SCALE_PREFIX + layer: scale for layer, scale in self.extractor.scales.items()}
        self.manifold.save(Path(path).expanduser(), self.fitted_with, {**scales, POINTS: self.target})


class SpaceFit(Protocol):
    """A way to get the space for an edit."""

    features: CatalogFeatures
    """The features that it is fitted to."""

    def __call__(self, data: EditData) -> Representation:
        """The space for the sets and inputs of ``data``."""


class CatalogFit:
    """One manifold of the whole catalog for every edit, fitted or found when it is first needed.

    Args:
        features: of the catalog.
        empty: the manifold to fit.
        path: use this file instead, whatever data it was fitted on.
    """

    def __init__(self, features: CatalogFeatures, empty: PCA, path: str | Path | None = None):
        self.features = features
        self.empty = empty
        self.path = None if path is None else Path(path).expanduser()

    @cached_property
    def space(self) -> Space:
        """The manifold with every picture of the catalog on it.

        Raises:
            UserError: the given file is of another network, layers or image size; or there are fewer images than
                components.
        """
        extractor, manifold, metadata = self._fitted()
        points = self._points(extractor, manifold)
        return Space(extractor, manifold, points, points, metadata)

    def __call__(self, data: EditData) -> Space:
        space = self.space
        if data.task is None or data.task.source_view is None:
            return space
        source = torch.full_like(space.source, torch.nan)

        def place(features: Tensor, positions: list[int]) -> None:
            source[positions] = space.manifold.encode(features).cpu()

        self.features.some(space.extractor, data.source, place, data.task.source_view)
        return replace(space, source=source)

    def _fitted(self) -> tuple[FeatureExtractor, PCA, Mapping[str, str]]:
        if self.path is not None:
            return self._given(self.path)
        extractor = self.features.extractor()
        metadata = self.features.metadata(extractor) | {"n_components": self.empty.wanted} | _kind(self.empty)
        file = self.features.cache / "manifolds" / f"{cache_key(metadata)}.safetensors"
        if not processes.from_first(file.exists):
            self._require_enough()
            if self.features.keep:
                self.features.of_catalog(extractor)

        def found() -> PCA:
            return self._found(file, metadata)

        def fitted() -> PCA:
            return self._fit(extractor, file, metadata)

        manifold = processes.in_turn(lambda: found_or_made(file, found, fitted, "manifold"))
        return extractor, manifold, metadata

    def _require_enough(self) -> None:
        n_images = len(self.features.data.catalog.names)
        if self.empty.n_components > n_images:
            raise UserError(
                f"{n_images} images are fewer than the {self.empty.n_components} components asked for; set "
                f"n_components={n_images - 1} or less, or give more images"
            )

    def _found(self, file: Path, metadata: Mapping[str, str]) -> PCA:
        manifold = type(self.empty).load(file, metadata)
        stamps = json.loads(PCA.load_metadata(file).get(BROKEN, "{}"))
        repaired = self.features.repaired({int(position): stamp for position, stamp in stamps.items()})
        if repaired:
            raise DamagedError(f"{file} lacks {len(repaired)} pictures that did not decode and have been repaired")
        log.info("manifold: found in %s", file)
        return manifold

    def _fit(self, extractor: FeatureExtractor, file: Path, metadata: Mapping[str, str]) -> PCA:
        features, stamps, limits = self.features, dict[int, str](), dict[str, int]()
        if features.keep:
            store = features.of_catalog(extractor)
            stored = StoredFeatures(store, features.batch_size)
            loader, stamps, limits = stored.loader(), store.stamps, {"limit_train_batches": stored.n_batches}
        else:
            loader = features.data.all_dataloader()
        log.info(
            "manifold: fitting %s components to %d images", self.empty.n_components, len(features.data.catalog.names)
        )
        broken = BrokenImages()
        trainer = features.trainer(max_epochs=1, callbacks=[broken], **limits)
        trainer.fit(ManifoldModule(extractor, self.empty), loader)
        processes.let_go(trainer)
        broken.warn()
        lacking = {BROKEN: json.dumps(stamps)} if stamps else {}
        scales = {SCALE_PREFIX + layer: scale for layer, scale in extractor.scales.items()}
        self.empty.save(file, {**metadata, **lacking}, scales)
        share = float(self.empty.explained_variance_ratio.sum())
        log.info("manifold: %d components explain %.1f %% of the variance", len(self.empty.components), 100 * share)
        log.info("manifold: saved to %s", file)
        return self.empty

    def _given(self, path: Path) -> tuple[FeatureExtractor, PCA, Mapping[str, str]]:
        scales = IncrementalPCA.load_extra(path, SCALE_PREFIX)
        extractor = FeatureExtractor(self.features.backbone, self.features.layers, scales)
        expected = self.features.metadata(extractor)
        del expected["data"]
        manifold = IncrementalPCA.load(path, expected)
        log.info("manifold: read from %s", path)
        return extractor, manifold, expected

    def _points(self, extractor: FeatureExtractor, manifold: PCA) -> Tensor:
        """Coordinates of every picture of the catalog, ``(n, K)``; rows of broken pictures are NaN."""
        key = cache_key(self.features.metadata(extractor) | {"manifold": _file_key(manifold)})
        file = self.features.cache / "codes" / f"{key}.safetensors"
        found = processes.from_first(lambda: self._found_points(file))
        if found is not None:
            log.info("coordinates: found in %s", file)
            return found
        n_images = len(self.features.data.catalog.names)
        if self.features.keep:
            self.features.of_catalog(extractor)
        rows = processes.own(processes.divided(range(n_images), processes.count()))
        points = torch.cat(processes.gathered(lambda: self._points_of(extractor, manifold, rows)))
        processes.from_first(lambda: keep_tensors(file, {"codes": points}))
        return points

    @staticmethod
    def _found_points(file: Path) -> Tensor | None:
        found = found_tensors(file, "coordinates")
        return None if found is None else found["codes"]

    def _points_of(self, extractor: FeatureExtractor, manifold: PCA, rows: range) -> Tensor:
        features = self.features
        points = torch.full((len(features.data.catalog.names), len(manifold.components)), torch.nan)
        if features.keep:
            for batch, positions in features.open_store(extractor).batches(features.batch_size, rows=rows):
                points[positions] = manifold.encode(batch)
        else:
            trainer = features.trainer(callbacks=[CodeWriter(manifold, points)])
            loader = features.data.all_dataloader(rows.start, len(rows))
            read_through(trainer, ManifoldModule(extractor, manifold), loader)
        return points[rows.start : rows.stop]


def read_space(path: Path, make: Callable[[str], Backbone], backbone: Backbone | str | None = None) -> Space:
    """Read what ``Space.save`` wrote; see ``dmt.load_space``.

    Args:
        path: the file.
        make: makes a network by its name.
        backbone: the network it was fitted with, or its name; ``None``: the file names it.

    Raises:
        UserError: the file is missing or damaged or no space, it names no network, or the network is another one.
    """
    metadata, points = PCA.load_metadata(path), PCA.load_extra(path, POINTS)
    if not points:
        raise UserError(f"{path} holds a manifold without the points of pictures; use it as manifold_path={path}")
    backbone = metadata.get("backbone") if backbone is None else backbone
    if backbone is None:
        raise UserError(
            f"{path} does not say which network it was fitted with; give it: load_space(path, backbone=...)"
        )
    network = make(backbone) if isinstance(backbone, str) else backbone
    scales = PCA.load_extra(path, SCALE_PREFIX)
    extractor = FeatureExtractor(network, metadata["layers"].split(","), scales)
    kinds = {kind.__name__: kind for kind in (IncrementalPCA, ExactPCA)}
    manifold = kinds[metadata["kind"]].load(path, extractor.fingerprint)
    (place,) = points.values()
    fitted_with = {key: value for key, value in metadata.items() if key not in ("fit", "kind")}
    return Space(extractor, manifold, place, place, fitted_with)


def _kind(empty: PCA) -> dict[str, str]:
    """What tells a manifold's file from those of the streaming PCA, which came first and bear no name."""
    return {} if isinstance(empty, IncrementalPCA) else {"manifold": type(empty).__name__}


def _file_key(manifold: PCA) -> str:
    sample = manifold.components.flatten()[:: max(1, manifold.components.numel() // 4096)]
    return hashlib.sha256(sample.cpu().numpy().tobytes() + manifold.mean.cpu().numpy().tobytes()).hexdigest()[:16]
