"""What the tests of features and of spaces share: a small folder of pictures and a small network."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from dmt.data import EditData, Folder, PictureView, Serving, Task, read_image
from dmt.manifolds import PCA, CatalogFeatures, CatalogFit
from dmt.networks import LayeredNetwork

N_IMAGES, SIZE = 23, 12
LAYERS = ["low", "high"]
BROKEN = ["cat/03.png", "dog/00.png", "dog/20.png", "dog/22.png"]


class World:
    """A folder of cats and dogs, a network, and a count of the pictures that the network has looked at."""

    def __init__(self, root: Path, save_picture: Callable[..., Path], trainer: Callable[..., Trainer] | None):
        self.pictures, self.cache, self.trainer = root / "pictures", root / "cache", trainer
        for i in range(N_IMAGES):
            save_picture(self.pictures / ("cat" if i % 2 else "dog") / f"{i:02d}.png", seed=i, side=SIZE)
        self.looked_at = 0

    def network(self, seed: int = 0) -> LayeredNetwork:
        torch.manual_seed(seed)
        low = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU())
        high = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2), nn.ReLU())
        network = LayeredNetwork(nn.Identity(), {"low": low, "high": high})
        network.register_forward_hook(self._count)
        return network

    def _count(self, module, inputs, output):
        if inputs[0].any():  # all zero: only asked for the shapes
            self.looked_at += len(inputs[0])

    def data(self, task: Task | None = None, pictures: Path | None = None, size: int = SIZE, **options) -> EditData:
        catalog = Folder(pictures or self.pictures)
        return EditData(catalog, task, image_size=size, serving=Serving(batch_size=4), **options)

    def catalog_features(
        self, backbone=None, pictures=None, size: int = SIZE, cache=None, data: EditData | None = None, **options
    ) -> CatalogFeatures:
        settings = {"layers": LAYERS, "normalization": "layer", "batch_size": 7} | options
        settings |= {"cache": cache or self.cache, "trainer": self.trainer}
        return CatalogFeatures(data or self.data(None, pictures, size), backbone or self.network(), **settings)

    def fit(self, empty: PCA, path: str | Path | None = None, **options) -> CatalogFit:
        """What fits one manifold of all pictures; ``options`` as in ``catalog_features``."""
        return CatalogFit(self.catalog_features(**options), empty, path)

    def file(self, kind: str) -> Path:
        """The only file of a kind in the cache."""
        (file,) = self.cache.glob(f"{kind}/*.safetensors")
        return file

    @property
    def rows_file(self) -> Path:
        (file,) = self.cache.glob("features/*/features.f16")
        return file

    def images(self, files: Sequence[str] | None = None) -> Tensor:
        """The pictures, in the catalog's order."""
        files = Folder(self.pictures).files if files is None else files
        return torch.stack([read_image(self.pictures / file, SIZE) for file in files])

    def features(self, files: Sequence[str] | None = None, view: PictureView | None = None) -> np.ndarray:
        """Feature vectors, each layer over its mean activation on the same pictures, straight from the network."""
        plain = self.images(files)
        viewed = plain if view is None else torch.stack([view(image) for image in plain])
        network = self.network()
        with torch.no_grad():
            scales, found = network(plain, LAYERS), network(viewed, LAYERS)
        return torch.cat([(found[layer] / scales[layer].mean()).flatten(1) for layer in found], dim=1).numpy()


def break_pictures(world: World) -> None:
    for file in BROKEN:
        (world.pictures / file).write_text("no picture")


def pooled_by_hand(world: World, files: Sequence[str] | None = None) -> Tensor:
    """The means of 4 x 4 cells of the raw activations, as many numbers for each layer in turn."""
    with torch.no_grad():
        found = world.network()(world.images(files), LAYERS)
    return torch.cat([_cells(found[layer]).flatten(1) for layer in LAYERS], dim=1)


def _cells(activation: Tensor) -> Tensor:
    """Means of 4 x 4 cells, which overlap where sides are no multiples of 4; fewer where there are fewer places."""
    side = activation.shape[-1]
    n = min(4, side)
    edges = [(i * side // n, -(-(i + 1) * side // n)) for i in range(n)]
    return torch.stack(
        [
            torch.stack([activation[..., top:bottom, left:right].mean(dim=(-2, -1)) for left, right in edges], dim=-1)
            for top, bottom in edges
        ],
        dim=-2,
    )
