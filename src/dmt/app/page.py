"""What is on the page, and what happens when something on it is used."""

import time
from collections.abc import Iterator
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from dmt.app.edits import Outcome, Wish
from dmt.app.engine import Job, Stopped
from dmt.app.offers import Offers
from dmt.app.panels import (
    ALL,
    LARGEST,
    PRIVATE,
    SIDES,
    Parts,
    as_error,
    as_status,
    digits,
    how_far,
    own_classes,
    photograph,
    turned,
)
from dmt.app.sessions import Session, Sessions
from dmt.app.words import USUAL, lambda_of, step_in_words, time_in_words
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
NOTHING_YET = "The result will be here: before and after, to be wiped across."
POSITIONS = {"before": 100, "half and half": 50, "after": 0}  # of the wipe


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
                        "faces": photograph(offers),
                        "classes": own_classes(sessions, offers),
                        "digits": digits(),
                    }
                strength = how_far(USUAL[first])
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
            moved = [kind, strength["strength"]]
            tab.select(partial(turned, name), moved, moved, **PRIVATE)
        asked = {name: part for _, parts in tabs.values() for name, part in parts.items()}
        asked |= {**strength, "kind": kind}
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
                end = {progress: as_status(f"Done in {time_in_words(outcome.seconds)}."), **_show(shown, outcome)}
                end[history] = gr.Gallery(value=_thumbs(session), visible=True, selected_index=None)
            except Stopped:
                end = {progress: as_status("Cancelled; nothing was changed.")}
            except UserError as error:
                end = {progress: as_error(error)}
            yield end | {start: gr.Button(interactive=True), stop: gr.Button(interactive=False)}

        outputs = [progress, start, stop, history, *shown.values()]
        start.click(run, list(asked.values()), outputs, concurrency_limit=None, **PRIVATE)

        def cancel(request: gr.Request) -> None:
            job = sessions.of(request.session_hash).job
            if job is not None:
                job.stop()  # ``run`` sees it and says so

        stop.click(cancel, None, None, queue=False, **PRIVATE)

        def again(event: gr.SelectData, request: gr.Request) -> dict:
            outcomes = sessions.of(request.session_hash).outcomes
            return _show(shown, outcomes[event.index]) if event.index < len(outcomes) else {}

        history.select(again, None, list(shown.values()), **PRIVATE)

        def leave(request: gr.Request) -> None:
            sessions.forget(request.session_hash)

        blocks.unload(leave)
    return blocks


def _result() -> Parts:
    empty = gr.HTML(
        "<p class='dmt-empty'>The result will be here: before and after, to be wiped across.</p>", padding=False
    )
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
    download = gr.DownloadButton(_download(), visible=False, elem_id="download")
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
        return as_status(f"Waiting: {n_before} before you.")
    step = job.step
    if step is None or step.what == "preparing":
        return _bar("Preparing: networks and labels are read …", None)
    return _bar(step_in_words(step), min(1.0, step.done / step.of))


def _bar(words: str, share: float | None) -> str:
    value = "" if share is None else f" value='{share:.2f}'"
    return f"<div role='status'><progress aria-label='progress' max='1'{value}></progress><p>{escape(words)}</p></div>"


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
        shown["download"]: gr.DownloadButton(_download(outcome.given), value=outcome.file, visible=True),
    }


def _download(given: str = "") -> str:
    """What the button says; ``given``: what kind of file the picture came in, if it was no PNG."""
    return f"Download at full size (PNG; yours is {given})" if given else "Download at full size (PNG)"


def _thumbs(session: Session) -> list[tuple[str, str]]:
    return [
        (outcome.thumb, f"{outcome.title}, {outcome.setting}, {time_in_words(outcome.seconds)}")
        for outcome in session.outcomes
    ]
