"""Time the inversion against SciPy's L-BFGS-B on real faces. ``python benchmarks/inversion.py --help``.

Every run minimises the same objective: LFW's smiling people, their features moved by twice the difference between the
mean features of 40 frowning and 40 smiling others. SciPy's objective after 500 iterations, in float32, is the goal;
told is what each solver needs until the sum over its images gets there. A reduced precision may end a little above the
goal when its result is looked at in float32: how many times faster it is counts SciPy's time to that very objective.
The faces are found as the commands find them (DMT_DATA, DMT_WEIGHTS).
"""

import argparse
import os
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from scipy.optimize import minimize
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dmt.inversion import Inversion, Inverter
from dmt.inversion.regularizers import Regularizer
from dmt.networks.extractor import FeatureExtractor, measure_scales
from dmt.networks.precision import PRECISIONS, compute_exact_float32
from dmt.solvers import LBFGS, Objective, Progress, Solution
from peak_memory import peak_gb

ROOT = Path(__file__).resolve().parent.parent
SETS, STRENGTH = 40, 2.0  # pictures on each side; how many times their difference a face is moved
ITERATIONS = 500  # of SciPy; ours: enough for its objective to stand still to a few parts in a thousand


@dataclass(frozen=True)
class Case:
    """An objective, by name."""

    backbone: str
    regularizer: str
    size: int


@dataclass(frozen=True)
class Problem:
    """What is inverted: see ``dmt.inversion.Inverter``."""

    extractor: FeatureExtractor
    targets: dict[str, Tensor]
    images: Tensor
    regularizers: dict[str, Regularizer]

    def inverted(self, solver: "LBFGS | LBFGSB", precision: str, on_progress: Callable | None = None) -> Inversion:
        """The pictures of the moved features."""
        inverter = Inverter(self.regularizers, solver, precision, on_progress=on_progress)  # type: ignore[arg-type]
        return inverter(self.extractor, self.targets, self.images)

    def part(self, rows: slice) -> "Problem":
        """The same for some of the images."""
        targets = {layer: value[rows] for layer, value in self.targets.items()}
        return Problem(self.extractor, targets, self.images[rows], self.regularizers)


