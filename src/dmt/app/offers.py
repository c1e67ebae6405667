"""The data and networks at hand -> what can be done with them, in words."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dmt.data import LFW

TaskOption = tuple[str, Mapping[str, str]]
"""An option of ``conf/task``, and what it is told: what ``dmt.task`` takes."""

NAMED = {  # option of conf/task -> what the person shall do, and the label that takes
    "smiling": ("smile", "Smiling"),
    "frowning": ("frown instead of smiling", "Frowning"),
    "mouth_open": ("open the mouth", "Mouth Slightly Open"),
    "senior": ("look older", "Senior"),
    "younger": ("look younger", "Youth"),
    "eyeglasses": ("wear glasses", "Eyeglasses"),
    "mustache": ("wear a moustache", "Mustache"),
}
DETECTOR = ("face_detection_yunet_n_640.onnx",)
VGG = ("vgg19_conv3_4_tvinput.safetensors", "vgg19-dcbb9e9d.pth")
DISTILLED = ("vgg19_distilled16x_conv5_1.safetensors", "20191109-211322_E20.pth")
SQUEEZENET = ("squeezenet1_1-b8a52dc0.pth", "squeezenet1_1_gluon.safetensors")
JUDGES = ("judge_expression.onnx", "judge_age_gender.onnx", "judge_identity.onnx")


@dataclass(frozen=True)
class Offers:
    """What can be done here.

    Args:
        tasks: what a person in a photograph shall do -> the task; empty: there are no labelled faces.
        faces: what to do so that photographs can be edited; empty: they can.
        classes: the same of own classes.
        judges: whether there are judges of faces.
    """

    tasks: Mapping[str, TaskOption]
    faces: str = ""
    classes: str = ""
    judges: bool = False

    @classmethod
    def at_hand(cls, settings: Sequence[str] = ()) -> "Offers":
        """Look into ``DMT_DATA`` and ``DMT_WEIGHTS``; nothing is downloaded.

        Args:
            settings: of every edit: who names a network has seen to its weights.
        """
        data = folder_of("DMT_DATA", "~/.cache/dmt/data")
        own_network = any(word.startswith("backbone=") for word in settings)
        networks = [] if own_network else [VGG, DISTILLED]
        get = "run `dmt-traverse task=frowning` once, which fetches them, or start with --data and --weights"
        faces = classes = ""
        if not ((data / "lfw").is_dir() and (data / "lfw_attributes.txt").is_file()):
            faces = f"Photographs need labelled faces to learn from, and there are none in {data}: {get}."
        elif not _are_there([DETECTOR, *networks]):
            faces = f"Photographs need networks that are not in {weights_folder()}: {get}."
        if not own_network and not _are_there([*networks, SQUEEZENET]):
            classes = f"Classes of your own need networks that are not in {weights_folder()}: {get}."
        return cls({} if faces else _tasks(data), faces, classes, _judges_are_there())


def weights_folder() -> Path:
    """Where the networks lie."""
    return folder_of("DMT_WEIGHTS", "~/.cache/dmt/weights")


def folder_of(variable: str, otherwise: str) -> Path:
    """The folder that an environment variable names."""
    return Path(os.environ.get(variable) or otherwise).expanduser()


def _are_there(networks: Sequence[Sequence[str]]) -> bool:
    """Whether there is one file of each group."""
    folders = [weights_folder(), Path("~/.cache/torch/hub/checkpoints").expanduser()]
    return all(any((folder / name).is_file() for folder in folders for name in names) for names in networks)


def _judges_are_there() -> bool:
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return _are_there([(name,) for name in JUDGES])


def _tasks(data: Path) -> dict[str, TaskOption]:
    labels = LFW(data / "lfw", data / "lfw_attributes.txt").labels
    tasks: dict[str, TaskOption] = {words: (name, {}) for name, (words, label) in NAMED.items() if label in labels}
    for label in sorted(labels):
        for direction in ("more", "less"):
            tasks[f"{direction} “{label}”"] = ("attribute", {"attribute": label, "direction": direction})
    return tasks
