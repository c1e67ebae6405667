"""Measure the fits of the PCAs: time, memory, accuracy. ``python benchmarks/pca.py --help``.

Every fit reads float16 rows batch by batch from a feature store on disk, in a process of its own, whose peak resident
memory is the operating system's count (``wait4``); with ``--device cuda`` it is the GPU's. Tables are printed in
Markdown.

    products   candidates for a matrix product, in GFLOP/s
    case       2,000 x 425,984, 256 components: exact, streaming, scikit-learn's IncrementalPCA (--sklearn)
    features   streaming against exact on a store of real features (--features FOLDER, of train.py)
    cost       seconds against n, D and k beside the bound that the products set; a plot and a CSV file
    paper      13,143 x 425,984, 512 components
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dmt.manifolds import PCA, ExactPCA, IncrementalPCA
from dmt.manifolds.rows import COLUMNS
from dmt.storage.feature_store import FeatureStore
from peak_memory import peak_gb

PAPER = (13_143, 425_984)  # pictures of LFW; numbers of VGG-19's conv3_1, conv4_1, conv5_1 at 125 x 125
KINDS: dict[str, Callable[[int], PCA]] = {"exact": ExactPCA, "streaming": IncrementalPCA}


@dataclass(frozen=True)
class Case:
    """A store of n rows of d numbers, k components wanted, read ``batch`` rows at a time and fitted on a device."""

    folder: Path
    n: int
    d: int
    k: int
    batch: int = 256
    device: str = "cpu"

    def batches(self, dtype: torch.dtype) -> Iterator[torch.Tensor]:
        for features, _ in FeatureStore(self.folder, self.n, self.d).batches(self.batch, dtype):
            yield features


@dataclass(frozen=True)
class Fit:
    """What a fit took, and what it found."""

    seconds: float
    processor: float
    peak: float
    orthonormality: float
    variances: np.ndarray


def main() -> None:
    """Run the sections asked for; without any, all that need no data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help=f"any of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the sizes or less")
    parser.add_argument("--sklearn", action="store_true", help="scikit-learn beside ours in case")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS, help="which of ours")
    parser.add_argument("--features", type=Path, help="a folder with features.f16 and description.json")
    parser.add_argument("--rows", type=int, default=4000, help="of the features, at most")
    parser.add_argument("-k", type=int, default=512, help="components of the features")
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/pca"), help="plots; the stores while they are used"
    )
    parser.add_argument("--device", default="cpu", help="of ours in case, features and paper; or cuda")
    parser.add_argument("--child", nargs=7, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        kind, folder, device, *numbers = args.child
        given = Case(Path(folder), *map(int, numbers), device=device)
        return _make(given) if kind == "make" else print(json.dumps(_fit(kind, given)))
    args.output.mkdir(parents=True, exist_ok=True)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} at the start")
    for name in args.sections or ("products", "case", "cost"):
        print(f"\n## {name}\n", flush=True)
        SECTIONS[name](args)


