"""What pictures there are and how they are labelled: a folder, Labeled Faces in the Wild, scikit-learn's digits."""

import hashlib
import logging
import os
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dmt.data.folders import FolderContents, are_no_pictures, counted, some
from dmt.data.images import is_picture_name, opens, read_image, shorter_side
from dmt.data.label_files import read_attributes, read_labels
from dmt.data.labels import label_named
from dmt.data.photographs import Photograph
from dmt.errors import UserError, nearest_name
from dmt.ranges import Scalar
from dmt.storage.downloads import download
from dmt.storage.files import one_at_a_time, replacing
from dmt.storage.limits import limits

log = logging.getLogger(__name__)

FEW = 10  # pictures of a class below which what was left out of it is a warning (ours)
MOST_OPENED = 500  # files of a folder's small classes that are opened, to see whether they are pictures (ours)
MOST_OPENED_OF_ONE = 50  # pictures of a small class (ours)


class Catalog(Protocol):
    """Pictures in a fixed order, each with a name, a group, and scores for labels."""

    title: str
    """What the data set is called."""
    names: Sequence[str]
    """A unique name per picture."""
    groups: Sequence[str]
    """Pictures of one group (one person, say) are held out together."""
    labels: Sequence[str]
    """What ``scores`` knows."""
    fingerprint: str
    """Changes when a picture is added, removed or replaced."""
    is_validation: np.ndarray | None
    """Which pictures the publishers keep for validation, ``(n,)`` of bool; ``None`` if they say nothing."""
    kinds: Mapping[str, str]
    """Label -> what kind of thing it is; empty if nothing is known."""

    def read(self, index: int, size: int) -> Tensor:
        """One picture, ``(3, size, size)`` in [0, 1]; raises ``ImageError`` if it does not decode."""

    def read_named(self, name: str, size: int) -> Tensor:
        """A picture that was asked for by name or path, whether it is labelled or not."""

    def photograph(self, name: str) -> Photograph:
        """The same picture at its own resolution, with what its file says beside the pixels."""

    def index(self, name: str) -> int | None:
        """Where a picture with this name or path stands, ``None`` if nowhere."""

    def group(self, name: str) -> str | None:
        """The group of a picture that was asked for by name or path, ``None`` if it is of none."""

    def scores(self, label: str) -> np.ndarray:
        """How much of the label each picture has, ``(n,)``: above 0 if it has it; raises ``UserError`` if unknown.

        What stands for which label: ``label_named``.
        """


class FileCatalog:
    """Pictures that are files below one folder.

    Args:
        root: the folder.
        files: paths relative to it, in order.
        names: one per file, all different.
        groups: one per file.
    """

    times_count = True  # whether a file with another time of change is another picture

    def __init__(self, root: Path, files: Sequence[str], names: Sequence[str], groups: Sequence[str]):
        self.root = root
        self.title = root.name
        self.files = files
        self.names = names
        self.groups = groups
        self.fingerprint = _fingerprint(root, files, self.times_count)
        self.is_validation: np.ndarray | None = None
        self.kinds: Mapping[str, str] = {}
        self._index = {name: i for i, name in enumerate(names)}
        self._file_index = {file: i for i, file in enumerate(files)}

    def read(self, index: int, size: int) -> Tensor:
        return read_image(self.root / self.files[index], size)

    def read_named(self, name: str, size: int) -> Tensor:
        return read_image(self._path(name), size)

    def photograph(self, name: str) -> Photograph:
        return Photograph.read(self._path(name))

    def typical_side(self, sample: int = 50) -> int | None:
        """The median of the shorter sides of some pictures in pixels, by what their files say; ``None``: none does."""
        chosen = np.unique(np.linspace(0, len(self.files) - 1, min(sample, len(self.files))).round().astype(int))
        sides = [side for i in chosen if (side := shorter_side(self.root / self.files[i])) is not None]
        return int(np.median(sides)) if sides else None

    def _path(self, name: str) -> Path:
        """The file of a picture that was asked for by name or path."""
        index = self.index(name)
        if index is not None:
            return self.root / self.files[index]
        for path in (_place(name), self.root / name):
            if os.path.isfile(path):
                return path
        raise UserError(
            f"there is no image {name!r}{nearest_name(name, self.names)}; give a path, or a name below {self.root}"
        )

    def index(self, name: str) -> int | None:
        index = self._index.get(name)
        return self._file_index.get(self._below_root(name)) if index is None else index

    def group(self, name: str) -> str | None:
        index = self.index(name)
        return None if index is None else self.groups[index]

    def _below_root(self, name: str) -> str:
        """The file that a path means, relative to the folder; empty if it is none or elsewhere."""
        if not os.path.isfile(_place(name)):
            return ""
        path, root = _place(name).resolve(), self.root.resolve()
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else ""


