"""Image batches -> feature vectors -> a fitted manifold, on the trainer's device."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from dmt.data import ImageBatch
from dmt.manifolds.manifold import Manifold
from dmt.networks.extractor import FeatureExtractor
from dmt.storage import processes
from dmt.storage.feature_store import FeatureStore

log = logging.getLogger(__name__)


class ManifoldModule(LightningModule):
    """Fits a manifold in one epoch, over images or over feature vectors that were computed before.

    ``Trainer.predict`` over images gives their feature vectors; ``Trainer.fit`` over images or feature vectors
    merges every batch into the manifold. Nothing is learnt by gradients.

    Args:
        extractor: images -> feature vectors.
        manifold: what is fitted.
    """

    def __init__(self, extractor: FeatureExtractor, manifold: Manifold):
        super().__init__()
        self.automatic_optimization = False
        self.extractor = extractor
        self.manifold = manifold

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        return self._features(batch)

    def training_step(self, batch: Tensor | ImageBatch, batch_idx: int) -> None:
        features = batch if isinstance(batch, Tensor) else self._features(batch)
        self.manifold.partial_fit(features)
        self.log("explained_variance", self.manifold.explained_variance_ratio.sum().float(), prog_bar=True)

    def on_train_end(self) -> None:
        self.manifold.finish()

    def configure_optimizers(self) -> None:
        return None

    def _features(self, batch: ImageBatch) -> Tensor:
        if not len(batch.images):
            return batch.images.new_zeros(0, self.manifold.mean.numel())
        with torch.no_grad():
            return self.extractor.vectors(batch.images)


class StoreWriter(Callback):
    """Appends every predicted batch of feature vectors to a store.

    Args:
        store: where they go.
        batch_size: rows per full batch of the loader.
        first: position of the image of the store's first row.
    """

    def __init__(self, store: FeatureStore, batch_size: int, first: int = 0):
        self.store, self.batch_size, self.first = store, batch_size, first
        self.broken: list[str] = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        features = outputs.reshape(len(batch.indices), self.store.size)
        n_rows = min(self.batch_size, self.store.n_images - self.store.n_done)
        self.store.append(features, [index - self.first for index in batch.indices], n_rows)
        self.broken += batch.broken


class FeatureHandler(Callback):
    """Hands every predicted batch of feature vectors on, with the positions of its images.

    Args:
        consume: takes ``(B, D)`` on the processor and B positions.
    """

    def __init__(self, consume: Callable[[Tensor, list[int]], None]):
        self.consume = consume
        self.broken: list[str] = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if len(batch.indices):
            self.consume(outputs.cpu(), batch.indices)
        self.broken += batch.broken


class BrokenImages(Callback):
    """Collects what went wrong with the images of a fit that did not decode."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.found += getattr(batch, "broken", [])

    def warn(self) -> None:
        """Say what was found."""
        warn_of_broken(self.found)


def read_through(trainer: Trainer, module: LightningModule, loader: DataLoader) -> None:
    """Predict over all that a loader serves, for what the trainer's callbacks make of it; the trainer is then done."""
    trainer.predict(module, loader, return_predictions=False)
    processes.let_go(trainer)


def warn_of_broken(broken: Sequence[str]) -> None:
    """Say which pictures do not decode and were left out."""
    if broken:
        log.warning("skipped %d images that do not decode: %s", len(broken), "; ".join(broken[:10]))


class CodeWriter(Callback):
    """Keeps the manifold coordinates of every predicted batch of feature vectors.

    Args:
        manifold: turns feature vectors into coordinates.
        codes: ``(n, K)``, filled in place; rows of broken images are left as they are.
    """

    def __init__(self, manifold: Manifold, codes: Tensor):
        self.manifold = manifold
        self.codes = codes

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if len(batch.indices):
            self.codes[batch.indices] = self.manifold.encode(outputs).cpu()


class StoredFeatures(IterableDataset):
    """A store as batches of feature vectors in float16, for ``ManifoldModule``'s fit."""

    def __init__(self, store: FeatureStore, batch_size: int):
        self.store, self.batch_size = store, batch_size

    @property
    def n_batches(self) -> int:
        """How many there are; a length would make Lightning warn of loaders in several processes."""
        return -(-self.store.n_images // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        for features, _ in self.store.batches(self.batch_size, torch.float16):
            yield features

    def loader(self) -> DataLoader:
        """Serves the batches in order."""
        return DataLoader(self, batch_size=None, collate_fn=_unchanged)


def _unchanged(batch: Tensor | Sequence) -> Tensor | Sequence:
    return batch