def problem_of(case: Case, faces: Sequence[int], device: torch.device) -> Problem:
    """The case's objective for some of the faces, each the most smiling picture of a person, by rank."""
    overrides = [f"backbone={case.backbone}", f"regularizer={case.regularizer}", f"data.image_size={case.size}"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("traverse", overrides)
    catalog = instantiate(config.data.catalog)
    difference = catalog.scores("Smiling") - catalog.scores("Frowning")
    order = np.argsort(-difference, kind="stable")
    people = list({catalog.groups[i]: i for i in reversed(order[:1000])}.values())[::-1]
    smiling, frowning = people[-SETS:], order[-SETS:]

    def pictures(indices: Sequence[int]) -> Tensor:
        return torch.stack([catalog.read(int(i), case.size) for i in indices]).to(device)

    torch.manual_seed(0)  # of random weights
    backbone = instantiate(config.backbone)
    backbone.to(device)
    both = pictures([*smiling, *frowning])
    scales = measure_scales(backbone, both.split(8))
    extractor = FeatureExtractor(backbone, config.layer_names[config.layers], scales).to(device)
    images = pictures([people[i] for i in faces])
    with torch.no_grad():
        means = [
            {layer: torch.cat([part[layer] for part in parts]).mean(dim=0) for layer in extractor.layers}
            for parts in ([extractor(x) for x in half.split(8)] for half in both.split(SETS))
        ]
        targets = {
            layer: value + STRENGTH * (means[1][layer] - means[0][layer]) for layer, value in extractor(images).items()
        }
    return Problem(extractor, targets, images, dict(instantiate(config.regularizer, _convert_="all")))


@dataclass
class LBFGSB:
    """SciPy's solver where ours would be, one image at a time; it notes every evaluation's time and value."""

    iterations: int
    history: int = 10
    noted: list[tuple[float, float]] = field(default_factory=list)

    def minimise(
        self,
        objective: Objective,
        start: Tensor,
        lower: float,
        upper: float,
        callback: object,
        noise: float,
        known_curvature: object,
    ) -> Solution:
        """As ``LBFGS.minimise``, without its callback and its knowledge of noise and curvature."""
        row = torch.zeros(1, dtype=torch.long, device=start.device)
        began = time.perf_counter()

        def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
            values, gradients = objective(torch.from_numpy(x[None]).to(start), row)
            value, gradient = float(values[0]), gradients[0].double().cpu().numpy()
            self.noted.append((time.perf_counter() - began, value))
            return value, gradient

        options = {
            "maxiter": self.iterations,
            "maxfun": 10**6,
            "maxcor": self.history,
            "ftol": 0.0,
            "gtol": 0.0,
            "maxls": 50,
        }
        x0 = start[0].double().cpu().numpy()
        found = minimize(
            value_and_gradient, x0, jac=True, method="L-BFGS-B", bounds=[(lower, upper)] * len(x0), options=options
        )
        counts = torch.tensor([found.nit]), torch.tensor([found.nfev])
        value = torch.from_numpy(found.x[None]).to(start)
        return Solution(value, torch.tensor([found.fun]).to(value), *counts, [str(found.message)])


def seconds_until(goal: float, solvers: Sequence[LBFGSB]) -> float:
    """Mean seconds until the sum of the best values so far was ``goal`` or less; all of the time if it never was.

    The solvers count as if they went side by side, an evaluation of each at a time.
    """
    longest = max(len(solver.noted) for solver in solvers)
    seconds, values = np.array(
        [solver.noted + solver.noted[-1:] * (longest - len(solver.noted)) for solver in solvers]
    ).transpose(2, 1, 0)
    reached = np.minimum.accumulate(values).sum(axis=1) <= goal
    return float(seconds[reached.argmax() if reached.any() else -1].mean())


def iterations_until(problem: Problem, goal: float, precision: str) -> int:
    """Iterations until the sum of the objectives is ``goal``."""
    solver = LBFGS(iterations=ITERATIONS, tolerance=0.0, gradient_tolerance=0.0)
    count = 0

    def watch(progress: Progress) -> None:
        nonlocal count
        count = progress.iteration
        if progress.objective <= goal:
            raise StopIteration

    with suppress(StopIteration):
        problem.inverted(solver, precision, watch)
    return count


def network_seconds(problem: Problem, precision: torch.dtype, runs: int = 5) -> tuple[float, float]:
    """Median seconds of the bare network, forward and backward to the images, and its operations in GFLOP."""
    extractor = problem.extractor
    layers = [*extractor.layers, *(layer for one in problem.regularizers.values() for layer in one.layers)]

    def once() -> None:
        x = problem.images.clone().requires_grad_()
        activations = extractor.activations(x, layers, precision)
        torch.autograd.grad(list(activations.values()), x, [torch.ones_like(value) for value in activations.values()])

    with FlopCounterMode(display=False) as counter:
        once()
    seconds = [seconds_of(once, problem.images.device) for _ in range(runs)]
    return median(seconds), counter.get_total_flops() / 1e9


def matrix_product(precision: torch.dtype, device: torch.device) -> float:
    """GFLOP/s of a square matrix product."""
    n = 3072 if device.type == "cpu" else 8192
    first, second = torch.rand(2, n, n, device=device).to(precision)
    seconds = [seconds_of(lambda: first @ second, device) for _ in range(4)]
    return 2 * n**3 / min(seconds) / 1e9


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Until the device has done what it was told."""
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def compare(case: Case, batch: int, precisions: Sequence[str], references: int, device: torch.device) -> None:
    """Print the rows of a case: SciPy on an image or more, ours on one and on a batch that begins with them."""
    problem = problem_of(case, range(batch), device)
    goals, scipy = [], []
    for i in range(min(batch, references)):
        solver = LBFGSB(ITERATIONS)
        found = problem.part(slice(i, i + 1)).inverted(solver, "float32")
        scipy.append(solver)
        goals.append(float(found.solution.objective))
        seconds = solver.noted[-1][0]
        cells = [f"SciPy, float32, image {i + 1}", f"{seconds:.1f}", f"{seconds:.1f}", "1", str(len(solver.noted))]
        row(case, *cells, f"{len(solver.noted) / int(found.solution.iterations):.2f}", "1.000", "", "")
    for n in dict.fromkeys((1, batch)):
        known = min(n, len(goals))  # images whose goal is known; the others get as many iterations
        for name in precisions:
            iterations = iterations_until(problem.part(slice(known)), sum(goals[:known]), name)
            part = problem.part(slice(n))
            began = time.perf_counter()
            found = part.inverted(LBFGS(iterations=iterations, tolerance=0.0, gradient_tolerance=0.0), name)
            reached = found.solution.objective[:known].sum().item()
            seconds = time.perf_counter() - began
            bare, work = network_seconds(part, PRECISIONS[name])
            waited = seconds_until(reached, scipy[:known])
            evaluations = float(found.solution.evaluations.double().mean())
            row(
                case,
                f"ours, {name}, {n} at a time",
                f"{seconds / n:.2f}",
                f"{waited:.1f}",
                f"{waited / (seconds / n):.1f}",
                f"{evaluations:.0f}",
                f"{evaluations / iterations:.2f}",
                f"{reached / sum(goals[:known]):.3f}",
                f"{bare * evaluations / seconds:.0%}",
                f"{work * evaluations / seconds:.0f}",
            )


def row(case: Case, *cells: str) -> None:
    """Print a row of the table."""
    print(f"| {' | '.join([case.backbone, case.regularizer, str(case.size), *cells])} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="*", default=["vgg19_hybrid", "vgg19_random"])
    parser.add_argument("--regularizers", nargs="*", default=["sparse"])
    parser.add_argument("--size", type=int, default=125)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--references", type=int, default=2, help="images of SciPy")
    parser.add_argument("--precisions", nargs="*", default=["float32", "bfloat16"], choices=PRECISIONS)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="or cuda")
    args = parser.parse_args()
    compute_exact_float32()  # as the commands do
    rates = ", ".join(f"{name} {matrix_product(PRECISIONS[name], args.device):.0f} GFLOP/s" for name in args.precisions)
    if args.device.type == "cuda":
        print(torch.cuda.get_device_name(args.device), end=", ")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} at the start")
    print(f"matrix products: {rates}\n")
    print(
        "| backbone | regularizer | pixels | solver | s an image | SciPy, s to there | times faster | evaluations "
        "| per iteration | objective / SciPy's | share of the bare network | GFLOP/s |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for backbone in args.backbones:
        for regularizer in args.regularizers:
            case = Case(backbone, regularizer, args.size)
            compare(case, args.batch, args.precisions, args.references, args.device)
    print(f"\npeak memory {peak_gb(resource.getrusage(resource.RUSAGE_SELF)):.1f} GB")
    if args.device.type == "cuda":
        print(f"peak memory of the GPU {torch.cuda.max_memory_allocated(args.device) / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
