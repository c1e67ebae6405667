"""The manual: does it build without a complaint, hold every option and public name, and ask nobody for anything?"""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))
import site_pages
from markdown import Markdown

import dmt
from dmt.cli.conf_files import commented_settings, groups, options

ROOT = Path(__file__).resolve().parents[1]
FETCHED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "use": "href"}
CODE = ("code", "pre", "script", "style")


class Page(HTMLParser):
    """What a page fetches when it is opened, its anchors, and its visible words."""

    def __init__(self, text: str):
        super().__init__()
        self.fetches: list[str] = []
        self.ids: set[str] = set()
        self.words: list[str] = []
        self.prose: list[str] = []  # without code
        self._code = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self._code += tag in CODE
        self.ids.add(given.get("id") or "")
        if tag in FETCHED and given.get("rel") != "canonical":
            self.fetches.append(given.get(FETCHED[tag]) or "")

    def handle_endtag(self, tag):
        self._code -= tag in CODE

    def handle_data(self, data):
        self.words.append(data)
        self.prose.append("" if self._code else data)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built manual; --strict makes a broken link, anchor or reference, or a page that no menu has, an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages(site: Path) -> dict[str, Page]:
    return {str(file.relative_to(site)): Page(file.read_text("utf-8")) for file in sorted(site.rglob("*.html"))}


def test_nothing_is_fetched_from_elsewhere(site):
    outside = re.compile(r"(?:https?:)?//")
    fetched = {(name, address) for name, page in pages(site).items() for address in page.fetches}
    assert len(fetched) > 100
    assert not [each for each in fetched if outside.match(each[1])]
    styles = [file.read_text("utf-8") for file in site.rglob("*.css")]
    assert styles
    assert not [
        found for text in styles for found in re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//[^)]*", text)
    ]


def test_markdown_and_formulas_became_what_they_mean(site):
    for name, page in pages(site).items():
        prose = "".join(page.prose)
        left = re.findall(r"\|---|\$\$|\*\*\w|\]\(|^- \w.*|^\| .*", prose, re.MULTILINE)
        assert not left, f"{name}: marks that became nothing"
    method = (site / "method.html").read_text("utf-8")
    formulas = re.findall(r"<math.*?</math>", method)
    assert len(formulas) > 20
    assert not [each for each in formulas if "\\" in each], "a command that is not known"


def test_every_option_and_setting_is_there(site):
    page = pages(site)["options.html"]
    words = " ".join("".join(page.words).split())
    for group in groups(ROOT / "conf"):
        assert group in page.ids
        for option in options(ROOT / "conf", group):
            assert f"{group}-{option}" in page.ids
    for name, setting in commented_settings(ROOT / "conf/base.yaml").items():
        assert name.startswith("hydra") or name in words
        comment = " ".join(re.sub(r"docs/(\w+)\.md", r"\1", setting.comment).split())
        assert name.startswith("hydra") or comment in words, name


def test_every_public_name_is_there(site):
    index = "".join(pages(site)["api/index.html"].words)
    known = {each for name, page in pages(site).items() if name.startswith("api/") for each in page.ids}
    for name in dmt.__all__:
        assert f"dmt.{name}" in index
        place = f"dmt.errors.{name}" if name == "UserError" else f"{dmt._PLACES[name]}.{name}"
        assert place in known or name == "UserError"


def test_no_sources_of_the_pages_are_part_of_the_site(site):
    assert not [file for file in site.rglob("*") if file.suffix in (".py", ".pyc") or file.name == "made_by.json"]


def test_a_formula_is_one_only_outside_of_code_and_where_it_is_closed():
    def html(text: str) -> str:
        return Markdown(extensions=[site_pages.Formulas()]).convert(text)

    assert "<msub><mi>x</mi><mi>i</mi></msub>" in html("the $x_i$ of it")
    assert 'display="block"' in html("$$x_i * y * z$$")
    for text in ("`$x_i$`", "5 $ and 6 $", "a $HOME alone"):
        assert "<math" not in html(text)


def test_a_setting_goes_to_the_nearest_object_above_it():
    file = {"_target_": "dmt.A", "size": 1, "part": {"_target_": "dmt.B", "size": 2, "more": {"x": 3}}}
    assert site_pages.destinations(file) == {
        "size": "dmt.A",
        "part": "dmt.B",
        "part.size": "dmt.B",
        "part.more": "dmt.B",
        "part.more.x": "dmt.B",
    }
    assert site_pages.destinations({"plain": 1}) == {"plain": ""}


def test_what_a_comment_says_is_no_markup():
    assert site_pages._plain("a*b <c> [1,2], see docs/layers.md") == r"a\*b \<c\> \[1,2\], see [layers](layers.md)"


def test_what_an_option_brings_is_read_from_its_list_of_defaults(tmp_path):
    file = tmp_path / "mine.yaml"
    lines = ["plain", "/net/deep@part.net", "override /judges@_global_.judges: [faces, probe]", "_self_"]
    file.write_text("\n".join(["defaults:", *(f"  - {line}" for line in lines), "a: 1"]))
    assert list(site_pages._brings("group", file)) == ["group=plain", "net=deep", "judges=faces", "judges=probe"]
