"""A page in the browser for what the command line does with one photograph: ``dmt-app``.

It computes by ``dmt.Editor`` alone, listens on this machine alone, and asks nothing of any other.
"""

from dmt.app.command import run_app

__all__ = ["run_app"]
