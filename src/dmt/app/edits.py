"""What somebody asks for on the page -> files with the result, and what is to be said of it; by ``dmt.Editor``."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import dmt
from dmt.app.offers import TaskOption, weights_folder
from dmt.app.words import verdict_in_words
from dmt.data import FaceDetector, Photograph, finished, to_pixels
from dmt.data.framing import SEARCH
from dmt.data.images import ImageError
from dmt.editing.editor import Edit
from dmt.editing.files import save_picture
from dmt.editing.records import EditedImage
from dmt.errors import UserError
from dmt.reporting.progress import Step

SHOWN = 1600  # pixels: the longer side of what the page shows; what is downloaded has its own size
SMALL = 480  # pixels: what is smaller is shown in larger pixels
THUMB = 160
DIGITS = 12  # 3s to choose from
SIDES = ("source", "target")
WHOLE = "the whole picture"
PREPARING = Step("preparing", 0, 1)


@dataclass(frozen=True)
class Wish:
    """What is to be done.

    Args:
        kind: ``faces``, ``classes`` or ``digits``.
        title: of the task, in words.
        lam: lambda', or ``auto``.
        picture: a file, or a picture's name in the data set; empty: any of the source.
        task: an option of ``conf/task``; of own classes not needed.
        classes: source and target -> the folder of each, both in one; of own classes.
        faces: ``largest``, ``all``, or the number of a face.
        settings: further ones, as on the command line.
    """

    kind: str
    title: str
    lam: float | str
    picture: str = ""
    task: TaskOption = ("digits", {})
    classes: Mapping[str, Path] = field(default_factory=dict)
    faces: str | int = "largest"
    settings: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a wish.

    Args:
        title: of the task, in words.
        setting: how far, in words.
        views: what is looked at, in words -> files before and after the edit, as the page shows them, the closest
            first.
        thumb: the first of them after the edit, small.
        file: the result at its own size, to be downloaded, as PNG.
        given: what kind of file the picture came in, such as ``GIF``, if that was another.
        words: what is to be said of it, a sentence each.
        seconds: how long it took.
    """

    title: str
    setting: str
    views: Mapping[str, tuple[str, str]]
    thumb: str
    file: str
    words: Sequence[str]
    seconds: float = 0.0
    given: str = ""


def carried_out(wish: Wish, folder: Path, told: Callable[[Step], None]) -> Outcome:
    """Edit, and write what came out.

    Args:
        wish: what is to be done.
        folder: of this edit alone; made.
        told: hears how far it is; what it raises ends the edit.

    Raises:
        UserError: what cannot be done, in one line that names files without their folders.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        edit = _edited(wish, folder, told)
    except UserError as error:
        raise UserError(_without_folder(str(error), wish.picture)) from error
    target = list(wish.classes)[1] if wish.classes else ""
    words = [
        (f"Face {number}. " if len(edit.images) > 1 and place == 0 else "") + line
        for number, image in enumerate(edit.images, start=1)
        for place, line in enumerate(verdict_in_words(image.record, wish.lam == "auto", target))
    ]
    views, file, given = _written(edit.images, folder, _stem(wish.picture, edit.images[0].name), wish.kind == "faces")
    setting = "just enough" if wish.lam == "auto" else f"λ = {wish.lam:g}"
    _, after = next(iter(views.values()))
    return Outcome(wish.title, setting, views, _thumb(Path(after)), file, words, given=given)


def _edited(wish: Wish, folder: Path, told: Callable[[Step], None]) -> Edit:
    images: Sequence[str] | int = [wish.picture] if wish.picture else 1
    strength = f"lambda={wish.lam}"
    if wish.kind == "digits":
        editor = dmt.Editor.default("digits", "manifold=span", strength, on_progress=told)  # fitted in a second
        return editor.edit("digits", images)
    if wish.kind == "faces":
        name, options = wish.task
        task = dmt.task(name, **options)
        told(PREPARING)
        editor = dmt.Editor.default("lfw", strength, f"faces={wish.faces}", *wish.settings, on_progress=told)
        told(PREPARING)
        return editor.edit(task, images)
    editor = dmt.Editor.default("folder", *_labelled(wish.classes, folder), strength, *wish.settings, on_progress=told)
    return editor.edit(dmt.ClassTask(*SIDES), images)


def _labelled(classes: Mapping[str, Path], folder: Path) -> list[str]:
    """What the command line is told of two classes; what is computed of somebody's pictures goes with them."""
    source, target = classes.values()
    root, table = source.parent, folder / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", *SIDES])
        for side, labels in ((source, (1, -1)), (target, (-1, 1))):
            rows.writerows([picture.relative_to(root).as_posix(), *labels] for picture in sorted(side.iterdir()))
    return [f"data.catalog.root={root}", f"data.catalog.labels={table}", f"cache_dir={root / 'cache'}"]