def products(args: argparse.Namespace) -> None:
    """GFLOP/s of the whole product, whether or not only half of it is computed; error against float64."""
    print("| product | rows | GFLOP/s | largest error / largest entry |\n|---|---|---|---|")
    for n in (500,) if args.quick else (2000, 4000):
        block = torch.randn(n, COLUMNS, generator=torch.Generator().manual_seed(0)).half().float()
        exact = block.double() @ block.double().T
        for name, product in _self_products(block).items():
            seconds, result = _best_of(product)
            error = (torch.as_tensor(result).double() - exact).tril().abs().max() / exact.abs().max()
            print(f"| {name} | {n} | {2 * n * n * COLUMNS / seconds / 1e9:.0f} | {error:.1e} |", flush=True)
        for name, product in _combinations(block, n // 4).items():
            seconds, _ = _best_of(product)
            print(f"| {name} | {n // 4} of {n} | {n * n / 2 * COLUMNS / seconds / 1e9:.0f} | |", flush=True)


def case(args: argparse.Namespace) -> None:
    """The streaming and the exact PCA, and scikit-learn's streaming one."""
    n, d, k = (500, 26_624, 64) if args.quick else (2000, 425_984, 256)
    kinds = [*args.kinds, *(["scikit-learn"] if args.sklearn else [])]
    with _made_store(args.output, n, d, k) as made:
        fits = _table(kinds, replace(made, device=args.device))
    if args.sklearn:
        for kind in args.kinds:
            print(f"\n{kind}: {fits['scikit-learn'].seconds / fits[kind].seconds:.1f} times as fast as scikit-learn")


def features(args: argparse.Namespace) -> None:
    """What the streaming PCA loses on real features."""
    shapes = json.loads((args.features / "description.json").read_text())["shapes"]
    d = sum(int(np.prod(shape)) for shape in shapes.values())
    n = min(args.rows, (args.features / "features.f16").stat().st_size // (2 * d))
    _table(args.kinds, Case(args.features, n, d, args.k, device=args.device))


def paper(args: argparse.Namespace) -> None:
    """As many pictures and numbers as the paper has."""
    (n, d), k = PAPER, 512
    if args.quick:
        n, d, k = n // 16, d // 16, k // 16
    with _made_store(args.output, n, d, k) as made:
        _table(args.kinds, replace(made, device=args.device))


def cost(args: argparse.Namespace) -> None:
    """Seconds of fits of several sizes, each beside what its products alone would take at their measured rate."""
    base = (256, 6_656, 32) if args.quick else (1000, 106_496, 128)
    rates = _rates(*base)
    factors = {"n": (0.5, 1, 2, 4), "D": (0.5, 1, 2, 4), "k": (0.5, 1, 2, 4)}
    rows = []
    print("| kind | varied | n | D | k | seconds | products alone | peak GB |\n|---|---|---|---|---|---|---|---|")
    for axis, name in enumerate(factors):
        for factor in factors[name]:
            n, d, k = (int(size * factor) if i == axis else size for i, size in enumerate(base))
            with _made_store(args.output, n, d, k) as made:
                for kind in args.kinds:
                    fit = run(kind, made)
                    row = (kind, name, n, d, k, round(fit.seconds, 2), round(_bound(kind, n, d, k, rates), 2))
                    rows.append(row)
                    print("|", " | ".join(map(str, row)), f"| {fit.peak:.1f} |", flush=True)
    with (args.output / "cost.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("kind", "varied", "n", "D", "k", "seconds", "products_alone"), *rows])
    _plot(rows, args.output / "cost.png")


SECTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "products": products,
    "case": case,
    "features": features,
    "cost": cost,
    "paper": paper,
}


def run(kind: str, case: Case) -> Fit:
    """Fit in a process of its own."""
    output, peak = _run_child(kind, case)
    found = json.loads(output)
    peak = found["peak of the GPU"] or peak
    return Fit(found["seconds"], found["processor"], peak, found["orthonormality"], np.array(found["variances"]))


def _run_child(kind: str, case: Case) -> tuple[str, float]:
    """What it printed, and its peak resident memory in GB."""
    given = map(str, (kind, case.folder, case.device, case.n, case.d, case.k, case.batch))
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, __file__, "--child", *given], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if status:
            sys.exit(f"{kind} failed")
        output.seek(0)
        return output.read(), peak_gb(usage)


def _fit(kind: str, case: Case) -> dict:
    began, processor_began = time.perf_counter(), time.process_time()
    if kind == "scikit-learn":
        from sklearn.decomposition import IncrementalPCA as SklearnIncrementalPCA

        model = SklearnIncrementalPCA(case.k)
        for batch in case.batches(torch.float32):
            model.partial_fit(batch.numpy())
        components, variances = torch.from_numpy(model.components_), model.explained_variance_
    else:
        ours = KINDS[kind](case.k).to(case.device)
        for batch in case.batches(torch.float16):
            ours.partial_fit(batch.to(case.device))
        ours.finish()
        components, variances = ours.components.cpu(), ours.explained_variance
    seconds, processor = time.perf_counter() - began, time.process_time() - processor_began
    gram = torch.zeros(len(components), len(components), dtype=torch.float64)
    for block in components.split(COLUMNS, dim=1):
        gram += block.double() @ block.double().T
    error = float((gram - torch.eye(len(gram))).abs().max())
    return {
        "seconds": seconds,
        "processor": processor,
        "orthonormality": error,
        "variances": variances.tolist(),
        "peak of the GPU": torch.cuda.max_memory_allocated() / 1e9 if case.device == "cuda" else 0,
    }


def _table(kinds: list[str], case: Case) -> dict[str, Fit]:
    """Fit and print; the first kind is what the variances of the others are compared with."""
    print(f"{case.n:,} x {case.d:,}, {case.k} components, batches of {case.batch}\n")
    print("| fit | s | CPU s | peak GB | orthonormality error | variance, all | worst of one |")
    print("|---|---|---|---|---|---|---|")
    fits: dict[str, Fit] = {}
    for kind in kinds:
        fit = fits[kind] = run(kind, case)
        reference = fits[kinds[0]].variances
        total = fit.variances.sum() / reference.sum() - 1
        worst = np.abs(fit.variances / reference[: len(fit.variances)] - 1).max()
        print(
            f"| {kind} | {fit.seconds:.1f} | {fit.processor:.1f} | {fit.peak:.2f} | {fit.orthonormality:.1e} "
            f"| {total:+.3%} | {worst:.2%} |",
            flush=True,
        )
    return fits


@contextmanager
def _made_store(parent: Path, n: int, d: int, k: int) -> Iterator[Case]:
    """Made in a process of its own, whose memory would count as that of later ones; gone afterwards."""
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        made = Case(Path(folder), n, d, k)
        _run_child("make", made)
        yield made


def _make(case: Case) -> None:
    """Rows around a mean of 1 with variances 1/2, 1/3, ... in 2 k directions and noise in all."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.arange(2.0, 2 * case.k + 2).rsqrt()
    loadings = torch.randn(len(scales), case.d, generator=generator).mul_(scales[:, None])
    store = FeatureStore(case.folder, case.n, case.d)
    while not store.complete:
        size = min(128, case.n - store.n_done)
        rows = torch.randn(size, case.d, generator=generator).mul_(0.5).add_(1)
        rows.addmm_(torch.randn(size, len(scales), generator=generator), loadings)
        store.append(rows, range(store.n_done, store.n_done + size), size)


def _self_products(block: torch.Tensor) -> dict[str, Callable]:
    from scipy.linalg.blas import dsyrk, ssyrk

    n, array, double = len(block), block.numpy(), block.double().numpy()
    image, weight = block.T.reshape(1, COLUMNS, n, 1), block.view(n, COLUMNS, 1, 1)
    return {
        "torch, x @ x.T": lambda: block @ block.T,
        "oneDNN, 1 x 1 convolution": lambda: torch.nn.functional.conv2d(image, weight)[0, :, :, 0],
        "NumPy, x @ x.T (ssyrk, mirrored)": lambda: array @ array.T,
        "SciPy, ssyrk": lambda: ssyrk(1.0, array.T, trans=1, lower=1),
        "SciPy, dsyrk": lambda: dsyrk(1.0, double.T, trans=1, lower=1),
    }


def _combinations(block: torch.Tensor, k: int) -> dict[str, Callable]:
    mixing = torch.randn(k, len(block), generator=torch.Generator().manual_seed(1))
    image, weight = block.view(1, len(block), COLUMNS, 1), mixing.view(k, -1, 1, 1)
    return {
        "torch, weights @ x": lambda: mixing @ block,
        "NumPy, weights @ x": lambda: mixing.numpy() @ block.numpy(),
        "oneDNN, weights as a 1 x 1 convolution": lambda: torch.nn.functional.conv2d(image, weight),
    }


def _best_of(product: Callable, repeats: int = 5) -> tuple[float, torch.Tensor]:
    result = product()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - began)
    return min(seconds), result


def _rates(n: int, d: int, k: int) -> tuple[float, float]:
    """Operations a second of a symmetric product, counting the half that is computed, and of a combination."""
    block = torch.randn(n, COLUMNS)
    symmetric, _ = _best_of(_self_products(block)["SciPy, ssyrk"])
    combination, _ = _best_of(_combinations(block, k)["torch, weights @ x"])
    return n * n * COLUMNS / symmetric, 2 * k * n * COLUMNS / combination


def _bound(kind: str, n: int, d: int, k: int, rates: tuple[float, float]) -> float:
    """Seconds of the products alone."""
    kept = n if kind == "exact" else IncrementalPCA(k).capacity
    symmetric = combination = 0.0
    known = 0
    for first in range(0, n, kept):
        rows = known + min(kept, n - first) + (kind == "streaming")
        known = min(rows, k if kind == "exact" else kept)
        symmetric += rows**2 * d
        combination += 2 * known * rows * d
    return (symmetric + k**2 * d) / rates[0] + (combination + 2 * k**2 * d) / rates[1]


def _plot(rows: list[tuple], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
    for axis, (panel, name) in enumerate(zip(panels, ("n", "D", "k"), strict=True)):
        for color, kind in zip(("tab:blue", "tab:orange"), dict.fromkeys(row[0] for row in rows), strict=False):
            chosen = [row for row in rows if row[:2] == (kind, name)]
            sizes = [row[2 + axis] for row in chosen]
            panel.loglog(sizes, [row[5] for row in chosen], "o-", color=color, label=kind)
            panel.loglog(sizes, [row[6] for row in chosen], "--", color=color, label=f"{kind}, products alone")
        fixed = [f"{other} = {chosen[0][2 + i]:,}" for i, other in enumerate(("n", "D", "k")) if other != name]
        panel.set(title=", ".join(fixed), xlabel=name)
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
        panel.minorticks_off()
    panels[0].set_ylabel("seconds")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
