"""A catalog and a network -> the feature vectors of its pictures, computed once and found again."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from dmt.data import EditData, ImageError, PictureView
from dmt.data.catalogs import stamp_of
from dmt.manifolds.module import FeatureHandler, ManifoldModule, StoreWriter, read_through, warn_of_broken
from dmt.manifolds.streaming import IncrementalPCA
from dmt.networks import Backbone, network_fingerprint
from dmt.networks.extractor import FeatureExtractor, FeatureLayout, PooledExtractor, measure_scales
from dmt.storage import processes
from dmt.storage.checked_rows import RowSource
from dmt.storage.feature_store import FeatureStore
from dmt.storage.files import DamagedError, one_at_a_time, read_json, write_json
from dmt.storage.row_store import RowStore
from dmt.storage.tensors import cache_key, keep_tensors, tensors_at

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
        with processes.held_by_first(one_at_a_time(store.folder / DESCRIPTION, "features")):
            self._complete(extractor, store)
        return self.open_store(extractor)

    def _complete(self, extractor: FeatureExtractor, store: FeatureStore) -> None:
        """Compute the rows that are missing, each process its share."""
        if processes.from_first(lambda: store.complete):
            return  # another run was at it
        log.info("features: computing %d x %d, to %s", store.n_images - store.n_done, store.size, store.folder)
        n = processes.count()
        rows = processes.own(processes.from_first(lambda: store.missing(n)))
        part, first = (store, 0) if n == 1 else (store.part(rows), rows.start)
        broken = processes.gathered(lambda: self._extract(extractor, part, first))
        warn_of_broken([line for lines in broken for line in lines])
        processes.from_first(store.join)

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
        size = extractor.layout(*2 * [self.data.image_size]).size
        rows = RowStore(store.folder, store.n_images, size, self._source(extractor))
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
        kept = self._measured(POOLED)
        with torch.no_grad():
            own = PooledExtractor(self.backbone, self.layers, GRID).vectors(picture[None])
        return kept["points"], kept["positions"].tolist(), own

    def of_loader(
        self, extractor: FeatureExtractor, loader: DataLoader, consume: Callable[[Tensor, list[int]], None]
    ) -> None:
        """Hand on the features of the pictures that a loader serves, rounded as the store rounds them."""
        handler = FeatureHandler(lambda features, positions: consume(features.half().float(), positions))
        module = ManifoldModule(extractor, IncrementalPCA())
        read_through(self.trainer(callbacks=[handler]), module, loader)
        warn_of_broken(handler.broken)

    def open_store(self, extractor: FeatureExtractor) -> FeatureStore:
        """The store of these features: its own, or part of a complete one that holds further layers."""
        metadata = self.metadata(extractor)
        layout = extractor.layout(self.data.image_size, self.data.image_size)
        n_images = len(self.data.catalog.names)
        folder = self.cache / "features" / cache_key(metadata)
        store = FeatureStore(folder, n_images, layout.size, source=self._source(extractor))
        self._describe(store, {"metadata": metadata, "shapes": {name: list(s) for name, s in layout.shapes.items()}})
        if not store.n_done:
            store = next(self._wider_stores(metadata, n_images), store)
        store.take_in_repaired()
        return store

    def _describe(self, store: FeatureStore, description: dict[str, Any]) -> None:
        file = store.folder / DESCRIPTION
        try:
            if file.exists() and read_json(file) == description:
                return
        except DamagedError as error:
            log.warning("%s; written again", error)
        write_json(file, description)

    def _source(self, extractor: FeatureExtractor) -> RowSource:
        """Computes rows of a store of these features once more."""

        def compute(positions: list[int]) -> tuple[Tensor, list[int]]:
            size = self.data.serving.batch_size  # in the batches that they were computed in, to the last bit
            starts = sorted({position // size * size for position in positions})
            every = [i for start in starts for i in range(start, min(start + size, len(self.data.catalog.names)))]
            found: list[tuple[int, Tensor]] = []
            wanted = set(positions)

            def keep(features: Tensor, there: list[int]) -> None:
                found.extend((i, row.clone()) for i, row in zip(there, features, strict=True) if i in wanted)

            self.of_loader(extractor, self.data.some_dataloader(every), keep)
            numbers = torch.stack([row for _, row in found]) if found else torch.zeros(0, 1)
            return numbers, [position for position, _ in found]

        return RowSource(compute, partial(stamp_of, self.data.catalog))

    def repaired(self, stamps: Mapping[int, str]) -> list[int]:
        """Pictures that decode now.

        Args:
            stamps: position -> what the picture was when it did not decode.
        """
        catalog, size = self.data.catalog, self.data.image_size
        changed = [position for position, stamp in stamps.items() if stamp_of(catalog, position) != stamp]
        found = []
        for position in changed:
            with suppress(ImageError):
                catalog.read(position, size)
                found.append(position)
        return found

    def _scales(self) -> dict[str, Tensor]:
        return self._measured(SCALES)

    def _measured(self, kind: str) -> dict[str, Tensor]:
        def measured() -> Mapping[str, Tensor]:
            found = self._measure()
            for other in found.keys() - {kind}:
                if not self._file(other).exists():
                    keep_tensors(self._file(other), found[other])
            return found[kind]

        return tensors_at(self._file(kind), measured, kind)

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

    def _measure(self) -> dict[str, Mapping[str, Tensor]]:
        """Look at a sample of the catalog once; what it tells, of each kind."""
        log.info("normalization: measuring mean activations on %d images", min(SAMPLE, len(self.data.catalog.names)))
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

        scales = measure_scales(self.backbone, batches(), self.normalization, seen=seen)
        return {SCALES: scales, POOLED: {"points": torch.cat(points), "positions": torch.tensor(positions)}}

    def _wider_stores(self, metadata: Mapping[str, str], n_images: int) -> Iterator[FeatureStore]:
        layers = metadata["layers"].split(",")
        for path in sorted((self.cache / "features").glob(f"*/{DESCRIPTION}")):
            try:
                described = read_json(path)
            except DamagedError:
                continue  # whoever reads that store writes it again
            layout = FeatureLayout(described["shapes"])
            if described["metadata"] | {"layers": metadata["layers"]} == metadata and set(layers) < set(layout.shapes):
                wider = FeatureExtractor(self.backbone, list(layout.shapes), self._scales())
                columns, source = layout.columns(layers), self._source(wider)
                store = FeatureStore(path.parent, n_images, layout.size, columns, source)
                if store.complete:
                    yield store

    def _extract(self, extractor: FeatureExtractor, store: FeatureStore, first: int) -> list[str]:
        """Fill a store whose first row is that of the picture ``first``; what went wrong with broken pictures."""
        writer = StoreWriter(store, self.data.serving.batch_size, first)
        loader = self.data.all_dataloader(first + store.n_done, store.n_images - store.n_done)
        module = ManifoldModule(extractor, IncrementalPCA())
        read_through(self.trainer(callbacks=[writer]), module, loader)
        return writer.broken
