"""Every command of the programs that a page of the project prints, for tests to compose and to check."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"(?:python (?:-m dmt )?|dmt-)(train|traverse)(?:\.py)?(?![\w.-])((?:\\\n|[^`|\n])*)")


def commands_in(text: str) -> set[tuple[str, str]]:
    """Program and options of each command; those that stand for others, with ``...``, and calls are none."""
    return {
        (program, options.replace("\\\n", " ").strip())
        for program, options in COMMAND.findall(text)
        if "..." not in options and "(" not in options
    }


COMMANDS = sorted(set().union(*(commands_in(document.read_text("utf-8")) for document in DOCUMENTS)))