def _written(
    images: Sequence[EditedImage], folder: Path, stem: str, of_faces: bool
) -> tuple[dict[str, tuple[str, str]], str, str]:
    """The files of an edit: before and after as they are shown, the result to be downloaded; and ``Outcome.given``."""
    patches = [image.patch for image in images if image.patch is not None]
    file = folder / f"{stem}_edited.png"
    if not patches:
        save_picture(file, images[0].result)
        return {WHOLE: _pair(folder, to_pixels(images[0].input), to_pixels(images[0].result))}, str(file), ""
    photograph, result = patches[0].read(), finished(patches)
    result.as_png().save(file)
    views = {}
    for number, patch in enumerate(patches if of_faces else [], start=1):
        name = f"face {number}" if len(patches) > 1 else "the face"
        pair = [to_pixels(patch.frame.sampled(one, SMALL)) for one in (photograph, result)]
        views[name] = _pair(folder / f"face_{number}", *pair)
    whole = _pair(folder, photograph.reduced(SHOWN)[0], result.reduced(SHOWN)[0])
    given = photograph.suffix.removeprefix(".").upper()
    return {**views, WHOLE: whole}, str(file), "" if given == "PNG" else given


def _pair(folder: Path, before: np.ndarray, after: np.ndarray) -> tuple[str, str]:
    """Files of two pictures as they are shown."""
    folder.mkdir(exist_ok=True)
    paths = folder / "before.png", folder / "after.png"
    for path, pixels in zip(paths, (before, after), strict=True):
        save_picture(path, enlarged(pixels))
    return str(paths[0]), str(paths[1])


def enlarged(pixels: np.ndarray) -> Image.Image:
    """Small pictures in larger pixels."""
    picture = Image.fromarray(pixels)
    times = SMALL // max(picture.size)
    size = (picture.width * times, picture.height * times)
    return picture.resize(size, Image.Resampling.NEAREST) if times > 1 else picture


def _thumb(picture: Path) -> str:
    with Image.open(picture) as image:
        small = image.copy()
    small.thumbnail((THUMB, THUMB))
    path = picture.with_name("thumb.png")
    save_picture(path, small)
    return str(path)


def _stem(picture: str, name: str) -> str:
    """A plain name for the file that is downloaded."""
    stem = Path(picture or name).stem
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in stem)[:60] or "picture"


def faces_in(picture: Path) -> tuple[Image.Image, list[tuple[float, float, float, float]]]:
    """A photograph as the page shows it, and the boxes of its faces in it: left, top, width, height, largest first.

    Raises:
        UserError: it is no photograph that can be read, or the network that finds faces is missing.
    """
    try:
        small, _ = Photograph.read(picture).reduced(SEARCH)
    except ImageError as error:
        raise UserError(_without_folder(str(error), str(picture))) from error
    faces = FaceDetector(weights_dir=weights_folder())(small)
    return Image.fromarray(small), [face.box for face in faces]


def with_boxes(picture: Image.Image, boxes: list) -> Image.Image:
    """The picture with a numbered box around each face."""
    drawn = picture.convert("RGB")
    pen, width = ImageDraw.Draw(drawn), max(2, max(drawn.size) // 250)
    font = ImageFont.load_default(size=8 * width)
    for number, (left, top, across, down) in enumerate(boxes, start=1):
        pen.rectangle((left - width, top - width, left + across + width, top + down + width), None, "black", 2 * width)
        pen.rectangle((left, top, left + across, top + down), None, "white", width)
        if len(boxes) > 1:
            pen.text(
                (left + 2 * width, top + width), str(number), "white", font, stroke_width=width, stroke_fill="black"
            )
    return drawn


def nearest_box(boxes: list, x: float, y: float) -> int:
    """The number, from 1, of the box whose middle lies nearest to a point."""
    distances = [(left + across / 2 - x) ** 2 + (top + down / 2 - y) ** 2 for left, top, across, down in boxes]
    return 1 + distances.index(min(distances))


def some_digits() -> list[tuple[Image.Image, str]]:
    """3s to choose from, and what they are called."""
    catalog = dmt.Digits()
    threes = np.flatnonzero(catalog.scores("3") > 0)[:DIGITS]
    return [(enlarged(to_pixels(catalog.read(int(i), 32))), catalog.names[int(i)]) for i in threes]


def _without_folder(message: str, picture: str) -> str:
    """Where a file lies on the server is nobody's business."""
    return message.replace(picture, Path(picture).name) if picture else message
