"""What is on the page, and what happens when something on it is used."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from dmt.app.archives import unpacked
from dmt.app.edits import Outcome, Wish, faces_in, nearest_box, some_digits, with_boxes
from dmt.app.engine import Job, Stopped
from dmt.app.offers import Offers
from dmt.app.sessions import Session, Sessions
from dmt.app.words import STRENGTHS, USUAL, lambda_of, step_in_words, strength_in_words, time_in_words
from dmt.errors import UserError

BETWEEN = 0.25  # seconds between two looks at a job
CSS, JS = (Path(__file__).with_name(f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
SANS, MONO = ["system-ui", "Segoe UI", "Roboto", "sans-serif"], ["ui-monospace", "monospace"]  # nothing is fetched
THEME = gr.themes.Default(primary_hue="teal", neutral_hue="slate", font=SANS, font_mono=MONO).set(
    color_accent="*primary_700",  # white on it has a contrast of 5.5
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_800",
    block_label_text_color="*body_text_color",
    block_title_text_color="*body_text_color",
    checkbox_label_text_color="*body_text_color",
)
TITLE = "Change one thing in a picture, and as little else as possible"
PRIVACY = "Pictures stay on this machine, and are deleted when you close the page."
LARGEST, ALL = "face 1, the largest", "all faces"
SIDES = ("source", "target")
POSITIONS = {"before": 100, "half and half": 50, "after": 0}  # of the wipe
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def page(sessions: Sessions, offers: Offers) -> gr.Blocks:
    """The page, with what is at hand."""
    first = "digits" if offers.faces else "faces"
    with gr.Blocks(title="dmt", analytics_enabled=False, delete_cache=(3600, 86400)) as blocks:
        gr.HTML(f"<h1>{TITLE}</h1><p>{PRIVACY}</p>", elem_id="head", padding=False)
        kind = gr.State(first)
        with gr.Row():
            with gr.Column(min_width=330):
                with gr.Tabs(selected=first):
                    tabs = {
                        "faces": _photograph(offers),
                        "classes": _own_classes(sessions, offers),
                        "digits": _digits(),
                    }
                how_far = _strength(USUAL[first])
                with gr.Row():
                    start = gr.Button("Start", variant="primary", elem_id="start")
                    stop = gr.Button("Cancel", interactive=False, elem_id="cancel")
                progress = gr.HTML(elem_id="progress", padding=False)
            with gr.Column(min_width=330):
                shown = _result()
                history = gr.Gallery(
                    label="Made on this page; click to see it",
                    columns=4,
                    height="auto",
                    allow_preview=False,
                    interactive=False,
                    buttons=[],
                    visible=False,
                    elem_id="history",
                )
        for name, (tab, _) in tabs.items():
            tab.select(partial(_turned, name), [kind, how_far["strength"]], [kind, how_far["strength"]], **PRIVATE)
        asked = {name: part for _, parts in tabs.values() for name, part in parts.items()} | how_far | {"kind": kind}
        names = list(asked)

        def run(request: gr.Request, *values: Any) -> Iterator[dict]:
            session = sessions.of(request.session_hash)
            buttons = {start: gr.Button(interactive=False), stop: gr.Button(interactive=True)}
            try:
                job = sessions.begin(session, wish_of(session, **dict(zip(names, values, strict=True))))
                while not (job.is_done or job.is_stopped):
                    yield {progress: _working(job, sessions.n_before(job)), **buttons}
                    time.sleep(BETWEEN)
                outcome = sessions.finish(session)
                end = {progress: _said(f"Done in {time_in_words(outcome.seconds)}."), **_show(shown, outcome)}
                end[history] = gr.Gallery(value=_thumbs(session), visible=True, selected_index=None)
            except Stopped:
                end = {progress: _said("Cancelled; nothing was changed.")}
            except UserError as error:
                end = {progress: _wrong(error)}
            yield end | {start: gr.Button(interactive=True), stop: gr.Button(interactive=False)}

        outputs = [progress, start, stop, history, *shown.values()]
        start.click(run, list(asked.values()), outputs, concurrency_limit=None, **PRIVATE)

        def cancel(request: gr.Request) -> str:
            job = sessions.of(request.session_hash).job
            if job is not None:
                job.stop()
            return _said("Stopping …")

        stop.click(cancel, None, progress, queue=False, **PRIVATE)

        def again(event: gr.SelectData, request: gr.Request) -> dict:
            outcomes = sessions.of(request.session_hash).outcomes
            return _show(shown, outcomes[event.index]) if event.index < len(outcomes) else {}

        history.select(again, None, list(shown.values()), **PRIVATE)

        def leave(request: gr.Request) -> None:
            sessions.forget(request.session_hash)

        blocks.unload(leave)
    return blocks


Parts = dict[str, Any]
"""What ``wish_of`` calls a thing on the page -> that thing."""


def _photograph(offers: Offers) -> tuple[gr.Tab, Parts]:
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
                return {said: _wrong(error), photo: None, **unseen}
            several = [f"face {number}" for number in range(2, len(found) + 1)] + ([ALL] if len(found) > 1 else [])
            return {
                said: _said(f"{len(found)} face{'s' * (len(found) > 1)} found."),
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


def _own_classes(sessions: Sessions, offers: Offers) -> tuple[gr.Tab, Parts]:
    with gr.Tab("Classes", id="classes") as tab:
        if offers.classes:
            gr.HTML(f"<p class='dmt-notice'>{escape(offers.classes)}</p>", padding=False)
            return tab, {}
        gr.HTML("<p>Two kinds of things, twenty pictures of each or more: as a zip file, or the pictures.</p>", padding=False)
        parts: Parts = {}
        for side, label in zip(SIDES, ("Pictures of what it is", "Pictures of what it shall become"), strict=True):
            with gr.Group():
                files = gr.File(label=label, file_count="multiple", height=150, elem_id=side)
                said = gr.HTML(elem_id=f"{side}-said", padding=True)
                name = gr.Textbox(label="What they show", max_length=40, elem_id=f"{side}-name")
            files.upload(_taker(sessions, side), [files, name], [said, name], concurrency_limit=1, **PRIVATE)
            files.clear(_clearer(sessions, side), None, said, **PRIVATE)
            parts[f"{side}_name"] = name
        parts["own"] = gr.File(label="The picture to change (or any)", height=150)
        return tab, parts


def _taker(sessions: Sessions, side: str) -> Callable[..., tuple[str, str]]:
    def take(files: list[str], name: str, request: gr.Request) -> tuple[str, str]:
        session = sessions.of(request.session_hash)
        session.classes.pop(side, None)
        folder = session.new_folder(side)
        try:
            found = unpacked([Path(file) for file in files], folder)
        except UserError as error:
            return _wrong(error), name
        session.classes[side] = folder
        return _said(found.words), name or Path(files[0]).stem[:40]

    return take


def _clearer(sessions: Sessions, side: str) -> Callable[..., str]:
    def clear(request: gr.Request) -> str:
        sessions.of(request.session_hash).classes.pop(side, None)
        return ""

    return clear


def _digits() -> tuple[gr.Tab, Parts]:
    with gr.Tab("Digits", id="digits") as tab:
        gr.HTML("<p>A handwritten 3 becomes an 8, for which nothing needs to be there. Choose a 3.</p>", padding=False)
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


def _turned(to: str, kind: str, strength: float) -> tuple[str, float]:
    """To what is edited now, and the slider's place, which moves if nobody has moved it."""
    return to, USUAL[to] if strength == USUAL[kind] else strength


