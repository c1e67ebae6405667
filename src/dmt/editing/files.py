"""Edited images -> the files that hold them."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from PIL import Image
from torch import Tensor

from dmt.data import Patch, finished, to_pixels
from dmt.editing.records import EditedImage
from dmt.storage.files import replacing

MOST_BYTES = 150  # of a file's name, before what tells it from others; file systems take 255


@dataclass(frozen=True)
class Saved:
    """Where the pictures of one edit lie below a folder.

    Args:
        file: what became of the whole picture: a photograph in its own format, with all changes to it.
        before: the part that is shown and judged, before the edit.
        after: the same part after it; ``file`` where that is all there is.
    """

    file: str
    before: str
    after: str


def save_images(
    folder: Path, images: Sequence[EditedImage], taken: Collection[str] = (), mark: bool = True
) -> list[Saved]:
    """Write every image: its photograph with the change to it, and the part that is shown, before and after.

    Changes to several parts of one photograph, by the same edit, come back in one file.

    Args:
        folder: an existing folder.
        images: what to write.
        taken: names without suffix that are somebody else's.
        mark: whether photographs say in their metadata that they were altered.

    Raises:
        OSError: a file cannot be written.
    """
    names = file_names(images, taken)
    inputs = list(dict.fromkeys(image.name for image in images))
    stems = dict(zip(inputs, _distinct([_stem(name) for name in inputs]), strict=True))
    whole: dict[tuple[str, str], str] = {}
    saved, written = [], set()
    for image, name in zip(images, names, strict=True):
        if image.patch is None:
            file = after = f"{name}.png"
            before = f"inputs/{stems[image.name]}.png"
        else:
            key = (image.patch.of, image.edit)
            if key not in whole:
                patches = _patches(images, key)
                stem = name if len(patches) == 1 else _distinct([_own_stem(*key)], [*names, *taken])[0]
                taken = [*taken, stem]
                whole[key] = finished(patches).save(folder / f"{stem}.png", altered=mark).name
            file, before, after = whole[key], f"crops/{stems[image.name]}_before.png", f"crops/{name}_after.png"
        if before not in written:
            save_picture(folder / before, image.input)
            written.add(before)
        save_picture(folder / after, image.result)
        saved.append(Saved(file, before, after))
    return saved


def _patches(images: Sequence[EditedImage], key: tuple[str, str]) -> list[Patch]:
    """All changes to a photograph that one edit made; that of an input which was asked for twice counts once."""
    own = {image.name: image.patch for image in images if image.patch and (image.patch.of, image.edit) == key}
    return list(own.values())


def save_picture(path: Path, picture: Tensor | Image.Image) -> None:
    """Write a PNG of a picture, or of ``(3, H, W)`` in [0, 1], whole or not at all; raises ``OSError``."""
    image = Image.fromarray(to_pixels(picture)) if isinstance(picture, Tensor) else picture
    with replacing(path) as partial:
        image.save(partial, format="PNG")


def file_names(images: Sequence[EditedImage], taken: Collection[str] = ()) -> list[str]:
    """A distinct file name, without suffix, per image, none of them ``taken``; the column ``edit`` is part of it."""
    return _distinct([_own_stem(image.name, image.edit) for image in images], taken)


def _own_stem(name: str, edit: str) -> str:
    return "_".join(word for word in (_stem(name), _plain(edit)) if word)


def _stem(name: str) -> str:
    """A name or path without folder and suffix: of ``photos/a.jpg, face 2`` it is ``a_face_2``; never empty."""
    path, comma, face = name.rpartition(", face ")
    return _plain(f"{Path(path).stem}_face_{face}" if comma else Path(name).stem) or "image"


def _plain(text: str) -> str:
    """What of a text every file system takes: no hidden file, and not too long beside what is put behind it."""
    plain = re.sub(r"[^\w.+-]+", "_", text).strip("_").lstrip(".")
    return plain.encode()[:MOST_BYTES].decode(errors="ignore")


def _distinct(stems: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """The stems, with numbers behind those that a file system may take for one it has, in whatever case."""
    names: list[str] = []
    used = {name.casefold() for name in taken}
    for stem in stems:
        choices = chain([stem], (f"{stem}-{number}" for number in count(2)))
        names.append(next(name for name in choices if name.casefold() not in used))
        used.add(names[-1].casefold())
    return names
