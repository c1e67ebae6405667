"""Time the extraction of features beside the bare network. ``python benchmarks/features.py --help``.

The whole way of ``train.py`` - decoding, alignment, resizing, network, store on disk - against the network alone on the
same pictures, already in memory and in the same batches; and what the store's float16 changes. LFW's faces and the
networks are found as the commands find them (DMT_DATA, DMT_WEIGHTS).

Without processes that decode (``--workers 0``, the default) a thread decodes the next batch while the network works on
the last one; the store is written between two batches.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from dmt.data import EditData, ImageBatch
from dmt.data.catalogs import Catalog
from dmt.manifolds import CatalogFeatures
from dmt.networks.extractor import FeatureExtractor
from dmt.networks.precision import compute_exact_float32

ROOT = Path(__file__).resolve().parent.parent


class Some:
    """The first n pictures of a catalog, which is asked for all else."""

    def __init__(self, catalog: Catalog, n: int):
        self.catalog, self.names, self.groups = catalog, catalog.names[:n], catalog.groups[:n]
        self.fingerprint = f"{catalog.fingerprint}, {n}"

    def __getattr__(self, name: str) -> object:
        return getattr(self.catalog, name)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="*", default=["vgg19_hybrid", "vgg19_distilled"])
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--workers", type=int, nargs="*", default=[0], help="processes that decode")
    parser.add_argument("--accelerator", default="cpu", help="of Lightning, such as gpu")
    parser.add_argument("--options", nargs="*", default=[], help="for the configuration, such as data.image_size=64")
    args = parser.parse_args()
    compute_exact_float32()  # as the commands do
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} at the start\n")
    print("| backbone | workers | pictures | whole way, 1/s | bare network, 1/s | share | decoding / whole |")
    print("|---|---|---|---|---|---|---|")
    errors = {}
    for backbone in args.backbones:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = compose("train", [f"backbone={backbone}", "progress=false", *args.options])
        features_of = partial(
            CatalogFeatures,
            backbone=instantiate(config.backbone),
            layers=list(config.layer_names[config.layers]),
            normalization=config.normalization,
            trainer=instantiate(config.trainer, _partial_=True, accelerator=args.accelerator),
        )
        for workers in args.workers:
            config.data.serving.num_workers = workers
            errors[backbone] = compare(backbone, features_of, instantiate(config.data), args.pictures)
    print("\n| backbone | float16: largest error / value | root mean square error / root mean square |\n|---|---|---|")
    for backbone, (largest, typical) in errors.items():
        print(f"| {backbone} | {largest:.1e} | {typical:.1e} |")


def compare(backbone: str, features_of: Callable[..., CatalogFeatures], data: EditData, n: int) -> tuple[float, float]:
    """Print a row; the errors of the features that were read back, as ``error`` gives them."""
    data.catalog = Some(data.catalog, n)  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as cache:
        catalog_features = features_of(data, cache=cache)
        extractor = catalog_features.extractor()
        device = catalog_features.trainer().strategy.root_device
        began = time.perf_counter()
        store = catalog_features.of_catalog(extractor)
        whole = time.perf_counter() - began
        began = time.perf_counter()
        batches = [batch for batch in data.all_dataloader() if len(batch.images)]
        decoding = time.perf_counter() - began
        bare, features = forward(extractor.to(device), [batch.to(device) for batch in batches])
        errors = error(features, store.read(0, len(features))[0])
    count = sum(len(batch.images) for batch in batches)
    rates = f"{count / whole:.1f} | {count / bare:.1f} | {bare / whole:.0%} | {decoding / whole:.0%}"
    print(f"| {backbone} | {data.serving.num_workers} | {count} | {rates} |", flush=True)
    return errors


@torch.no_grad()
def forward(extractor: FeatureExtractor, batches: list[ImageBatch]) -> tuple[float, Tensor]:
    """Seconds of the network alone, after a batch that does not count, and the features of the first batches."""
    features = torch.cat([extractor.vectors(batch.images) for batch in batches[:4]]).cpu()
    began = time.perf_counter()
    for batch in batches:
        last = extractor.vectors(batch.images)
    last[-1, -1].item()  # until the device is done
    return time.perf_counter() - began, features


def error(exact: Tensor, stored: Tensor) -> tuple[float, float]:
    """The largest relative error, of values that float16 holds with all its digits, and the relative error of all."""
    difference = (stored - exact).abs()
    normal = exact.abs() >= torch.finfo(torch.float16).smallest_normal
    largest = float((difference[normal] / exact[normal].abs()).max())
    return largest, float(difference.square().mean().sqrt() / exact.square().mean().sqrt())


if __name__ == "__main__":
    main()
