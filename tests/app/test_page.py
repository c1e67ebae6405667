"""The page in a real browser: Chromium by Playwright; skipped where one of them, or Gradio, is missing."""

# ruff: noqa: E402 - what may be missing is asked for first

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

pytest.importorskip("gradio")
expect = pytest.importorskip("playwright.sync_api").expect

from dmt.app import server as module
from dmt.app.offers import Offers
from dmt.app.server import Server
from tests.app.test_archives import packed

pytestmark = pytest.mark.filterwarnings("ignore")  # of Gradio and what it brings, in threads of their own
PATIENCE = 120_000  # ms
TASKS = {"smile": ("smiling", {}), "look older": ("senior", {}), "wear glasses": ("eyeglasses", {})}
FAST = ["backbone=vgg19_random", "judges=[]", "solver.inversion.iterations=3", "data.image_size=32"]


@pytest.fixture(scope="module")
def server(cache_dir) -> Iterator[Server]:
    """The page with tasks but without data, so that what is hostile can be dropped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.Offers, "at_hand", lambda settings: Offers(TASKS))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("HF_HUB_OFFLINE", "1")
        with Server(settings=FAST) as server:
            yield server
        assert not Path(server.folder).exists(), "temporary files stay"


@pytest.fixture
def page(server, browser):
    """A page that has been opened; at its end no request went elsewhere, and no error was in the console."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    page.get_by_role("button", name="Start").wait_for()
    yield page
    page.close()
    assert not [url for url in requests if not url.startswith((server.url, "data:", "blob:"))]
    assert not errors


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def test_a_digit_is_edited_wiped_seen_again_and_downloaded(page, serious_findings):
    tab(page, "Digits")
    slider = page.get_by_role("slider", name="How much")
    slider.focus()
    expect(page.locator("#strength-said")).to_contain_text("λ = 0.48")  # at which a 3 becomes an 8
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#strength-said")).to_contain_text("λ = 0.3")
    page.locator("#digits button").nth(2).click()
    page.get_by_role("button", name="Start").press("Enter")
    expect(page.locator("#words h2")).to_have_text("a 3 becomes an 8, λ = 0.3")
    expect(page.locator("#words")).to_contain_text("it went over to the target's side")

    start = page.locator("#wipe .outer").bounding_box()["x"]
    page.get_by_label("after", exact=True).check()
    moved = "x => document.querySelector('#wipe .outer').getBoundingClientRect().x < x - 50"
    page.wait_for_function(moved, arg=start)

    with page.expect_download() as loading:
        page.locator("#download").click()
    file = Path(loading.value.path())
    assert loading.value.suggested_filename == "digit_0023_edited.png"
    with Image.open(file) as image:
        assert image.size == (32, 32)

    slider.press("Home")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#words h2")).to_have_text("a 3 becomes an 8, λ = 2")
    expect(page.locator("#history button.thumbnail-lg")).to_have_count(2)
    page.locator("#history button.thumbnail-lg").nth(1).click()
    expect(page.locator("#words h2")).to_have_text("a 3 becomes an 8, λ = 0.3")

    for scheme, only in (("dark", ["color-contrast"]), ("light", None)):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("is_dark => document.body.classList.contains('dark') == is_dark", arg=scheme == "dark")
        assert not serious_findings(page, only)


def bomb() -> bytes:
    """A PNG that says it has ten thousand megapixels."""
    out = io.BytesIO()
    Image.new("L", (1, 1)).save(out, "PNG")
    content = out.getvalue()
    head = b"IHDR" + (100_000).to_bytes(4, "big") * 2 + content[24:29]
    chunk = io.BytesIO()
    PngImagePlugin.putchunk(chunk, head[:4], head[4:])
    return content[:8] + chunk.getvalue() + content[33:]


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(out, "JPEG")
    return out.getvalue()


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>window.hurt = 1</script></svg>"


HOSTILE = [  # what a browser hands over, and what is said of it
    ("cut.jpg", jpeg()[:900], "cut.jpg does not decode as an image"),
    ("bomb.png", bomb(), "bomb.png is too large"),
    ("<img src=x onerror='window.hurt=1'>.jpg", b"no", "is no image that can be read"),
    ("drawing.svg", SVG, "drawing.svg is no image that can be read"),
    ("text.png", b"some words", "text.png is no image that can be read"),
]


