"""Everything an edit needs that is computed once and found again: scales, features, the manifold, coordinates."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from dmt.data import AttributeSplits, PictureView
from dmt.errors import UserError
from dmt.manifolds.module import BrokenImages, CodeWriter, FeatureHandler, ManifoldModule, StoredFeatures, StoreWriter
from dmt.manifolds.pca import PCA
from dmt.manifolds.streaming import IncrementalPCA
from dmt.networks import Backbone, network_fingerprint
from dmt.networks.extractor import FeatureExtractor, FeatureLayout, measure_scales, weighted
from dmt.storage import processes
from dmt.storage.feature_store import FeatureStore
from dmt.storage.tensors import cache_key, read_tensors, write_tensors

log = logging.getLogger(__name__)

SCALE_SAMPLE = 512  # images on which the layers' mean activation is measured
SCALE_PREFIX = "scale."
DESCRIPTION = "description.json"  # beside the features: what they are of


@dataclass(frozen=True)
class Prepared:
    """A fitted manifold and what it was fitted with.

    Args:
        extractor: with the manifold's own normalisation.
        manifold: fitted.
        path: the manifold's file.
    """

    extractor: FeatureExtractor
    manifold: PCA
    path: Path


class Preparation:
    """Computes what is missing and keeps it below one folder, each thing under a key of all that determines it.

    Several processes (``dmt.storage.processes``) share features and coordinates; the first measures scales and fits.

    Args:
        data: the pictures.
        backbone: the network.
        layers: the layers of the feature vector.
        normalization: ``layer``, ``channel`` or ``none``.
        cache: the folder.
        trainer: makes a trainer.
        keep_features: whether features are stored (2 bytes a number) or computed anew for each pass.
        fit_batch_size: feature vectors merged into the manifold at a time.
        layer_weights: layer -> number that its normalised features are multiplied by; 1 where there is none.
    """

    def __init__(
        self,
        data: AttributeSplits,
        backbone: Backbone,
        layers: list[str],
        normalization: str,
        cache: str | Path,
        trainer: Callable[..., Trainer],
        keep_features: bool = True,
        fit_batch_size: int = 512,
        layer_weights: Mapping[str, float] | None = None,
    ):
        self.data = data
        self.backbone = backbone
        self.layers = layers
        self.normalization = normalization
        self.cache = Path(cache).expanduser()
        self.trainer = trainer
        self.keep_features = keep_features
        self.fit_batch_size = fit_batch_size
        self.layer_weights = dict(layer_weights or {})

    def of_layers(self, layers: list[str]) -> "Preparation":
        """The same for other layers, whose weights are 1 where none are given."""
        other = copy(self)
        other.layers = layers
        return other

    def extractor(self) -> FeatureExtractor:
        """The network with the layers' scales measured on the data, or found.

        Raises:
            UserError: the images are too small for the network.
        """
        size = self.data.image_size
        FeatureExtractor(self.backbone, self.layers).layout(size, size)  # an unfit size is said before any work
        scales = processes.in_turn(self._scales)
        return FeatureExtractor(self.backbone, self.layers, weighted(scales, self.layer_weights))

    def manifold(self, empty: PCA, path: str | Path | None = None) -> Prepared:
        """Find the manifold of the data, or fit it.

        Args:
            empty: the manifold to fit.
            path: use this file instead, whatever data it was fitted on.

        Raises:
            UserError: the file is of another network, layers or image size; or there are fewer images than
                components.
        """
        if path is not None:
            return self._given_manifold(Path(path).expanduser())
        extractor = self.extractor()
        metadata = self._metadata(extractor) | {"n_components": empty.wanted} | _kind(empty)
        file = self.cache / "manifolds" / f"{cache_key(metadata)}.safetensors"
        if not processes.from_first(file.exists):
            self._require_enough(empty)
            if self.keep_features:
                self.features(extractor)
        return processes.in_turn(lambda: self._found_or_fitted(extractor, empty, file, metadata))

    def _require_enough(self, empty: PCA) -> None:
        n_images = len(self.data.catalog.names)
        if empty.n_components > n_images:
            raise UserError(
                f"{n_images} images are fewer than the {empty.n_components} components asked for; set "
                f"manifold.n_components={n_images - 1} or less, or give more images"
            )

    def _found_or_fitted(
        self, extractor: FeatureExtractor, empty: PCA, file: Path, metadata: Mapping[str, str]
    ) -> Prepared:
        if file.exists():
            log.info("manifold: found in %s", file)
            return Prepared(extractor, type(empty).load(file, metadata), file)
        module = ManifoldModule(extractor, empty)
        if self.keep_features:
            loader = StoredFeatures(self._open_store(extractor), self.fit_batch_size).loader()
        else:
            loader = self.data.all_dataloader()
        log.info("manifold: fitting %s components to %d images", empty.n_components, len(self.data.catalog.names))
        broken = BrokenImages()
        self.trainer(max_epochs=1, callbacks=[broken]).fit(module, loader)
        _warn_of(broken.found)
        empty.save(file, metadata, {SCALE_PREFIX + layer: scale for layer, scale in extractor.scales.items()})
        share = float(empty.explained_variance_ratio.sum())
        log.info("manifold: %d components explain %.1f %% of the variance", len(empty.components), 100 * share)
        log.info("manifold: saved to %s", file)
        return Prepared(extractor, empty, file)

    def features(self, extractor: FeatureExtractor) -> FeatureStore:
        """The features of every picture of the catalog, computed or found."""
        store = processes.in_turn(lambda: self._open_store(extractor))
        if processes.from_first(lambda: store.complete):
            log.info("features: %d x %d found in %s", store.n_images, store.size, store.folder)
            return store
        log.info("features: computing %d x %d, to %s", store.n_images - store.n_done, store.size, store.folder)
        n = processes.count()
        rows = processes.own(processes.from_first(lambda: store.missing(n)))
        part, first = (store, 0) if n == 1 else (store.part(rows), rows.start)
        broken = processes.gathered(lambda: self._extract(extractor, part, first))
        _warn_of([line for lines in broken for line in lines])
        processes.from_first(store.join)
        return self._open_store(extractor)

    def codes(self, prepared: Prepared) -> Tensor:
        """Manifold coordinates of every picture of the catalog, ``(n, K)``; rows of broken pictures are NaN."""
        key = cache_key(self._metadata(prepared.extractor) | {"manifold": _file_key(prepared.manifold)})
        file = self.cache / "codes" / f"{key}.safetensors"
        if processes.from_first(file.exists):
            log.info("coordinates: found in %s", file)
            return read_tensors(file)["codes"]
        n_images = len(self.data.catalog.names)
        store = self.features(prepared.extractor) if self.keep_features else None
        rows = processes.own(processes.divided(range(n_images), processes.count()))
        codes = torch.cat(processes.gathered(lambda: self._codes(prepared, store, rows)))
        processes.from_first(lambda: write_tensors(file, {"codes": codes}))
        return codes

    def _codes(self, prepared: Prepared, store: FeatureStore | None, rows: range) -> Tensor:
        codes = torch.full((len(self.data.catalog.names), len(prepared.manifold.components)), torch.nan)
        if store is not None:
            for features, positions in store.batches(self.fit_batch_size, rows=rows):
                codes[positions] = prepared.manifold.encode(features)
        else:
            module = ManifoldModule(prepared.extractor, prepared.manifold)
            trainer = self.trainer(callbacks=[CodeWriter(prepared.manifold, codes)])
            trainer.predict(module, self.data.all_dataloader(rows.start, len(rows)), return_predictions=False)
        return codes[rows.start : rows.stop]

    def some_features(
        self,
        extractor: FeatureExtractor,
        positions: np.ndarray,
        consume: Callable[[Tensor, list[int]], None],
        view: PictureView | None = None,
    ) -> None:
        """Hand on the features of some pictures of the catalog, or of what is made of them.

        Those of the pictures themselves are read from the store if it is complete. Pictures that do not decode are
        left out.

        Args:
            extractor: the network.
            positions: of the pictures.
            consume: takes features ``(B, D)`` and the positions of their pictures, batch after batch.
            view: what the pictures are made into first.
        """
        if view is None and self.keep_features and (store := self._open_store(extractor)).complete:
            for batch in np.array_split(positions, -(-len(positions) // self.fit_batch_size)):
                consume(*store.read_some(batch.tolist()))
        else:
            self.features_of(extractor, self.data.some_dataloader(positions.tolist(), view), consume)

    def features_of(
        self, extractor: FeatureExtractor, loader: DataLoader, consume: Callable[[Tensor, list[int]], None]
    ) -> None:
        """Hand on the features of the pictures that a loader serves, rounded as the store rounds them."""
        handler = FeatureHandler(lambda features, positions: consume(features.half().float(), positions))
        module = ManifoldModule(extractor, IncrementalPCA())
        self.trainer(callbacks=[handler]).predict(module, loader, return_predictions=False)
        _warn_of(handler.broken)

    def _given_manifold(self, path: Path) -> Prepared:
        scales = IncrementalPCA.load_extra(path, SCALE_PREFIX)
        extractor = FeatureExtractor(self.backbone, self.layers, scales)
        expected = self._metadata(extractor)
        del expected["data"]
        manifold = IncrementalPCA.load(path, expected)
        log.info("manifold: read from %s", path)
        return Prepared(extractor, manifold, path)

    def _scales(self) -> dict[str, Tensor]:
        key = cache_key(
            {
                "network": network_fingerprint(self.backbone),  # type: ignore[arg-type]
                "data": self.data.catalog.fingerprint,
                "image_size": str(self.data.image_size),
                "normalization": self.normalization,
            }
        )
        file = self.cache / "scales" / f"{key}.safetensors"
        if not file.exists():
            log.info("normalization: measuring mean activations on %d images", SCALE_SAMPLE)
            batches = (batch.images for batch in self.data.sample_dataloader(SCALE_SAMPLE) if len(batch.images))
            write_tensors(file, measure_scales(self.backbone, batches, self.normalization))
        return read_tensors(file)

    def _open_store(self, extractor: FeatureExtractor) -> FeatureStore:
        """The store of these features: its own, or part of a complete one that holds further layers."""
        metadata = self._metadata(extractor)
        layout = extractor.layout(self.data.image_size, self.data.image_size)
        n_images = len(self.data.catalog.names)
        store = FeatureStore(self.cache / "features" / cache_key(metadata), n_images, layout.size)
        description = store.folder / DESCRIPTION
        if not description.exists():
            partial = description.with_suffix(".partial")
            partial.write_text(json.dumps({"metadata": metadata, "shapes": dict(layout.shapes)}))
            partial.replace(description)
        if store.n_done:
            return store
        return next(self._wider_stores(metadata, n_images), store)

    def _wider_stores(self, metadata: Mapping[str, str], n_images: int) -> Iterator[FeatureStore]:
        layers = metadata["layers"].split(",")
        for path in sorted((self.cache / "features").glob(f"*/{DESCRIPTION}")):
            described = json.loads(path.read_text())
            layout = FeatureLayout(described["shapes"])
            if described["metadata"] | {"layers": metadata["layers"]} == metadata and set(layers) < set(layout.shapes):
                store = FeatureStore(path.parent, n_images, layout.size, layout.columns(layers))
                if store.complete:
                    yield store

    def _extract(self, extractor: FeatureExtractor, store: FeatureStore, first: int) -> list[str]:
        """Fill a store whose first row is that of the picture ``first``; what went wrong with broken pictures."""
        writer = StoreWriter(store, self.data.batch_size, first)
        loader = self.data.all_dataloader(first + store.n_done, store.n_images - store.n_done)
        module = ManifoldModule(extractor, IncrementalPCA())
        self.trainer(callbacks=[writer]).predict(module, loader, return_predictions=False)
        return writer.broken

    def _metadata(self, extractor: FeatureExtractor) -> dict[str, str]:
        return extractor.fingerprint | {
            "image_size": str(self.data.image_size),
            "data": self.data.catalog.fingerprint,
        }


def _kind(empty: PCA) -> dict[str, str]:
    """What tells a manifold's file from those of the streaming PCA, which came first and bear no name."""
    return {} if isinstance(empty, IncrementalPCA) else {"manifold": type(empty).__name__}


def _file_key(manifold: PCA) -> str:
    sample = manifold.components.flatten()[:: max(1, manifold.components.numel() // 4096)]
    return hashlib.sha256(sample.cpu().numpy().tobytes() + manifold.mean.cpu().numpy().tobytes()).hexdigest()[:16]


def _warn_of(broken: list[str]) -> None:
    if broken:
        log.warning("skipped %d images that do not decode: %s", len(broken), "; ".join(broken[:10]))
