"""What is asked for on the page: a photograph, own classes, digits, and how far."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from dmt.app.archives import unpacked
from dmt.app.edits import faces_in, nearest_box, some_digits, with_boxes
from dmt.app.offers import Offers
from dmt.app.sessions import Sessions
from dmt.app.words import STRENGTHS, USUAL, strength_in_words
from dmt.errors import UserError

OF_CLASSES = "Two kinds of things, twenty pictures of each or more: as a zip file, or the pictures."
OF_DIGITS = "A handwritten 3 becomes an 8, for which nothing needs to be there. Choose a 3."
LARGEST, ALL = "face 1, the largest", "all faces"
SIDES = ("source", "target")
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

Parts = dict[str, Any]
"""What ``wish_of`` calls a thing on the page -> that thing."""


def photograph(offers: Offers) -> tuple[gr.Tab, Parts]:
    """A photograph, whose face, and what the person shall do."""
    with gr.Tab("Photograph", id="faces") as tab:
        if offers.faces:
            gr.HTML(f"<p class='dmt-notice'>{escape(offers.faces)}</p>", padding=False)
            return tab, {}
        photo = gr.File(label="A photograph that shows a face", height=160)
        said = gr.HTML(elem_id="found", padding=False)
        preview = gr.Image(
            label="Faces that were found; click one to choose it",
            type="pil",
            interactive=False,
            buttons=[],
            visible=False,
            height=260,
            elem_id="preview",
        )
        boxes = gr.State([])
        who = gr.Radio([LARGEST], value=LARGEST, label="Whose face", visible=False, elem_id="who")
        unseen = {preview: gr.Image(visible=False), who: gr.Radio(visible=False), boxes: []}
        tasks = list(offers.tasks)
        task = gr.Dropdown(tasks, value=tasks[0], label="What the person shall do, or have more or less of")

        def look(file: str) -> dict:
            try:
                picture, found = faces_in(Path(file))
                if not found:
                    raise UserError("no face was found in it; take a photograph that shows one larger")
            except UserError as error:
                return {said: as_error(error), photo: None, **unseen}
            several = [f"face {number}" for number in range(2, len(found) + 1)] + ([ALL] if len(found) > 1 else [])
            return {
                said: as_status(f"{len(found)} face{'s' * (len(found) > 1)} found."),
                preview: gr.Image(with_boxes(picture, found), visible=True),
                who: gr.Radio([LARGEST, *several], value=LARGEST, visible=len(found) > 1),
                boxes: found,
            }

        def choose(found: list, event: gr.SelectData) -> str:
            number = nearest_box(found, *event.index)
            return LARGEST if number == 1 else f"face {number}"

        photo.upload(look, photo, [said, photo, preview, who, boxes], concurrency_limit=1, **PRIVATE)
        photo.clear(lambda: {said: "", **unseen}, None, [said, preview, who, boxes], **PRIVATE)
        preview.select(choose, boxes, who, **PRIVATE)
        settings = gr.State(["judges=[faces]"] if offers.judges else [])
        return tab, {
            "photo": photo,
            "who": who,
            "task": task,
            "tasks": gr.State(dict(offers.tasks)),
            "settings": settings,
        }


def own_classes(sessions: Sessions, offers: Offers) -> tuple[gr.Tab, Parts]:
    """The pictures of two classes, and the one to change."""
    with gr.Tab("Classes", id="classes") as tab:
        if offers.classes:
            gr.HTML(f"<p class='dmt-notice'>{escape(offers.classes)}</p>", padding=False)
            return tab, {}
        gr.HTML(
            "<p>Two kinds of things, twenty pictures of each or more: as a zip file, or the pictures.</p>",
            padding=False,
        )
        parts: Parts = {}
        for side, label in zip(SIDES, ("Pictures of what it is", "Pictures of what it shall become"), strict=True):
            with gr.Group():
                files = gr.File(label=label, file_count="multiple", height=150, elem_id=side)
                said = gr.HTML(elem_id=f"{side}-said", padding=True)
                name = gr.Textbox(label="What they show", max_length=40, elem_id=f"{side}-name")
            files.upload(_taker(sessions, side), [files, name], [files, said, name], concurrency_limit=1, **PRIVATE)
            files.clear(_clearer(sessions, side), None, said, **PRIVATE)
            parts[f"{side}_name"] = name
        parts["own"] = gr.File(label="The picture to change (or any)", height=150)
        return tab, parts


def _taker(sessions: Sessions, side: str) -> Callable[..., tuple[list[str] | None, str, str]]:
    def take(files: list[str], name: str, request: gr.Request) -> tuple[list[str] | None, str, str]:
        session = sessions.of(request.session_hash)
        session.classes.pop(side, None)
        folder = session.new_folder(side)
        try:
            found = unpacked([Path(file) for file in files], folder)
        except UserError as error:
            return None, as_error(error), name
        session.classes[side] = folder
        return files, as_status(found.words), name or Path(files[0]).stem[:40]

    return take


def _clearer(sessions: Sessions, side: str) -> Callable[..., str]:
    def clear(request: gr.Request) -> str:
        sessions.of(request.session_hash).classes.pop(side, None)
        return ""

    return clear


def digits() -> tuple[gr.Tab, Parts]:
    """Some 3s to choose from."""
    with gr.Tab("Digits", id="digits") as tab:
        gr.HTML(f"<p>{OF_DIGITS}</p>", padding=False)
        pictures = some_digits()
        names = [name for _, name in pictures]
        digit = gr.State(names[0])
        gallery = gr.Gallery(
            [(picture, None) for picture, _ in pictures],
            label="3s",
            columns=6,
            height="auto",
            selected_index=0,
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="digits",
        )

        def choose(event: gr.SelectData) -> str:
            return names[event.index]

        gallery.select(choose, None, digit, **PRIVATE)
        return tab, {"digit": digit}


def turned(to: str, kind: str, strength: float) -> tuple[str, float]:
    """To what is edited now, and the slider's place, which moves if nobody has moved it."""
    return to, USUAL[to] if strength == USUAL[kind] else strength


def how_far(usual: float) -> Parts:
    """How much is changed; ``usual`` is the slider's place to begin with."""
    with gr.Group():
        strength = gr.Slider(
            0,
            STRENGTHS,
            usual,
            step=0.5,
            label="How much: from a hint to very strongly",
            buttons=[],
            elem_id="strength",
        )
        said = gr.HTML(as_status(strength_in_words(usual)), padding=True, elem_id="strength-said")
        auto = gr.Checkbox(False, label="Just enough: as much as it takes, found for each picture", elem_id="auto")

    def say(strength: float, is_auto: bool) -> tuple[Any, str]:
        words = "as much as it takes (λ is found)" if is_auto else strength_in_words(strength)
        return gr.Slider(interactive=not is_auto), as_status(words)

    for part in (strength, auto):
        part.change(say, [strength, auto], [strength, said], **PRIVATE)
    return {"strength": strength, "is_auto": auto}


def as_status(words: str) -> str:
    """A paragraph that is read out when it changes."""
    return f"<p role='status'>{escape(words)}</p>"


def as_error(error: UserError | str) -> str:
    """A paragraph that is read out at once."""
    words = " ".join(str(error).split())
    if words.split(" ")[0].isalpha():  # no file's name
        words = words[:1].upper() + words[1:]
    return f"<p role='alert' class='dmt-error'>{escape(words)}</p>"