def choose_what_by_keyboard(page):
    """A list that opens, is filtered by what is typed, and keeps the focus."""
    task = page.get_by_role("combobox", name="What the person shall do")
    page.get_by_role("button", name="A photograph that shows a face").focus()
    page.keyboard.press("Tab")
    expect(task).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(task).to_have_value("look older")
    expect(task).to_be_focused()
    expect(task).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Control+a")
    page.keyboard.type("glass")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(task).to_have_value("wear glasses")


def test_what_is_no_photograph_is_one_line_and_the_next_can_be_dropped(page):
    tab(page, "Photograph")
    choose_what_by_keyboard(page)
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="A photograph that shows a face").press("Enter")
    choosing.value.set_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"words"})
    expect(page.locator("#found .dmt-error")).to_contain_text("a.txt is no image")
    for name, content, said in HOSTILE:
        file = {"name": name, "mimeType": "image/jpeg", "buffer": content}
        page.locator("input[type=file]").first.set_input_files(file)
        error = page.locator("#found .dmt-error")
        expect(error).to_contain_text(said)
        assert "\n" not in error.inner_text()
        assert tempfile.gettempdir() not in error.inner_text()
        assert page.evaluate("window.hurt") is None
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#progress")).to_have_text("Drop a photograph first")


def noise(seed: int, tint: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 200, (32, 32, 3), dtype=np.uint8)
    pixels[..., tint] += 50
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_own_classes_come_from_zip_files_and_work_can_be_cancelled(page, serious_findings, tmp_path):
    tab(page, "Classes")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#progress")).to_contain_text("Give pictures of both kinds first")
    page.locator("#source input[type=file]").set_input_files({"name": "a.zip", "mimeType": "", "buffer": b"PK no"})
    expect(page.locator("#source-said .dmt-error")).to_contain_text("a.zip is damaged")
    for place, (side, tint) in enumerate({"source": 0, "target": 1}.items()):
        members = {f"{i}.png": noise(i, tint) for i in range(12)} | {"__MACOSX/._1.png": b"", ".DS_Store": b""}
        archive = packed(tmp_path / f"{('red', 'green')[place]}.zip", members)
        page.locator(f"#{side} input[type=file]").set_input_files(archive)
        expect(page.locator(f"#{side}-said")).to_contain_text("12 pictures; left out: 2 hidden")
    with page.expect_file_chooser():
        page.locator("#target").get_by_role("button", name="Add files").press("Enter")
    assert not serious_findings(page)
    page.get_by_role("button", name="Start").press("Enter")
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_enabled()
    cancel.press("Enter")
    expect(page.locator("#progress")).to_contain_text("Cancelled")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#words h2")).to_have_text("red to green, λ = 0.7")


def test_a_phone_has_no_sideways_scrolling_and_everything_a_label(server, browser):
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)
    page.get_by_role("button", name="Start").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    unnamed = """[...document.querySelectorAll('button, input, select, textarea')].filter(part => part.offsetParent
        && !(part.labels?.length || part.ariaLabel || part.innerText?.trim() || part.title || part.alt)).length"""
    assert page.evaluate(unnamed) == 0
    page.close()


@pytest.mark.skipif(not os.environ.get("DMT_APP_FACES"), reason="takes a minute: DMT_APP_FACES=1 asks for it")
def test_a_photograph_is_edited_and_comes_back_at_its_own_size(browser, data_dir, weights_dir, tmp_path):
    from skimage import data

    Image.fromarray(data.astronaut()).save(tmp_path / "astronaut.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    with Server() as server:
        page = browser.new_page()
        page.set_default_timeout(600_000)
        expect.set_options(timeout=600_000)
        page.goto(server.url)
        page.locator("input[type=file]").first.set_input_files(tmp_path / "astronaut.jpg")
        expect(page.locator("#found")).to_contain_text("1 face found")
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#words h2")).to_have_text("smile, λ = 0.7")
        with page.expect_download() as loading:
            page.locator("#download").click()
        with Image.open(loading.value.path()) as image:
            assert image.size == (512, 512)
            assert "compositeWithTrainedAlgorithmicMedia" in image.info["xmp"].decode()
        page.close()