class Folder(FileCatalog):
    """Pictures in one subfolder per class, or in one folder with a CSV file of labels.

    Which files of a subfolder are pictures, at any depth: see ``FolderContents``. What is left out is logged, and
    a class of few pictures beside many other files is a warning.

    Args:
        root: the folder.
        labels: a CSV file with a header: a column ``file`` (relative to ``root``), an optional column ``group``, and
            one column per label, above 0 where the picture has it. ``None``: every subfolder is a label.

    Raises:
        UserError: the folder or the file is missing, a row is ragged or names no file, or there are no pictures.
    """

    def __init__(self, root: str | Path, labels: str | Path | None = None):
        root = _place(root)
        if not os.path.isdir(root):
            raise UserError(f"there is no folder {root}; set data.catalog.root to a folder with a subfolder per class")
        if labels is None:
            contents = FolderContents.of(root)
            files = [file for file in contents.pictures if "/" in file]
            if not files:
                raise UserError(_no_classes(contents))
            classes = np.array([Path(file).parts[0] for file in files])
            self._scores = {name: np.where(classes == name, 1.0, -1.0) for name in sorted(set(classes.tolist()))}
            groups = files
            _say_what_is_left_out(contents)
            _say_what_is_of_two_classes(root, files)
        else:
            files, groups, self._scores = read_labels(_place(labels), root)
            _say_what_is_unlisted(root, files)
        self.labels = list(self._scores)
        super().__init__(root, files, files, groups)

    def scores(self, label: str) -> np.ndarray:
        return _scores_of(self._scores, label, str(self.root))


class Unlabelled(FileCatalog):
    """All pictures below a folder, at any depth, of which nothing is known.

    Which files are pictures: see ``FolderContents``.

    Args:
        root: the folder.

    Raises:
        UserError: there is no such folder, or no picture in it; or there are several.
    """

    labels: Sequence[str] = ()

    def __init__(self, root: str | Path | Sequence[Scalar]):
        if isinstance(root, list) and len(root) == 1:  # as images names it
            root = root[0]
        if not isinstance(root, str | Path):
            raise UserError(
                f"pictures are compared with those of one folder, got {root}: images=FOLDER, or "
                "data.catalog.root=FOLDER beside images=[...]"
            )
        contents = FolderContents.of(root)
        if not contents.pictures:
            raise UserError(f"there are no images in {contents.root}{contents.instead}")
        if contents.left_out:
            log.info("%s", contents.left_out)
        super().__init__(contents.root, contents.pictures, contents.pictures, contents.pictures)

    def scores(self, label: str) -> np.ndarray:
        return _scores_of({}, label, str(self.root))


class LFW(FileCatalog):
    """Labeled Faces in the Wild (Huang et al., 2007) with the attributes of Kumar et al. (ICCV 2009).

    Pictures that the attribute file does not list are not part of the catalog, but can be edited by name.

    Args:
        root: the official layout, ``root/Name_Surname/Name_Surname_0001.jpg``; downloaded if it is missing.
        attributes: Kumar's format: two comment lines, the second the header
            ``#<tab>person<tab>imagenum<tab>attribute...``, then a row per picture; downloaded if it is missing.

    Raises:
        UserError: data missing and not to be downloaded, or an attribute file of another format.
    """

    # Constants of the public mirrors: scikit-learn's for the pictures, Columbia University's for the attributes
    PICTURES_URL = "https://ndownloader.figshare.com/files/5976018"
    PICTURES_SHA256 = "055f7d9c632d7370e6fb4afc7468d40f970c34a80d4c6f50ffec63f5a8d536c0"
    ATTRIBUTES_URL = "https://www.cs.columbia.edu/CAVE/databases/pubfig/download/lfw_attributes.txt"
    times_count = False  # a fixed data set: a copy of it is the same
    N_ATTRIBUTES, N_ROWS = 73, 13143  # what stands in for a checksum of the attribute file, which has none published

    def __init__(self, root: str | Path, attributes: str | Path):
        root, attributes = _place(root), _place(attributes)
        if not os.path.isdir(root):
            _download_pictures(root)
        if not os.path.isfile(attributes):
            _download_attributes(attributes)
        people, numbers, self._scores = read_attributes(attributes)
        files, kept = [], []
        for row, (person, number) in enumerate(zip(people, numbers, strict=True)):
            folder = person.replace(" ", "_")
            file = f"{folder}/{folder}_{number:04d}.jpg"
            if os.path.isfile(root / file):
                files.append(file)
                kept.append(row)
        if not files:
            raise UserError(f"none of the pictures listed in {attributes} is below {root}")
        if len(files) < len(people):
            log.warning("%d of the %d pictures in %s are missing", len(people) - len(files), len(people), attributes)
        if len(self._scores) == self.N_ATTRIBUTES and len(people) < self.N_ROWS:
            log.info("%s lists %d pictures, of LFW's %d", attributes, len(people), self.N_ROWS)
        self._scores = {name: values[kept] for name, values in self._scores.items()}
        self.labels = list(self._scores)
        names, people = [Path(file).stem for file in files], [Path(file).parts[0] for file in files]
        super().__init__(root, files, names, people)

    def index(self, name: str) -> int | None:
        if _is_own_file(name):
            return self._file_index.get(self._below_root(name))
        return self._index.get(Path(name).stem)

    def group(self, name: str) -> str | None:
        if _is_own_file(name):
            return Path(self._below_root(name)).parts[0] if self._below_root(name) else None
        return Path(name).stem.rpartition("_")[0]

    def _path(self, name: str) -> Path:
        unlisted = self.root / Path(name).stem.rpartition("_")[0] / f"{Path(name).stem}.jpg"
        if self.index(name) is None and not _is_own_file(name) and os.path.isfile(unlisted):
            return unlisted
        return super()._path(name)

    def scores(self, label: str) -> np.ndarray:
        return _scores_of(self._scores, label, "the attribute file")


