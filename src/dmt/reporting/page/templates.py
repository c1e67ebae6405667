"""Templates -> pages: one file each, which asks nothing of anybody."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import dmt

HERE = Path(__file__).parent
STYLE, SCRIPT = "page.css", "page.js"


def rendered(template: str, folder: Path = HERE, **content: Any) -> str:
    """A page by a template, with the style and the script that all have.

    Whatever a name holds is text: all is escaped. A policy in the page lets the browser run these two alone, and load
    nothing.

    Args:
        template: its name in the folder; it extends ``base.html.jinja``.
        folder: of the template.
        content: what the template asks for.
    """
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in (STYLE, SCRIPT))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hashed(style)}; script-src {_hashed(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    shared: Mapping[str, Any] = {
        "style": Markup(style),
        "script": Markup(script),
        "policy": Markup(policy),
        "version": dmt.__version__,
        "date": date.today().isoformat(),
    }
    return environment(folder).get_template(template).render({**shared, **content})


@cache
def environment(folder: Path = HERE) -> Environment:
    """The templates of a folder, and ours."""
    loader = ChoiceLoader([FileSystemLoader(folder), FileSystemLoader(HERE)])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def _hashed(content: str) -> str:
    """How a policy names a script or a style by what is in it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