def _strength(usual: float) -> Parts:
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
        said = gr.HTML(_said(strength_in_words(usual)), padding=True, elem_id="strength-said")
        auto = gr.Checkbox(False, label="Just enough: as much as it takes, found for each picture", elem_id="auto")

    def say(strength: float, is_auto: bool) -> tuple[Any, str]:
        words = "as much as it takes (λ is found)" if is_auto else strength_in_words(strength)
        return gr.Slider(interactive=not is_auto), _said(words)

    for part in (strength, auto):
        part.change(say, [strength, auto], [strength, said], **PRIVATE)
    return {"strength": strength, "is_auto": auto}


def _result() -> Parts:
    empty = gr.HTML("<p class='dmt-empty'>The result will be here: before and after, to be wiped across.</p>", padding=False)
    with gr.Group(visible=False) as group:
        wipe = gr.ImageSlider(
            label="Before and after; drag the line",
            type="filepath",
            format="png",
            interactive=False,
            buttons=["fullscreen"],
            max_height=560,
            elem_id="wipe",
        )
        view = gr.Radio([], show_label=False, container=False, visible=False, elem_id="view")
        views = gr.State({})
        where = gr.Radio(list(POSITIONS), value="half and half", show_label=False, container=False, elem_id="where")
    words = gr.HTML(elem_id="words", padding=False)
    download = gr.DownloadButton("Download at full size (PNG)", visible=False, elem_id="download")
    where.input(lambda name: gr.ImageSlider(slider_position=POSITIONS[name]), where, wipe, **PRIVATE)
    view.input(lambda name, views: gr.ImageSlider(value=views[name]), [view, views], wipe, **PRIVATE)
    parts = {"empty": empty, "group": group, "wipe": wipe, "view": view, "views": views, "where": where}
    return {**parts, "words": words, "download": download}


