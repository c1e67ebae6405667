"""A catalog and a network -> the feature vectors of its pictures, computed once and found again."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from dmt.data import EditData, PictureView
from dmt.manifolds.module import FeatureHandler, ManifoldModule, StoreWriter, warn_of_broken
from dmt.manifolds.streaming import IncrementalPCA
from dmt.networks import Backbone, network_fingerprint
from dmt.networks.extractor import FeatureExtractor, FeatureLayout, PooledExtractor, measure_scales
from dmt.storage import processes
from dmt.storage.feature_store import FeatureStore
from dmt.storage.files import write_text
from dmt.storage.row_store import RowStore
from dmt.storage.tensors import cache_key, read_tensors, write_tensors

log = logging.getLogger(__name__)

SAMPLE = 300  # images on which the layers' mean activation is measured, and labels are learnt from (ours)
SCALES, POOLED = "scales", "pooled"  # folders of the cache
GRID = 4  # cells along each side that features are averaged in where labels are guessed (ours)
DESCRIPTION = "description.json"  # beside the features: what they are of


class CatalogFeatures:
    """Computes what is missing and keeps it below one folder, each thing under a key of all that determines it.

    Several processes (``dmt.storage.processes``) share the work; the first of them measures scales.

    Args:
        data: the pictures.
        backbone: the network.
        layers: the layers of the feature vector.
        normalization: ``layer``, ``channel`` or ``none``: what is divided by its mean activation on the data.
        cache: the folder.
        trainer: makes a trainer.
        keep: whether features are stored (2 bytes a number) or computed anew for each pass.
        batch_size: feature vectors handed on at a time.
    """

    def __init__(
        self,
        data: EditData,
        backbone: Backbone,
        *,
        layers: Sequence[str],
        normalization: str,
        cache: str | Path,
        trainer: Callable[..., Trainer],
        keep: bool = True,
        batch_size: int = 512,
    ):
        self.data = data
        self.backbone = backbone
        self.layers = list(layers)
        self.normalization = normalization
        self.cache = Path(cache).expanduser()
        self.trainer = trainer
        self.keep = keep
        self.batch_size = batch_size
        self._extractor: FeatureExtractor | None = None

    def of_layers(self, layers: Sequence[str]) -> "CatalogFeatures":
        """The same for other layers."""
        other = copy(self)
        other.layers, other._extractor = list(layers), None
        return other

    def extractor(self) -> FeatureExtractor:
        """The network with the layers' scales measured on the data, or found.

        Raises:
            UserError: the images are too small for the network.
        """
        if self._extractor is None or list(self._extractor.layers) != self.layers:
            size = self.data.image_size
            FeatureExtractor(self.backbone, self.layers).layout(size, size)  # an unfit size is said before any work
            self._extractor = FeatureExtractor(self.backbone, self.layers, processes.in_turn(self._scales))
        return self._extractor

    def metadata(self, extractor: FeatureExtractor) -> dict[str, str]:
        """What determines the features, in words."""
        size = {"image_size": str(self.data.image_size)}
        return extractor.fingerprint | size | {"data": self.data.catalog.fingerprint}

    def of_catalog(self, extractor: FeatureExtractor) -> FeatureStore:
        """The features of every picture of the catalog, computed or found."""
        store = processes.in_turn(lambda: self.open_store(extractor))
        if processes.from_first(lambda: store.complete):
            log.info("features: %d x %d found in %s", store.n_images, store.size, store.folder)
            return store
        log.info("features: computing %d x %d, to %s", store.n_images - store.n_done, store.size, store.folder)
        n = processes.count()
        rows = processes.own(processes.from_first(lambda: store.missing(n)))
        part, first = (store, 0) if n == 1 else (store.part(rows), rows.start)
        broken = processes.gathered(lambda: self._extract(extractor, part, first))
        warn_of_broken([line for lines in broken for line in lines])
        processes.from_first(store.join)
        return self.open_store(extractor)

    def some(
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
        if view is not None or not self.keep:
            self.of_loader(extractor, self.data.some_dataloader(positions.tolist(), view), consume)
            return
        store = self.open_store(extractor)
        read = store.read_some if store.complete else self._read_rows(extractor, store, positions.tolist())
        for start in range(0, len(positions), self.batch_size):
            features, found = read(positions[start : start + self.batch_size].tolist())
            if found:
                consume(features.float(), found)

    def _read_rows(
        self, extractor: FeatureExtractor, store: FeatureStore, positions: Sequence[int]
    ) -> Callable[[Sequence[int]], tuple[Tensor, list[int]]]:
        """Reads rows, of which those that are missing have been computed first."""
        rows = RowStore(store.folder, store.n_images, extractor.layout(*2 * [self.data.image_size]).size)
        missing = rows.missing(positions)
        if missing:
            log.info("features: reading %d pictures", len(missing))
            there: set[int] = set()

            def keep(features: Tensor, found: list[int]) -> None:
                rows.write(found, features)
                there.update(found)

            self.of_loader(extractor, self.data.some_dataloader(sorted(set(missing))), keep)
            rows.mark_broken(sorted(set(missing) - there))
        return rows.read

    def pooled(self, picture: Tensor) -> tuple[Tensor, list[int], Tensor]:
        """Pooled features of a sample of the catalog, and of another picture.

        Args:
            picture: ``(3, H, W)`` in [0, 1].

        Returns:
            ``(n, D')``, where these stand in the catalog, and ``(1, D')``.
        """
        if not self._file(POOLED).exists():
            self._measure()
        kept = read_tensors(self._file(POOLED))
        with torch.no_grad():
            own = PooledExtractor(self.backbone, self.layers, GRID).vectors(picture[None])
        return kept["points"], kept["positions"].tolist(), own

    def of_loader(
        self, extractor: FeatureExtractor, loader: DataLoader, consume: Callable[[Tensor, list[int]], None]
    ) -> None:
        """Hand on the features of the pictures that a loader serves, rounded as the store rounds them."""
        handler = FeatureHandler(lambda features, positions: consume(features.half().float(), positions))
        module = ManifoldModule(extractor, IncrementalPCA())
        self.trainer(callbacks=[handler]).predict(module, loader, return_predictions=False)
        warn_of_broken(handler.broken)

    def open_store(self, extractor: FeatureExtractor) -> FeatureStore:
        """The store of these features: its own, or part of a complete one that holds further layers."""
        metadata = self.metadata(extractor)
        layout = extractor.layout(self.data.image_size, self.data.image_size)
        n_images = len(self.data.catalog.names)
        store = FeatureStore(self.cache / "features" / cache_key(metadata), n_images, layout.size)
        description = store.folder / DESCRIPTION
        if not description.exists():
            write_text(description, json.dumps({"metadata": metadata, "shapes": dict(layout.shapes)}))
        if store.n_done:
            return store
        return next(self._wider_stores(metadata, n_images), store)

    def _scales(self) -> dict[str, Tensor]:
        if not self._file(SCALES).exists():
            self._measure()
        return read_tensors(self._file(SCALES))

    def _file(self, kind: str) -> Path:
        """Where what a sample of the catalog tells is kept: the layers' scales, or its pooled features."""
        determined_by = {
            "network": network_fingerprint(self.backbone),  # type: ignore[arg-type]
            "data": self.data.catalog.fingerprint,
            "image_size": str(self.data.image_size),
            "sample": str(SAMPLE),
        }
        own = {SCALES: {"normalization": self.normalization}, POOLED: {"layers": ",".join(self.layers)}}
        return self.cache / kind / f"{cache_key(determined_by | own[kind])}.safetensors"

    def _measure(self) -> None:
        """Look at a sample of the catalog once, and keep what it tells."""
        log.info("normalization: measuring mean activations on %d images", SAMPLE)
        points: list[Tensor] = []
        positions: list[int] = []
        extractor = PooledExtractor(self.backbone, self.layers, GRID)

        def seen(activations: Mapping[str, Tensor]) -> None:
            chosen = extractor.averaged({layer: activations[layer] for layer in extractor.layers})
            points.append(FeatureLayout.of(chosen).pack(chosen))

        def batches() -> Iterator[Tensor]:
            for batch in self.data.sample_dataloader(SAMPLE):
                if len(batch.images):
                    positions.extend(batch.indices)
                    yield batch.images

        write_tensors(self._file(SCALES), measure_scales(self.backbone, batches(), self.normalization, seen=seen))
        write_tensors(self._file(POOLED), {"points": torch.cat(points), "positions": torch.tensor(positions)})

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
        writer = StoreWriter(store, self.data.serving.batch_size, first)
        loader = self.data.all_dataloader(first + store.n_done, store.n_images - store.n_done)
        module = ManifoldModule(extractor, IncrementalPCA())
        self.trainer(callbacks=[writer]).predict(module, loader, return_predictions=False)
        return writer.broken
