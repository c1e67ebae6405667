"""Pages in a real browser: what is dragged, typed and clicked; skipped where there is no Chromium or no Playwright."""

from pathlib import Path

import pytest

from dmt.reporting.page import page_of, write_page
from dmt.reporting.results import Report, write_report
from tests.reporting.page.made import NASTY, image, places, report, table_edit

SECONDS = 20  # that a browser has for anything, on a busy machine
WORDS = ("yes", "no", "adversarial")
ROWS = [{"n": n, "word": word, "share": share} for n, word, share in ((10, "b", 0.5), (9, "a", -1.0), (100, "ab", 0.0))]


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page; at the end of the test nothing may have been asked of a network or complained of."""
    contexts, complaints = [], []

    def opened(text, width=1280, **options):
        file = tmp_path / f"{len(contexts)}.html"
        file.write_text(text, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda one: complaints.append(one.url) if one.url[:5] not in ("file:", "data:") else None)
        page.goto(file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture(scope="module")
def whole():
    """A page with all there is: a way, hostile names, a table that is open."""
    images = [image(name, seed, frames=2) for seed, name in enumerate([*NASTY, "plain"])]
    told = Report("3 to 8\nlambda' 0.5", images, {}, {"some_rows": ROWS * 2})
    return page_of(told, again="python traverse.py 'images=[a b.jpg]'")


def cut(stage):
    return stage.evaluate("stage => getComputedStyle(stage.querySelector('.edge')).left")


def test_the_wipe_follows_the_mouse(opened, whole):
    page = opened(whole)
    stage = page.locator(".stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, y, steps=4)
    page.mouse.up()
    assert float(cut(stage)[:-2]) == pytest.approx(box["width"] / 4, abs=0.02 * box["width"])
    assert (
        stage.locator(".after").last.evaluate("one => getComputedStyle(one).clipPath").startswith("inset(0px 0px 0px")
    )


def test_the_wipe_obeys_the_keyboard_and_says_where_it_is(opened, whole):
    page = opened(whole)
    wipe = page.locator(".wipe").first
    wipe.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert wipe.get_attribute("aria-valuetext") == "48 % before, 52 % after"
    page.keyboard.press("Home")
    assert float(cut(page.locator(".stage").first)[:-2]) == 0


def test_the_way_shows_one_picture_after_the_other(opened, whole):
    page = opened(whole)
    one = page.locator("article.one").first
    way, after = one.locator(".way input"), one.locator(".after:visible")
    assert after.get_attribute("data-step") == "3"
    way.focus()
    page.keyboard.press("Home")
    assert after.get_attribute("data-step") == "0"
    assert one.locator(".way output").inner_text() == "λ′ ∞"  # noqa: RUF001
    page.keyboard.press("ArrowRight")
    assert after.get_attribute("data-step") == "1"
    assert way.get_attribute("aria-valuetext") == "λ′ 1.5"  # noqa: RUF001


def test_the_change_is_shown_and_hidden_again(opened, whole):
    page = opened(whole)
    one = page.locator("article.one").first
    button, change = one.get_by_role("button", name="changed"), one.locator("img.change")
    assert not change.is_visible()
    change.evaluate("one => one.closest('article').scrollIntoView({behavior: 'instant'})")
    button.click()
    assert change.is_visible()
    box = change.bounding_box()
    spots = [[box["x"] + share * box["width"], box["y"] + 9] for share in (0.25, 0.75)]
    tops = page.evaluate("spots => spots.map(spot => document.elementFromPoint(...spot).className)", spots)
    assert tops == ["change", "change"], "nothing lies over it"
    assert button.get_attribute("aria-pressed") == "true"
    button.focus()
    page.keyboard.press("Enter")
    assert not change.is_visible()


def test_several_edits_have_words_of_their_own(opened):
    images = [image("one", edit=edit, probe_before=0.1, probe_after=p) for edit, p in (("weak", 0.2), ("strong", 0.9))]
    page = opened(page_of(Report("by strength", images, {})))
    assert page.locator(".verdict:visible").inner_text() == "Changed"
    page.locator(".way input").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".verdict:visible").inner_text() == "Not changed"


def test_a_table_sorts_and_filters(opened):
    page = opened(page_of(Report("a study", [], {}, {"rows": ROWS * 2})))
    table = page.locator(".sorted").first

    def column(at):
        return [row.split("\t")[at] for row in table.locator("tbody tr:visible").all_inner_texts()]

    head = table.get_by_role("button", name="n", exact=True)
    head.click()
    assert column(0) == ["9", "9", "10", "10", "100", "100"], "as numbers, not as words"
    assert table.locator("th").first.get_attribute("aria-sort") == "ascending"
    head.click()
    assert column(0)[0] == "100"
    table.get_by_role("button", name="share").click()
    assert column(2)[:3] == ["-1", "-1", "0"]
    assert table.locator("th").first.get_attribute("aria-sort") == "none"
    table.get_by_role("searchbox").fill("AB")
    assert column(1) == ["ab", "ab"]
    assert table.locator(".count").inner_text() == "2 of 6"
    table.get_by_role("searchbox").fill("")
    assert len(column(1)) == 6


def displayed(locator):
    """Whether each is there, also of those that lie below the window and are not drawn yet."""
    return locator.evaluate_all("found => found.map(one => getComputedStyle(one).display !== 'none')")


def test_one_switch_shows_all_maps_by_neighbours_or_straight(opened):
    page = opened(page_of(report()))
    straight, near = page.locator(".map div.straight"), page.locator(".map div.near")
    assert straight.count() == near.count() > 1
    second = page.get_by_role("button", name="Neighbours").nth(1)
    second.focus()
    second.press("Enter")
    assert all(displayed(near))
    assert not any(displayed(straight))
    assert "t-SNE" in page.locator(".map figcaption").first.inner_text()
    assert second.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Straight").first.click()
    assert not any(displayed(near))
    assert "t-SNE" not in page.locator(".map figcaption").first.inner_text()


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_theme_follows_the_system_until_it_is_switched(opened, whole, system):
    page = opened(whole, color_scheme=system)
    button = page.locator(".theme")

    def brightness():
        return page.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")

    assert (brightness() < 100) == (system == "dark") == (button.get_attribute("aria-pressed") == "true")
    button.click()
    assert (brightness() < 100) == (system == "light") == (button.get_attribute("aria-pressed") == "true")
    page.reload()
    assert (brightness() < 100) == (system == "light"), "it is remembered"


def test_the_command_is_copied(opened, whole):
    page = opened(whole, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied", exact=True).wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "python traverse.py 'images=[a b.jpg]'"


def test_links_lead_to_the_files_of_hostile_names(opened, tmp_path):
    edit = report(NASTY)
    write_page(tmp_path, edit, write_report(tmp_path, edit, {}))
    page = opened((tmp_path / "report.html").read_text(encoding="utf-8"))
    for link in page.locator(".words .files a").all():
        path = page.evaluate("url => decodeURIComponent(new URL(url).pathname)", link.evaluate("one => one.href"))
        assert Path(path).is_file()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(opened, whole, width):
    page = opened(whole, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("system", "only"), [("light", None), ("dark", ["color-contrast"])])
def test_axe_finds_nothing_serious(opened, serious_findings, system, only):
    edit = table_edit(1, plans=1)
    images = [
        image(name, frames=1, place=place, psnr=50.0, verdict=word)
        for name, word, place in zip("abc", WORDS, places(3), strict=True)
    ]
    told = Report("a title", images, {}, {"more": ROWS * 2}, table_edits={"": edit})
    page = opened(page_of(told, again="a command"), color_scheme=system, bypass_csp=True)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert not serious_findings(page, only)
    page.get_by_role("button", name="Neighbours").first.click()
    assert not serious_findings(page, only)
