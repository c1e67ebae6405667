"""Time the walk in z against the ways it could be done. ``python benchmarks/walk.py --help``.

Points are random with the spectrum of LFW's features, or real coordinates of LFW's pictures in the order of its
attribute file. Prints tables in Markdown: the median of several runs, and by how much of its absolute value the
objective lies above that of an L-BFGS run to a tolerance of 1e-10 at most.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.optimize import minimize
from torch import Tensor

from dmt.data.label_files import read_attributes
from dmt.manifolds import Points
from dmt.solvers import LBFGS, Solution
from dmt.traversal.kernels import RBF
from dmt.traversal.walks import Traversal, WitnessDescent
from dmt.traversal.witness import Witness, WitnessBatch

WALK = WitnessDescent(LBFGS(iterations=200, history=5, tolerance=1e-6))  # solver.traversal of conf/base.yaml
BEFORE = LBFGS(iterations=200, tolerance=1e-6)  # what it said while gradients were those of autograd
REFERENCE = LBFGS(iterations=1000, tolerance=1e-10, gradient_tolerance=1e-10)
Result = TypeVar("Result")
PATH = (0.5, 0.3, 0.2, 0.12, 0.07, 0.04)  # lambda'; the authors' range on LFW is 0.03 ... 0.31


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=Path, help="a .safetensors file with the coordinates as `codes`")
    parser.add_argument("--attributes", type=Path, help="lfw_attributes.txt, which must be given with --codes")
    parser.add_argument("--label", default="Frowning", help="from the pictures that score least to those that do most")
    parser.add_argument("--lambdas", nargs="*", type=float, default=[0.03, 0.15, 0.5], help="lambda'")
    parser.add_argument("--runs", type=int, default=9, help="of which the median is taken")
    args = parser.parse_args()
    source, target, z0 = random_points() if args.codes is None else real_points(args)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} at the start")
    print(f"{len(source)} + {len(target)} points of {source.shape[1]} numbers\n")
    witness = Witness(RBF(), source, target)
    seconds, _ = timed(lambda: Witness(RBF(), source, target), args.runs)
    print(f"The witness and its bandwidth: {1e3 * seconds:.0f} ms, once for all images.\n")
    print(
        "| images | lambda' | way | ms | ms an image | evaluations | above the minimum |\n|---|---|---|---|---|---|---|"
    )
    for n_images in (1, 64):
        for value in args.lambdas:
            compare(z0[:n_images], witness, torch.full((n_images,), value).double(), args.runs)
    print("\n| 8 images with witnesses of their own, 100 + 100 points | ms |\n|---|---|")
    of_their_own(source, target, z0[:8], args.runs)
    print(f"\n| one image, lambda' = {', '.join(map(str, PATH))} | ms | evaluations |\n|---|---|---|")
    along_a_path(z0[:1], witness, args.runs)


def random_points(n: int = 2000, k: int = 512, n_inputs: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Source, target and inputs, classes as far apart in units of sigma (0.2) as frowning and smiling faces."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.arange(1, k + 1, dtype=torch.float64) ** -0.4  # variances fall as those of LFW, k^-0.8
    points = scales * torch.randn(2 * n + n_inputs, k, generator=generator, dtype=torch.float64)
    shift = 0.2 * scales * torch.randn(k, generator=generator, dtype=torch.float64)
    return points[:n], points[n : 2 * n] + shift, points[2 * n :]


def real_points(args: argparse.Namespace, n: int = 2000, n_inputs: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """The pictures with the lowest and the highest scores of the label; every 33rd of the lowest is an input."""
    codes = load_file(args.codes)["codes"].double()
    order = np.argsort(read_attributes(args.attributes)[2][args.label], kind="stable")
    lowest, highest = order[: n + n_inputs], order[-n:]
    is_input = np.isin(np.arange(n + n_inputs), np.linspace(0, n + n_inputs - 1, n_inputs).astype(int))
    source, inputs = lowest[~is_input], lowest[is_input]
    return codes[source], codes[highest.copy()], codes[inputs]


def timed(run: Callable[[], Result], runs: int) -> tuple[float, Result]:
    """Median seconds of some runs after one that does not count, and what the last returned."""
    result, seconds = run(), []
    for _ in range(runs):
        began = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - began)
    return median(seconds), result


def compare(z0: Tensor, witness: Witness, lams: Tensor, runs: int) -> None:
    """A row for each way to minimise."""
    best = closed_form(z0, witness, lams, REFERENCE).objective
    ways: dict[str, tuple[int, Callable[[], Solution]]] = {
        "now": (runs, lambda: WALK(Points.one_each(z0), WitnessBatch.of_one(witness, len(z0)), lams).solution),
        "L-BFGS with autograd, as before": (3, lambda: by_autograd(z0, witness, lams)),
    }
    if len(z0) == 1:
        ways["SciPy's CG"] = 3, lambda: conjugate_gradients(z0, witness, lams)
    for name, (times, run) in ways.items():
        seconds, found = timed(run, times)
        excess = ((found.objective - best) / best.abs()).max().item()
        evaluations = found.evaluations.double().mean().item()
        row = f"{len(z0)} | {lams[0]:g} | {name} | {1e3 * seconds:.1f} | {1e3 * seconds / len(z0):.2f}"
        print(f"| {row} | {evaluations:.1f} | {excess:.0e} |", flush=True)


def closed_form(
    z0: Tensor, witness: Witness, lams: Tensor, solver: LBFGS, start: Tensor | None = None, unit: float = 1.0
) -> Solution:
    """Minimise from a displacement on, in steps of some length."""
    weights = witness.kernel.lambda_weight(lams)

    def objective(steps: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        delta = unit * steps
        values, gradients = witness.with_gradient(z0[rows] + delta)
        values = values + weights[rows] * delta.square().sum(dim=1)
        return values, unit * (gradients + 2 * weights[rows, None] * delta)

    return solver.minimise(objective, torch.zeros_like(z0) if start is None else start / unit)


def by_autograd(z0: Tensor, witness: Witness, lams: Tensor) -> Solution:
    """The previous way, with the witness at both ends."""
    weights = witness.kernel.lambda_weight(lams)

    def value(z: Tensor) -> Tensor:
        return witness.kernel(z, witness.source).mean(dim=1) - witness.kernel(z, witness.target).mean(dim=1)

    def objective(delta: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        delta = delta.detach().requires_grad_()
        values = value(z0[rows] + delta) + weights[rows] * delta.square().sum(dim=1)
        (gradient,) = torch.autograd.grad(values.sum(), delta)
        return values.detach(), gradient

    solution = BEFORE.minimise(objective, torch.zeros_like(z0))
    value(z0), value(z0 + solution.value)
    return solution


def conjugate_gradients(z0: Tensor, witness: Witness, lams: Tensor) -> Solution:
    """One image as the authors did it, by nonlinear conjugate gradients; with our gradient, and to our tolerance."""
    weight = float(witness.kernel.lambda_weight(lams))

    def objective(delta: np.ndarray) -> tuple[float, np.ndarray]:
        values, gradients = witness.with_gradient(z0 + torch.from_numpy(delta))
        return float(values) + weight * float(delta @ delta), gradients[0].numpy() + 2 * weight * delta

    start = np.zeros(z0.shape[1])
    options = {"maxiter": 50, "gtol": WALK.solver.gradient_tolerance * np.abs(objective(start)[1]).max()}
    found = minimize(objective, start, method="CG", jac=True, options=options)
    objectives = torch.tensor([found.fun], dtype=torch.float64)
    iterations, evaluations = torch.tensor([found.nit]), torch.tensor([found.nfev])
    return Solution(torch.from_numpy(found.x)[None], objectives, iterations, evaluations, [found.message])


def of_their_own(source: Tensor, target: Tensor, z0: Tensor, runs: int) -> None:
    """The witnesses that ``selection=matched`` gives each input."""
    parts = [slice(100 * i, 100 * (i + 1)) for i in range(len(z0))]

    def build() -> list[Witness]:
        return [Witness(RBF(), source[part], target[part]) for part in parts]

    witnesses, lams = build(), torch.full((len(z0),), 0.15).double()
    rows = range(len(z0))
    start, batch = Points.one_each(z0), WitnessBatch(witnesses, torch.arange(len(z0)))

    def alone(i: int) -> Traversal:
        return WALK(Points.one_each(z0[[i]]), WitnessBatch.of_one(witnesses[i], 1), lams[[i]])

    print(f"| building them | {1e3 * timed(build, runs)[0]:.1f} |")
    print(f"| now, together | {1e3 * timed(lambda: WALK(start, batch, lams), runs)[0]:.1f} |")
    print(f"| now, one after the other | {1e3 * timed(lambda: [alone(i) for i in rows], 3)[0]:.1f} |")
    before = timed(lambda: [by_autograd(z0[[i]], witnesses[i], lams[[i]]) for i in rows], 3)[0]
    print(f"| L-BFGS with autograd, as before | {1e3 * before:.1f} |", flush=True)


def along_a_path(z0: Tensor, witness: Witness, runs: int) -> None:
    """Several lambdas: in one batch, or one after the other from 0 or from the end of the one before."""
    lams = torch.tensor(PATH).double()[:, None]
    repeated, witnesses = Points.one_each(z0).repeated(len(PATH)), WitnessBatch.of_one(witness, len(PATH))
    unit = witness.kernel.sigma2**0.5 / 4  # between the lengths that come out

    def each(warm: bool) -> list[Solution]:
        found: list[Solution] = []
        for lam in lams:
            start = unit * found[-1].value if warm and found else None
            found.append(closed_form(z0, witness, lam, WALK.solver, start, unit))
        return found

    ways: dict[str, Callable[[], list[Solution]]] = {
        "in one batch (lambda_path)": lambda: [WALK(repeated, witnesses, lams[:, 0]).solution],
        "one after the other, each from 0": lambda: each(warm=False),
        "one after the other, each from the one before": lambda: each(warm=True),
    }
    for name, run in ways.items():
        seconds, found = timed(run, runs)
        print(f"| {name} | {1e3 * seconds:.1f} | {sum(int(one.evaluations.sum()) for one in found)} |", flush=True)


if __name__ == "__main__":
    main()