class Digits:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels: no download at all. Labels are ``"0"`` ... ``"9"``."""

    title = "digits"

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        self.pixels = digits.images.astype(np.float32) / 16
        self.digits = digits.target
        self.names = [f"digit_{i:04d}" for i in range(len(self.digits))]
        self.groups = self.names
        self.labels = [str(digit) for digit in range(10)]
        self.fingerprint = hashlib.sha256(self.pixels.tobytes()).hexdigest()[:16]
        self.is_validation = None
        self.kinds: Mapping[str, str] = {}

    def read(self, index: int, size: int) -> Tensor:
        grey = torch.from_numpy(self.pixels[index])[None, None]
        larger = torch.nn.functional.interpolate(grey, (size, size), mode="bicubic", align_corners=False)
        return larger[0].clamp(0, 1).expand(3, size, size)

    def read_named(self, name: str, size: int) -> Tensor:
        index = self.index(name)
        if index is not None:
            return self.read(index, size)
        if os.path.isfile(_place(name)):
            return read_image(_place(name), size)
        raise UserError(f"there is no digit {name!r}; give digit_0000 ... digit_{len(self.names) - 1:04d}, or a path")

    def photograph(self, name: str) -> Photograph:
        index = self.index(name)
        if index is None:
            return Photograph.read(name)
        return Photograph.of_pixels(np.repeat(self.pixels[index][:, :, None], 3, axis=2))

    def index(self, name: str) -> int | None:
        return self.names.index(name) if name in self.names else None

    def group(self, name: str) -> str | None:
        return name if name in self.names else None

    def scores(self, label: str) -> np.ndarray:
        known = {str(digit): np.where(self.digits == digit, 1.0, -1.0) for digit in range(10)}
        return _scores_of(known, label, "the digits")


def _download_pictures(root: Path) -> None:
    remedy = (
        f"put LFW's folders of people into {root} (or set data.catalog.root or the environment variable DMT_DATA), "
        "or try experiment=digits, which needs no download"
    )
    with one_at_a_time(root, "LFW's pictures"):
        if root.exists():
            return
        archive = download(LFW.PICTURES_URL, root.parent / "lfw.tgz", LFW.PICTURES_SHA256, remedy)
        log.info("unpacking %s", archive)
        with TemporaryDirectory(prefix=".lfw.", suffix=".partial", dir=root.parent) as folder:
            with tarfile.open(archive) as file:
                file.extractall(folder, filter="data")
            (Path(folder) / "lfw").replace(root)
        archive.unlink()


def _download_attributes(path: Path) -> None:
    remedy = (
        f"put lfw_attributes.txt at {path} (or set data.catalog.attributes or the environment variable DMT_DATA), "
        "or try experiment=digits, which needs no download"
    )
    with replacing(path) as partial:
        download(LFW.ATTRIBUTES_URL, partial, "", remedy)
        people, _, scores = read_attributes(partial)
        if (len(scores), len(people)) != (LFW.N_ATTRIBUTES, LFW.N_ROWS):
            raise UserError(
                f"{LFW.ATTRIBUTES_URL} gave {len(people)} rows of {len(scores)} attributes, not {LFW.N_ROWS} of "
                f"{LFW.N_ATTRIBUTES}: {remedy}"
            )


def _scores_of(scores: Mapping[str, np.ndarray], label: str, place: str) -> np.ndarray:
    return scores[label_named(label, list(scores), place)]


def _say_what_is_unlisted(root: Path, files: Sequence[str]) -> None:
    """Log what a file of labels leaves out: a file that was cut off lists less than there is."""
    unlisted = sorted(set(FolderContents.of(root).pictures) - set(files))
    if unlisted:
        log.info("the labels know nothing of %s below %s: %s", counted(len(unlisted), "picture"), root, some(unlisted))


def _say_what_is_of_two_classes(root: Path, files: Sequence[str]) -> None:
    """Warn of a file that links put into the folders of several classes."""
    first: dict[tuple[int, int], str] = {}
    both = []
    for file in files:
        try:
            facts = (root / file).stat()
        except OSError:  # whoever reads it says so
            continue
        other = first.setdefault((facts.st_dev, facts.st_ino), file)
        if facts.st_ino and other.partition("/")[0] != file.partition("/")[0]:
            both.append(f"{other} and {file}")
    if both:
        which = f"{counted(len(both), 'picture')} {'is' if len(both) == 1 else 'are'} of two classes, by links"
        log.warning("%s: %s", which, some(both))


def _say_what_is_left_out(contents: FolderContents) -> None:
    """Log what of a folder with a subfolder per class is in no class, and the classes that are small for it."""
    sizes = Counter(file.partition("/")[0] for file in contents.pictures if "/" in file)
    unopened = _unopened(contents, sizes)
    if contents.left_out:
        log.info("%s", contents.left_out)
    if contents.loose:
        which = f"{counted(len(contents.loose), 'picture')} directly in {contents.root}, in no subfolder"
        log.warning("%s, and so of no class: %s", which, some(contents.loose))
    empty = [_with_others(folder, contents) for folder in contents.folders if not sizes[folder]]
    if empty:
        log.warning("no class, for there are no pictures below %s: %s", contents.root, some(empty))
    small = [line for folder in sizes if (line := _said_of_small(folder, sizes[folder], unopened[folder], contents))]
    if small:
        log.warning("%s", some(small))


def _unopened(contents: FolderContents, sizes: Mapping[str, int]) -> Counter[str]:
    """How many files of each small class have a picture's suffix and do not open; some classes are not looked at."""
    small = [file for file in contents.pictures if 0 < sizes[file.partition("/")[0]] <= MOST_OPENED_OF_ONE]
    broken = [file for file in small[:MOST_OPENED] if not opens(contents.root / file)]
    return Counter(file.partition("/")[0] for file in broken)


