"""Edit between pairs of classes whose pictures are not aligned, beside rivals. ``python benchmarks/classes.py --help``.

Ten pairs of Tiny-ImageNet that differ in colour and texture, and five that differ in shape, fixed before any was tried.
Of either class the first 140 training pictures make the sets; an independent probe, a network that takes no part in the
edit with a linear classifier on it, learns from the other training pictures; twenty validation pictures are edited.
Each method is tried at several strengths. Compared is LPIPS at the strength at which 80 % of the inputs that the probe
gave to the source are given to the target, between the two strengths that it lies between.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from skimage.color import lab2rgb, rgb2lab
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import interpolate

import dmt
from dmt.data.images import read_image
from dmt.judges import PerceptualDistance
from dmt.judges.metrics import split_change
from dmt.networks.extractor import PooledExtractor
from dmt.networks.probe import LinearProbe, fit_probe

ROOT = Path(__file__).resolve().parent.parent
NAMES = {
    "orange": "n07747607", "lemon": "n07749582", "orangutan": "n02480495", "chimpanzee": "n02481823",
    "cliff": "n09246464", "alp": "n09193705", "lesser panda": "n02509815", "koala": "n01882714", "ox": "n02403003",
    "bison": "n02410509", "brain coral": "n01917289", "coral reef": "n09256479", "pomegranate": "n07768694",
    "pizza": "n07873807", "meat loaf": "n07871810", "baboon": "n02486410", "tabby": "n02123045", "lion": "n02129165",
    "cougar": "n02125311", "ladybug": "n02165456", "cockroach": "n02233338", "gazelle": "n02423022",
    "goldfish": "n01443537",
}  # fmt: skip
PAIRS = [
    "orange>lemon", "lemon>orange", "orangutan>chimpanzee", "cliff>alp", "lesser panda>koala", "ox>bison",
    "brain coral>coral reef", "lemon>pomegranate", "pizza>meat loaf", "baboon>orangutan",
]  # fmt: skip
SHAPES = ["tabby>lion", "tabby>cougar", "ladybug>cockroach", "gazelle>ox", "goldfish>koala"]
SETS, INPUTS, SIZE, SEEN = 140, 20, 64, 160  # pictures a side; inputs; pixels edited; pixels that the probe sees
LEVEL = 0.8  # of flips, at which methods are compared
METHODS: dict[str, tuple[list[str], Sequence[float]]] = {
    "dmt": ([], (0.8, 0.55, 0.4, 0.28)),
    "linear": (["method=linear", "manifold=span"], (0.5, 0.25, 0.15)),
    "pixel mean": (["method=pixel_mean", "manifold=span"], (0.25, 0.125, 0.06)),
    "adversarial": (["method=adversarial", "manifold=span"], (0.55, 0.9, 0.999)),
    "Reinhard": ([], (0.5, 1.0, 1.5, 2.0)),
}


class Probe:
    """A linear classifier on a network that takes no part in the edit."""

    def __init__(self, options: Sequence[str], layers: Sequence[str], source: Tensor, target: Tensor):
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            backbone = instantiate(compose("traverse", list(options)).backbone, _convert_="all")
        self.extractor = PooledExtractor(backbone, layers or backbone.layer_names[-2:], grid=1)
        learns, tests = zip(*((side[: 2 * len(side) // 3], side[2 * len(side) // 3 :]) for side in (source, target)),
                            strict=True)  # fmt: skip
        probe = self._fitted(*learns)
        logits = probe(self.points(torch.cat(tests)))
        self.auc = float(roc_auc_score([0] * len(tests[0]) + [1] * len(tests[1]), logits))
        self.probe = self._fitted(source, target)

    def points(self, images: Tensor) -> Tensor:
        parts = []
        for batch in images.split(16):
            seen = interpolate(batch, (SEEN, SEEN), mode="bicubic", align_corners=False).clamp(0, 1)
            with torch.no_grad():
                parts.append(self.extractor.vectors(seen).double())
        return torch.cat(parts)

    def _fitted(self, source: Tensor, target: Tensor) -> LinearProbe:
        return fit_probe(self.points(source), self.points(target))

    def __call__(self, images: Tensor) -> Tensor:
        return self.probe(self.points(images)).sigmoid()


def pictures(folder: Path, rows: slice = slice(None)) -> list[Path]:
    """The pictures of a class, in order."""
    return sorted(file for file in folder.rglob("*") if file.is_file())[rows]


def reinhard(images: Tensor, target: Tensor, share: float) -> Tensor:
    """Means and deviations in CIELAB moved towards the target's pictures' (Reinhard et al., 2001)."""

    def lab(batch: Tensor) -> np.ndarray:
        return rgb2lab(batch.permute(0, 2, 3, 1).double().numpy())

    def statistics(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return values.mean(axis=(1, 2), keepdims=True), values.std(axis=(1, 2), keepdims=True) + 1e-6

    of_target = [one.mean(axis=0) for one in statistics(lab(target))]
    values = lab(images)
    mean, spread = statistics(values)
    moved = (values - mean) / spread * (spread + share * (of_target[1] - spread)) + mean + share * (of_target[0] - mean)
    return torch.from_numpy(lab2rgb(moved)).float().permute(0, 3, 1, 2).clamp(0, 1)


def edits(
    method: str, tree: Path, way: tuple[str, str], inputs: list[Path], images: Tensor, target: Tensor
) -> Iterator[tuple[float, Tensor]]:
    """Strengths, and what becomes of the inputs."""
    options, strengths = METHODS[method]
    if method == "Reinhard":
        yield from ((share, reinhard(images, target, share)) for share in strengths)
        return
    task = dmt.ClassTask(*way)
    common = [f"data.catalog.root={tree}", f"data.image_size={SIZE}", "judges=[]", "progress=false", "logger=none"]
    for strength in strengths:
        own = [f"method.confidence={strength}"] if method == "adversarial" else []
        editor = dmt.Editor.default("folder", *common, *options, *own)
        edit = editor.edit(task, images=[str(file) for file in inputs], lam=0.5 if own else strength)
        yield strength, torch.stack([image.result for image in edit.images])


def measured(pair: str, methods: Sequence[str], data: Path, options: argparse.Namespace, save: Path) -> Iterator[Any]:
    """For each method a row for each strength."""
    way = tuple(pair.split(">"))
    tree = Path(tempfile.mkdtemp())
    for name in way:
        (tree / name).mkdir()
        for file in pictures(data / "train" / NAMES[name], slice(SETS)):
            (tree / name / file.name).symlink_to(file)
    files = pictures(data / "val" / NAMES[way[0]], slice(INPUTS))
    images = torch.stack([read_image(file, SIZE) for file in files])
    learns = [
        torch.stack([read_image(file, SIZE) for file in pictures(data / "train" / NAMES[name], slice(SETS, None))])
        for name in way
    ]
    probe = Probe(options.probe, options.layers, *learns)
    before = probe(images)
    target = torch.stack([read_image(file, SIZE) for file in pictures(tree / way[1])])
    for method in methods:
        rows, found = [images], []
        for strength, results in edits(method, tree, (way[0], way[1]), files, images, target):
            after = probe(results)
            source = before < 0.5
            pairs = list(zip(images, results, strict=True))
            outside = np.mean([split_change(result, picture)[1] for picture, result in pairs])
            found.append({
                "pair": pair, "method": method, "strength": strength, "auc": probe.auc,
                "flips": float((after[source] > 0.5).double().mean()), "after": float(after.mean()),
                "lpips": float(np.mean([options.lpips(result, picture) for picture, result in pairs])),
                "outside": float(outside), "rms": float((results - images).square().mean().sqrt()),
            })  # fmt: skip
            rows.append(results)
        sheet(rows, save / f"{pair.replace('>', '-').replace(' ', '_')}-{method.replace(' ', '_')}.png")
        yield found


def sheet(rows: Sequence[Tensor], path: Path) -> None:
    """Inputs above what became of them at each strength."""
    from torchvision.utils import save_image

    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(torch.cat([row[:12] for row in rows]), path, nrow=12)


def at_level(rows: Sequence[Any], column: str) -> float | None:
    """A column where the flips reach the level, linearly between two strengths; ``None`` if they do not."""
    last: Any = {"flips": 0.0, column: 0.0}
    for row in rows:
        if row["flips"] >= LEVEL:
            share = (LEVEL - last["flips"]) / (row["flips"] - last["flips"])
            return last[column] + share * (row[column] - last[column])
        last = row
    return None


def table(rows: Sequence[Any], column: str) -> str:
    """Pairs by methods."""
    methods = [method for method in METHODS if any(row["method"] == method for row in rows)]
    lines = [
        f"| {column} at {LEVEL:.0%} flips | AUC | " + " | ".join(methods) + " |",
        "|---" * (2 + len(methods)) + "|",
    ]
    for pair in dict.fromkeys(row["pair"] for row in rows):
        cells = []
        for method in methods:
            own = [row for row in rows if row["pair"] == pair and row["method"] == method]
            value = at_level(own, column)
            most = max((row["flips"] for row in own), default=0.0)
            cells.append(f"{value:.3f}" if value is not None else f"({most:.0%} at most)")
        auc = next(row["auc"] for row in rows if row["pair"] == pair)
        lines.append(f"| {pair.replace('>', ' to ')} | {auc:.2f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of Tiny-ImageNet, with train/ and val/")
    parser.add_argument("--pairs", nargs="*", default=PAIRS + SHAPES)
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument(
        "--probe", nargs="*", default=["backbone=squeezenet1_1"], help="the probe's network, by options"
    )
    parser.add_argument("--layers", nargs="*", default=[], help="that the probe reads; the last two otherwise")
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/classes"), help="rows.jsonl, and sheets of pictures"
    )
    args = parser.parse_args()
    logging.getLogger("dmt").setLevel(logging.WARNING)
    args.output.mkdir(parents=True, exist_ok=True)
    args.lpips = perceptual()
    file = args.output / "rows.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for pair in args.pairs:
        done = {row["method"] for row in rows if row["pair"] == pair}
        missing = [method for method in args.methods if method not in done]
        if missing:
            new = []
            for found in measured(pair, missing, args.data, args, args.output):  # a method at a time
                new += found
                with file.open("a") as out:
                    out.writelines(json.dumps(row) + "\n" for row in found)
            rows += new
            print("\n".join(f"{row['pair']} {row['method']} {row['strength']:g}: flips {row['flips']:.2f}, LPIPS "
                            f"{row['lpips']:.3f}" for row in new), flush=True)  # fmt: skip
    for column in ("lpips", "outside"):
        print("\n" + table([row for row in rows if row["pair"] in args.pairs], column))


def perceptual() -> Callable[[Tensor, Tensor], float]:
    """LPIPS of two pictures."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        judge = instantiate(compose("traverse", ["judges=[perceptual]"]).judges.lpips, _convert_="all")
    assert isinstance(judge, PerceptualDistance)
    return judge.distance


if __name__ == "__main__":
    main()
