"""``python -m dmt traverse task=frowning`` and ``python -m dmt train``."""

from dmt.cli import run_module

run_module()