def _said_of_small(folder: str, size: int, unopened: int, contents: FolderContents) -> str:
    left_out, size = contents.others_in[folder] + unopened, size - unopened
    if size >= FEW or not left_out:
        return ""
    only = f"only {counted(size, 'picture')}" if size else "no pictures"
    return f"{folder} has {only} ({counted(left_out)} there {are_no_pictures(left_out)})"


def _with_others(folder: str, contents: FolderContents) -> str:
    others = contents.others_in[folder]
    return f"{folder} ({counted(others)} of other kinds)" if others else f"{folder} (empty)"


def _no_classes(contents: FolderContents) -> str:
    said = f"there are no images in {contents.root} (looked for a subfolder per class)"
    if not contents.loose:
        return said + contents.instead
    return (
        f"{said}; {counted(len(contents.loose), 'picture')} directly in it: sort them into a subfolder per class, or "
        "say what they show in a CSV file, data.catalog.labels=FILE"
    )


def _fingerprint(root: Path, files: Sequence[str], with_times: bool) -> str:
    digest = hashlib.sha256()
    for file in files:
        try:
            facts = (root / file).stat()
        except OSError as error:
            raise UserError(f"{root / file} cannot be read ({error.strerror}); has it gone? run again") from error
        time = f"\t{facts.st_mtime_ns}" if with_times else ""
        digest.update(f"{file}\t{facts.st_size}{time}\n".encode())
    return digest.hexdigest()[:16]


def stamp_of(catalog: Catalog, index: int) -> str:
    """What changes when the file of a picture is replaced, or who may read it, or what is too large; empty: no file."""
    while not isinstance(catalog, FileCatalog):
        if not hasattr(catalog, "catalog"):
            return ""
        catalog = catalog.catalog  # of what frames or adds to another's pictures
    facts = (catalog.root / catalog.files[index]).stat()
    most = limits()
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {most.pixels:g} {most.picture_megabytes:g}"


def _place(name: str | Path) -> Path:
    """A path, of which ~ is the home folder where there is one."""
    return Path(os.path.expanduser(name))


def _is_own_file(name: str) -> bool:
    return is_picture_name(name) and os.path.isfile(_place(name))
