"""``dmt-app``: from its arguments to a page that is served until somebody interrupts it."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from dmt.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
NO_GRADIO = 'error: dmt-app needs Gradio; pip install "dmt[app]"'
QUIET = {  # nothing is told to anybody, and no hub is asked
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="dmt-app", description="Edit photographs in the browser. Nothing leaves this machine."
    )
    parser.add_argument("--host", default=LOOPBACK[0], help="address to listen on; by default this machine alone")
    parser.add_argument("--port", type=_port, help="by default the first free one from 7860 on")
    parser.add_argument("--data", type=Path, help="folder with lfw/ and lfw_attributes.txt; else DMT_DATA")
    parser.add_argument("--weights", type=Path, help="folder with the networks; else DMT_WEIGHTS")
    parser.add_argument("settings", nargs="*", metavar="SETTING=VALUE", help="as of dmt-traverse, for every edit")
    return parser.parse_args(given)


def run_app(given: Sequence[str] | None = None) -> None:
    """Serve the page until it is interrupted.

    Raises:
        SystemExit: Gradio is missing, the address cannot be listened on, or a setting does not exist; one line says so.
    """
    chosen = arguments(given)
    for variable, folder in {"DMT_DATA": chosen.data, "DMT_WEIGHTS": chosen.weights}.items():
        if folder is not None:
            if not folder.expanduser().is_dir():
                sys.exit(f"error: there is no folder {folder}")
            os.environ[variable] = str(folder.expanduser().resolve())
    os.environ.update(QUIET)
    try:
        import gradio  # noqa: F401 - before anything that takes seconds
    except ImportError:
        sys.exit(NO_GRADIO)
    from dmt.app.server import Server

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that temporary files go
    try:
        with Server(chosen.host, chosen.port, chosen.settings) as server:
            _say(f"dmt is at {server.url} (Ctrl+C ends it)")
            if chosen.host not in LOOPBACK:
                _say(f"whoever reaches {chosen.host} can use it, and nothing asks who they are")
            server.wait()
    except KeyboardInterrupt:
        _say("ended; nothing was kept")
    except (UserError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a whole number from 1 to 65535, got {text!r}")
    return int(text)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