def wish_of(session: Session, kind: str, strength: float, is_auto: bool, **given: Any) -> Wish:
    """What somebody wants, by what the page holds.

    Raises:
        UserError: something is missing.
    """
    lam = "auto" if is_auto else lambda_of(strength)
    if kind == "digits":
        return Wish(kind, "a 3 becomes an 8", lam, given["digit"])
    if kind == "faces":
        if "photo" not in given:
            raise UserError("photographs cannot be edited here yet, as the page says; digits can")
        if given["photo"] is None:
            raise UserError("drop a photograph first")
        who = {LARGEST: "largest", ALL: "all"}.get(given["who"] or LARGEST) or int(given["who"].split()[-1])
        task = given["tasks"].get(given["task"])
        if task is None:
            raise UserError("choose from the list what the person shall do")
        return Wish(kind, given["task"], lam, given["photo"], task, faces=who, settings=given["settings"])
    if len(session.classes) < len(SIDES):
        raise UserError("give pictures of both kinds first, as zip files or as pictures")
    names = [(given[f"{side}_name"] or "").strip() or side for side in SIDES]
    if names[0] == names[1]:
        raise UserError(f"both kinds are called {names[0]!r}; give them two names")
    classes = {name: session.classes[side] for name, side in zip(names, SIDES, strict=True)}
    return Wish(kind, f"{names[0]} to {names[1]}", lam, given["own"] or "", classes=classes)


def _working(job: Job, n_before: int) -> str:
    if n_before:
        return _said(f"Waiting: {n_before} before you.")
    step = job.step
    if step is None or step.what == "preparing":
        return _bar("Preparing …", None)
    return _bar(step_in_words(step), min(1.0, step.done / step.of))


def _bar(words: str, share: float | None) -> str:
    value = "" if share is None else f" value='{share:.2f}'"
    return f"<div role='status'><progress aria-label='progress' max='1'{value}></progress><p>{escape(words)}</p></div>"


def _said(words: str) -> str:
    return f"<p role='status'>{escape(words)}</p>"


def _wrong(error: UserError | str) -> str:
    words = " ".join(str(error).split())
    if words.split(" ")[0].isalpha():  # no file's name
        words = words[:1].upper() + words[1:]
    return f"<p role='alert' class='dmt-error'>{escape(words)}</p>"


def _show(shown: Parts, outcome: Outcome) -> dict:
    lines = "".join(f"<li>{escape(line)}</li>" for line in outcome.words)
    names = list(outcome.views)
    return {
        shown["empty"]: gr.HTML(visible=False),
        shown["group"]: gr.Group(visible=True),
        shown["wipe"]: gr.ImageSlider(value=outcome.views[names[0]], slider_position=50),
        shown["view"]: gr.Radio(names, value=names[0], visible=len(names) > 1),
        shown["views"]: dict(outcome.views),
        shown["where"]: "half and half",
        shown["words"]: f"<h2>{escape(outcome.title)}, {escape(outcome.setting)}</h2><ul>{lines}</ul>",
        shown["download"]: gr.DownloadButton(value=outcome.file, visible=True),
    }


def _thumbs(session: Session) -> list[tuple[str, str]]:
    return [
        (outcome.thumb, f"{outcome.title}, {outcome.setting}, {time_in_words(outcome.seconds)}")
        for outcome in session.outcomes
    ]
