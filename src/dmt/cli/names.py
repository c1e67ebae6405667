"""A name that is no setting -> the one that is meant: renamed, known by another name, or spelt otherwise."""

import difflib
import re
from collections.abc import Iterable, Sequence

# Settings by other names, of themselves and of all below them: the first that the command has is the one
RENAMED: dict[str, tuple[str, ...]] = {
    "feature_layers": ("layers",),
    "figure.budgets": ("figure.lambdas", "study.lambdas"),
    "figure": ("study",),  # of experiment=benchmark
    "scores": ("study",),  # of experiment=layer_scores
    "data.batch_size": ("data.serving.batch_size",),
    "data.edit_batch_size": ("data.serving.edit_batch_size",),
    "data.num_workers": ("data.serving.num_workers",),
    "data.spared": ("data.reserved.spared",),
    "data.alignment": ("framing",),
}
# Settings that are no more, and why; after GROUP=OPTION: of that option
GONE: dict[str, str] = {
    "match_colors": "results with it were no better",
    "layer_weights": "edits with it were no better",
    "method.walk.shrink": "edits without it were no better",
    "figure.unbudgeted": "a method says so itself, as study.methods.adversarial.reads_lambda=false does",
    "backbone=digits backbone.width": "the digits' network comes with the package, trained",
    "backbone=digits backbone.weights": "the digits' network comes with the package, trained",
}
# Options that are no more -> what to write for them
REPLACED: dict[str, str] = {
    "auto=classifier": "auto=witness auto.of=classifier",
    "judges=none": "judges=[]",
    "regularizer=digits": "experiment=digits",
    "regularizer=features": "regularizer=paper ~regularizer.tv",
    "regularizer=tv": "regularizer=paper ~regularizer.features",
    "task=classes": "task=folder",
    "trainer=ddp": "trainer.strategy=ddp trainer.devices=auto",
}
# What people type -> the setting that they mean (the first of several that the command has), or what to write for it
MEANT: dict[str, str | tuple[str, ...]] = {
    "accelerator": "trainer.accelerator",
    "device": "trainer.accelerator=gpu",
    "gpu": "trainer.accelerator=gpu",
    "cuda": "trainer.accelerator=gpu",
    "cpu": "trainer.accelerator=cpu",
    "gpus": "trainer.devices",
    "num_gpus": "trainer.devices",
    "epochs": "net.schedule.epochs",
    "lr": "net.schedule.learning_rate",
    "learning_rate": "net.schedule.learning_rate",
    "weights": "weights_dir",
    "cache": "cache_dir",
    "out": "output_dir",
    "out_dir": "output_dir",
    "outdir": "output_dir",
    "output_folder": "output_dir",
    "size": "data.image_size",
    "resolution": "data.image_size",
    "batch": ("data.serving.batch_size", "data.batch_size"),
    "batch_size": ("data.serving.batch_size", "data.batch_size"),
    "workers": ("data.serving.num_workers", "data.num_workers"),
    "n": "n_images",
    "count": "n_images",
    "num_images": "n_images",
    "image": "images",
    "picture": "images",
    "pictures": "images",
    "input": "images",
    "inputs": "images",
    "file": "images",
    "files": "images",
    "lam": "lambda",
    "budget": "lambda",
    "strength": "lambda",
    "components": "manifold=pca manifold.n_components={}",
    "sigma": "kernel.bandwidth",
    "network": "backbone",
    "model": "backbone",
    "dataset": "data",
    "judge": "judges",
    "layer": "layers",
    "attribute": "task=attribute task.attribute={}",
    "root": "data=folder data.catalog.root={}",
    "folder": "data=folder data.catalog.root={}",
    "alignment": "framing",
    "face": "faces",
    "zoom": "framing.zoom",
    "crop": "framing=center",
    "photos": "data=folder data.catalog.root={}",
    "gif": "output.animation=gif",
    "mp4": "output.animation=mp4",
    "video": "output.animation=mp4",
    "film": "output.animation=mp4",
    "iterations": "solver.inversion.iterations",
    "random_seed": "seed",
    "cpus": "threads",
    "n_jobs": "threads",
    "dtype": "precision",
    "quiet": "progress=false",
    "wandb": "logger=wandb",
}
# Settings of several parts that people give one value -> the setting that they mean
OF_PARTS = {"output": "output_dir", "witness": "witness.weighting"}
NOTHING = ("null", "false", "off", "no")  # people's words for the option none
LAUNCHERS = {"joblib": "joblib", "submitit_slurm": "slurm", "submitit_local": "slurm"}  # -> the extra that brings each


def nearest_settings(name: str, known: Sequence[str]) -> list[str]:
    """Find the settings that a name may mean: at its place, spelt otherwise, or of the same name elsewhere.

    >>> known = ["lambda", "data", "data.image_size", "output", "output.frames"]
    >>> [nearest_settings(name, known) for name in ("lamda", "data.imagesize", "data.frames")]
    [['lambda'], ['data.image_size'], ['output.frames']]
    """
    parent, _, leaf = name.rpartition(".")
    shallow_first = sorted(known, key=lambda each: each.count("."))
    beside = [each for each in known if each.rpartition(".")[0] == parent]
    same = [each for each in shallow_first if bare(each.rpartition(".")[2]) == bare(leaf)]
    beside_spelt = spelt_like(leaf, beside, 0.6)
    if not parent:
        return same[:3] or beside_spelt or spelt_like(leaf, shallow_first, 0.8)
    return (
        beside_spelt
        or difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        or same[:3]
        or spelt_like(leaf, shallow_first, 0.8)
    )


def spelt_like(leaf: str, known: Iterable[str], cutoff: float) -> list[str]:
    """The setting whose last name is most like ``leaf``."""
    last: dict[str, str] = {}
    for each in known:
        last.setdefault(each.rpartition(".")[2].lower(), each)
    return [last[found] for found in difflib.get_close_matches(leaf.lower(), last, n=1, cutoff=cutoff)]


def bare(name: str) -> str:
    """A name without what people forget: capitals, dashes, underscores."""
    return re.sub("[-_]", "", name.lower())
