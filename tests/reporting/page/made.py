"""Reports for tests of the page, made without an edit, and a reader of pages."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import torch

from dmt.data.tables import Table, TableTask
from dmt.editing import TableEditor
from dmt.editing.places import Place, Sides
from dmt.editing.records import EditedImage
from dmt.reporting.results import Report

NASTY = [
    "<img src=x onerror=alert(1)>.png",
    "quote\" and 'quote'.png",
    "two\nlines</script><script>alert(2)</script>.png",
    f"{'long' * 75}.png",
    "ünï 人 🙂 \u202e\u2028 {{ 7 * 7 }} %2e%2e #a?b&amp;.png",
]


def image(name, seed=0, side=40, frames=0, edit="", place=None, **columns):
    """Noise that becomes other noise on its left half."""
    rng = np.random.default_rng(seed)
    before = torch.from_numpy(rng.random((3, side, side))).float()
    after = before.clone()
    after[:, :, : side // 2] = torch.from_numpy(rng.random((3, side, side // 2))).float()
    record = {"image": name, "lambda": 0.5, "delta": 2.0, "realised": 0.98, "psnr": 14.0, "ssim": 0.61, "seconds": 1.0}
    record |= {"witness_before": 0.25, "witness_after": -0.125} | columns
    way = [before + (after - before) * (i + 1) / (frames + 1) for i in range(frames)]
    return EditedImage(name, before, after, record | ({"edit": edit} if edit else {}), way, place=place)


def places(n, seed=0):
    """Places of n things between two clouds far from each other, from the first into the second."""
    rng = np.random.default_rng(seed)
    sides = Sides(rng.normal(size=(60, 4)), rng.normal(6, size=(60, 4)))
    starts = rng.normal(size=(n, 4))
    return [Place(sides, np.stack([start, start + 6, start + 5.4])) for start in starts]


def report(names=("one", "two", "three"), **options):
    """An edit of some pictures."""
    images = [
        image(name, seed, place=place, **options)
        for (seed, name), place in zip(enumerate(names), places(len(names)), strict=True)
    ]
    return Report.of_edit("3 to 8\nlambda' 0.5", images)


def table_edit(n=3, plans=2):
    """Changed rows of a table whose columns and values are hostile."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a <b>": rng.normal(size=80).round(2), "b": rng.normal(size=80)})
    rows["a <b>"] += np.arange(80) % 2 * 3
    rows["side"] = np.where(np.arange(80) % 2, "<i>high</i>", "low")
    return TableEditor(table=Table(rows, "side"), plans=plans).edit(TableTask("<i>high</i>", "low"), n, 0.3)


class Reader(HTMLParser):
    """Keeps what a browser would: tags that close in order, texts, attributes."""

    EMPTY = frozenset({"meta", "img", "input", "br", "link"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: {attrs}"
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)

    def all(self, name, **attributes):
        return [own for tag, own in self.tags if tag == name and attributes.items() <= own.items()]
