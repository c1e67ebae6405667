"""The page, served on one address, with a folder for temporary files that goes when it ends."""

import gc
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dmt.app.engine import Engine
from dmt.app.offers import Offers
from dmt.app.page import CSS, JS, THEME, page
from dmt.app.sessions import Sessions, require_for_every_edit
from dmt.errors import UserError

MOST_BYTES = 500 * 10**6  # of a file that is uploaded (ours)


class Server:
    """Serves the page until it is closed; use it with ``with``.

    Args:
        host: address to listen on.
        port: ``None``: the first free one from 7860 on.
        settings: of every edit of faces and of own classes, as on the command line.

    Raises:
        UserError: the port is taken, or there is no such setting.
    """

    def __init__(self, host: str = "127.0.0.1", port: int | None = None, settings: Sequence[str] = ()):
        require_for_every_edit(settings)
        self._temporary = tempfile.TemporaryDirectory(prefix="dmt-app-", ignore_cleanup_errors=True)
        self.folder = self._temporary.name
        os.environ["GRADIO_TEMP_DIR"] = str(Path(self.folder) / "uploads")
        self._engine = Engine()
        sessions = Sessions(self._engine, Path(self.folder) / "sessions", settings)
        self._page = page(sessions, Offers.at_hand(settings))
        self._ended = threading.Event()
        try:
            _, self.url, _ = self._page.launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=MOST_BYTES,
                footer_links=[],
                run_history=False,
                enable_monitoring=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                theme=THEME,
                css=CSS,
                js=JS,
            )
        except OSError as error:
            self.close()
            where = f"{host}:{port}" if port is not None else host
            raise UserError(f"{where} cannot be listened on; another --port, or another --host") from error

    def wait(self) -> None:
        """Wait for an interrupt."""
        while not self._ended.wait(3600):
            pass

    def close(self) -> None:
        """Stop what is at work, and remove every temporary file."""
        self._ended.set()
        self._engine.close()
        self._page.close(verbose=False)
        gc.collect()
        self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
